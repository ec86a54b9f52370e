"""Export: from a store to a file. Import: from a file to a store, everybody or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from facauth.decision.enrolment import (
    require_nobody_else,
    require_one_person,
    require_same_person,
)
from facauth.decision.match import Gallery
from facauth.errors import Conflict, Reason, SetupProblem, shown
from facauth.records.database import unfit
from facauth.records.roster import Consent, PersonRow, unknown
from facauth.structs import PersonName
from facauth.transfer.document import Kdf, PersonCopy, Photo, Unsound, write

if TYPE_CHECKING:
    from facauth.records.store import Store
    from facauth.structs import Encoding


def chosen(store: Store, name: PersonName | None) -> list[PersonRow]:
    """The person with this name, or (None) everybody; raises Conflict if that is nobody."""
    rows = store.people()
    if name is not None:
        known_as = store.find(name)
        rows = [row for row in rows if row.name == known_as]
        if not rows:
            raise unknown(name)
    if not rows:
        message = f"nobody is enrolled in {shown(store.path)}"
        raise Conflict(Reason("export.nobody", message, "name another store"))
    return rows


def export(
    store: Store, name: PersonName | None, lock: tuple[Kdf, bytes] | None
) -> tuple[list[PersonCopy], str]:
    """Who was exported, and the file: of the person with this name, or (None) of everybody.

    Nobody waits for it, and the events are written before anything leaves, if the store can be
    written. Raises Conflict if it is nobody, SetupProblem for a damaged store.
    """
    with store.snapshot():
        people = [_copy(store, row) for row in chosen(store, name)]
    try:
        text = write(people, lock)
    except Unsound as fault:
        what = f"cannot be exported: {fault}"
        raise unfit("store.damaged", store.path, what, "run facauth doctor") from None
    if store.read_only:
        return people, text
    with store.transaction():
        for person in people:
            store.log("export", "exported", name=person.name.text)
    return people, text


def _copy(store: Store, row: PersonRow) -> PersonCopy:
    name = PersonName.parse(row.name)
    return PersonCopy(
        name,
        row.enrolled_at,
        Consent(row.consent, row.purpose) if row.consent is not None else None,
        row.consent_at,
        tuple(Photo(*template) for template in store.templates(name)),
    )


def take_in(
    store: Store, people: Sequence[PersonCopy], contract: str, *, allow_duplicate: bool = False
) -> None:
    """Enrol everybody, or nobody; templates of another contract are kept, and never compared.

    Raises Conflict for a name that is enrolled (the same person too: nothing is merged), for
    photos that do not show one person and, unless `allow_duplicate`, for a face with another name.
    """
    with store.recorded("import"), store.transaction():
        for person in people:
            known_as = store.find(person.name)
            if known_as is not None:
                message = f"{known_as} is enrolled already"
                advice = "nobody was imported; rename or remove that one first"
                raise Conflict(Reason("name.taken", message, advice))
            _require_one_face(person, contract)
        if not allow_duplicate:
            _require_one_name(people, contract, Gallery.of(store.encodings(contract)))
        for person in people:
            _add(store, person)
            store.log("import", "imported", name=person.name.text)


def _require_one_face(person: PersonCopy, contract: str) -> None:
    """As `register` asks it: of the photos of one call, and of each call and those before it."""
    earlier: list[Encoding] = []
    comparable = [photo for photo in person.photos if photo.contract == contract]
    try:
        for _, photos in groupby(comparable, lambda photo: photo.enrolled_at):
            encodings = [photo.encoding() for photo in photos]
            require_one_person(encodings)
            if earlier:
                known = Gallery.of(_rows(person, earlier))
                require_same_person(encodings, known, person.name.text)
            earlier += encodings
    except (Conflict, SetupProblem):  # SetupProblem: encodings that cancel each other out
        message = f"the photos of {person.name.text} do not show one person"
        advice = "nobody was imported; have them registered with new photos"
        raise Conflict(Reason("photos.several_people", message, advice)) from None


def _rows(person: PersonCopy, encodings: Sequence[Encoding]) -> list[tuple[str, bytes]]:
    return [(person.name.text, encoding.as_bytes()) for encoding in encodings]


def _require_one_name(people: Sequence[PersonCopy], contract: str, enrolled: Gallery) -> None:
    """Raises Conflict if a face has another name in the store, or in the file."""
    faces = [
        (person, [photo.encoding() for photo in person.photos if photo.contract == contract])
        for person in people
    ]
    arriving = Gallery.of([row for face in faces for row in _rows(*face)])
    for person, encodings in faces:
        try:
            require_nobody_else(encodings, enrolled)
            require_nobody_else(encodings, arriving.without(person.name.text))
        except Conflict as refusal:
            (reason,) = refusal.reasons
            message = f"{person.name.text}: {reason.message}"
            advice = "nobody was imported; --allow-duplicate takes both"
            raise Conflict(Reason(reason.code, message, advice)) from None


def _add(store: Store, person: PersonCopy) -> None:
    store.add(person.name, "", [], at=person.enrolled_at)
    for photo in person.photos:
        store.add(person.name, photo.contract, [photo.template], at=photo.enrolled_at)
    if person.consent:
        store.add(person.name, "", [], person.consent, at=person.consent_at)
