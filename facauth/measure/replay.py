"""How surely an enrolled picture is found again, and how often another photo is taken for it.

A recapture counts as found only when the verdict is "enrolled picture": of "same sitting" the share
is told apart, since a sign-in may let it pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth.errors import Reason, UnusableImage, UsageProblem
from facauth.measure import gates
from facauth.measure.rates import Rate, rate
from facauth.settings import REPLAY
from facauth.spoof.plane import compare
from facauth.spoof.replay import judge, shown
from facauth.spoof.signature import signature
from facauth.structs import Face, ReplayVerdict, Sighting

if TYPE_CHECKING:
    from facauth.measure.folders import Pair
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Pixels
    from facauth.system import Stages

FOUND, SITTING = ReplayVerdict.ENROLLED_PICTURE, ReplayVerdict.SAME_SITTING


@dataclass(frozen=True, slots=True)
class Compared:
    """What facauth said of one pair."""

    verdict: ReplayVerdict | None  # None where a file is no image
    frame_only: bool  # there was no face in one of the photos
    reasons: tuple[Reason, ...] = ()  # of a missing verdict


class Look:
    """Compares one pair after the other, as a sign-in would that has matched."""

    def __init__(self, stages: Callable[[], Stages]) -> None:
        self._stages = stages()

    def __call__(self, pair: Pair) -> Compared:
        """Where a photo shows no face, the whole frames alone; raises SetupProblem alone."""
        try:
            original, probe = self._sight(pair.original), self._sight(pair.path)
        except (UsageProblem, UnusableImage) as error:
            return Compared(None, False, error.reasons)
        known, seen = signed(original), signed(probe)
        if original.faces and probe.faces:
            return Compared(judge(seen, [known]).verdict, False)
        found = shown(compare(seen, known).frame, REPLAY)
        return Compared(FOUND if found else ReplayVerdict.NEW, True)

    def _sight(self, path: str) -> Sighting:
        return self._stages.sight(self._stages.decode(path))


def signed(sighting: Sighting) -> CaptureSignature:
    """The signature around the largest face or, where there is none, the photo's middle."""
    face = sighting.faces[0] if sighting.faces else middle(sighting.pixels)
    return signature(sighting.pixels, face)


def middle(pixels: Pixels) -> Face:
    """A box of half the photo's sides in its middle."""
    import numpy as np

    height, width = pixels.shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    return Face(box, np.zeros((5, 2), np.float32), 0.0)


# ---- rates


@dataclass(frozen=True, slots=True)
class Row:
    """The rates of one medium, or of other photos; every original weighs as a group of trials."""

    name: str
    pairs: int
    frame_only: int
    found: Rate  # of a medium: detections; of other photos: false alarms
    missed: Rate  # not found, "same sitting" included
    same_sitting: Rate


Trial = tuple["Pair", Compared]


@dataclass(frozen=True, slots=True)
class ReplayEvaluation:
    """Every rate of one set of pairs."""

    media: tuple[Row, ...]
    other: Row | None
    errors: tuple[Trial, ...]  # recaptures not found, others found
    unreadable: tuple[Trial, ...]


def evaluate(trials: Iterable[Trial]) -> ReplayEvaluation:
    """The rates of what was compared."""
    every = list(trials)
    images = [trial for trial in every if trial[1].verdict is not None]
    media: dict[str, list[Trial]] = {}
    for trial in images:
        if trial[0].medium is not None:
            media.setdefault(trial[0].medium, []).append(trial)
    other = [trial for trial in images if trial[0].medium is None]
    return ReplayEvaluation(
        media=tuple(_row(name, members) for name, members in sorted(media.items())),
        other=_row("other photos", other) if other else None,
        errors=tuple(trial for trial in images if _is_error(*trial)),
        unreadable=tuple(trial for trial in every if trial[1].verdict is None),
    )


def missed(
    found: ReplayEvaluation, max_missed: float | None, max_alarms: float | None
) -> list[Reason]:
    """Which limits are missed: by the worst medium, and by all other photos together."""
    media = {row.name: row.missed for row in found.media}
    alarms = {row.name: row.found for row in (found.other,) if row}
    return [
        *gates.missed("evaluate.apcer", "share of recaptures not found", media, max_missed),
        *gates.missed("evaluate.bpcer", "share of false alarms", alarms, max_alarms),
    ]


def _row(name: str, trials: list[Trial]) -> Row:
    def share(counts: Callable[[ReplayVerdict | None], bool]) -> Rate:
        return rate((pair.original, counts(compared.verdict)) for pair, compared in trials)

    return Row(
        name=name,
        pairs=len(trials),
        frame_only=sum(compared.frame_only for _, compared in trials),
        found=share(lambda verdict: verdict is FOUND),
        missed=share(lambda verdict: verdict is not FOUND),
        same_sitting=share(lambda verdict: verdict is SITTING),
    )


def _is_error(pair: Pair, compared: Compared) -> bool:
    return (compared.verdict is FOUND) == (pair.medium is None)
