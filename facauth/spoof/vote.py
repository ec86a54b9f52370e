"""Liveness over the frames of a clip: all of them vote, and none is explained away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from facauth.settings import CLIP
from facauth.spoof.liveness import SURE, unmet, verdict_on

if TYPE_CHECKING:
    from facauth.settings import SpoofPolicy
    from facauth.structs import Liveness
from facauth.structs import LiveVerdict


def together(frames: Sequence[Liveness], policy: SpoofPolicy) -> Liveness:
    """The verdict on the frames of one face; on one frame, its own.

    The score is the mean of the frames' log-odds, as a probability. Frames that cannot be judged
    vote as well; too many of them, and the clip cannot be judged.
    """
    if len(frames) == 1:
        return frames[0]
    score = 1 / (1 + math.exp(-fmean(_log_odds(frame.live_score) for frame in frames)))
    unclear = [frame for frame in frames if unmet(frame.conditions)]
    first = replace(frames[0], live_score=score)
    if len(frames) - len(unclear) < CLIP.min_judged_frames:
        first = replace(first, conditions=unclear[0].conditions)
        reasons = unmet(unclear[0].conditions)
        return replace(first, verdict=LiveVerdict.CANNOT_JUDGE, reasons=reasons)
    verdict, reasons = verdict_on(score, policy)
    return replace(first, verdict=verdict, reasons=reasons)


def _log_odds(score: float) -> float:
    """NaN stays NaN."""
    bounded = score if math.isnan(score) else min(max(score, SURE), 1 - SURE)
    return math.log(bounded / (1 - bounded))
