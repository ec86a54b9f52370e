"""One SQLite file: opened privately, written in whole transactions, its faults explained.

The only module through which the store is read and written. All that it raises is a FacauthError.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from facauth.errors import SetupProblem
from facauth.files import BUSY_TIMEOUT_S, alone, make_folders, reserve, sync_folder
from facauth.places import Place
from facauth.store.faults import unfit
from facauth.store.files import in_use, logs, writable
from facauth.store.sqlite import schema
from facauth.store.sqlite.connection import (
    connect,
    connect_to,
    transaction,
    uri,
    version_of,
    write_ahead,
)
from facauth.store.sqlite.faults import explained
from facauth.store.sqlite.soundness import faults, recover, require_sound_core


class Database:
    """An open file, or memory; several statements write only within `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._generation = schema.generation(connection)

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Database:
        """Open the file at `path`; create it if `create`.

        Raises SetupProblem for a store that is missing, damaged or of another version.
        """
        with explained(path):
            if create:
                _make(path)
            recover(path)
            connection = connect_to(path)
            try:
                _prepare(connection, path)
                return cls(connection, path)
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        with explained(self.path):
            self._db.close()

    def in_memory(self) -> Database:
        """A copy that is never written back."""
        with explained(self.path):
            copy = connect(":memory:")
            self._db.backup(copy)
            return Database(copy, self.path)

    @classmethod
    def empty(cls, place: Place) -> Database:
        """A new store in memory, which stands for the one at `place`."""
        connection = connect(":memory:")
        schema.make(connection)
        return cls(connection, Path(str(place)))

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return not writable(self.path)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._db.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: all or nothing, and one at a time; other writers wait."""
        with transaction(self._db, self.path):
            self.require_unchanged()
            before = self._generation
            try:
                yield
                with explained(self.path):
                    self._generation = schema.generation(self._db)
            except BaseException:
                self._generation = before
                raise

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Do not wait for other processes within: a busy store is refused at once."""
        self.write("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.write(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A snapshot: reads within see one state, whatever others write. Do not write within."""
        self.write("BEGIN")
        try:
            self.require_unchanged()
            yield
        finally:
            with suppress(SetupProblem):  # after a fault SQLite has ended it by itself
                self.write("ROLLBACK")

    def require_unchanged(self) -> None:
        """Raises SetupProblem if another process migrated the store or changed its key."""
        with explained(self.path):
            now = schema.generation(self._db)
        if self._generation != now:
            raise unfit("store.changed", self.path, "was migrated or got another key", "try again")

    def all(self, statement: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Every row."""
        with explained(self.path):
            return self._db.execute(statement, values).fetchall()

    def one(self, statement: str, *values: object) -> tuple | None:  # type: ignore[type-arg]
        """The first row; None if there is none."""
        with explained(self.path):
            row: tuple | None = self._db.execute(statement, values).fetchone()  # type: ignore[type-arg]
            return row

    def write(self, statement: str, *values: object) -> int:
        """Run a statement; returns the number of changed rows."""
        with explained(self.path):
            return self._db.execute(statement, values).rowcount

    def empty_log(self) -> None:
        """Empty the write-ahead log, so that deleted data does not stay in it."""
        with explained(self.path):
            (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise unfit(
                "store.busy",
                self.path,
                "is read by another process; deleted data is still in its log",
                "end that process; the next command empties the log",
            )

    def faults(self) -> list[str]:
        """What SQLite's own checks find; empty when sound."""
        with explained(self.path):
            return faults(self._db)


def _make(path: Path) -> None:
    """Create an empty store, whole or not at all, unless `path` exists."""
    make_folders(path)
    with alone(path, in_use(path)):
        if os.path.lexists(path):
            return
        making = path.with_name(f".{path.name}.facauth-new")
        for left in (making, *logs(making)):  # by a process that was killed
            left.unlink(missing_ok=True)
        reserve(making)
        with closing(connect(uri(making))) as db:
            db.execute("PRAGMA synchronous = FULL")
            write_ahead(db)
            with transaction(db, making):
                schema.make(db)
        making.rename(path)
        sync_folder(path)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Check that the file is a sound store before anything is written."""
    if version_of(db, path) < len(schema.MIGRATIONS):
        raise unfit("store.older", path, "was made by an older facauth", "run facauth migrate")
    require_sound_core(db, path)
    db.execute("PRAGMA synchronous = FULL")
    if writable(path):
        write_ahead(db)  # a backup has none until it is opened for writing
