"""Which photos of a sign-in are clear enough to be compared with from now on (--learn)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from facauth.decision.match import Gallery, compare
from facauth.errors import Reason
from facauth.settings import LEARNED, RATES
from facauth.structs import ReplayVerdict

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.structs import Encoding, Liveness, Replay

ANOTHER = "sign in with another photo"
CHANGED = Reason("learn.changed", "the photos of the person were changed just now", "sign in again")


def spoof_doubts(liveness: Liveness, replay: Replay, photos: int) -> Iterator[Reason]:
    """Why it is not beyond doubt that the photo is live, and new; NaN is a doubt.

    photos: how many the person has, with each of which the probe must have been compared.
    """
    if not liveness.sure:
        yield Reason("learn.liveness", "the face is not surely live", ANOTHER)
    if replay.verdict is not ReplayVerdict.NEW:
        yield Reason("learn.replay", "the photo is not surely a new one", ANOTHER)
    elif replay.compared < photos:
        message = "some enrolled photos have no signature, so this photo may be a copy of one"
        yield Reason("learn.signature", message, "register new photos with --replace")


def strict_fmr(fmr: float, min_fmr: float) -> float:
    """The false match rate at which a probe must match to be learned, or the lowest supported.

    A sign-in that asked for little earns no more than one by default: what is learned there is
    compared with by stricter ones.
    """
    return max(min(fmr, RATES.verify_fmr) / LEARNED.stricter, min_fmr)


def match_doubts(
    probe: Encoding,
    whole: Gallery,
    enrolled: Gallery,
    others: Gallery,
    fmr: float,
    calibration: Calibration,
) -> Iterator[Reason]:
    """Why it is not beyond doubt that the photo shows the person; NaN is a doubt.

    whole: the person as they are compared; enrolled: without what was learned, so that learned
    photos cannot lead away from the enrolled ones step by step; others: everybody else. fmr: at
    which the probe matched.
    """
    strict = strict_fmr(fmr, calibration.min_fmr)
    if not _alike(probe, whole, strict, calibration):
        yield Reason(
            "learn.similarity", "the face matches the person, but not clearly enough", ANOTHER
        )
    elif not _alike(probe, enrolled, strict, calibration):
        message = "the face clearly matches only the learned photos"
        yield Reason("learn.drift", message, "register new photos")
    if others.names:
        nearest = compare(probe, others, RATES.duplicate_fmr, calibration)
        if not nearest.similarity < nearest.min_similarity:
            message = "the face also resembles another enrolled person"
            yield Reason("learn.somebody_else", message, ANOTHER)


def _alike(probe: Encoding, person: Gallery, fmr: float, calibration: Calibration) -> bool:
    if not person.names:
        return False
    match = compare(probe, person, fmr, calibration)
    return match.similarity >= match.min_similarity
