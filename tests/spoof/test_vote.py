"""The frames of a clip, judged together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth.errors import Reason
from facauth.settings import DEFAULT, LENIENT
from facauth.spoof.liveness import verdict_on
from facauth.spoof.vote import live_together, replayed_together, worst
from facauth.structs import (
    NOTHING_COMPARED,
    Condition,
    Liveness,
    LiveVerdict,
    Replay,
    ReplayVerdict,
)

LIVE, ATTACK, CANNOT_JUDGE = LiveVerdict
UNMET = Condition("context", 1.0, 1.3, True, Reason("liveness.context", "too near", "go back"))
MET = replace(UNMET, value=2.0)


def frame(score: float, *, usable: bool = True) -> Liveness:
    verdict, reasons = verdict_on(score, DEFAULT)
    return Liveness(verdict, score, 0.6, 0.7, (MET if usable else UNMET,), reasons)


def judged(*scores: float) -> LiveVerdict:
    return live_together([frame(score) for score in scores], DEFAULT).verdict


def test_one_frame_has_its_own_verdict() -> None:
    for score in (0.05, 0.4, 0.9, math.nan):
        one = frame(score)
        assert live_together([one], DEFAULT) is one


def test_all_frames_count() -> None:
    assert judged(*[0.9] * 12) is LIVE
    assert judged(*[0.05] * 12) is ATTACK
    assert judged(*[0.4] * 12) is CANNOT_JUDGE
    assert judged(*[0.9] * 11, 0.2) is LIVE  # one blurred frame does not decide


def test_no_frame_is_explained_away() -> None:
    """A third of bad frames refuses, however good the others are."""
    assert judged(*[0.999] * 8, *[0.2] * 4) is CANNOT_JUDGE
    assert judged(*[0.9] * 6, *[0.01] * 6) is not LIVE


def test_the_floor_follows_the_policy() -> None:
    frames = [frame(score) for score in [0.8] * 8 + [0.3] * 4]
    assert live_together(frames, DEFAULT).verdict is CANNOT_JUDGE
    assert live_together(frames, LENIENT).verdict is LIVE


def test_frames_that_cannot_be_judged_alone_vote_too() -> None:
    good, poor = frame(0.95), frame(0.001, usable=False)
    assert live_together([good] * 8 + [poor] * 4, DEFAULT).verdict is not LIVE
    few = live_together([good] * 3 + [frame(0.95, usable=False)] * 9, DEFAULT)
    assert (few.verdict, few.reasons) == (CANNOT_JUDGE, (UNMET.unmet,))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=15))
def test_the_score_lies_between_the_frames(scores: list[float]) -> None:
    together = live_together([frame(score) for score in scores], DEFAULT).live_score
    assert min(scores) - 1e-6 <= together <= max(scores) + 1e-6


@given(st.integers(2, 15), st.integers(0, 14))
def test_nan_in_any_frame_refuses(frames: int, at: int) -> None:
    scores = [0.99] * frames
    scores[at % frames] = math.nan
    assert judged(*scores) is not LIVE


def replay(verdict: ReplayVerdict) -> Replay:
    return replace(NOTHING_COMPARED, verdict=verdict, compared=1)


NEW, SITTING, SHOWN = (
    replay(verdict)
    for verdict in (ReplayVerdict.NEW, ReplayVerdict.SAME_SITTING, ReplayVerdict.ENROLLED_PICTURE)
)


@pytest.mark.parametrize(
    ("frames", "verdict"),
    [
        ([NEW] * 12, ReplayVerdict.NEW),
        ([NEW] * 11 + [SITTING], ReplayVerdict.SAME_SITTING),
        ([SHOWN] * 12, ReplayVerdict.ENROLLED_PICTURE),
        ([SHOWN] + [NEW] * 11, ReplayVerdict.ENROLLED_PICTURE),  # the best frame
        ([NEW] * 9 + [SHOWN] * 3, ReplayVerdict.ENROLLED_PICTURE),
        ([NEW] * 10 + [SHOWN] * 2, ReplayVerdict.SAME_SITTING),
        ([NOTHING_COMPARED] * 12, ReplayVerdict.NOT_COMPARED),
    ],
)
def test_frames_that_show_an_enrolled_picture(frames: list[Replay], verdict: ReplayVerdict) -> None:
    assert replayed_together(frames).verdict is verdict


def test_an_unknown_verdict_refuses() -> None:
    broken = replace(NEW, verdict="fine")  # type: ignore[arg-type]
    assert replayed_together([NEW] * 9 + [broken] * 3) is broken


def test_of_several_photos_each_must_be_live() -> None:
    assert worst([frame(0.9), frame(0.95)]).verdict is LIVE
    assert worst([frame(0.9), frame(0.95)]).live_score == 0.9
    assert worst([frame(0.99), frame(0.4), frame(0.9)]).verdict is CANNOT_JUDGE
    assert worst([frame(0.4), frame(0.01), frame(0.9)]).verdict is ATTACK
    assert worst([frame(0.9), frame(math.nan)]).verdict is ATTACK


def test_of_several_photos_none_may_show_an_enrolled_picture() -> None:
    assert replayed_together([NEW, SHOWN, NEW], 0).verdict is ReplayVerdict.ENROLLED_PICTURE
