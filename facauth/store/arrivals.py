"""The people of an import: sealed first, then written in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from secrets import token_hex

from facauth.records import Consent, PersonName
from facauth.store import means
from facauth.store.engine import Writer
from facauth.store.sealing import SealedPerson, Template, new_key, seal_template, wrap_key
from facauth.store.vault import Vault


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A new person."""

    name: PersonName
    enrolled_at: str
    consent: Consent | None
    consent_at: str | None
    photos: Sequence[tuple[str, str, Template]]  # contract, time of enrolment, template


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """An arrival, sealed for the store."""

    arrival: Arrival
    uid: str
    wrapped_key: bytes | None
    templates: Sequence[tuple[str, str, Template]]  # contract, time of enrolment, sealed


def sealed(vault: Vault | None, arrivals: Sequence[Arrival]) -> Iterator[Sealed]:
    """Seal each person with a new key; needs no transaction."""
    for arrival in arrivals:
        uid, key = token_hex(16), new_key(vault)
        kept = [
            (made_by, at, seal_template(key, uid, made_by, template))
            for made_by, at, template in arrival.photos
        ]
        person = SealedPerson(0, uid, arrival.name.text, None)
        wrapped = wrap_key(vault, key, person, [template.encoding for *_, template in kept])
        yield Sealed(arrival, uid, wrapped, kept)


def write(writer: Writer, people: Sequence[Sealed]) -> None:
    """Write new people; none of their names may be taken."""
    blocks = set()
    for person in people:
        arrival = person.arrival
        number = writer.add_person(
            person.uid,
            arrival.name.text,
            arrival.name.key,
            person.wrapped_key,
            arrival.enrolled_at,
        )
        if consent := arrival.consent:
            writer.set_consent(number, consent.text, consent.purpose, arrival.consent_at)
        for made_by, at, template in person.templates:
            writer.add_template(number, made_by, template, at)
        blocks.add(number // means.BLOCK_PEOPLE)
    for block in blocks:
        writer.delete_blocks(block)
