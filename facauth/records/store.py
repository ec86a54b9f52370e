"""The encoding store: one SQLite file, 0600, in a folder that is 0700 if facauth makes it.

The only module that imports the database driver. Everything it raises is a FacauthError.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self
from urllib.parse import quote

from facauth.errors import Conflict, ExitCode, FacauthError, Reason, SetupProblem, shown
from facauth.records.schema import APPLICATION_ID, MIGRATIONS
from facauth.structs import PersonName

SMALLEST_DATABASE_BYTES = 512
BUSY_TIMEOUT_S = 10.0  # how long a command waits for another one's transaction


@dataclass(frozen=True, slots=True)
class Template:
    """What is stored of one enrolment photo."""

    encoding: bytes
    signature: bytes | None  # None: the photo cannot be found again
    accepted_spoof: bool  # enrolled without a look at liveness


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person as `list` shows it; times are UTC, ISO 8601."""

    name: str
    photos: int
    enrolled_at: str
    last_sign_in_at: str | None
    needs_new_photo: int  # templates of another contract than the one asked for
    without_signature: int  # templates whose photo cannot be found again
    accepted_spoof: int  # templates enrolled without a look at liveness


class Store:
    """An open store. Use it as a context manager; nothing is written outside `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the store at `path`, brought up to the current schema.

        A missing file is made if `create`; otherwise it is an empty store that leaves no trace.
        Raises SetupProblem for anything that is not a sound facauth store.
        """
        with _explained(path):
            if create:
                _make_private_file(path)
            elif not path.exists():
                store = cls(_connect(":memory:"), path)
                _migrate(store._db)
                return store
            _require_regular_file(path)
            connection = _connect(f"file://{quote(os.fsencode(path.absolute()))}?mode=rw")
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
            return cls(connection, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave it; what `with` does at its end."""
        with _explained(self.path):
            self._db.close()

    def in_memory(self) -> Self:
        """A copy for trials: what is logged or changed there is never written."""
        with _explained(self.path):
            copy = _connect(":memory:")
            self._db.backup(copy)
        return type(self)(copy, self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and read what was written."""
        with _explained(self.path), _transaction(self._db):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment, whatever others write; write nothing yourself."""
        self._write("BEGIN", ())
        try:
            yield
        finally:
            self._write("ROLLBACK", ())

    def people(self, contract: str | None = None) -> list[PersonRow]:
        """Everybody, by name. With a contract, `needs_new_photo` counts the other templates."""
        rows = self._all(
            """SELECT p.name, count(t.id), p.enrolled_at,
                (SELECT max(at) FROM events e WHERE e.person_id = p.id AND e.verdict = 'signed_in'),
                count(t.contract <> ? OR NULL),
                count(t.id) - sum(typeof(t.signature) <> 'null'),  -- count() would read them all
                coalesce(sum(t.accepted_spoof), 0)
            FROM people p LEFT JOIN templates t ON t.person_id = p.id
            GROUP BY p.id ORDER BY p.name_key""",
            (contract,),
        )
        return [PersonRow(*row) for row in rows]

    def encodings(self, contract: str) -> list[tuple[str, bytes]]:
        """(name, encoding) of every template of this contract, a person's templates together."""
        return self._all(
            """SELECT p.name, t.encoding FROM templates t JOIN people p ON p.id = t.person_id
            WHERE t.contract = ? ORDER BY p.id, t.id""",
            (contract,),
        )

    def signatures(self, name: str) -> list[bytes | None]:
        """The signatures of a person's photos, whatever the contract; None where none was kept."""
        rows = self._all(
            """SELECT t.signature FROM templates t JOIN people p ON p.id = t.person_id
            WHERE p.name_key = ? ORDER BY t.id""",
            (PersonName.parse(name).key,),
        )
        return [signature for (signature,) in rows]

    def find(self, name: PersonName) -> str | None:
        """The name as it was enrolled, whatever its case; None if nobody has it."""
        row = self._one("SELECT name FROM people WHERE name_key = ?", (name.key,))
        return row[0] if row else None

    def known_as(self, name: PersonName) -> str:
        """The name as it was enrolled. Raises Conflict if nobody has it."""
        found = self.find(name)
        if found is None:
            raise unknown(name)
        return found

    def add(self, name: PersonName, contract: str, templates: Sequence[Template]) -> int:
        """Add templates to a person, who is made if new; how many there are then.

        Call it within a transaction.
        """
        now = _now()
        with _explained(self.path):
            self._db.execute(
                "INSERT OR IGNORE INTO people (name, name_key, enrolled_at) VALUES (?, ?, ?)",
                (name.text, name.key, now),
            )
            (person,) = self._one("SELECT id FROM people WHERE name_key = ?", (name.key,)) or (0,)
            self._db.executemany(
                """INSERT INTO templates
                (person_id, contract, encoding, signature, accepted_spoof, enrolled_at)
                VALUES (?, ?, ?, ?, ?, ?)""",
                [
                    (person, contract, each.encoding, each.signature, each.accepted_spoof, now)
                    for each in templates
                ],
            )
        (count,) = self._one("SELECT count(*) FROM templates WHERE person_id = ?", (person,)) or (
            0,
        )
        return int(count)

    def delete_templates(self, name: PersonName) -> None:
        """Forget a person's templates and keep the person. Call it within a transaction."""
        self._write(
            "DELETE FROM templates WHERE person_id = (SELECT id FROM people WHERE name_key = ?)",
            (name.key,),
        )

    def remove(self, name: PersonName) -> None:
        """Delete a person and all templates. Call it within a transaction, `scrub` after it.

        Raises Conflict if nobody has the name.
        """
        if self._write("DELETE FROM people WHERE name_key = ?", (name.key,)) == 0:
            raise unknown(name)

    def rename(self, old: PersonName, new: PersonName) -> None:
        """Give a person another name. Raises Conflict if `old` is unknown or `new` is taken."""
        holder = self._one("SELECT name_key FROM people WHERE name_key = ?", (new.key,))
        if holder and new.key != old.key:
            reason = Reason("name.taken", f"{new.text} is taken", "choose another name")
            raise Conflict(reason)
        statement = "UPDATE people SET name = ?, name_key = ? WHERE name_key = ?"
        if self._write(statement, (new.text, new.key, old.key)) == 0:
            raise unknown(old)

    def log(self, command: str, verdict: str, reason: str | None = None, name: str = "") -> None:
        """Append one event. Call it within a transaction if it must stand or fall with it."""
        self._write(
            """INSERT INTO events (at, command, verdict, reason, person_id)
            VALUES (?, ?, ?, ?, (SELECT id FROM people WHERE name = ?))""",
            (_now(), command, verdict, reason, name),
        )

    @contextmanager
    def recorded(self, command: str) -> Iterator[None]:
        """Every refusal becomes an event before it goes on its way."""
        try:
            yield
        except FacauthError as refusal:
            if refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP):
                self.log(command, refusal.verdict, refusal.reasons[0].code)
            raise

    def scrub(self) -> None:
        """Empty the write-ahead log, so that what was deleted is not left in it."""
        with _explained(self.path):
            (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise _unfit(
                "store.busy",
                self.path,
                "is read by another process, so what was deleted is still in its log",
                "end that process; the next command empties the log",
            )

    def faults(self) -> list[str]:
        """What SQLite's own integrity check finds; empty when sound."""
        rows = self._all("PRAGMA integrity_check", ())
        return [text for (text,) in rows if text != "ok"]

    def _all(self, statement: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        with _explained(self.path):
            return self._db.execute(statement, values).fetchall()

    def _one(self, statement: str, values: tuple[object, ...]) -> tuple | None:  # type: ignore[type-arg]
        rows = self._all(statement, values)
        return rows[0] if rows else None

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        with _explained(self.path):
            return self._db.execute(statement, values).rowcount


def unknown(name: PersonName) -> Conflict:
    """Nobody has this name."""
    return Conflict(
        Reason("name.unknown", f"nobody is enrolled as {name.text}", "see facauth list")
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _connect(uri: str) -> sqlite3.Connection:
    """Autocommit: transactions are begun and ended by `_transaction` alone."""
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):  # after a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _make_private_file(path: Path) -> None:
    """An empty 0600 file, whatever the umask; SQLite gives -wal and -shm the same mode."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _require_regular_file(path: Path) -> None:
    if not path.is_file():
        raise _unfit("store.not_a_store", path, "is not a file", "name a facauth store")
    if 0 < path.stat().st_size < SMALLEST_DATABASE_BYTES:  # SQLite takes one byte for none
        raise _unfit("store.not_a_store", path, "is not a facauth store", "name another file")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Nothing is written before the file has shown that it is ours (or empty)."""
    _require_ours(db, path)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA synchronous = FULL")
    if _pragma(db, "user_version") < len(MIGRATIONS):
        if not path.stat().st_size:
            path.chmod(0o600)  # an empty file made by somebody else: -wal and -shm take its mode
        _write_ahead(db)
        _migrate(db)


def _write_ahead(db: sqlite3.Connection) -> None:
    """Log ahead from now on. SQLite itself does not wait here for others who do the same."""
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


def _require_ours(db: sqlite3.Connection, path: Path) -> None:
    with _reading(db):
        ours = _pragma(db, "application_id") == APPLICATION_ID
        version = _pragma(db, "user_version")
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not ours and (tables or version):
        raise _unfit("store.not_a_store", path, "is not a facauth store", "name another file")
    if version > len(MIGRATIONS):
        raise _unfit("store.newer", path, "was written by a newer facauth", "update facauth")


@contextmanager
def _reading(db: sqlite3.Connection) -> Iterator[None]:
    """One snapshot for several reads, so that a store just being made is seen whole or empty."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _migrate(db: sqlite3.Connection) -> None:
    with _transaction(db):
        version = _pragma(db, "user_version")  # read again: another process may have been first
        for step in MIGRATIONS[version:]:
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _unfit(code: str, path: Path, what: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason(code, f"{shown(path)} {what}", advice))


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
    sqlite3.SQLITE_CORRUPT: ("store.damaged", "is damaged", "bring back a copy of it"),
}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Foreign errors become a SetupProblem here, and only here."""
    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        otherwise = ("store.unusable", "cannot be used", "run facauth doctor")
        raise _unfit(
            FAULTS.get(primary, otherwise)[0], path, *FAULTS.get(primary, otherwise)[1:]
        ) from error
    except (OSError, ValueError) as error:
        cause = f"cannot be used ({getattr(error, 'strerror', None) or 'not a path'})"
        raise _unfit("store.unreadable", path, cause, "check its folder and permissions") from error
