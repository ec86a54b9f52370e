"""From an error rate to a similarity: stricter never means easier."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facauth.decision.calibration import min_similarity
from facauth.settings import CALIBRATION, MIN_FMR, RATES

rates = st.floats(-14, 0).map(lambda exponent: 10**exponent)
counts = st.integers(1, 200)
STEP = 1e-6  # of float32 near 0.8, and then some
quick = settings(derandomize=True, deadline=None, max_examples=300, database=None)


def threshold(fmr: float, photos: int = 1) -> float:
    return float(min_similarity(fmr, np.array([photos]))[0])


@pytest.mark.parametrize("photos", CALIBRATION)
def test_measured_points_are_met(photos: int) -> None:
    for fmr, similarity in CALIBRATION[photos].items():
        assert threshold(fmr, photos) == pytest.approx(similarity, abs=STEP)


@quick
@given(rates, rates, counts)
def test_a_lower_rate_is_never_easier(one: float, other: float, photos: int) -> None:
    low, high = sorted((one, other))
    assert threshold(low, photos) >= threshold(high, photos) - STEP


@quick
@given(rates, counts, counts)
def test_more_photos_are_never_easier(fmr: float, one: int, other: int) -> None:
    """The mean of more photos is more like anybody, strangers included."""
    few, many = sorted((one, other))
    assert threshold(fmr, many) >= threshold(fmr, few) - STEP


@quick
@given(rates, st.lists(counts, min_size=1, max_size=20))
def test_each_person_has_the_threshold_of_their_own_photos(fmr: float, photos: list[int]) -> None:
    together = min_similarity(fmr, np.array(photos)).tolist()
    assert together == [threshold(fmr, count) for count in photos]


@quick
@given(rates, counts)
def test_a_threshold_can_be_passed_and_missed(fmr: float, photos: int) -> None:
    assert 0.5 < threshold(fmr, photos) < 1


@pytest.mark.parametrize("photos", CALIBRATION)
def test_between_two_points_it_lies_between_them(photos: int) -> None:
    points = sorted(CALIBRATION[photos].items())
    for (low, strict), (high, easy) in pairwise(points):
        assert easy < threshold(math.sqrt(low * high), photos) < strict


@pytest.mark.parametrize("photos", CALIBRATION)
def test_below_what_was_measured_it_goes_on_rising(photos: int) -> None:
    lowest = min(CALIBRATION[photos])
    assert threshold(MIN_FMR, photos) >= threshold(lowest, photos)
    if lowest > MIN_FMR:
        assert threshold(MIN_FMR, photos) > threshold(lowest, photos) + 0.001


@pytest.mark.parametrize("photos", CALIBRATION)
def test_above_what_was_measured_it_does_not_fall_further(photos: int) -> None:
    highest = max(CALIBRATION[photos])
    for fmr in (highest * 1.01, 0.5, 1.0, 10.0, math.inf):
        assert threshold(fmr, photos) == pytest.approx(threshold(highest, photos), abs=STEP)


@pytest.mark.parametrize("fmr", [0.0, -1.0, -math.inf, MIN_FMR / 2, 5e-324])
def test_an_impossible_rate_is_the_strictest(fmr: float) -> None:
    assert threshold(fmr) == threshold(MIN_FMR)


def test_a_rate_that_is_not_a_number_lets_nobody_pass() -> None:
    assert not threshold(math.nan) <= 1


def test_a_count_between_two_measured_ones_takes_the_stricter() -> None:
    for fmr in (1e-2, 1e-4, 1e-6):
        assert threshold(fmr, 4) == threshold(fmr, 5)
        assert threshold(fmr, 100) == threshold(fmr, max(CALIBRATION))


def test_the_table_itself_is_monotone() -> None:
    rows = [CALIBRATION[photos] for photos in sorted(CALIBRATION)]
    assert list(CALIBRATION) == sorted(CALIBRATION)
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        assert list(row) == sorted(row, reverse=True)
        assert list(row.values()) == sorted(row.values())
    for fewer, more in pairwise(rows):
        assert all(fewer[fmr] <= more[fmr] for fmr in fewer)


def test_rates_are_in_their_order() -> None:
    """To be the same face is asked for least, to be a duplicate most."""
    assert RATES.duplicate_fmr <= RATES.verify_fmr <= RATES.same_person_fmr < 1
    assert 0 < RATES.identify_fpir < 1
