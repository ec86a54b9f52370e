"""SQLite as the engine of a store: what is not in facauth.store.sql."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Self

from facauth.places import Place
from facauth.store.clock import SYSTEM, Clock
from facauth.store.sql import SqlReader, SqlWriter
from facauth.store.sqlite.backup import discard_backups
from facauth.store.sqlite.database import Database
from facauth.store.sqlite.exposure import exposure


class SqliteEngine(SqlReader):
    """An open file, or a copy of one in memory."""

    db: Database
    # IS NULL would read the signatures, which are 70 times as long as all the rest.
    unsigned_sql = "typeof(t.signature) = 'null'"
    joined_sql = "group_concat(person_id)"
    keeps_deleted = False

    def __init__(self, db: Database) -> None:
        self.db = db
        self.place: Place = db.path

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """The store at `path`, made if `create`. Raises SetupProblem as Database.open does."""
        return cls(Database.open(path, create=create))

    @classmethod
    def empty(cls, place: Place) -> Self:
        """A new store in memory; messages name it by `place`."""
        return cls(Database.empty(place))

    @property
    def clock(self) -> Clock:
        return SYSTEM

    @property
    def read_only(self) -> bool:
        return self.db.read_only

    def close(self) -> None:
        self.db.close()

    def trial(self) -> Self:
        return type(self)(self.db.in_memory())

    def faults(self) -> list[str]:
        return self.db.faults()

    def exposure(self) -> list[str]:
        return exposure(self.db.path)

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[SqliteWriter]:
        with nullcontext() if wait else self.db.at_once(), self.db.transaction():
            writer = SqliteWriter(self.db)
            try:
                yield writer
            finally:
                writer.ended = True

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self.db.snapshot():
            yield

    def require_unchanged(self) -> None:
        self.db.require_unchanged()

    def scrub(self) -> None:
        self.db.empty_log()

    def state(self) -> object:
        """The newest event that changed people, and the templates."""
        newest = self.db.one(
            """SELECT id FROM events
            WHERE command NOT IN ('sign-in', 'unlock', 'export') OR verdict = 'learned'
            ORDER BY id DESC LIMIT 1"""
        )
        return newest, self.db.one("SELECT count(*), max(id) FROM templates")


class SqliteWriter(SqliteEngine, SqlWriter):
    """The file within a transaction."""

    def discard_copies(self) -> None:
        discard_backups(self.db.path)
