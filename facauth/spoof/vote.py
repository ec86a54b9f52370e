"""The frames of a clip, judged together: all of them vote, and none is explained away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from facauth.settings import CLIP
from facauth.spoof.liveness import SURE, UNSURE, unmet, verdict_on
from facauth.spoof.replay import REASONS, gravity, passes
from facauth.structs import LiveVerdict, ReplayVerdict

if TYPE_CHECKING:
    from facauth.settings import SpoofPolicy
    from facauth.structs import Liveness, Replay


def live_together(frames: Sequence[Liveness], policy: SpoofPolicy) -> Liveness:
    """The verdict on the frames of one face, the best frame first; on one frame, its own.

    The score is the mean of the frames' log-odds, as a probability. Frames that cannot be judged
    alone vote as well, since whoever makes a clip makes these too.
    """
    if len(frames) == 1:
        return frames[0]
    odds = sorted(_log_odds(frame.live_score) for frame in frames)
    score, lowest = _probability(fmean(odds)), fmean(odds[: -(-len(odds) // 3)])
    clip = replace(frames[0], live_score=score)
    unclear = [frame for frame in frames if unmet(frame.conditions)]
    if unclear and len(frames) - len(unclear) < CLIP.min_usable_frames:
        conditions = unclear[0].conditions
        reasons = unmet(conditions)
        return replace(
            clip, verdict=LiveVerdict.CANNOT_JUDGE, reasons=reasons, conditions=conditions
        )
    verdict, reasons = verdict_on(score, policy)
    floor = _log_odds(policy.min_live_score) - CLIP.max_lowest_below
    if verdict is LiveVerdict.LIVE and not lowest >= floor:
        verdict, reasons = LiveVerdict.CANNOT_JUDGE, (UNSURE,)
    return replace(clip, verdict=verdict, reasons=reasons)


def worst(photos: Sequence[Liveness]) -> Liveness:
    """The gravest verdict on photos that must each be live; of equal ones the lowest score."""
    order = [LiveVerdict.LIVE, LiveVerdict.CANNOT_JUDGE, LiveVerdict.ATTACK]
    return max(photos, key=lambda photo: (order.index(photo.verdict), -photo.live_score))


def replayed_together(frames: Sequence[Replay], most: int = CLIP.max_replays) -> Replay:
    """The gravest verdict over the frames, the best frame first.

    most: so many frames may seem to show an enrolled picture, and are a doubt then.

    A few such frames happen where a person sits as at enrolment; but the best frame may not.
    """
    if len(frames) == 1:
        return frames[0]
    grave = [frame for frame in frames if not passes(frame)]
    if grave and (grave[0] is frames[0] or len(grave) > most):
        return grave[0]
    if grave:
        sitting = ReplayVerdict.SAME_SITTING
        return replace(grave[0], verdict=sitting, reasons=(REASONS[sitting],))
    return max(frames, key=gravity)


def _log_odds(score: float) -> float:
    """NaN stays NaN."""
    bounded = score if math.isnan(score) else min(max(score, SURE), 1 - SURE)
    return math.log(bounded / (1 - bounded))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
