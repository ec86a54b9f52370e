"""sign-in --learn: a photo without any doubt becomes one of the person's photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth.decision.learning import CHANGED, match_doubts, spoof_doubts
from facauth.decision.match import Gallery
from facauth.faces.quality import judgements
from facauth.settings import ENROLMENT_QUALITY
from facauth.store.sealing import Template
from facauth.structs import Learned

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.errors import Reason
    from facauth.evidence import Evidence
    from facauth.store.change import Change
    from facauth.store.person import Person
    from facauth.store.store import Store

Photos = Sequence[tuple[str, str, Template]]  # contract, time of enrolment, template


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """The photo to learn, the doubts about it, and the person's photos when it was judged."""

    person: Person
    contract: str
    template: Template
    photos: Photos
    surplus: Sequence[int]  # learned templates that make room for it
    doubts: tuple[Reason, ...]

    def take(self, change: Change) -> Learned:
        """Add the photo, unless it is in doubt.

        Learned photos that are too old or too many are deleted; registered photos stay.
        """
        if self.doubts:
            return Learned(None, self.doubts)
        if self.person.templates() != self.photos:
            return Learned(None, (CHANGED,))
        self.person.forget(change, self.surplus)
        count = self.person.add(change, self.contract, [self.template])
        change.log("sign-in", "learned", uid=self.person.uid)
        return Learned(count, ())


def lesson(store: Store, found: Evidence, calibration: Calibration) -> Lesson:
    """The lesson of a sign-in that is about to be accepted."""
    assert found.match and found.encoding and found.signature  # noqa: S101 - the run came so far
    person, contract = store.person(found.match.person), found.encoding.contract
    with found.timed("learn"):
        with store.snapshot():
            photos, surplus = person.templates(), person.surplus()
            compared = person.comparable(contract)
            everybody = Gallery.of(store.encodings(contract), calibration.space)
        others = everybody.without(found.match.person)
        doubts = _doubts(found, len(photos), compared, others, calibration)
    encoding, signature = found.encoding.as_bytes(), found.signature.to_bytes()
    template = Template(encoding, signature, accepted_spoof=False, learned=True)
    return Lesson(person, contract, template, photos, surplus, doubts)


def _doubts(
    found: Evidence,
    photos: int,
    compared: Sequence[Template],
    others: Gallery,
    calibration: Calibration,
) -> tuple[Reason, ...]:
    encoding, match = found.encoding, found.match
    assert found.liveness and found.replay and found.quality and encoding and match  # noqa: S101
    registered = [kept for kept in compared if not kept.learned]
    checks = judgements(found.quality, ENROLMENT_QUALITY)
    whole, enrolled = (
        Gallery.of([("", photo.encoding) for photo in some], calibration.space)
        for some in (compared, registered)
    )
    return (
        *spoof_doubts(found.liveness, found.replay, photos),
        *(reason for passed, reason in checks if not passed),
        *match_doubts(encoding, whole, enrolled, others, match.fmr, calibration),
    )
