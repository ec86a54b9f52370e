"""When a photo of a sign-in is clear enough to be learned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain import PLAIN

from facauth.decision.learning import match_doubts, spoof_doubts, strict_fmr
from facauth.decision.match import Gallery
from facauth.errors import SetupProblem
from facauth.settings import DEFAULT, LEARNED, RATES
from facauth.structs import (
    NOTHING_COMPARED,
    Encoding,
    Liveness,
    LiveVerdict,
    Replay,
    ReplayVerdict,
)

CALIBRATION = PLAIN.calibration

NEW = Replay(ReplayVerdict.NEW, 1, "frame", 9, 3, 0.5, 0.2, False, ())
NOBODY = Gallery.of([])
FMR = 1e-4
similarities = st.floats(-1, 1) | st.just(math.nan)
rates = st.floats(1e-8, 1e-1)


def live(score: float, verdict: LiveVerdict = LiveVerdict.LIVE) -> Liveness:
    return Liveness(verdict, score, DEFAULT.min_live_score, DEFAULT.sure_live_score, (), ())


def photo(*angles_deg: float) -> Encoding:
    """A unit vector; angles turn it from the first axis towards the second, third, ..."""
    vector = np.zeros(256)
    vector[0] = 1
    for axis, angle in enumerate(np.radians(angles_deg), start=1):
        vector[0], vector[axis] = vector[0] * math.cos(angle), vector[0] * math.sin(angle)
    return Encoding("test/1", vector.astype(np.float32))


def alike(similarity: float) -> Encoding:
    """A photo with this similarity to photo()."""
    return photo(math.degrees(math.acos(similarity)))


def person(*photos: Encoding, name: str = "Ada") -> Gallery:
    return Gallery.of([(name, each.as_bytes()) for each in photos])


def spoof_codes(liveness: Liveness, replay: Replay, photos: int = 1) -> list[str]:
    return [reason.code for reason in spoof_doubts(liveness, replay, photos)]


def match_codes(
    probe: Encoding, whole: Gallery, enrolled: Gallery, others: Gallery = NOBODY, fmr: float = FMR
) -> list[str]:
    return [
        reason.code for reason in match_doubts(probe, whole, enrolled, others, fmr, CALIBRATION)
    ]


# --- live and new --------------------------------------------------------------------------------


def test_a_live_and_new_photo_leaves_no_doubt() -> None:
    assert spoof_codes(live(DEFAULT.sure_live_score), NEW) == []


@pytest.mark.parametrize(
    ("liveness", "code"),
    [
        (live(DEFAULT.sure_live_score - 0.01), "learn.liveness"),
        (live(math.nan), "learn.liveness"),
        (live(1.0, LiveVerdict.ATTACK), "learn.liveness"),
        (live(1.0, LiveVerdict.CANNOT_JUDGE), "learn.liveness"),
    ],
)
def test_a_photo_that_may_not_be_live_is_not_learned(liveness: Liveness, code: str) -> None:
    assert spoof_codes(liveness, NEW) == [code]


@pytest.mark.parametrize("verdict", [each for each in ReplayVerdict if each != "new"])
def test_a_photo_that_may_not_be_new_is_not_learned(verdict: ReplayVerdict) -> None:
    assert spoof_codes(live(1.0), replace(NEW, verdict=verdict)) == ["learn.replay"]


def test_it_is_new_only_compared_with_every_photo() -> None:
    assert spoof_codes(live(1.0), NEW, photos=2) == ["learn.signature"]
    assert spoof_codes(live(1.0), NOTHING_COMPARED, photos=2) == ["learn.replay"]


# --- the same person -----------------------------------------------------------------------------


def test_the_rate_is_a_hundredth_as_far_as_it_is_supported() -> None:
    assert strict_fmr(1e-4, CALIBRATION.min_fmr) == pytest.approx(1e-6)
    assert strict_fmr(CALIBRATION.min_fmr, CALIBRATION.min_fmr) == CALIBRATION.min_fmr
    assert (
        strict_fmr(CALIBRATION.min_fmr * LEARNED.stricter / 2, CALIBRATION.min_fmr)
        == CALIBRATION.min_fmr
    )


def test_a_loose_sign_in_learns_no_more_than_one_by_default() -> None:
    assert strict_fmr(RATES.max_asked, CALIBRATION.min_fmr) == strict_fmr(
        RATES.verify_fmr, CALIBRATION.min_fmr
    )
    ada, probe = person(photo()), alike(threshold(1e-3) + 0.001)  # as 1 in 1,000 strangers are
    assert match_codes(probe, ada, ada, fmr=RATES.max_asked) == ["learn.similarity"]


@given(rates)
def test_the_rate_is_stricter_and_supported(fmr: float) -> None:
    CALIBRATION.require_supported(strict_fmr(fmr, CALIBRATION.min_fmr))
    assert strict_fmr(fmr, CALIBRATION.min_fmr) <= fmr


def threshold(fmr: float, photos: int = 1) -> float:
    return float(CALIBRATION.min_similarity(fmr, np.array([photos]))[0])


def test_a_match_that_is_not_clear_is_not_learned() -> None:
    ada = person(photo())
    assert match_codes(alike(threshold(1e-6) + 0.001), ada, ada) == []
    assert match_codes(alike(threshold(1e-6) - 0.001), ada, ada) == ["learn.similarity"]
    assert threshold(FMR) < threshold(1e-6) - 0.001  # which signs in


@given(st.floats(0, 1), rates, rates)
def test_a_stricter_sign_in_never_learns_more(similarity: float, one: float, other: float) -> None:
    ada, probe = person(photo()), alike(similarity)
    if not match_codes(probe, ada, ada, fmr=min(one, other)):
        assert match_codes(probe, ada, ada, fmr=max(one, other)) == []


@given(st.floats(0, 180), st.floats(0, 180), st.floats(0, 180))
def test_learned_photos_never_lead_away_from_the_registered(a: float, b: float, c: float) -> None:
    """Whatever was learned before: what is learned is as like the registered photo as ever."""
    probe, registered = photo(c), person(photo())
    try:
        whole = person(photo(), photo(a), photo(b))
    except SetupProblem:  # photos that cancel each other out have no mean
        return
    if not match_codes(probe, whole, registered):
        assert probe.vector[0] >= threshold(1e-6)


def test_a_step_further_is_a_drift() -> None:
    step = math.degrees(math.acos(threshold(1e-6) + 0.001))
    learned = person(photo(), photo(step), photo(step))
    assert match_codes(photo(step + 5), learned, person(photo())) == ["learn.drift"]


def test_without_a_registered_photo_to_compare_with_nothing_is_learned() -> None:
    assert match_codes(photo(), person(photo()), NOBODY) == ["learn.drift"]


def test_a_face_like_somebody_elses_is_not_learned() -> None:
    twin = person(photo(3), name="Bob")
    assert match_codes(photo(), person(photo()), person(photo()), twin) == ["learn.somebody_else"]
    stranger = person(photo(90), name="Bob")
    assert match_codes(photo(), person(photo()), person(photo()), stranger) == []


def test_nan_is_not_learned() -> None:
    probe = photo()
    object.__setattr__(probe, "vector", np.full(256, np.nan, np.float32))
    codes = match_codes(probe, person(photo()), person(photo()), person(photo(90), name="Bob"))
    assert codes == ["learn.similarity", "learn.somebody_else"]
