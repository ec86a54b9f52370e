"""One SQLite file: opened privately, written in whole transactions, its faults explained.

The only module that opens the database. Everything it raises is a FacauthError.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from facauth.errors import Reason, SetupProblem, shown
from facauth.records import schema

SMALLEST_DATABASE_BYTES = 512
BUSY_TIMEOUT_S = 10.0  # how long a command waits for another one's transaction


class Database:
    """An open file (or memory); nothing is written by several statements outside `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._generation = schema.generation(connection)

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Database:
        """Open the file at `path`, which is of this schema version.

        A missing file is made if `create`; otherwise it is an empty store that leaves no trace.
        Raises SetupProblem for anything that is not a sound facauth store of this version.
        """
        with explained(path):
            if create:
                make_private_file(path)
            elif not (path.exists() or path.is_symlink()):  # a link to nowhere: not mounted, say
                memory = connect(":memory:")
                schema.make(memory)
                return cls(memory, path)
            connection = connect_to(path)
            try:
                _prepare(connection, path)
                return cls(connection, path)
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Leave it."""
        with explained(self.path):
            self._db.close()

    def in_memory(self) -> Database:
        """A copy that is never written back."""
        with explained(self.path):
            copy = connect(":memory:")
            self._db.backup(copy)
            return Database(copy, self.path)

    @property
    def in_transaction(self) -> bool:
        """Whether what is written now stands or falls with something else."""
        return self._db.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone: other writers wait, and read what was written."""
        with explained(self.path), transaction(self._db):
            self.require_unchanged()
            before = self._generation
            try:
                yield
                self._generation = schema.generation(self._db)
            except BaseException:
                self._generation = before
                raise

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, nothing waits for another process: what cannot be had is refused as busy."""
        self.write("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.write(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment, whatever others write; write nothing yourself."""
        self.write("BEGIN")
        try:
            self.require_unchanged()
            yield
        finally:
            with suppress(SetupProblem):  # after a fault SQLite has ended it by itself
                self.write("ROLLBACK")

    def require_unchanged(self) -> None:
        """Another process may have migrated the store, or given it another key, since we opened.

        Raises SetupProblem then.
        """
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
        """How many rows were changed."""
        with explained(self.path):
            return self._db.execute(statement, values).rowcount

    def empty_log(self) -> None:
        """Empty the write-ahead log, so that what was deleted is not left in it."""
        with explained(self.path):
            (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise unfit(
                "store.busy",
                self.path,
                "is read by another process, so what was deleted is still in its log",
                "end that process; the next command empties the log",
            )

    def faults(self) -> list[str]:
        """What SQLite's own integrity check finds; empty when sound."""
        rows = self.all("PRAGMA integrity_check")
        return [text for (text,) in rows if text != "ok"]


def connect(uri: str) -> sqlite3.Connection:
    """Autocommit: transactions are begun and ended by `transaction` alone."""
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA temp_store = MEMORY")  # what it sorts would be left in /var/tmp
    # facauth stores no other text than UTF-8; what something else stored is shown, and equals none.
    db.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return db


def connect_to(path: Path) -> sqlite3.Connection:
    """A connection to a file that may be ours; nothing of it has been read yet."""
    _require_regular_file(path)
    return connect(f"file://{quote(os.fsencode(path.absolute()))}?mode=rw")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """As Database.transaction, for a bare connection."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")  # which leaves the transaction open if it fails
    except BaseException:
        with suppress(sqlite3.Error):  # after a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


def make_private_file(path: Path) -> None:
    """An empty 0600 file, unless there is one, in a folder that is made if it must be."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    with suppress(FileExistsError):
        new_private_file(path)


def new_private_file(path: Path) -> None:
    """An empty 0600 file, whatever the umask; SQLite gives -wal and -shm the same mode.

    Raises FileExistsError.
    """
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


def exposure(path: Path) -> list[str]:
    """A line for each way in which others could change or read the store."""
    try:
        found, folders = path.stat(), {path.absolute().parent, real(path).parent}
        owners = {0, os.geteuid(), found.st_uid}
        open_folders = [folder for folder in sorted(folders) if _is_open(folder.stat(), owners)]
    except OSError:
        return []
    lines = [f"others may open {shown(path)}; chmod 600 {shown(path)}"] * bool(
        found.st_mode & 0o077
    )
    return lines + [f"{fault}; {cure}" for fault, cure in map(fault_of, open_folders)]


def fault_of(folder: Path) -> tuple[str, str]:
    """What is wrong with a folder that others can write in, and what its user can do about it.

    A folder that is not the user's own is left as it is: /tmp has to be open to everybody.
    """
    found, name = folder.stat(), shown(folder)
    if found.st_mode & stat.S_ISVTX:  # others cannot replace what is in it, but it is cleared
        return f"{name} is shared, and no place for a store that lasts", OWN_FOLDER
    fault = f"others may replace the store in {name}"
    return fault, f"chmod go-w {name}" if found.st_uid == os.geteuid() else OWN_FOLDER


OWN_FOLDER = "keep it in a folder of your own"


def _is_open(folder: os.stat_result, owners: set[int]) -> bool:
    return bool(folder.st_mode & 0o022) or folder.st_uid not in owners


def real(path: Path) -> Path:
    """Where a link leads; SQLite keeps its own files beside that."""
    return Path(os.path.realpath(path))


def _require_regular_file(path: Path) -> None:
    for status in (path.lstat(), path.stat()):  # neither a link nor its target of somebody else
        if os.geteuid() not in (0, status.st_uid):
            raise unfit("store.not_yours", path, "belongs to another user", "name your own store")
    if not stat.S_ISREG(path.stat().st_mode):
        raise unfit("store.not_a_store", path, "is not a file", "name a facauth store")
    if not os.access(path, os.W_OK, effective_ids=True):  # SQLite would leave files beside it
        raise unfit("store.read_only", path, "cannot be written", "check its permissions")
    if 0 < path.stat().st_size < SMALLEST_DATABASE_BYTES:  # SQLite takes one byte for none
        raise unfit("store.not_a_store", path, "is not a facauth store", "name another file")
    _require_own_logs(path)


def _require_own_logs(path: Path) -> None:
    """Whoever may write in the folder could leave a log, which SQLite takes over as it is."""
    owners = {0, os.geteuid(), path.stat().st_uid}
    for suffix in ("-wal", "-shm", "-journal"):
        log = Path(f"{real(path)}{suffix}")
        with suppress(FileNotFoundError):  # the last process that leaves a store deletes them
            if log.lstat().st_uid not in owners:
                advice = "delete it, and let nobody else write in its folder"
                raise unfit("store.not_yours", log, "belongs to another user", advice)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Nothing is written before the file has shown that it is ours (or empty)."""
    version = version_of(db, path)
    db.execute("PRAGMA synchronous = FULL")
    if version == 0:
        if not path.stat().st_size:
            path.chmod(0o600)  # an empty file made by somebody else: -wal and -shm take its mode
        write_ahead(db)
        with transaction(db):
            if schema.version(db) == 0:  # read again: another process may have been first
                schema.make(db)
    elif version < len(schema.MIGRATIONS):
        raise unfit("store.older", path, "was made by an older facauth", "run facauth migrate")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """The schema version, 0 for an empty file; raises SetupProblem unless it can be read here."""
    with _reading(db):
        ours = schema.is_ours(db)
        version = schema.version(db)
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        as_made = schema.as_made(db)
    if not ours and (tables or version):
        raise unfit("store.not_a_store", path, "is not a facauth store", "name another file")
    if version > len(schema.MIGRATIONS):
        raise unfit("store.newer", path, "was written by a newer facauth", "update facauth")
    if not as_made:
        what = "was changed by something else: it has other tables, or more"
        raise unfit("store.altered", path, what, "bring back a copy of it")
    return version


def write_ahead(db: sqlite3.Connection) -> None:
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


@contextmanager
def _reading(db: sqlite3.Connection) -> Iterator[None]:
    """One snapshot for several reads, so that a store just being made is seen whole or empty."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):  # after a fault SQLite has ended it by itself
            db.execute("ROLLBACK")


def unfit(code: str, path: Path, what: str, advice: str) -> SetupProblem:
    """The store at `path` cannot be used so."""
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
UNFORESEEN = ("store.unusable", "cannot be used", "run facauth doctor")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Foreign errors become a SetupProblem here, and only here."""
    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        code, what, advice = FAULTS.get(primary, UNFORESEEN)
        raise unfit(code, path, what, advice) from error
    except (OSError, ValueError, OverflowError) as error:
        cause = f"cannot be used ({getattr(error, 'strerror', None) or 'not a path'})"
        raise unfit("store.unreadable", path, cause, "check its folder and permissions") from error
