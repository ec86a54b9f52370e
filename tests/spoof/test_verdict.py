"""Which live scores and replays pass together: everything that is not a clear yes refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facauth.errors import Attack, FacauthError, Reason, UnusableImage
from facauth.settings import DEFAULT, LENIENT, STRICT, SpoofPolicy
from facauth.spoof.liveness import require_live
from facauth.spoof.replay import require_new_picture
from facauth.spoof.verdict import require_beyond_doubt, weigh
from facauth.structs import NOTHING_COMPARED, Liveness, LiveVerdict, Replay, ReplayVerdict

WHY = Reason("test.why", "no", "try again")
POLICIES = (DEFAULT, STRICT, LENIENT)
LIVE, ATTACK, CANNOT_JUDGE = LiveVerdict
NOT_COMPARED, NEW, SAME_SITTING, ENROLLED = (
    ReplayVerdict.NOT_COMPARED,
    ReplayVerdict.NEW,
    ReplayVerdict.SAME_SITTING,
    ReplayVerdict.ENROLLED_PICTURE,
)


def liveness(verdict: Any, score: float) -> Liveness:
    return Liveness(verdict, score, 0.5, 0.8, (), () if verdict is LIVE else (WHY,))


def replay(verdict: Any) -> Replay:
    return replace(NOTHING_COMPARED, verdict=verdict, reasons=(WHY,))


def passes(live: Liveness, again: Replay, policy: SpoofPolicy) -> bool:
    """As in a sign-in: every `require_…`, one after the other."""
    try:
        require_live(live)
        require_new_picture(again)
        require_beyond_doubt(live, again, policy)
    except FacauthError:
        return False
    return True


SURE, DOUBT = liveness(LIVE, 0.8), liveness(LIVE, math.nextafter(0.8, 0))


@pytest.mark.parametrize(
    ("live", "verdict", "default", "strict"),
    [
        (SURE, NEW, True, True),
        (SURE, NOT_COMPARED, True, True),
        (SURE, SAME_SITTING, True, False),
        (SURE, ENROLLED, False, False),
        (DOUBT, NEW, True, False),
        (DOUBT, NOT_COMPARED, True, False),
        (DOUBT, SAME_SITTING, False, False),
        (DOUBT, ENROLLED, False, False),
    ],
)
def test_one_doubt_passes_and_two_do_not(
    live: Liveness, verdict: ReplayVerdict, default: bool, strict: bool
) -> None:
    found = [passes(live, replay(verdict), policy) for policy in (DEFAULT, STRICT, LENIENT)]
    assert found == [default, strict, default]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_a_score_that_is_no_number_is_never_sure(score: float, policy: SpoofPolicy) -> None:
    assert not passes(liveness(LIVE, score), replay(SAME_SITTING), policy)
    assert passes(liveness(LIVE, score), replay(NEW), policy) is policy.accept_doubt


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("odd", ["live", "sure", None, True, 1.0])
def test_what_only_looks_like_live_does_not_pass(odd: object, policy: SpoofPolicy) -> None:
    assert not passes(liveness(odd, 1.0), replay(NEW), policy)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("odd", ["fresh", None, True, 1.0, ""])
def test_what_only_looks_like_new_does_not_pass(odd: object, policy: SpoofPolicy) -> None:
    assert not passes(SURE, replay(odd), policy)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    st.sampled_from(LiveVerdict),
    st.floats(),
    st.sampled_from(ReplayVerdict),
    st.sampled_from(POLICIES),
)
def test_only_live_and_new_pass_whatever_the_numbers(
    verdict: LiveVerdict, score: float, again: ReplayVerdict, policy: SpoofPolicy
) -> None:
    if passes(liveness(verdict, score), replay(again), policy):
        assert verdict is LIVE
        assert again is not ENROLLED
        doubts = (not score >= 0.8) + (again is SAME_SITTING)
        assert doubts <= (1 if policy.accept_doubt else 0)


def test_a_doubt_says_what_to_do_and_is_no_accusation() -> None:
    with pytest.raises(UnusableImage) as refusal:
        require_beyond_doubt(DOUBT, replay(SAME_SITTING), DEFAULT)
    assert [reason.code for reason in refusal.value.reasons] == ["test.why", "liveness.doubt"]
    assert all(reason.advice for reason in refusal.value.reasons)
    assert int(refusal.value.exit_code) == 4


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("again", list(ReplayVerdict))
@pytest.mark.parametrize("live", list(LiveVerdict))
@pytest.mark.parametrize("score", [math.nan, 0.6, 0.9])
def test_a_spoof_check_says_what_a_sign_in_would(
    live: LiveVerdict, again: ReplayVerdict, policy: SpoofPolicy, score: float
) -> None:
    spoof = weigh(liveness(live, score), replay(again), policy)
    assert (spoof.verdict is LIVE) is passes(liveness(live, score), replay(again), policy)
    assert (spoof.verdict is ATTACK) is isinstance(spoof.refusal, Attack)
    assert (spoof.verdict is ATTACK) is (live is ATTACK or again is ENROLLED)
    assert spoof.refusal is None or spoof.refusal.reasons


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_is_in_order(policy: SpoofPolicy) -> None:
    limits = (policy.min_unsure_score, policy.min_live_score, policy.sure_live_score)
    assert 0 < limits[0] <= limits[1] <= limits[2] <= 1


def test_strict_is_never_weaker_and_lenient_never_sterner() -> None:
    assert STRICT.min_unsure_score >= DEFAULT.min_unsure_score >= LENIENT.min_unsure_score
    assert STRICT.min_live_score >= DEFAULT.min_live_score >= LENIENT.min_live_score
    assert STRICT.sure_live_score >= DEFAULT.sure_live_score >= LENIENT.sure_live_score
    assert (STRICT.accept_doubt, DEFAULT.accept_doubt, LENIENT.accept_doubt) == (False, True, True)
