"""The SQL of the operations that facauth.store.engine names, for every engine that speaks it.

Statements are in the part of SQL that SQLite and PostgreSQL have in common, with ? for a value.
What they do not have in common stands in each engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from facauth.records import PersonRow
from facauth.store.engine import End, Mark, Row
from facauth.store.log import FIELDS
from facauth.store.sealing import SealedPerson, Template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Database(Protocol):
    """Runs statements."""

    def all(self, statement: str, *values: object) -> list[Row]:
        """Every row."""

    def one(self, statement: str, *values: object) -> Row | None:
        """The first row; None if there is none."""

    def write(self, statement: str, *values: object) -> int:
        """Run a statement; returns the number of changed rows."""


class SqlReader:
    """Reads rows."""

    db: Database
    # Dialects: whether t.signature is null, and the numbers of a column as one text.
    unsigned_sql: ClassVar[str] = "t.signature IS NULL"
    joined_sql: ClassVar[str]

    def lock(self) -> Row | None:
        return self.db.one("SELECT store_id, kind, generation, salt, wrapped_master FROM key_lock")

    def people(self, contract: str | None) -> list[PersonRow]:
        rows = self.db.all(
            f"""SELECT p.name, count(t.id), p.enrolled_at, p.last_sign_in_at,
                count(*) FILTER (WHERE t.contract <> ?),
                count(t.id) FILTER (WHERE {self.unsigned_sql}),
                count(*) FILTER (WHERE t.accepted_spoof = 1),
                p.consent, p.purpose, p.consent_at, max(t.enrolled_at),
                count(*) FILTER (WHERE t.learned = 1)
            FROM people p LEFT JOIN templates t ON t.person_id = p.id
            GROUP BY p.id ORDER BY p.name_key""",  # noqa: S608
            contract,
        )
        return [PersonRow(*row) for row in rows]

    def person(self, name_key: str) -> SealedPerson | None:
        row = self.db.one(
            "SELECT id, uid, name, wrapped_key FROM people WHERE name_key = ?", name_key
        )
        return SealedPerson(*row) if row else None

    def everybody(self) -> list[SealedPerson]:
        rows = self.db.all("SELECT id, uid, name, wrapped_key FROM people ORDER BY id")
        return [SealedPerson(*row) for row in rows]

    def first_enrolled_at(self) -> str | None:
        row = self.db.one("SELECT min(enrolled_at) FROM people")
        return str(row[0]) if row and row[0] is not None else None

    def is_enrolled(self, uid: str) -> bool:
        return self.db.one("SELECT 1 FROM people WHERE uid = ?", uid) is not None

    def encodings(self, people: Sequence[int] | None) -> list[Row]:
        if people is not None and not people:
            return []
        where, values = _whose(people)
        return self.db.all(
            f"""SELECT p.id, p.uid, p.name, p.wrapped_key, p.name_key, t.encoding, t.contract,
                t.accepted_spoof, NOT {self.unsigned_sql}, t.learned, t.enrolled_at
            FROM people p JOIN templates t ON t.person_id = p.id
            {where} ORDER BY p.id, t.id""",  # noqa: S608
            *values,
        )

    def templates(self, person: int) -> list[tuple[int, str, str, Template]]:
        rows = self.db.all(
            """SELECT id, contract, enrolled_at, encoding, signature, accepted_spoof, learned
            FROM templates WHERE person_id = ? ORDER BY id""",
            person,
        )
        return [(number, made_by, at, Template(*kept)) for number, made_by, at, *kept in rows]

    def sealed_encodings(self, person: int) -> list[bytes]:
        query = "SELECT encoding FROM templates WHERE person_id = ? ORDER BY id"
        return [encoding for (encoding,) in self.db.all(query, person)]

    def unsigned(self, person: int) -> int:
        (count,) = self.db.one(
            f"""SELECT count(*) FROM templates t
            WHERE person_id = ? AND {self.unsigned_sql}""",  # noqa: S608
            person,
        ) or (0,)
        return int(count)

    def learned(self) -> list[tuple[str, int, str]]:
        return self.db.all(
            """SELECT p.name, t.id, t.enrolled_at FROM templates t
            JOIN people p ON p.id = t.person_id WHERE t.learned = 1 ORDER BY p.id"""
        )

    def has_people(self, contract: str, count: int) -> bool:
        query = "SELECT DISTINCT person_id FROM templates WHERE contract = ? LIMIT ?"
        (people,) = self.db.one(
            f"SELECT count(*) FROM ({query}) AS counted",  # noqa: S608
            *(contract, count),
        ) or (0,)
        return bool(people >= count)

    def person_ids(self, contract: str) -> range:
        first, last = self.db.one(
            """SELECT (SELECT min(person_id) FROM templates WHERE contract = ?),
            (SELECT max(person_id) FROM templates WHERE contract = ?)""",
            *(contract, contract),
        ) or (None, None)
        return range(0) if first is None or last is None else range(first, last + 1)

    def template_counts(self, contract: str, people: range) -> NDArray[np.intp]:
        import numpy as np

        (numbers,) = self.db.one(  # as text: a fifth of the time of as many rows
            f"""SELECT {self.joined_sql} FROM templates
            WHERE contract = ? AND person_id BETWEEN ? AND ?""",  # noqa: S608
            *(contract, people[0], people[-1]),
        ) or (None,)
        found = np.fromstring(numbers or "", np.intp, sep=",")
        return np.bincount(found - people[0], minlength=len(people))

    def block_ids(self, contract: str) -> dict[int, int]:
        return dict(self.db.all("SELECT block, id FROM means WHERE contract = ?", contract))

    def block(self, identifier: int) -> bytes:
        (vectors,) = self.db.one("SELECT vectors FROM means WHERE id = ?", identifier) or (b"",)
        return bytes(vectors) if isinstance(vectors, bytes) else b""

    def events(self, after: int) -> list[Row]:
        return self.db.all(
            """SELECT e.id, e.at, e.command, e.verdict, e.reasons, p.name, e.error_rate, e.hash
            FROM events e LEFT JOIN people p ON p.uid = e.subject WHERE e.id > ? ORDER BY e.id""",
            after,
        )

    def entries(self) -> list[Row]:
        return self.db.all(f"SELECT {FIELDS}, hash, anchor FROM events ORDER BY id")  # noqa: S608

    def mark(self, end: End) -> Mark | None:
        return self.db.one(f"SELECT entries, hash, anchor FROM log_{end}")  # noqa: S608

    def older_than(self, before: str) -> tuple[int, bytes] | None:
        return self.db.one(
            """SELECT id, hash FROM events WHERE id < coalesce(
                (SELECT min(id) FROM events WHERE at >= ?), (SELECT max(id) FROM events))
            ORDER BY id DESC LIMIT 1""",
            before,
        )

    def last_verdict(self, subject: str | None, commands: Sequence[str]) -> str | None:
        theirs = "subject IS NULL" if subject is None else "subject = ?"
        row = self.db.one(
            f"""SELECT verdict FROM events WHERE {theirs} AND command IN ({_marks(commands)})
            ORDER BY id DESC LIMIT 1""",  # noqa: S608
            *([] if subject is None else [subject]),
            *commands,
        )
        return str(row[0]) if row else None

    def tries(self, subject: str) -> Row | None:
        return self.db.one(
            "SELECT round, failures, failed_at_s, failed_boot_s FROM tries WHERE subject = ?",
            subject,
        )


class SqlWriter(SqlReader):
    """Writes rows, within a transaction."""

    ended = False

    @property
    def live(self) -> Database:
        """The database; raises RuntimeError after the end of the transaction."""
        if self.ended:
            raise RuntimeError("written after the end of the transaction")
        return self.db

    def touched(self) -> None:
        """Called before each change of a person or a template."""

    def put_lock(self, lock: Row) -> None:
        self.live.write("DELETE FROM key_lock")
        self.live.write("INSERT INTO key_lock VALUES (1, ?, ?, ?, ?, ?)", *lock)

    def add_person(
        self, uid: str, name: str, name_key: str, wrapped_key: bytes | None, enrolled_at: str
    ) -> int:
        self.touched()
        (number,) = self.live.one(
            """INSERT INTO people (uid, name, name_key, wrapped_key, enrolled_at)
            VALUES (?, ?, ?, ?, ?) RETURNING id""",
            *(uid, name, name_key, wrapped_key, enrolled_at),
        ) or (0,)
        return int(number)

    def set_name(self, person: int, name: str, name_key: str) -> None:
        self.touched()
        query = "UPDATE people SET name = ?, name_key = ? WHERE id = ?"
        self.live.write(query, name, name_key, person)

    def set_consent(self, person: int, text: str, purpose: str | None, at: str | None) -> None:
        query = "UPDATE people SET consent = ?, purpose = ?, consent_at = ? WHERE id = ?"
        self.live.write(query, text, purpose, at, person)

    def set_key(self, person: int, wrapped_key: bytes | None) -> None:
        self.touched()
        self.live.write("UPDATE people SET wrapped_key = ? WHERE id = ?", wrapped_key, person)

    def set_last_sign_in(self, uid: str, at: str) -> None:
        self.live.write("UPDATE people SET last_sign_in_at = ? WHERE uid = ?", at, uid)

    def delete_person(self, person: int) -> None:
        self.touched()
        self.live.write("DELETE FROM people WHERE id = ?", person)

    def add_template(self, person: int, contract: str, template: Template, at: str) -> None:
        self.touched()
        self.live.write(
            """INSERT INTO templates
            (person_id, contract, encoding, signature, accepted_spoof, learned, enrolled_at)
            VALUES (?, ?, ?, ?, ?, ?, ?)""",
            *(person, contract, template.encoding, template.signature),
            *(int(template.accepted_spoof), int(template.learned), at),
        )

    def replace_template(self, number: int, template: Template) -> None:
        self.touched()
        self.live.write(
            "UPDATE templates SET encoding = ?, signature = ? WHERE id = ?",
            *(template.encoding, template.signature, number),
        )

    def delete_templates(self, person: int, numbers: Sequence[int] | None = None) -> None:
        self.touched()
        if numbers is None:
            self.live.write("DELETE FROM templates WHERE person_id = ?", person)
        for number in numbers or ():
            self.live.write("DELETE FROM templates WHERE id = ? AND person_id = ?", number, person)

    def put_block(self, identifier: int, number: int, contract: str, vectors: bytes) -> None:
        self.live.write(
            "INSERT INTO means VALUES (?, ?, ?, ?) ON CONFLICT (block, contract) DO NOTHING",
            *(identifier, number, contract, vectors),
        )

    def delete_blocks(self, number: int) -> None:
        self.live.write("DELETE FROM means WHERE block = ?", number)

    def append(self, entries: Sequence[Row]) -> None:
        for entry in entries:
            self.live.write(
                f"INSERT INTO events ({FIELDS}, hash, anchor) VALUES ({_marks(entry)})",  # noqa: S608
                *entry,
            )

    def put_mark(self, end: End, mark: Mark) -> None:
        self.live.write(
            f"""INSERT INTO log_{end} VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
            entries = excluded.entries, hash = excluded.hash, anchor = excluded.anchor""",  # noqa: S608
            *mark,
        )

    def set_anchor(self, entry: int, anchor: bytes | None) -> None:
        self.live.write("UPDATE events SET anchor = ? WHERE id = ?", anchor, entry)

    def delete_entries(self, upto: int) -> None:
        self.live.write("DELETE FROM events WHERE id <= ?", upto)

    def put_tries(self, subject: str, tries: Row) -> None:
        self.live.write(
            """INSERT INTO tries VALUES (?, ?, ?, ?, ?) ON CONFLICT (subject) DO UPDATE SET
            round = excluded.round, failures = excluded.failures,
            failed_at_s = excluded.failed_at_s, failed_boot_s = excluded.failed_boot_s""",
            *(subject, *tries),
        )

    def delete_tries(self, subject: str) -> None:
        self.live.write("DELETE FROM tries WHERE subject = ?", subject)

    def put_challenge(self, challenge: Row) -> None:
        self.live.write(
            """INSERT INTO challenges (mark, bound, prompts, counted, drawn_at_s, drawn_boot_s)
            VALUES (?, ?, ?, ?, ?, ?)""",
            *challenge,
        )

    def take_challenge(self, mark: bytes) -> Row | None:
        return self.live.one(
            """DELETE FROM challenges WHERE mark = ?
            RETURNING bound, prompts, counted, drawn_at_s, drawn_boot_s""",
            mark,
        )

    def trim_challenges(self, before_s: float, keep: int) -> None:
        self.live.write("DELETE FROM challenges WHERE drawn_at_s < ?", before_s)
        self.live.write(
            """DELETE FROM challenges WHERE rowid NOT IN
            (SELECT rowid FROM challenges ORDER BY rowid DESC LIMIT ?)""",
            keep,
        )


def _whose(people: Sequence[int] | None) -> tuple[str, Sequence[int]]:
    """The condition of a query for these people."""
    if people is None:
        return "", ()
    if isinstance(people, range):
        ends = people[0], people[-1]  # of both, as no planner takes one range for the other
        return "WHERE p.id BETWEEN ? AND ? AND t.person_id BETWEEN ? AND ?", ends * 2
    # Of both, as a planner without statistics reads all templates otherwise.
    return f"WHERE p.id IN ({_marks(people)}) AND t.person_id IN ({_marks(people)})", [*people] * 2


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
