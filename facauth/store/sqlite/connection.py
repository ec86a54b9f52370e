"""Connections to SQLite files, and transactions on them; none of facauth's rules."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from facauth.files import BUSY_TIMEOUT_S
from facauth.store.faults import RESTORE, unfit
from facauth.store.files import has_log, require_store_file, writable
from facauth.store.sqlite import schema
from facauth.store.sqlite.faults import explained

# Of one value, read or written. The longest that facauth writes, but for a list of numbers that
# says how many photos people have (store.means), is a block of means: 128 KB.
MAX_VALUE_BYTES = 2**22


def connect(name: str) -> sqlite3.Connection:
    """Autocommit: transactions are begun and ended by `transaction` alone."""
    db = sqlite3.connect(name, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)  # checked before a value is read
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA temp_store = MEMORY")  # otherwise sorted data stays in /var/tmp
    # facauth stores UTF-8 only; other text can be shown, and equals no text of facauth.
    db.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return db


def connect_to(path: Path) -> sqlite3.Connection:
    """A connection to a file that may be a store; nothing is read yet.

    A file that cannot be written is opened as immutable, so that nothing is left beside it.
    """
    require_store_file(path)
    mode = "rw"
    if not writable(path):
        if has_log(path):
            what = "cannot be written, and part of its data is still in its log"
            raise unfit("store.read_only", path, what, "open it once where it can be written")
        mode = "ro&immutable=1"
    return connect(uri(path, mode))


def uri(path: Path, mode: str = "rw") -> str:
    """The URI of the file, for SQLite."""
    return f"file://{quote(os.fsencode(path.absolute()))}?mode={mode}"


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """As Database.transaction, for a bare connection."""
    with explained(path):
        db.execute("BEGIN IMMEDIATE")
    try:
        yield
        with explained(path):
            db.execute("COMMIT")  # if it fails, the transaction stays open
    except BaseException:
        with suppress(sqlite3.Error):  # after a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """The schema version; raises SetupProblem unless this facauth can read it."""
    with _reading(db):
        ours, damaged = schema.is_ours(db), schema.is_damaged(db)
        version = schema.version(db)
        as_made = schema.as_made(db)
    if damaged:
        raise unfit("store.damaged", path, "is damaged", RESTORE)
    if not ours:
        raise unfit("store.not_a_store", path, "is not a facauth store", "name another file")
    if version > len(schema.MIGRATIONS):
        raise unfit("store.newer", path, "was written by a newer facauth", "update facauth")
    if not as_made:
        what = "was changed by another program: its tables are not those of facauth"
        raise unfit("store.altered", path, what, RESTORE)
    return version


def write_ahead(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite itself does not wait for others that do the same."""
    deadline = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


@contextmanager
def _reading(db: sqlite3.Connection) -> Iterator[None]:
    """One snapshot for several reads, so that no migration comes between them."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):  # after a fault SQLite has ended it by itself
            db.execute("ROLLBACK")
