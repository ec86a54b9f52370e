"""Whether a store is whole: what is looked at whenever it is opened, and what after a crash.

A write-ahead log that a killed process left is taken over by whoever opens the store next, also
when the file beside it is no longer the one that it was written for: a copy that was put back by
other means than `facauth restore`. So where there is such a log, and nobody has the store open,
everything is looked at before anything is read. Otherwise only the small tables are: that takes a
millisecond where all would take seconds. Damage elsewhere is found when SQLite comes across it, by
`doctor`, and in an encrypted store by the seals.
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
    """What SQLite finds where it looks at everything; empty when sound."""
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
    """Take over a log that nobody uses, if the whole is sound then.

    Otherwise the store is marked as damaged, for the log is gone afterwards, and raises
    SetupProblem.
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
    """Whether nobody else has it open; until it is closed nobody can."""
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
