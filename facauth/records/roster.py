"""Who is in a store: people, and what is kept of their photos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from secrets import token_hex

from facauth.errors import Conflict, Reason, SetupProblem, shown
from facauth.names import folded
from facauth.records import log, means
from facauth.records.database import Database
from facauth.records.faults import RESTORE, unfit
from facauth.records.sealing import (
    Person,
    Template,
    new_key,
    open_encoding,
    open_key,
    open_template,
    seal_template,
    wrap_key,
)
from facauth.records.vault import SealBroken, Vault
from facauth.settings import LEARNED
from facauth.structs import Consent, PersonName, PersonRow


class Roster(ABC):
    """The people of a store; what is written here is written within a transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.path = db.path
        self.memory: means.Memory | None = None  # a process that lives long puts one here

    @abstractmethod
    def transaction(self, *, erasing: bool = False) -> AbstractContextManager[None]:
        """All or nothing, and alone."""

    @abstractmethod
    def vault(self) -> Vault | None:
        """The opened key; None in a store that is not encrypted."""

    def people(self, contract: str | None = None) -> list[PersonRow]:
        """Everybody, by name. With a contract, `needs_new_photo` counts the other templates."""
        rows = self._db.all(
            """SELECT p.name, count(t.id), p.enrolled_at, p.last_sign_in_at,
                coalesce(sum(t.contract <> ?), 0),
                coalesce(sum(t.id IS NOT NULL AND typeof(t.signature) = 'null'), 0),
                coalesce(sum(t.accepted_spoof), 0),
                p.consent, p.purpose, p.consent_at, max(t.enrolled_at),
                coalesce(sum(t.learned), 0)
            FROM people p LEFT JOIN templates t ON t.person_id = p.id
            GROUP BY p.id ORDER BY p.name_key""",
            contract,
        )
        return [PersonRow(*row) for row in rows]

    def find(self, name: PersonName) -> str | None:
        """The name as it was enrolled, whatever its case; None if nobody has it."""
        person = self._person(name)
        return person.name if person else None

    def known_as(self, name: PersonName) -> str:
        """The name as it was enrolled. Raises Conflict if nobody has it."""
        found = self.find(name)
        if found is None:
            raise unknown(name)
        return found

    def encodings(self, contract: str, name: str | None = None) -> list[tuple[str, bytes]]:
        """(name, encoding) of every template of this contract that has not expired, a person's
        templates together.

        name: as enrolled; of nobody else then.
        """
        where = "" if name is None else "WHERE p.name_key = ? AND p.name = ?"
        whose = () if name is None else (folded(name), name)
        found = self._encodings(contract, where, *whose)
        return [(whose, encoding) for _, whose, encoding in found]

    def encodings_of(self, contract: str, people: Sequence[int]) -> list[tuple[str, bytes]]:
        """As `encodings`, of the people with these ids (few), in the order of their ids."""
        marks = ", ".join("?" * len(people))
        found = self._encodings(contract, f"WHERE p.id IN ({marks})", *people)
        return [(whose, encoding) for _, whose, encoding in found]

    def blocks(self, contract: str, average: means.Average, space: str = "") -> means.Blocks | None:
        """What this store is searched by; None where there are so few that all can be read.

        space: names the one in which `average` gives means. Call it within a snapshot.
        """
        templates = self._source(contract, average, space)
        return means.Blocks(templates, self.memory) if templates.many() else None

    def refresh(self, contract: str, average: means.Average, space: str = "") -> None:
        """Write down what a large store is searched by, as far as it is missing; or do not.

        Learned templates that have expired go first, for blocks hold everything that there is.
        """
        templates = self._source(contract, average, space)
        if not templates.many():
            return
        if self._expired():
            with self.transaction(erasing=True):
                self.forget_expired()
        means.refresh(templates)

    def _source(self, contract: str, average: means.Average, space: str) -> means.Templates:
        def read(first: int, last: int) -> list[tuple[int, str, bytes]]:
            return self._encodings(contract, "WHERE p.id BETWEEN ? AND ?", first, last)

        return means.Templates(self._db, self.vault(), contract, read, average, space)

    def _encodings(
        self, contract: str, where: str, *values: object
    ) -> list[tuple[int, str, bytes]]:
        """Person id, name and encoding; everything is read and verified, whatever the contract."""
        vault, found, keys = self.vault(), [], set()
        # typeof, for IS NULL would read the signatures, which are 70 times as long as all the rest.
        rows = self._db.all(
            f"""SELECT p.id, p.uid, p.name, p.wrapped_key, p.name_key, t.encoding, t.contract,
                t.accepted_spoof, typeof(t.signature) <> 'null', t.learned, t.enrolled_at
            FROM people p JOIN templates t ON t.person_id = p.id
            {where} ORDER BY p.id, t.id""",  # noqa: S608
            *values,
        )
        for (person, name_key), theirs in groupby(rows, lambda row: (Person(*row[:4]), row[4])):
            if name_key != folded(str(person.name)) or name_key in keys:
                raise self._altered(person)  # or else their signatures would be somebody else's
            keys.add(name_key)
            photos = [row[5:] for row in theirs]
            with self._sealing(person):
                key = open_key(vault, person, [photo[0] for photo in photos])
                for encoding, made_by, spoof, signed, learned, at in photos:
                    opened = open_encoding(
                        *(key, person.uid, made_by, encoding, spoof), signed=signed, learned=learned
                    )
                    if made_by == contract and not expired(learned, at):
                        found.append((person.id, person.name, opened))
        return found

    def signatures(self, name: str) -> list[bytes | None]:
        """The signatures of a person's photos, whatever the contract; None where none was kept."""
        return [template.signature for _, _, template in self.templates(PersonName.parse(name))]

    def unsigned(self, name: str) -> int:
        """How many of a person's photos have no signature."""
        (count,) = self._db.one(
            """SELECT count(*) FROM templates t JOIN people p ON p.id = t.person_id
            WHERE p.name_key = ? AND typeof(t.signature) = 'null'""",
            PersonName.parse(name).key,
        ) or (0,)
        return int(count)

    def templates(self, name: PersonName) -> list[tuple[str, str, Template]]:
        """(contract, time of enrolment, template) of each photo of a person, as they were added."""
        person = self._person(name)
        return [] if person is None else [row[1:] for row in self._templates(person)]

    def _templates(self, person: Person) -> list[tuple[int, str, str, Template]]:
        rows = self._db.all(
            """SELECT id, contract, enrolled_at, encoding, signature, accepted_spoof, learned
            FROM templates WHERE person_id = ? ORDER BY id""",
            person.id,
        )
        with self._sealing(person):
            key = open_key(self.vault(), person, [row[3] for row in rows])
            return [
                (number, made_by, at, open_template(key, person.uid, made_by, Template(*sealed)))
                for number, made_by, at, *sealed in rows
            ]

    def add(
        self,
        name: PersonName,
        contract: str,
        templates: Sequence[Template],
        consent: Consent | None = None,
        at: str | None = None,
    ) -> int:
        """Add templates to a person, who is made if new; how many there are then.

        at: the time of all this, if it is not now. Call it within a transaction.
        """
        at = at or log.now()
        person = self._person(name) or self._new_person(name, at)
        with self._sealing(person):
            key = open_key(self.vault(), person, self._blobs(person))
        for sealed in (seal_template(key, person.uid, contract, each) for each in templates):
            self._db.write(
                """INSERT INTO templates
                (person_id, contract, encoding, signature, accepted_spoof, learned, enrolled_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)""",
                *(person.id, contract, sealed.encoding),
                *(sealed.signature, sealed.accepted_spoof, sealed.learned, at),
            )
        if consent is not None:
            self._db.write(
                "UPDATE people SET consent = ?, purpose = ?, consent_at = ? WHERE id = ?",
                *(consent.text, consent.purpose, at, person.id),
            )
        self._wrap(person, key)
        return len(self._blobs(person))

    def delete_templates(self, name: PersonName) -> None:
        """Forget a person's templates and keep the person, who gets another key.

        Call it within a transaction that is `erasing`.
        """
        person = self._person(name)
        if person is not None:
            self._db.write("DELETE FROM templates WHERE person_id = ?", person.id)
            self._wrap(person, new_key(self.vault()))

    def surplus(self, name: PersonName) -> list[int]:
        """The learned templates that go when one more is learned: expired ones, then the oldest."""
        rows = self._db.all(
            """SELECT t.id, t.enrolled_at FROM templates t JOIN people p ON p.id = t.person_id
            WHERE p.name_key = ? AND t.learned = 1 ORDER BY t.enrolled_at, t.id""",
            name.key,
        )
        kept = [number for number, at in rows if not expired(True, at)]
        stay = kept[max(0, len(kept) + 1 - LEARNED.max_templates) :]
        return [number for number, _ in rows if number not in stay]

    def forget(self, name: PersonName, templates: Sequence[int]) -> None:
        """Delete some of a person's templates, if there are any to delete.

        Call it within a transaction that is `erasing`.
        """
        person = self._person(name)
        if person is None or not templates:
            return
        with self._sealing(person):
            key = open_key(self.vault(), person, self._blobs(person))
        for number in templates:
            self._db.write(
                "DELETE FROM templates WHERE id = ? AND person_id = ?", number, person.id
            )
        self._wrap(person, key)

    def forget_expired(self) -> None:
        """Delete everybody's learned templates that have expired.

        Call it within a transaction that is `erasing`.
        """
        gone = self._expired()
        for name, theirs in groupby(gone, lambda row: row[0]):
            self.forget(PersonName.parse(name), [number for _, number in theirs])

    def _expired(self) -> list[tuple[str, int]]:
        rows = self._db.all(
            """SELECT p.name, t.id, t.enrolled_at FROM templates t
            JOIN people p ON p.id = t.person_id WHERE t.learned = 1 ORDER BY p.id"""
        )
        return [(name, number) for name, number, at in rows if expired(True, at)]

    def remove(self, name: PersonName) -> None:
        """Delete a person and all templates. Call it within a transaction that is `erasing`.

        Raises Conflict if nobody has the name, SetupProblem if anything of them is left.
        """
        person = self._person(name)
        if person is None:
            raise unknown(name)
        means.forget(self._db, person.id)
        self._db.write("DELETE FROM tries WHERE subject = ?", person.uid)
        self._db.write("DELETE FROM templates WHERE person_id = ?", person.id)
        self._db.write("DELETE FROM people WHERE id = ?", person.id)
        left = self._db.one("SELECT id FROM templates WHERE person_id = ?", person.id)
        if left or self._person(name):
            raise self._altered(person)

    def rename(self, old: PersonName, new: PersonName) -> None:
        """Give a person another name. Raises Conflict if `old` is unknown or `new` is taken.

        Call it within a transaction.
        """
        if self.find(new) is not None and new.key != old.key:
            reason = Reason("name.taken", f"{new.text} is taken", "choose another name")
            raise Conflict(reason)
        person = self._person(old)
        if person is None:
            raise unknown(old)
        with self._sealing(person):
            key = open_key(self.vault(), person, self._blobs(person))
        self._db.write(
            "UPDATE people SET name = ?, name_key = ? WHERE id = ?", new.text, new.key, person.id
        )
        self._wrap(Person(person.id, person.uid, new.text, None), key)

    def reseal(self, vault: Vault) -> None:
        """Give everybody another key, wrapped by `vault`.

        Call it within a transaction that is `erasing`.
        """
        people = self._db.all("SELECT id, uid, name, wrapped_key FROM people")
        for person in (Person(*row) for row in people):
            key = new_key(vault)
            for number, made_by, _, template in self._templates(person):
                sealed = seal_template(key, person.uid, made_by, template)
                self._db.write(
                    "UPDATE templates SET encoding = ?, signature = ? WHERE id = ?",
                    *(sealed.encoding, sealed.signature, number),
                )
            self._wrap(person, key, vault)

    def _person(self, name: PersonName) -> Person | None:
        row = self._db.one(
            "SELECT id, uid, name, wrapped_key FROM people WHERE name_key = ?", name.key
        )
        if row is None:
            return None
        person = Person(*row)
        if folded(str(person.name)) != name.key:  # another row: only the name itself is sealed
            raise self._altered(person)
        return person

    def _new_person(self, name: PersonName, at: str) -> Person:
        self._db.write(
            "INSERT INTO people (uid, name, name_key, enrolled_at) VALUES (?, ?, ?, ?)",
            *(token_hex(16), name.text, name.key, at),
        )
        person = self._person(name)
        assert person is not None  # noqa: S101
        self._wrap(person, new_key(self.vault()))
        return self._person(name) or person

    def _blobs(self, person: Person) -> list[bytes]:
        rows = self._db.all(
            "SELECT encoding FROM templates WHERE person_id = ? ORDER BY id", person.id
        )
        return [encoding for (encoding,) in rows]

    def _wrap(self, person: Person, key: bytes | None, vault: Vault | None = None) -> None:
        wrapped = wrap_key(vault or self.vault(), key, person, self._blobs(person))
        self._db.write("UPDATE people SET wrapped_key = ? WHERE id = ?", wrapped, person.id)
        means.forget(self._db, person.id)

    @contextmanager
    def _sealing(self, person: Person) -> Iterator[None]:
        try:
            yield
        except SealBroken:
            self._db.require_unchanged()  # or else that is why
            raise self._altered(person) from None

    def _altered(self, person: Person) -> SetupProblem:
        what = f"was changed by something else: what it holds of {shown(person.name)} does not fit"
        return unfit("store.altered", self.path, what, RESTORE)


def expired(learned: bool, enrolled_at: str) -> bool:
    """Whether a template is too old to be compared with, as only learned ones become."""
    if not learned:
        return False
    oldest = datetime.now(UTC) - timedelta(days=LEARNED.max_days)
    known = isinstance(enrolled_at, str)  # in a damaged store it can be anything
    return not (known and enrolled_at >= oldest.isoformat(timespec="seconds"))


def unknown(name: PersonName) -> Conflict:
    """Nobody has this name."""
    return Conflict(
        Reason("name.unknown", f"nobody is enrolled as {name.text}", "see facauth list")
    )
