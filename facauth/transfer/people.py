"""Export: from a store to a file. Import: from a file to a store, everybody or nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from facauth.decision.enrolment import (
    like_somebody,
    require_nobody_else,
    require_one_person,
    require_same_person,
)
from facauth.decision.match import Gallery
from facauth.errors import Conflict, Reason, SetupProblem, shown
from facauth.records.arrivals import Arrival, sealed
from facauth.records.faults import unfit
from facauth.structs import Consent, PersonName, PersonRow
from facauth.transfer.document import Kdf, PersonCopy, Photo, Unsound, write

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.records.store import Store
    from facauth.structs import Encoding


def chosen(store: Store, name: PersonName | None) -> list[PersonRow]:
    """The person with this name, or (None) everybody; raises Conflict if that is nobody."""
    rows = store.people()
    if name is not None:
        known_as = store.person(name).name
        rows = [row for row in rows if row.name == known_as]
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
    with store.transaction() as change:
        for person in map(store.person, (copy.name for copy in people)):
            change.log("export", "exported", uid=person.uid if person.exists else None)
    return people, text


def _copy(store: Store, row: PersonRow) -> PersonCopy:
    name = PersonName.parse(row.name)
    return PersonCopy(
        name,
        row.enrolled_at,
        Consent(row.consent, row.purpose) if row.consent is not None else None,
        row.consent_at,
        tuple(Photo(*template) for template in store.person(name).templates()),
    )


def take_in(
    store: Store,
    people: Sequence[PersonCopy],
    contract: str,
    calibration: Calibration,
    *,
    allow_duplicate: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Enrol everybody, or nobody; templates of another contract are kept, and never compared.

    Others sign in while everybody is compared; the store is theirs again after the writing. Raises
    Conflict for a name that is enrolled (the same person too: nothing is merged), for photos that
    do not show one person and, unless `allow_duplicate`, for a face with another name.
    advance: called for each person who was looked at.
    """

    def look() -> None:
        for person in people:
            enrolled = store.person(person.name)
            if enrolled.exists:
                message = f"{enrolled.name} is enrolled already"
                advice = "nobody was imported; rename or remove that one first"
                raise Conflict(Reason("name.taken", message, advice))
            _require_one_face(person, contract, calibration)
            advance()
        if not allow_duplicate:
            _require_one_name(people, contract, Gallery.of(store.encodings(contract)), calibration)

    arrivals = [_arrival(person) for person in people]
    with store.recorded("import"):
        rows = list(sealed(store.vault(), arrivals))
        with store.judged(look) as (change, _):
            change.add_people(rows)


def _require_one_face(person: PersonCopy, contract: str, calibration: Calibration) -> None:
    """As `register` asks it: of the photos of one call, and of each call and those before it."""
    earlier: list[Encoding] = []
    comparable = [photo for photo in person.photos if photo.contract == contract]
    try:
        for _, photos in groupby(comparable, lambda photo: photo.enrolled_at):
            encodings = [photo.encoding() for photo in photos]
            require_one_person(encodings, calibration)
            if earlier:
                known = Gallery.of(_rows(person, earlier))
                require_same_person(encodings, known, person.name.text, calibration)
            earlier += encodings
    except (Conflict, SetupProblem):  # SetupProblem: encodings that cancel each other out
        message = f"the photos of {person.name.text} do not show one person"
        advice = "nobody was imported; have them registered with new photos"
        raise Conflict(Reason("photos.several_people", message, advice)) from None


def _comparable(person: PersonCopy, contract: str) -> list[Encoding]:
    return [photo.encoding() for photo in person.photos if photo.contract == contract]


def _rows(person: PersonCopy, encodings: Sequence[Encoding]) -> list[tuple[str, bytes]]:
    return [(person.name.text, encoding.as_bytes()) for encoding in encodings]


def _require_one_name(
    people: Sequence[PersonCopy], contract: str, enrolled: Gallery, calibration: Calibration
) -> None:
    """Raises Conflict if a face has another name in the store, or in the file."""
    import numpy as np

    faces = [
        (person, encodings)
        for person in people
        if (
            encodings := [photo.encoding() for photo in person.photos if photo.contract == contract]
        )
    ]
    if not faces:
        return
    arriving = Gallery.of([row for face in faces for row in _rows(*face)])
    probes = np.stack([each.vector for _, encodings in faces for each in encodings])
    owners = np.repeat(np.arange(len(faces)), [len(encodings) for _, encodings in faces])
    suspects = {
        *owners[like_somebody(probes, np.full_like(owners, -1), enrolled, calibration)].tolist(),
        *owners[like_somebody(probes, owners, arriving, calibration)].tolist(),
    }
    for person, encodings in (faces[each] for each in sorted(suspects)):
        try:
            require_nobody_else(encodings, enrolled, calibration)
            require_nobody_else(encodings, arriving.without(person.name.text), calibration)
        except Conflict as refusal:
            (reason,) = refusal.reasons
            message = f"{person.name.text}: {reason.message}"
            advice = "nobody was imported; --allow-duplicate takes both"
            raise Conflict(Reason(reason.code, message, advice)) from None


def _arrival(person: PersonCopy) -> Arrival:
    photos = [(photo.contract, photo.enrolled_at, photo.template) for photo in person.photos]
    consent_at = person.consent_at if person.consent else None
    return Arrival(person.name, person.enrolled_at, person.consent, consent_at, photos)
