"""Many new people at once, as an import brings them: sealed first, then written in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from secrets import token_hex

from facauth.records import means
from facauth.records.database import Database
from facauth.records.sealing import Person, Template, new_key, seal_template, wrap_key
from facauth.records.vault import Vault
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
    """The rows of an arrival, as they are written."""

    uid: str
    person: tuple[object, ...]
    templates: Sequence[tuple[object, ...]]


def sealed(vault: Vault | None, arrivals: Sequence[Arrival]) -> Iterator[Sealed]:
    """Everybody with a key of their own; needs no transaction."""
    for each in arrivals:
        uid, key = token_hex(16), new_key(vault)
        kept = [
            (seal_template(key, uid, made_by, t), made_by, at) for made_by, at, t in each.photos
        ]
        name = each.name.text, each.name.key
        person = Person(0, uid, each.name.text, None)
        wrapped = wrap_key(vault, key, person, [template.encoding for template, *_ in kept])
        agreed = (each.consent.text, each.consent.purpose) if each.consent else (None, None)
        yield Sealed(
            uid,
            (uid, *name, wrapped, each.enrolled_at, *agreed, each.consent_at),
            [(by, t.encoding, t.signature, t.accepted_spoof, t.learned, at) for t, by, at in kept],
        )


def write(db: Database, people: Sequence[Sealed]) -> None:
    """Call it within a transaction, in which nobody has one of the names."""
    blocks = set()
    for each in people:
        (number,) = db.one(
            """INSERT INTO people (uid, name, name_key, wrapped_key, enrolled_at,
                consent, purpose, consent_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
            *each.person,
        ) or (0,)
        blocks.add(number // means.BLOCK_PEOPLE)
        for template in each.templates:
            db.write(
                """INSERT INTO templates (person_id, contract, encoding, signature,
                    accepted_spoof, learned, enrolled_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)""",
                *(number, *template),
            )
    for block in blocks:
        means.forget(db, block * means.BLOCK_PEOPLE)
