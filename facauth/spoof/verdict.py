"""Liveness and replay, weighed together: what one leaves in doubt the other must not.

A doubt is a live score between "live" and "sure", or a photo of an enrolled one's sitting (which
the next webcam frame is, and a careful photo of a screen may be too). A doubt proves nothing, so
its refusal is "cannot judge" and says how to take a photo that leaves none. One doubt passes unless
the policy is strict; two never do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from facauth.errors import Attack, Reason, UnusableImage
from facauth.settings import DEFAULT, SpoofPolicy
from facauth.spoof.liveness import UNSURE, require_live
from facauth.spoof.replay import require_new_picture
from facauth.structs import NOTHING_COMPARED, Liveness, LiveVerdict, Replay, ReplayVerdict


def require_beyond_doubt(liveness: Liveness, replay: Replay | None, policy: SpoofPolicy) -> None:
    """Raises UnusableImage where more is in doubt than the policy accepts.

    replay: None without a person to compare with. That is not a doubt; a missing signature is
    not one either.
    """
    live = liveness.sure
    new = (replay or NOTHING_COMPARED).verdict in (ReplayVerdict.NEW, ReplayVerdict.NOT_COMPARED)
    if not ((live and new) or (policy.accept_doubt and (live or new))):
        raise UnusableImage(*_doubts(liveness, replay or NOTHING_COMPARED))


def require_enrollable(liveness: Liveness, policy: SpoofPolicy) -> None:
    """Raises Attack for what is clearly a recapture, and under a strict policy for any doubt.

    An operator adds portraits and scans, which no sign-in would accept. What cannot be judged and
    scores as a recapture does raises UnusableImage, unless it has no colour: the networks give
    every grey photo a low score. NaN is refused.
    """
    grey = any(not each.met for each in liveness.conditions if each.name == "chroma")
    plausible = liveness.live_score >= (0 if grey else policy.min_unsure_score)
    doubtful = liveness.verdict is LiveVerdict.CANNOT_JUDGE
    if not (policy.accept_doubt and doubtful and plausible):
        require_live(liveness)
        require_beyond_doubt(liveness, None, policy)


def enrolled_in_doubt(liveness: Liveness) -> bool:
    """Whether an enrolled photo is marked: the default policy, too, would not call it live."""
    sure = liveness.live_score >= DEFAULT.min_live_score  # NaN is not
    return not (sure and liveness.verdict is LiveVerdict.LIVE)


def _doubts(liveness: Liveness, replay: Replay) -> Iterator[Reason]:
    yield from replay.reasons
    if not liveness.sure:
        yield UNSURE


@dataclass(frozen=True, slots=True)
class Spoof:
    """The liveness and replay of one photo, and the refusal of its sign-in."""

    liveness: Liveness
    replay: Replay | None  # None without a person to compare with
    refusal: Attack | UnusableImage | None  # None for a live face

    @property
    def verdict(self) -> LiveVerdict:
        """Live, attack or cannot judge."""
        if self.refusal is None:
            return LiveVerdict.LIVE
        attack = isinstance(self.refusal, Attack)
        return LiveVerdict.ATTACK if attack else LiveVerdict.CANNOT_JUDGE


def weigh(liveness: Liveness, replay: Replay | None, policy: SpoofPolicy) -> Spoof:
    """The verdict of a sign-in; a replay, which is the clearer attack, comes first."""
    try:
        require_new_picture(replay or NOTHING_COMPARED)
        require_live(liveness)
        require_beyond_doubt(liveness, replay, policy)
    except (Attack, UnusableImage) as refusal:
        return Spoof(liveness, replay, refusal)
    return Spoof(liveness, replay, None)
