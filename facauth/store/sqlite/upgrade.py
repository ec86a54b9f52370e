"""Migration of an older store, with a verified copy of it beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from facauth.files import erase
from facauth.store.change import Change
from facauth.store.clock import SYSTEM, binding
from facauth.store.keys import NO_KEYS, KeyAccess
from facauth.store.opened import Opened
from facauth.store.sqlite import schema
from facauth.store.sqlite.backup import back_up
from facauth.store.sqlite.connection import connect_to, transaction, version_of, write_ahead
from facauth.store.sqlite.database import Database
from facauth.store.sqlite.engine import SqliteWriter
from facauth.store.sqlite.faults import explained
from facauth.store.sqlite.soundness import recover
from facauth.store.upgraded import Migration


def migrate(path: Path, keys: KeyAccess = NO_KEYS) -> Migration:
    """Bring the store at `path` to the current schema, or leave it as it was.

    Raises SetupProblem, also for a missing store, and without the key of an encrypted one, which
    its log needs.
    """
    with explained(path):
        recover(path)
        db = connect_to(path)
    with closing(db):
        with explained(path):
            found = version_of(db, path)
            if found == len(schema.MIGRATIONS):
                return Migration(found, found, None)
            db.execute("PRAGMA synchronous = FULL")
            write_ahead(db)
        return _upgraded(db, path, keys)


def _upgraded(db: sqlite3.Connection, path: Path, keys: KeyAccess) -> Migration:
    copy = None
    try:
        with transaction(db, path):
            with explained(path):
                found = schema.version(db)  # read again: another process may have been first
            if found == len(schema.MIGRATIONS):
                return Migration(found, found, None)
            copy = back_up(path, found)
            with explained(path):
                schema.make(db)
                writer = SqliteWriter(Database(db, path))
            opened = Opened(writer, keys, binding.get() or SYSTEM)
            opened.vault()
            Change(opened, writer).log("migrate", "migrated")
    except BaseException:
        if copy:
            erase(copy)
        raise
    return Migration(found, len(schema.MIGRATIONS), copy)
