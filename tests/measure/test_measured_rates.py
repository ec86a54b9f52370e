"""Rates and their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from facauth.measure.rates import (
    Method,
    Rate,
    bootstrap_interval,
    interval,
    passing,
    rate,
    worst,
)

TRIALS = some.lists(some.tuples(some.sampled_from("abcde"), some.booleans()), max_size=60)
SCORES = some.lists(some.floats(0, 1) | some.just(math.nan), max_size=30)


def trials(**people: tuple[int, int]) -> list[tuple[str, bool]]:
    """person=(counted, of)."""
    return [(who, each < count) for who, (count, n) in people.items() for each in range(n)]


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (1, 10, 0.0025286, 0.4450161),
        (9, 10, 0.5549839, 0.9974714),
        (5, 100, 0.0164319, 0.1128349),
        (50, 100, 0.3983211, 0.6016789),
        (1, 2, 0.0125791, 0.9874209),
    ],
)
def test_clopper_and_pearson(count: int, n: int, low: float, high: float) -> None:
    assert interval(count, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 100, 3000])
def test_the_rule_of_three_where_nothing_or_everything_counts(n: int) -> None:
    three = min(1, 3 / n)
    assert interval(0, n) == (0, three)
    assert interval(n, n) == (1 - three, 1)
    assert rate(trials(a=(0, n))).method is Method.RULE_OF_THREE
    assert rate(trials(a=(n, n))).method is Method.RULE_OF_THREE


@pytest.mark.slow
@given(TRIALS)
def test_an_interval_holds_its_estimate_within_0_and_1(tried: list[tuple[str, bool]]) -> None:
    found = rate(tried)
    low, high = found.interval
    assert 0 <= low <= high <= 1
    assert (found.count, found.trials) == (sum(counts for _, counts in tried), len(tried))
    assert (found.estimate is None) == (not tried)
    assert found.estimate is None or low <= found.estimate <= high


@pytest.mark.slow
@given(TRIALS)
def test_the_order_of_trials_changes_no_rate_and_no_method(tried: list[tuple[str, bool]]) -> None:
    first, second = rate(tried), rate(list(reversed(tried)))
    assert (first.estimate, first.method) == (second.estimate, second.method)


def test_the_same_trials_always_have_the_same_interval() -> None:
    tried = trials(a=(3, 20), b=(1, 20), c=(0, 20))
    assert rate(tried) == rate(tried)


def test_without_trials_nothing_is_known_and_no_limit_is_kept() -> None:
    nothing = rate([])
    assert nothing == Rate(0, 0, 0, (0.0, 1.0), Method.NONE)
    assert nothing.estimate is None
    assert not nothing.within(1.0)


def test_a_limit_is_kept_at_the_limit() -> None:
    assert rate(trials(a=(1, 20))).within(0.05)
    assert not rate(trials(a=(2, 20))).within(0.05)
    assert not rate(trials(a=(1, 20))).within(math.nan)


def test_photos_of_one_person_are_taken_as_independent() -> None:
    found = rate(trials(a=(5, 100)))
    assert (found.method, found.interval) == (Method.CLOPPER_PEARSON, interval(5, 100))


def test_errors_that_sit_with_one_person_widen_the_interval() -> None:
    found = rate(trials(a=(40, 50), b=(0, 50), c=(0, 50), d=(0, 50)))
    assert found.method is Method.BOOTSTRAP
    assert found.groups == 4
    assert found.interval[0] == 0  # without a, no error
    assert found.interval[1] > 2 * interval(40, 200)[1]


def test_people_who_happen_to_be_alike_do_not_narrow_it() -> None:
    alike = rate(trials(a=(5, 50), b=(5, 50)))
    assert alike.interval == interval(10, 100)


def test_the_worst_has_the_highest_rate_and_of_equal_ones_the_least_is_known_of_it() -> None:
    sure, unsure = rate(trials(a=(0, 100))), rate(trials(a=(0, 10)))
    bad, unknown = rate(trials(a=(1, 100))), rate([])
    assert worst({"sure": sure, "bad": bad, "unsure": unsure}) == "bad"
    assert worst({"sure": sure, "unsure": unsure, "unknown": unknown}) == "unsure"
    for wrong, of in ((1, 2), (1, 1)):
        sure, unsure = rate(trials(a=(wrong * 20, of * 20))), rate(trials(a=(wrong * 3, of * 3)))
        assert worst({"sure": sure, "unsure": unsure}) == "unsure"
    assert worst({"unknown": unknown}) is None
    assert worst({}) is None


@given(SCORES, some.lists(some.floats(0, 1), min_size=2))
def test_fewer_pass_a_higher_threshold(scores: list[float], thresholds: list[float]) -> None:
    rising = np.sort(np.array(thresholds))
    shares = passing(scores, rising)
    assert (np.diff(shares) <= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()


@given(SCORES, some.floats(0, 1))
def test_the_limit_itself_passes_and_nan_never_does(scores: list[float], threshold: float) -> None:
    (share,) = passing([*scores, threshold], np.array([threshold]))
    passed = 1 + sum(score >= threshold for score in scores)  # NaN is not
    assert share == pytest.approx(passed / (len(scores) + 1))


def test_bootstrap_of_a_constant_has_no_width() -> None:
    interval = bootstrap_interval(lambda _: np.array([0.25, 1.0]), 5, resamples=20, seed=1)
    assert interval.tolist() == [[0.25, 1.0], [0.25, 1.0]]


def test_bootstrap_is_as_wide_as_the_binomial() -> None:
    wrong = np.arange(400) < 40  # 10 % of 400 persons: standard error 1.5 %

    def rate(copies: NDArray[Any]) -> NDArray[Any]:
        return np.array([(copies * wrong).sum() / copies.sum()])

    low, high = bootstrap_interval(rate, 400, resamples=2000, seed=1)[:, 0]
    assert low == pytest.approx(0.1 - 1.96 * 0.015, abs=0.004)
    assert high == pytest.approx(0.1 + 1.96 * 0.015, abs=0.004)


def test_resamples_that_say_nothing_of_a_rate_are_left_out() -> None:
    def rates_of(copies: Any) -> Any:
        return np.array([1.0 if copies[0] else math.nan, math.nan])

    found = bootstrap_interval(rates_of, 2, resamples=50, seed=1)
    assert found[:, 0].tolist() == [1, 1]
    assert np.isnan(found[:, 1]).all()


def test_threads_find_the_same() -> None:
    def rates_of(copies: Any) -> Any:
        return copies / copies.sum()

    one, four = (
        bootstrap_interval(rates_of, 5, resamples=50, seed=1, threads=threads) for threads in (1, 4)
    )
    assert (one == four).all()
