"""sign-in --learn: a photo that left no doubt is compared with from now on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth.decision.learning import CHANGED, match_doubts, spoof_doubts
from facauth.decision.match import Gallery
from facauth.faces.quality import judgements
from facauth.records.roster import expired
from facauth.records.sealing import Template
from facauth.settings import ENROLMENT_QUALITY
from facauth.structs import Learned, PersonName

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.errors import Reason
    from facauth.evidence import Evidence
    from facauth.records.store import Store

Photos = Sequence[tuple[str, str, Template]]  # contract, time of enrolment, template


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """The photo to learn, or the doubts about it; and the person's photos when it was judged."""

    name: PersonName
    contract: str
    template: Template
    photos: Photos
    surplus: Sequence[int]  # learned templates that make room for it
    doubts: tuple[Reason, ...]

    @property
    def erasing(self) -> bool:
        """Whether learning it deletes templates."""
        return not self.doubts and bool(self.surplus)

    def take(self, store: Store) -> Learned:
        """Keep the photo, unless it is in doubt. Call it within the accepting transaction.

        Learned photos that are too old or too many go; registered ones stay.
        """
        if self.doubts:
            return Learned(None, self.doubts)
        if store.templates(self.name) != self.photos:
            return Learned(None, (CHANGED,))
        store.forget(self.name, self.surplus)
        count = store.add(self.name, self.contract, [self.template])
        store.log("sign-in", "learned", name=self.name.text)
        return Learned(count, ())


def lesson(store: Store, found: Evidence, calibration: Calibration) -> Lesson:
    """What a sign-in that is to be accepted can teach."""
    assert found.match and found.encoding and found.signature  # noqa: S101 - the run came so far
    name, contract = PersonName.parse(found.match.person), found.encoding.contract
    with found.timed("learn"):
        with store.snapshot():
            photos, surplus = store.templates(name), store.surplus(name)
            everybody = Gallery.of(store.encodings(contract), calibration.space)
        others = everybody.without(found.match.person)
        doubts = _doubts(found, photos, others, calibration)
    encoding, signature = found.encoding.as_bytes(), found.signature.to_bytes()
    template = Template(encoding, signature, accepted_spoof=False, learned=True)
    return Lesson(name, contract, template, photos, surplus, doubts)


def _doubts(
    found: Evidence, photos: Photos, others: Gallery, calibration: Calibration
) -> tuple[Reason, ...]:
    encoding, match = found.encoding, found.match
    assert found.liveness and found.replay and found.quality and encoding and match  # noqa: S101
    compared = [
        kept
        for contract, at, kept in photos
        if contract == encoding.contract and not expired(kept.learned, at)
    ]
    registered = [kept for kept in compared if not kept.learned]
    checks = judgements(found.quality, ENROLMENT_QUALITY)
    whole, enrolled = (
        Gallery.of([("", photo.encoding) for photo in some], calibration.space)
        for some in (compared, registered)
    )
    return (
        *spoof_doubts(found.liveness, found.replay, len(photos)),
        *(reason for passed, reason in checks if not passed),
        *match_doubts(encoding, whole, enrolled, others, match.fmr, calibration),
    )
