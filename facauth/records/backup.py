"""From an older store to a current one, with a verified copy of the older one beside it."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from facauth.records import log, schema
from facauth.records.database import (
    Database,
    connect_to,
    explained,
    new_private_file,
    real,
    transaction,
    unfit,
    version_of,
    write_ahead,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """From which schema version to which; no backup where there was nothing to do."""

    before: int
    after: int
    backup: Path | None


def migrate(path: Path) -> Migration:
    """Bring the store at `path` to the current schema, or leave it as it was.

    Raises SetupProblem, for a store that does not exist too.
    """
    with explained(path):
        if not (path.exists() or path.is_symlink()):
            raise unfit("store.missing", path, "does not exist", "name a store with --store")
        with closing(connect_to(path)) as db:
            found = version_of(db, path)
            db.execute("PRAGMA synchronous = FULL")
            if not 0 < found < len(schema.MIGRATIONS):
                return Migration(found, found, None)
            write_ahead(db)
            return _upgraded(db, path)


def _upgraded(db: sqlite3.Connection, path: Path) -> Migration:
    copy = None
    try:
        with transaction(db):
            found = schema.version(db)  # read again: another process may have been first
            if found == len(schema.MIGRATIONS):
                return Migration(found, found, None)
            copy = back_up(path, found)
            schema.make(db)
            # Without a key: no store that is older than this version is encrypted.
            log.append(Database(db, path), lambda _: None, "migrate", "migrated")
    except BaseException:
        if copy:
            _erase(copy)
        raise
    return Migration(found, len(schema.MIGRATIONS), copy)


def back_up(path: Path, version: int) -> Path:
    """A copy of the store beside it, whole and private; what has its name is replaced."""
    target = real(path).with_name(f"{real(path).name}.v{version}.backup")
    making = target.with_name(f"{target.name}.part")
    _discard(path, r"backup\.part")  # of a process that was killed
    new_private_file(making)
    try:
        with closing(connect_to(path)) as source, closing(connect_to(making)) as copy:
            copy.execute("PRAGMA locking_mode = EXCLUSIVE")  # needs no file beside it for that
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            _require_equal(source, copy, making)
        making.rename(target)
    except BaseException:
        _discard(path, r"backup\.part")
        raise
    sync_folder(target)
    return target


def _require_equal(source: sqlite3.Connection, copy: sqlite3.Connection, path: Path) -> None:
    """Raises SetupProblem unless the copy is sound and holds as much as its source."""
    ((verdict,),) = copy.execute("PRAGMA integrity_check(1)").fetchall()
    if verdict != "ok" or _extent(copy) != _extent(source):
        raise unfit("store.backup", path, "is no sound copy", "check disk and free space")


def _extent(db: sqlite3.Connection) -> list[object]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    counts = [db.execute(f'SELECT count(*) FROM "{name}"').fetchone() for name in sorted(tables)]  # noqa: S608
    return [schema.version(db), sorted(tables), counts]


def sync_folder(path: Path) -> None:
    """What was made or renamed beside `path` outlasts a loss of power."""
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def discard_backups(path: Path) -> None:
    """Delete the backups that were made beside a store, for they hold what was deleted from it."""
    with explained(path):
        _discard(path)


def _discard(path: Path, kind: str = r"backup(\.part)?") -> None:
    store = real(path)
    made = re.compile(rf"{re.escape(store.name)}\.v\d+\.{kind}(-journal|-wal|-shm)?")
    for each in store.parent.iterdir():
        if made.fullmatch(each.name):
            _erase(each)


def _erase(copy: Path) -> None:
    """Overwrite and delete a file; of a link, or of what has other names too, only this name."""
    with suppress(FileNotFoundError):
        found = copy.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            with os.fdopen(os.open(copy, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b") as file:
                if os.path.samestat(found, os.fstat(file.fileno())):  # nothing was put in its place
                    file.write(bytes(found.st_size))
                    file.flush()
                    os.fsync(file.fileno())
        if not stat.S_ISDIR(found.st_mode):
            copy.unlink()
