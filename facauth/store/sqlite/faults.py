"""SQLite's errors, and the system's, in facauth's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facauth.store.faults import RESTORE, unfit

# SQLite's primary result code (sqlite.org/rescode.html) -> code, what, advice.
FAULTS = {
    sqlite3.SQLITE_BUSY: ("store.busy", "is held by another process", "try again"),
    sqlite3.SQLITE_LOCKED: ("store.busy", "is held by another process", "try again"),
    sqlite3.SQLITE_READONLY: ("store.read_only", "cannot be written", "check its permissions"),
    sqlite3.SQLITE_CANTOPEN: ("store.unreadable", "cannot be opened", "check its permissions"),
    sqlite3.SQLITE_PERM: ("store.unreadable", "cannot be opened", "check its permissions"),
    sqlite3.SQLITE_FULL: ("store.full", "cannot grow: the disk is full", "free some space"),
    sqlite3.SQLITE_IOERR: ("store.io", "cannot be read or written", "check disk and free space"),
    sqlite3.SQLITE_NOTADB: ("store.not_a_store", "is not a facauth store", "name another file"),
    sqlite3.SQLITE_CORRUPT: ("store.damaged", "is damaged", RESTORE),
    sqlite3.SQLITE_TOOBIG: ("store.damaged", "holds a value that is too long", RESTORE),
}
UNFORESEEN = ("store.unusable", "cannot be used", "run facauth doctor")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Foreign errors become a SetupProblem here, and only here.

    Wrap statements and calls of the system with it, never a caller's code: a ValueError of that is
    a fault of the program.
    """
    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        code, what, advice = FAULTS.get(primary, UNFORESEEN)
        raise unfit(code, path, what, advice) from error
    except (OSError, ValueError, OverflowError) as error:
        cause = f"cannot be used ({getattr(error, 'strerror', None) or 'not a path'})"
        raise unfit("store.unreadable", path, cause, "check its folder and permissions") from error
