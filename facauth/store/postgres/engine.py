"""PostgreSQL as the engine of a store: what is not in facauth.store.sql."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from facauth.errors import shown
from facauth.store.clock import Clock
from facauth.store.postgres.database import Database
from facauth.store.sql import SqlReader, SqlWriter

if TYPE_CHECKING:
    from facauth.places import Address
    from facauth.store.engine import Engine, Row

# Events that leave people and templates as they are, unless a photo was learned.
PASSING = ("sign-in", "unlock", "export")
MAX_LATE_S = 60  # of the server's clock; another server may be a little behind


class PostgresEngine(SqlReader):
    """An open connection."""

    db: Database
    joined_sql = "string_agg(person_id::text, ',')"
    keeps_deleted = True

    def __init__(self, db: Database) -> None:
        self.db = db
        self.place = db.place

    @classmethod
    def open(cls, place: Address, *, create: bool = False) -> Self:
        """The store at `place`, made if `create`. Raises SetupProblem as Database.open does."""
        return cls(Database.open(place, create=create))

    @property
    def clock(self) -> Clock:
        """Both clocks are the server's: it never goes back, so one of them would do."""
        return Clock(self.db.now_s, self.db.now_s)

    @property
    def read_only(self) -> bool:
        return self.db.read_only

    def close(self) -> None:
        self.db.close()

    def has_people(self, contract: str, count: int) -> bool:
        # A planner without statistics, as after an import, would read all templates for DISTINCT;
        # with OFFSET it cannot make one join of both.
        (people,) = self.db.one(
            """SELECT count(*) FROM (
                SELECT 1 FROM people p WHERE EXISTS (
                    SELECT 1 FROM templates t WHERE t.person_id = p.id AND t.contract = ? OFFSET 0
                ) LIMIT ?
            ) AS counted""",
            *(contract, count),
        ) or (0,)
        return bool(people >= count)

    def trial(self) -> Engine:
        from facauth.store.copying import in_memory

        return in_memory(self)

    def faults(self) -> list[str]:
        return []  # it checks pages and references itself, as it reads and writes them

    def exposure(self) -> list[str]:
        found, place = [], shown(self.place)
        if self.db.exposed:
            found.append(f"the connection to {place} is not encrypted; add sslmode=verify-full")
        if (late_s := self.db.late_s()) > MAX_LATE_S:
            what = f"the clock of {place} is {late_s:.0f} s behind a time that it told before"
            found.append(f"{what}, and time stands still until then; see docs/how-to/servers.md")
        return found

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[PostgresWriter]:
        with self.db.transaction(wait=wait):
            writer = PostgresWriter(self.db)
            try:
                yield writer
                if writer.changed:
                    self.db.write("UPDATE state SET changes = changes + 1")
            finally:
                writer.ended = True

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self.db.snapshot():
            yield

    def require_unchanged(self) -> None:
        self.db.require_unchanged()

    def scrub(self) -> None:
        """Nothing can be overwritten: what stays is sealed."""

    def state(self) -> object:
        return self.db.one("SELECT changes FROM state")


class PostgresWriter(PostgresEngine, SqlWriter):
    """The database within a transaction."""

    changed = False

    def touched(self) -> None:
        self.changed = True

    def append(self, entries: Sequence[Row]) -> None:
        super().append(entries)
        self.changed |= any(
            command not in PASSING or verdict == "learned" for _, _, command, verdict, *_ in entries
        )

    def discard_copies(self) -> None:
        """facauth makes none."""
