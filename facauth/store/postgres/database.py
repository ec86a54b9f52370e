"""One database of PostgreSQL: opened, written in whole transactions, its faults explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from facauth.store.faults import RESTORE, unfit
from facauth.store.postgres import schema
from facauth.store.postgres.faults import NEW, driver, explained, problem, unreachable

if TYPE_CHECKING:
    import psycopg

    from facauth.places import Address
    from facauth.store.engine import Row

# What libpq does by itself takes two hours to notice a server that is gone. An address can say
# otherwise: its parameters come last.
CONNECTING = {
    "application_name": "facauth",
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "tcp_user_timeout": "20000",  # milliseconds
}
UNKNOWN = (
    "store.unknown",
    "was lost while a change was committed, which may or may not be done",
    "see facauth list and facauth log before you try again",
)

UNDONE = ("store.unusable", "did not take the change", "run facauth doctor")
# Addresses whose tables were looked at: that takes 4 ms, which a server spends only once.
KNOWN = set[str]()
# The year 9000: with any period that is added or subtracted, a time that Python has.
LATEST_S = 221_845_392_000.0


class Database:
    """A connection; several statements write only within `transaction`."""

    def __init__(self, connection: psycopg.Connection[Row], place: Address) -> None:
        self._db, self.place = connection, place
        self._begun_s: float | None = None  # when the present change began
        self._generation = self._state()

    @classmethod
    def open(cls, place: Address, *, create: bool = False) -> Database:
        """Open the store at `place`; make its tables if `create`.

        Raises SetupProblem for one that cannot be reached, is missing, or is of another version.
        """
        connection = _connected(place)
        try:
            with explained(place):
                if create:
                    _make(connection)
                _require_tables(connection, place)
                db = cls(connection, place)
            _require_version(db._generation[0], place)
            db._require_shape()
        except BaseException:
            connection.close()
            raise
        return db

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written: a standby, or a role that only reads."""
        found = self.one(
            """SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
            OR NOT has_table_privilege('templates', 'INSERT')"""
        )
        return bool(found and found[0])

    @property
    def exposed(self) -> bool:
        """Whether others could read what goes over the network."""
        found = self._db.info
        local = found.host.startswith(("/", "@")) or found.hostaddr in ("127.0.0.1", "::1", "")
        return not (local or self._db.pgconn.ssl_in_use)

    def now_s(self) -> float:
        """The time by the server's clock, in seconds; it never goes back.

        Within a transaction it stands still.
        """
        if self._begun_s is not None:
            return self._begun_s
        return self._clock(schema.READ_CLOCK)

    def late_s(self) -> float:
        """How far the server's clock is behind the latest time that it told."""
        (late_s,) = self.one(schema.LATE) or (0.0,)
        return float(late_s)

    def _clock(self, statement: str) -> float:
        (now_s,) = self.one(statement) or (float("nan"),)
        if not 0 < now_s < LATEST_S:  # written so that NaN refuses
            what = "holds an impossible time"
            raise unfit("store.clock", self.place, what, RESTORE)
        return float(now_s)

    def _require_shape(self) -> None:
        if self.place.uri in KNOWN:
            return
        (shape,) = self.one(schema.SHAPE) or (None,)
        if shape is None or shape.hex() != schema.NEWEST:
            what = "was changed by another program: its tables are not those of facauth"
            raise unfit("store.altered", self.place, what, RESTORE)
        KNOWN.add(self.place.uri)

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[None]:
        """A transaction: all or nothing, and one at a time; other writers wait.

        It holds the row of the state. So it needs no serialisation, and nothing to try again.
        """
        before = self._generation
        self._begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        try:
            if not wait:
                self.one("SELECT 1 FROM state FOR UPDATE NOWAIT")
            self._begun_s = self._clock(schema.MOVE_CLOCK)
            self.require_unchanged()
            yield
            self._generation = self._state()
            self._commit()
        except BaseException:
            self._generation = before
            self._roll_back()
            raise
        finally:
            self._begun_s = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A snapshot: reads within see one state, whatever others write. Do not write within."""
        self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            self.require_unchanged()
            yield
        finally:
            self._roll_back()

    def require_unchanged(self) -> None:
        """Raises SetupProblem if another process migrated the store or changed its key."""
        if self._generation != self._state():
            raise unfit("store.changed", self.place, "was migrated or got another key", "try again")

    def all(self, statement: str, *values: object) -> list[Row]:
        """Every row; ? stands for a value."""
        with explained(self.place):
            return self._run(statement, values).fetchall()

    def one(self, statement: str, *values: object) -> Row | None:
        """The first row; None if there is none."""
        with explained(self.place):
            return self._run(statement, values).fetchone()

    def write(self, statement: str, *values: object) -> int:
        """Run a statement; returns the number of changed rows."""
        with explained(self.place):
            return self._run(statement, values).rowcount

    def _run(self, statement: str, values: tuple[object, ...]) -> psycopg.Cursor[Row]:
        # Without values psycopg would send it as text, and get text back.
        query = statement.replace("?", "%s").encode()
        return self._db.execute(query, values, binary=True)

    def _state(self) -> Row:
        return self.one(schema.STATE) or (None, None, None)

    def _begin(self, statement: str) -> None:
        from psycopg.pq import TransactionStatus

        # PostgreSQL would only warn, and the end of the inner one would end the outer one.
        if self._db.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        ):
            raise RuntimeError("a transaction within a transaction")
        with explained(self.place):
            self._db.execute(statement.encode())

    def _commit(self) -> None:
        import psycopg

        warned = list[str | None]()

        def listen(notice: psycopg.errors.Diagnostic) -> None:
            warned.append(notice.severity_nonlocalized)  # it is gone after the call

        self._db.add_notice_handler(listen)
        try:
            done = self._db.execute(b"COMMIT").statusmessage
        except psycopg.Error as error:
            if self._db.closed:
                raise unfit(UNKNOWN[0], self.place, *UNKNOWN[1:]) from error
            raise problem(self.place, error) from error
        finally:
            self._db.remove_notice_handler(listen)
        if done != "COMMIT":  # after an error within, PostgreSQL answers ROLLBACK
            raise unfit(UNDONE[0], self.place, *UNDONE[1:])
        if "WARNING" in warned:  # such as: no standby has it
            raise unfit(UNKNOWN[0], self.place, *UNKNOWN[1:])

    def _roll_back(self) -> None:
        with suppress(Exception):  # of a lost connection the server rolls back by itself
            self._db.execute(b"ROLLBACK")


@contextmanager
def upgraded(place: Address) -> Iterator[tuple[Database, int, int]]:
    """A store that is brought to the newest version of its tables, and the versions before and
    after. All is committed at the end of the block, or nothing.

    Raises SetupProblem, also for a missing store.
    """
    connection = _connected(place)
    try:
        with explained(place):
            _require_tables(connection, place)
            connection.execute(b"BEGIN")
            before, after = _advance(connection, create=False)
        db = Database(connection, place)
        db._begun_s = db._clock(schema.MOVE_CLOCK)
        yield db, before, after
        db._commit()
    finally:
        connection.close()  # what was not committed is rolled back


def _make(connection: psycopg.Connection[Row]) -> None:
    """Make the tables, whole or not at all, unless they are there."""
    with connection.transaction():
        connection.execute(b"SELECT pg_advisory_xact_lock(hashtext('facauth'))")
        if not _has_tables(connection):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema.SCHEMA}".encode())
            _advance(connection, create=True)


def _has_tables(connection: psycopg.Connection[Row]) -> bool:
    """Raises psycopg's InsufficientPrivilege for a role that may not know."""
    found = connection.execute(b"SELECT to_regclass('facauth.state') IS NOT NULL").fetchone()
    return bool(found and found[0])


def _advance(connection: psycopg.Connection[Row], *, create: bool) -> tuple[int, int]:
    """Bring the tables to the newest version; returns the version before and after."""
    newest, version = len(schema.MIGRATIONS), 0
    if not create:
        row = connection.execute(b"SELECT version FROM state FOR UPDATE").fetchone()
        version = int(row[0] or 0) if row else 0
    for statements in schema.MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement.encode())
    if version < newest:
        connection.execute(b"UPDATE state SET version = %s", (newest,))
    return version, newest


def _connected(place: Address) -> psycopg.Connection[Row]:
    driver(place)
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        named = conninfo_to_dict(place.uri)
        ours = {key: value for key, value in CONNECTING.items() if key not in named}
        address = make_conninfo(place.uri, **ours, client_encoding="utf8")
        connection = psycopg.connect(address, autocommit=True)
    except (psycopg.Error, ValueError) as error:  # psycopg encodes the name of a host by itself
        raise unreachable(place, error) from error
    try:
        _require_server(connection, place)
        with explained(place):
            connection.execute(schema.SESSION.encode())
    except BaseException:
        connection.close()
        raise
    return connection


def _require_tables(connection: psycopg.Connection[Row], place: Address) -> None:
    if not _has_tables(connection):
        raise unfit("store.missing", place, "holds no store", NEW)


def _require_server(connection: psycopg.Connection[Row], place: Address) -> None:
    if connection.info.server_version < schema.OLDEST_SERVER:
        what, advice = "is in a PostgreSQL that is too old", "use PostgreSQL 14 or newer"
        raise unfit("store.server", place, what, advice)
    if connection.info.parameter_status("server_encoding") != "UTF8":
        what, advice = "is in a database that cannot hold every name", "create it with UTF8"
        raise unfit("store.server", place, what, advice)


def _require_version(version: object, place: Address) -> None:
    newest = len(schema.MIGRATIONS)
    if not isinstance(version, int):
        what = "was changed by another program: it has no version"
        raise unfit("store.altered", place, what, RESTORE)
    if version > newest:
        raise unfit("store.newer", place, "was written by a newer facauth", "update facauth")
    if version < newest:
        raise unfit("store.older", place, "was made by an older facauth", "run facauth migrate")
