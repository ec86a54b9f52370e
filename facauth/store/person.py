"""The handle of a person in a store, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

from facauth.errors import Conflict, LockedOut, Reason
from facauth.settings import LEARNED, LIMITS
from facauth.store import limits, means
from facauth.store.sealing import SealedPerson, Template, new_key, seal_template

if TYPE_CHECKING:
    from facauth.records import Consent, PersonName
    from facauth.store.change import Change
    from facauth.store.opened import Opened


@dataclass(frozen=True, slots=True)
class EnrolledPhotos:
    """A person's id, which renaming does not change, and the signatures of the photos."""

    uid: str
    signatures: list[bytes | None]


class Person:
    """The person with this name, in any case. Each call looks the name up; it may be unknown."""

    def __init__(self, opened: Opened, name: PersonName) -> None:
        self._opened, self.asked = opened, name

    def find(self) -> SealedPerson | None:
        """The sealed fields of the person; None for an unknown name."""
        return self._opened.person(self.asked.key)

    def require(self) -> SealedPerson:
        """The sealed fields of the person. Raises Conflict for an unknown name."""
        found = self.find()
        if found is None:
            raise unknown(self.asked)
        return found

    @property
    def exists(self) -> bool:
        """Whether the name is enrolled."""
        return self.find() is not None

    @property
    def enrolled_as(self) -> str | None:
        """The name as it was enrolled; None for an unknown name."""
        found = self.find()
        return found.name if found else None

    @property
    def name(self) -> str:
        """The name as it was enrolled. Raises Conflict for an unknown name."""
        return self.require().name

    @property
    def uid(self) -> str:
        """The random id, which renaming does not change. Raises Conflict for an unknown name."""
        return self.require().uid

    # --- photos ----------------------------------------------------------------------------------

    def templates(self) -> list[tuple[str, str, Template]]:
        """(contract, time of enrolment, template) of each photo, as they were added."""
        person = self.find()
        return [row[1:] for row in self._opened.templates(person)] if person else []

    def encodings(self, contract: str) -> list[tuple[str, bytes]]:
        """(name, encoding) of every template of this contract that has not expired."""
        person = self.find()
        found = self._opened.encodings(contract, [person.id]) if person else []
        return [(name, encoding) for _, name, encoding in found]

    def comparable(self, contract: str) -> list[Template]:
        """The templates of this contract that have not expired."""
        expired, photos = self._opened.expired, self.templates()
        return [
            t for made_by, at, t in photos if made_by == contract and not expired(t.learned, at)
        ]

    def signatures(self) -> list[bytes | None]:
        """The signature of each photo, of every contract; None for a photo without one."""
        return [template.signature for _, _, template in self.templates()]

    def enrolled(self) -> EnrolledPhotos:
        """The id and the signatures. Raises Conflict for an unknown name."""
        return EnrolledPhotos(self.uid, self.signatures())

    def unsigned(self) -> int:
        """The number of photos without a signature."""
        person = self.find()
        return self._opened.engine.unsigned(person.id) if person else 0

    def surplus(self) -> list[int]:
        """The learned templates that one more replaces: expired ones, then the oldest."""
        person = self.find()
        rows = self._opened.engine.templates(person.id) if person else []
        learned = sorted((at, number) for number, _, at, kept in rows if kept.learned)
        kept = [number for at, number in learned if not self._opened.expired(True, at)]
        stay = kept[max(0, len(kept) + 1 - LEARNED.max_templates) :]
        return [number for _, number in learned if number not in stay]

    # --- attempts --------------------------------------------------------------------------------

    def failures(self) -> int:
        """Failed sign-ins in a row. Raises Conflict for an unknown name."""
        tries = limits.read(self._opened.engine, self.uid)
        return tries.failures if tries else 0

    def locked(self) -> LockedOut | None:
        """The lock-out of the person, or None. Raises Conflict for an unknown name."""
        return limits.locked(self._opened.engine, self.uid, LIMITS, self._opened.clock)

    # --- changes ---------------------------------------------------------------------------------

    def add(
        self,
        change: Change,
        contract: str,
        templates: Sequence[Template],
        consent: Consent | None = None,
        at: str | None = None,
    ) -> int:
        """Add templates to the person, who is created if new; returns the number of templates.

        at: the time of enrolment; default: now.
        """
        at = at or self._opened.clock.stamp()
        person = self.find() or self._created(change, at)
        key = self._opened.key_of(person)
        for template in templates:
            sealed = seal_template(key, person.uid, contract, template)
            change.writer.add_template(person.id, contract, sealed, at)
        if consent is not None:
            change.writer.set_consent(person.id, consent.text, consent.purpose, at)
        change.wrap(person, key)
        return len(change.writer.sealed_encodings(person.id))

    def _created(self, change: Change, at: str) -> SealedPerson:
        uid, name = token_hex(16), self.asked
        number = change.writer.add_person(uid, name.text, name.key, None, at)
        person = SealedPerson(number, uid, name.text, None)
        change.wrap(person, new_key(self._opened.vault()))
        return self.require()

    def forget(self, change: Change, templates: Sequence[int]) -> None:
        """Delete the templates with these ids."""
        person = self.find()
        if person is not None and templates:
            change.forget(person, templates)

    def delete_templates(self, change: Change) -> None:
        """Delete all templates; the person stays and gets a new key."""
        writer, person = change.erase(), self.find()
        if person is not None:
            writer.delete_templates(person.id)
            change.wrap(person, new_key(self._opened.vault()))

    def rename(self, change: Change, new: PersonName) -> None:
        """Give the person another name. Raises Conflict if it is taken, or for an unknown name."""
        if self._opened.person(new.key) is not None and new.key != self.asked.key:
            reason = Reason("name.taken", f"{new.text} is taken", "choose another name")
            raise Conflict(reason)
        person = self.require()
        key = self._opened.key_of(person)
        change.writer.set_name(person.id, new.text, new.key)
        change.wrap(SealedPerson(person.id, person.uid, new.text, None), key)

    def remove(self, change: Change) -> None:
        """Delete the person and all templates.

        Raises Conflict if nobody has the name, SetupProblem if data of the person is left.
        """
        writer, person = change.erase(), self.require()
        means.forget(writer, person.id)
        writer.delete_tries(person.uid)
        writer.delete_templates(person.id)
        writer.delete_person(person.id)
        if writer.sealed_encodings(person.id) or self.find():
            raise self._opened.altered(person)


def unknown(name: PersonName) -> Conflict:
    """The refusal of an unknown name."""
    return Conflict(
        Reason("name.unknown", f"nobody is enrolled as {name.text}", "see facauth list")
    )
