"""The store as a file: its owner, and the files beside it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from facauth.errors import Reason, SetupProblem, shown
from facauth.files import sync_folder as sync_folder  # until the command line takes it from there
from facauth.store.faults import RESTORE, unfit

SMALLEST_DATABASE_BYTES = 512
LOGS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database


def real(path: Path) -> Path:
    """The target of a link; SQLite keeps its own files beside it."""
    return Path(os.path.realpath(path))


def logs(path: Path) -> list[Path]:
    """The files that SQLite may keep beside a store."""
    return [Path(f"{real(path)}{suffix}") for suffix in LOGS]


def has_log(path: Path) -> bool:
    """Whether there is a write-ahead log that is not empty."""
    with suppress(FileNotFoundError):
        return logs(path)[0].stat().st_size > 0
    return False


def writable(path: Path) -> bool:
    """Whether the file, and others beside it, may be written."""
    places = (path, real(path).parent)
    return all(os.access(place, os.W_OK, effective_ids=True) for place in places)


def in_use(path: Path) -> SetupProblem:
    """The refusal of a store that another process holds."""
    return unfit("store.busy", path, "is held by another process", "try again")


def require_there(path: Path) -> None:
    """Raises SetupProblem if there is no store: nothing, or a link without a target."""
    if not path.exists():  # for example on a disk that is not mounted
        advice = "facauth register creates it"
        if path.is_symlink():
            advice = "its link leads nowhere: mount the disk it points to, or delete the link"
        raise SetupProblem(Reason("store.missing", f"there is no store at {shown(path)}", advice))


def require_own_file(path: Path) -> None:
    """Raises SetupProblem unless it is a file of this user."""
    require_there(path)
    for status in (path.lstat(), path.stat()):  # of a link and of its target
        if os.geteuid() not in (0, status.st_uid):
            raise unfit("store.not_yours", path, "belongs to another user", "name your own store")
    if not stat.S_ISREG(path.stat().st_mode):
        raise unfit("store.not_a_store", path, "is not a file", "name a facauth store")


def require_store_file(path: Path) -> None:
    """Raises SetupProblem unless the file can be a store of this user."""
    require_own_file(path)
    size = path.stat().st_size
    if not size:  # never by facauth: a disk was full, or another program made it
        raise unfit("store.empty", path, "is an empty file", f"delete it, or {RESTORE}")
    if size < SMALLEST_DATABASE_BYTES:  # SQLite takes one byte for none
        raise unfit("store.not_a_store", path, "is not a facauth store", "name another file")
    _require_own_logs(path)


def _require_own_logs(path: Path) -> None:
    """SQLite takes over any log beside the store: another user must not have left one there."""
    owners = {0, os.geteuid(), path.stat().st_uid}
    for log in logs(path):
        with suppress(FileNotFoundError):  # the last process that leaves a store deletes them
            if log.lstat().st_uid not in owners:
                advice = "delete it, and let nobody else write in its folder"
                raise unfit("store.not_yours", log, "belongs to another user", advice)
