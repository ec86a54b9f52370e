"""Copies of a store: made beside it, made elsewhere, and restored."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from time import monotonic, sleep
from typing import BinaryIO

from facauth import files
from facauth.errors import Reason, UsageProblem, shown
from facauth.files import alone, erase, new_private, reserve, sync, sync_folder
from facauth.store.faults import RESTORE, unfit
from facauth.store.files import in_use, logs, real, require_own_file, require_store_file
from facauth.store.sqlite.connection import connect_to, version_of, write_ahead
from facauth.store.sqlite.faults import explained
from facauth.store.sqlite.soundness import faults, recover

# The bytes that SQLite locks, from its pending byte on (sqlite.org/fileformat2.html, 1.2.12). A
# process that holds all of them is alone.
LOCKED_FROM, LOCKED_BYTES = 2**30, 512
HEADER_BYTES = 4096  # written last
# Beside a store: copies from before a migration, from before a restore, and unfinished ones.
KINDS = r"v\d+\.backup(\.part)?|\d{8}T\d{6}Z\.replaced|restored\.part"
UNFINISHED = r"(v\d+\.backup|restored)\.part"


def back_up(path: Path, version: int) -> Path:
    """Copy the store beside itself, whole and private; an older copy of that name is replaced."""
    target = real(path).with_name(f"{real(path).name}.v{version}.backup")
    making = target.with_name(f"{target.name}.part")
    with explained(path):
        _discard(path, UNFINISHED)  # of a process that was killed
        _make(path, making)
        making.rename(target)
        sync_folder(target)
    return target


def write_backup(path: Path, out: Path) -> int:
    """Copy the store into a new file, whole and private; returns the number of people.

    The copy is of one moment, and sealed data stays sealed. Raises UsageProblem if `out` exists,
    SetupProblem for a damaged store.
    """
    with explained(path):
        recover(path)
        with closing(connect_to(path)) as source:
            version_of(source, path)
    with explained(out):
        try:
            reserve(out)
        except FileExistsError:
            reason = Reason("backup.exists", f"{shown(out)} exists already", "name a new file")
            raise UsageProblem(reason) from None
        try:
            people = _make(path, making := out.with_name(f".{out.name}.facauth-new"))
            making.rename(out)
        except BaseException:
            out.unlink()
            raise
        sync_folder(out)
    return people


def _make(path: Path, making: Path) -> int:
    for left in (making, *logs(making)):  # by a process that was killed
        left.unlink(missing_ok=True)
    reserve(making)
    try:
        with closing(connect_to(path)) as source, closing(sqlite3.connect(making)) as copy:
            copy.execute("PRAGMA locking_mode = EXCLUSIVE")  # so that it needs no files beside it
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            _require_sound(copy, path, RESTORE)
            return _people(copy)
    except BaseException:
        erase(making)
        raise


def _require_sound(db: sqlite3.Connection, path: Path, advice: str) -> None:
    if faults(db):
        raise unfit("store.damaged", path, "is damaged", advice)


def _people(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM people").fetchone()[0])


def restore(path: Path, source: Path) -> tuple[int, Path | None]:
    """Replace the store with a copy, with the log beside the copy if it has one.

    Returns the number of people, and the earlier store, which is kept beside the new one. No other
    process can open the store meanwhile. Raises SetupProblem if the copy is damaged or the store is
    in use; then nothing has changed.
    """
    target = real(path)
    making = target.with_name(f"{target.name}.restored.part")
    with explained(source):
        require_store_file(source)
        if target.exists() and source.samefile(target):
            reason = Reason("restore.same", f"{shown(source)} is the store", "name a copy of it")
            raise UsageProblem(reason)
    with explained(path):
        files.make_folders(target)
        with alone(target, in_use(path)):
            try:
                people = _copied(source, making)
                if not os.path.lexists(target):
                    making.rename(target)
                    sync_folder(target)
                    return people, None
                return people, _put_in_place(making, path)
            finally:
                for left in (making, *logs(making)):
                    erase(left)


def _copied(source: Path, making: Path) -> int:
    """Copy and check a backup; its own log is taken over into the copy."""
    pairs = zip((source, logs(source)[0]), (making, logs(making)[0]), strict=True)
    for there, here in pairs:
        erase(here)
        with suppress(FileNotFoundError), there.open("rb") as file:
            _write_private(here, file)
    with closing(connect_to(making)) as db:
        with explained(source):
            version_of(db, source)
            _require_sound(db, source, "name another copy")
        people = _people(db)
        write_ahead(db)
    return people


def _put_in_place(making: Path, path: Path) -> Path | None:
    """Overwrite the file in place: a process that waits to open it must get the new content."""
    require_own_file(path)
    with _held(path) as file, making.open("rb") as copy:
        aside = None
        if os.fstat(file.fileno()).st_size:
            now = datetime.now(UTC)
            aside = real(path).with_name(f"{real(path).name}.{now:%Y%m%dT%H%M%SZ}.replaced")
            _write_private(aside, file)
        for log in logs(path):
            if aside and log.name.endswith("-wal") and log.exists():
                with log.open("rb") as content:
                    _write_private(logs(aside)[0], content)
            log.unlink(missing_ok=True)
        _write_over(file, copy)
    sync_folder(real(path))
    return aside


def _write_over(file: BinaryIO, copy: BinaryIO) -> None:
    """Erase the header first and write it last: without it the file is not a store."""
    files.make_private(file)
    file.seek(0)
    file.write(bytes(HEADER_BYTES))
    sync(file)
    header = copy.read(HEADER_BYTES)
    file.truncate(HEADER_BYTES)
    copyfileobj(copy, file)
    sync(file)
    file.seek(0)
    file.write(header)
    sync(file)


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """The file, once no SQLite has it open. Opening it again within would release the lock.

    Raises SetupProblem.
    """
    deadline = monotonic() + files.BUSY_TIMEOUT_S
    with path.open("r+b") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, LOCKED_BYTES, LOCKED_FROM)
            except OSError as error:
                if not isinstance(error, (BlockingIOError, PermissionError)):
                    raise
                if monotonic() > deadline:
                    raise in_use(path) from None
                sleep(0.01)
            else:
                break
        yield file


def _write_private(path: Path, content: BinaryIO) -> None:
    with new_private(path) as file:
        copyfileobj(content, file)


def discard_backups(path: Path) -> None:
    """Delete the copies beside a store: they hold data that was deleted from it."""
    with explained(path):
        _discard(path, KINDS)


def _discard(path: Path, kinds: str) -> None:
    store = real(path)
    made = re.compile(rf"{re.escape(store.name)}\.({kinds})(-journal|-wal|-shm)?")
    for file in store.parent.iterdir():
        if made.fullmatch(file.name):
            erase(file)
