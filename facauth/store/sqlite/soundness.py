"""Checks of a store: the quick ones at each opening, and the full one after a crash.

The next process takes over the write-ahead log of a killed process, even if the file beside it was
replaced by other means than `facauth restore`. So if there is a log, and no process has the store
open, the whole store is checked before anything is read. Otherwise only the small tables are
checked, which takes a millisecond instead of seconds. Other damage is found when SQLite reads it,
by `doctor`, and in an encrypted store by the seals.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from facauth.files import alone
from facauth.store.faults import RESTORE, unfit
from facauth.store.files import has_log, in_use, writable
from facauth.store.sqlite import schema
from facauth.store.sqlite.connection import connect_to

CORE = ("people", "tries", "key_lock", "log_head")  # tables without long values or long history
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG)


def require_sound_core(db: sqlite3.Connection, path: Path) -> None:
    """Raises SetupProblem for a store whose small tables are damaged."""
    checks = (db.execute(f"PRAGMA quick_check('{table}')").fetchone() for table in CORE)
    if any(check != ("ok",) for check in checks):
        raise unfit("store.damaged", path, "is damaged", RESTORE)


def faults(db: sqlite3.Connection) -> list[str]:
    """The faults that SQLite's full check finds; empty when sound."""
    try:
        rows = db.execute("PRAGMA integrity_check").fetchall()
        orphans = db.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in BROKEN:
            raise
        return ["cannot be read"]
    found = [text for (text,) in rows if text != "ok"]
    return found + [f"row {row} of {table} belongs to nothing" for table, row, *_ in orphans]


def recover(path: Path) -> None:
    """Take over a log that no process uses, if the whole store is sound with it.

    Otherwise mark the store as damaged, because the log is lost afterwards, and raise SetupProblem.
    """
    if not (has_log(path) and writable(path)):
        return
    with alone(path, in_use(path)), closing(connect_to(path)) as db:
        if not _have_alone(db) or not schema.is_ours(db):
            return
        if faults(db):
            schema.mark_damaged(db)
            raise unfit("store.damaged", path, "is damaged", RESTORE)


def _have_alone(db: sqlite3.Connection) -> bool:
    """Whether no other process has the file open; then none can open it until it is closed."""
    db.execute("PRAGMA busy_timeout = 0")
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
