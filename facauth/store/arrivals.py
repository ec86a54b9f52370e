"""Many new people at once, as an import brings them: sealed first, then written in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from secrets import token_hex

from facauth.store import means
from facauth.store.engine import Writer
from facauth.store.sealing import SealedPerson, Template, new_key, seal_template, wrap_key
from facauth.store.vault import Vault
from facauth.structs import Consent, PersonName


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A person whom the store does not know yet."""

    name: PersonName
    enrolled_at: str
    consent: Consent | None
    consent_at: str | None
    photos: Sequence[tuple[str, str, Template]]  # contract, time of enrolment, what is kept


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """An arrival as it is written."""

    arrival: Arrival
    uid: str
    wrapped_key: bytes | None
    templates: Sequence[tuple[str, str, Template]]  # contract, time of enrolment, sealed


def sealed(vault: Vault | None, arrivals: Sequence[Arrival]) -> Iterator[Sealed]:
    """Everybody with a key of their own; needs no transaction."""
    for each in arrivals:
        uid, key = token_hex(16), new_key(vault)
        kept = [
            (made_by, at, seal_template(key, uid, made_by, template))
            for made_by, at, template in each.photos
        ]
        person = SealedPerson(0, uid, each.name.text, None)
        wrapped = wrap_key(vault, key, person, [template.encoding for *_, template in kept])
        yield Sealed(each, uid, wrapped, kept)


def write(writer: Writer, people: Sequence[Sealed]) -> None:
    """Nobody may have one of the names."""
    blocks = set()
    for each in people:
        who = each.arrival
        number = writer.add_person(
            each.uid, who.name.text, who.name.key, each.wrapped_key, who.enrolled_at
        )
        if who.consent:
            writer.set_consent(number, who.consent.text, who.consent.purpose, who.consent_at)
        for made_by, at, template in each.templates:
            writer.add_template(number, made_by, template, at)
        blocks.add(number // means.BLOCK_PEOPLE)
    for block in blocks:
        writer.delete_blocks(block)
