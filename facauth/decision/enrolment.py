"""Who may be enrolled under which name: one face, one name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth.decision.match import ROUNDING, Gallery, compare
from facauth.errors import Conflict, Reason, SetupProblem
from facauth.settings import RATES
from facauth.structs import Encoding, Replay, ReplayVerdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.decision.calibration import Calibration
    from facauth.structs import EnrolmentTerms

BLOCK_ROWS = 2048  # of either side of a comparison of all with all


def require_one_person(encodings: Sequence[Encoding], calibration: Calibration) -> None:
    """Raises Conflict unless each photo matches the mean of the others."""
    if len(encodings) < 2:
        return
    misses = [_miss(encodings, index, calibration) for index in range(len(encodings))]
    if not all(miss <= 0 for miss in misses):  # NaN must refuse
        odd = misses.index(max(misses))
        raise Conflict(
            Reason(
                "photos.several_people",
                "the two photos show different faces"
                if len(encodings) == 2
                else f"photo {odd + 1} shows another face than the others",
                "register one person at a time",
            )
        )


def require_agreement(
    enrolled: Sequence[tuple[str, bytes]], name: str, calibration: Calibration
) -> None:
    """Raises Conflict if a photo that a person has already is surely not of who the others show.

    enrolled: (name, encoding) of each photo. Raises SetupProblem for a damaged one.
    """
    rows = list(enrolled)
    Gallery.of(rows, calibration.space)
    for index, row in enumerate(rows if len(rows) > 1 else ()):
        others = Gallery.of(rows[:index] + rows[index + 1 :], calibration.space)
        match = compare(Encoding.of("", row[1]), others, RATES.disagreeing_fmr, calibration)
        if not match.similarity >= match.min_similarity:  # NaN must refuse
            raise Conflict(
                Reason(
                    "name.photos_disagree",
                    f"the photos enrolled as {name} do not show one face",
                    "--replace to start anew, once you know whose they are",
                )
            )


def require_same_person(
    encodings: Sequence[Encoding], person: Gallery, name: str, calibration: Calibration
) -> None:
    """Raises Conflict unless every photo matches the person who has the name already."""
    if not person.names:  # there is nobody to tell apart from somebody else
        raise Conflict(
            Reason(
                "name.needs_new_photo",
                f"no photo of {name} can be compared any more: they were made for other networks",
                "--replace to start anew, once you know that it is the same person",
            )
        )
    for encoding in encodings:
        if not _alike(encoding, person, calibration):
            raise Conflict(
                Reason(
                    "name.other_face",
                    f"the face does not match the one enrolled as {name}",
                    "choose another name, or --replace to start anew",
                )
            )


def require_admission(
    encodings: Sequence[Encoding],
    everybody: Sequence[tuple[str, bytes]],
    known_as: str | None,
    asked: EnrolmentTerms,
    calibration: Calibration,
) -> None:
    """Raises Conflict unless the face may have the name: one face, one name.

    everybody: (name, encoding) of every enrolled photo; known_as: the name as it is enrolled.
    """
    if known_as and not asked.replace:
        theirs = [row for row in everybody if row[0] == known_as]
        require_agreement(theirs, known_as, calibration)
        known = Gallery.of(theirs, calibration.space)
        require_same_person(encodings, known, known_as, calibration)
    if not asked.allow_duplicate:
        others = Gallery.of(everybody, calibration.space).without(known_as)
        require_nobody_else(encodings, others, calibration)


def require_nobody_else(
    encodings: Sequence[Encoding],
    others: Gallery,
    calibration: Calibration,
    taken: str = "is already enrolled as",
) -> None:
    """Raises Conflict if a photo matches somebody else, by default in the store."""
    if not others.names:
        return
    for encoding in encodings:
        match = compare(encoding, others, RATES.duplicate_fmr, calibration)
        if not match.similarity < match.min_similarity:  # NaN must refuse
            raise Conflict(
                Reason(
                    "face.enrolled_elsewhere",
                    f"this face {taken} {match.person}",
                    "add photos to that name, or --allow-duplicate",
                )
            )


@dataclass(frozen=True, slots=True, eq=False)
class Newcomer:
    """A person who comes with the photos of several calls of register, as in an import."""

    name: str
    calls: Sequence[Sequence[Encoding]]  # in their order; none where none can be compared

    @property
    def encodings(self) -> list[Encoding]:
        """Of all photos."""
        return [encoding for call in self.calls for encoding in call]


def require_newcomer(newcomer: Newcomer, calibration: Calibration) -> None:
    """Raises Conflict unless each call would be registered after those before it.

    An encoding that has no place in the space of comparison is refused, too: it would stop every
    sign-in.
    """
    earlier: list[Encoding] = []
    try:
        for call in newcomer.calls:
            Gallery.of(_rows(newcomer.name, call), calibration.space)
            require_one_person(call, calibration)
            if earlier:
                known = Gallery.of(_rows(newcomer.name, earlier), calibration.space)
                require_same_person(call, known, newcomer.name, calibration)
            earlier += call
    except (Conflict, SetupProblem):  # SetupProblem: encodings that cancel each other out
        message = f"the photos of {newcomer.name} do not show one person"
        advice = "nobody was imported; have them registered with new photos"
        raise Conflict(Reason("photos.several_people", message, advice)) from None


def require_newcomers_apart(
    newcomers: Sequence[Newcomer], enrolled: Gallery, calibration: Calibration
) -> None:
    """Raises Conflict if a newcomer matches somebody enrolled, or another newcomer."""
    for name, (reason,) in taken_faces(newcomers, enrolled, calibration):
        advice = "nobody was imported; --allow-duplicate takes both"
        raise Conflict(Reason(reason.code, f"{name}: {reason.message}", advice))


def taken_faces(
    newcomers: Sequence[Newcomer], enrolled: Gallery, calibration: Calibration
) -> Iterator[tuple[str, tuple[Reason, ...]]]:
    """Name and reason of each newcomer who matches somebody enrolled, or another newcomer."""
    import numpy as np

    faces = [newcomer for newcomer in newcomers if newcomer.calls]
    if not faces:
        return
    rows = [row for face in faces for row in _rows(face.name, face.encodings)]
    arriving = Gallery.of(rows, calibration.space)
    probes = np.stack([encoding.vector for face in faces for encoding in face.encodings])
    owners = np.repeat(np.arange(len(faces)), [len(face.encodings) for face in faces])
    suspects = {
        *owners[like_somebody(probes, np.full_like(owners, -1), enrolled, calibration)].tolist(),
        *owners[like_somebody(probes, owners, arriving, calibration)].tolist(),
    }
    for face in (faces[each] for each in sorted(suspects)):
        try:
            require_nobody_else(face.encodings, enrolled, calibration)
            others = arriving.without(face.name)
            require_nobody_else(face.encodings, others, calibration, "also comes as")
        except Conflict as refusal:
            yield face.name, refusal.reasons


def like_somebody(
    probes: NDArray[np.float32],
    owners: NDArray[np.intp],
    gallery: Gallery,
    calibration: Calibration,
) -> NDArray[np.intp]:
    """Which of very many probes may match somebody else of a gallery: all that do, and few more.

    probes: (n, 256), rows of unit length; owners: (n,), the row of each probe's own person, or -1.
    They only nominate, as in a Crowd: require_nobody_else decides. Memory: 16 MB at a time.
    """
    import numpy as np

    limits = calibration.min_similarity(RATES.duplicate_fmr, gallery.photos) - ROUNDING
    probes = gallery.space.of(probes)
    found = np.zeros(len(probes), bool)
    for first in range(0, len(probes), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        for start in range(0, len(limits), BLOCK_ROWS):
            others = slice(start, start + BLOCK_ROWS)
            far = probes[rows] @ gallery.means[others].T < limits[others]  # of NaN nothing is
            own = owners[rows] - start
            mine = np.flatnonzero((own >= 0) & (own < far.shape[1]))
            far[mine, own[mine]] = True
            found[rows] |= ~far.all(axis=1)
    return np.flatnonzero(found)


def require_new_pictures(replays: Sequence[Replay]) -> None:
    """Raises Conflict if a photo shows a picture that was enrolled already; one per photo.

    Photos of the same sitting may be enrolled together.
    """
    passing = (ReplayVerdict.NEW, ReplayVerdict.SAME_SITTING, ReplayVerdict.NOT_COMPARED)
    for number, replay in enumerate(replays, start=1):
        if replay.verdict not in passing:
            raise Conflict(
                Reason(
                    "enrolment.same_picture",
                    f"photo {number} shows the same picture as an earlier photo",
                    "give another photo: a copy adds nothing",
                )
            )


def _alike(probe: Encoding, person: Gallery, calibration: Calibration) -> bool:
    match = compare(probe, person, RATES.same_person_fmr, calibration)
    return match.similarity >= match.min_similarity


def _miss(encodings: Sequence[Encoding], index: int, calibration: Calibration) -> float:
    """By how much a photo misses the similarity to the mean of the others."""
    rest = [*encodings[:index], *encodings[index + 1 :]]
    others = Gallery.of(_rows("", rest), calibration.space)
    match = compare(encodings[index], others, RATES.same_person_fmr, calibration)
    return match.min_similarity - match.similarity


def _rows(name: str, encodings: Sequence[Encoding]) -> list[tuple[str, bytes]]:
    return [(name, encoding.as_bytes()) for encoding in encodings]
