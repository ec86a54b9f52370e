"""The errors of SQLite and of the system, as SetupProblem."""

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
    """Turn errors of SQLite and of the system into SetupProblem.

    Wrap statements and system calls with it, never the code of a caller: a ValueError there is a
    bug.
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
