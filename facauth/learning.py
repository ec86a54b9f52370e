"""sign-in --learn: a photo that left no doubt is compared with from now on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
    from facauth.records.store import Store
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Encoding, Liveness, Match, Quality, Replay


class Accept(Protocol):
    """Ends a sign-in; what is done `also` stands or falls with that."""

    def __call__(self, also: Callable[[], None] | None = None, *, erasing: bool = False) -> None:
        """Within one transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a sign-in that may be accepted found out about its photo."""

    encoding: Encoding
    capture: CaptureSignature
    quality: Quality
    liveness: Liveness | None  # None: not looked at
    replay: Replay
    match: Match


def learn(store: Store, seen: Seen, accept: Accept, calibration: Calibration) -> Learned:
    """Accept the sign-in, and keep its photo as one of the person's if nothing is in doubt.

    Learned photos that are too old or too many go; those that were registered stay.
    """
    name, contract = PersonName.parse(seen.match.person), seen.encoding.contract
    with store.snapshot():
        photos, surplus = store.templates(name), store.surplus(name)
        others = Gallery.of(store.encodings(contract)).without(seen.match.person)
    doubts = _doubts(seen, photos, others, calibration)
    if doubts:
        accept()
        return Learned(None, doubts)
    counts: list[int] = []

    def add() -> None:
        if store.templates(name) == photos:  # or others changed them since
            store.forget(name, surplus)
            made = Template(seen.encoding.as_bytes(), seen.capture.to_bytes(), False, learned=True)
            counts.append(store.add(name, contract, [made]))
            store.log("sign-in", "learned", name=seen.match.person)

    accept(add, erasing=bool(surplus))
    return Learned(counts[0], ()) if counts else Learned(None, (CHANGED,))


def _doubts(
    seen: Seen,
    photos: Sequence[tuple[str, str, Template]],
    others: Gallery,
    calibration: Calibration,
) -> tuple[Reason, ...]:
    compared = [
        kept
        for contract, at, kept in photos
        if contract == seen.encoding.contract and not expired(kept.learned, at)
    ]
    checks = judgements(seen.quality, ENROLMENT_QUALITY)
    return (
        *spoof_doubts(seen.liveness, seen.replay, len(photos)),
        *(reason for passed, reason in checks if not passed),
        *match_doubts(
            seen.encoding,
            _gallery(compared),
            _gallery([kept for kept in compared if not kept.learned]),
            others,
            seen.match.fmr,
            calibration,
        ),
    )


def _gallery(photos: Sequence[Template]) -> Gallery:
    """Of one person."""
    return Gallery.of([("", photo.encoding) for photo in photos])
