import math

import numpy as np
import pytest

from facauth.measure import matching
from facauth.measure.matching import Genuine, ImpostorTail

# Three persons; 0 and 1 may be enrolled, so four ordered pairs: 0-1, 0-2, 1-0, 1-2, of weight 1
# each. Person 2 has two photos, so its comparisons weigh 1/2. Below the floor: one of 0-2, 1-0.
TAIL = ImpostorTail(
    similarity=np.array([0.9, 0.8, 0.7, 0.7]),
    enrolled=np.array([0, 1, 1, 0]),
    probe=np.array([2, 2, 2, 1]),
    weight=np.array([0.5, 0.5, 0.5, 1.0]),
    enrollable=np.array([True, True, False]),
    floor=0.6,
)
GENUINE = Genuine(
    similarity=np.array([0.95, 0.75, 0.65, 0.55]),
    person=np.array([0, 2, 2, 2]),
    weight=np.array([1, 1 / 3, 1 / 3, 1 / 3]),
)


@pytest.mark.parametrize(
    ("threshold", "fmr"),
    [(0.95, 0.0), (0.9, 0.125), (0.85, 0.125), (0.8, 0.25), (0.7, 0.625), (0.6, 0.625)],
)
def test_fmr_counts_pairs_of_persons(threshold: float, fmr: float) -> None:
    assert matching.fmr_at(TAIL, threshold) == pytest.approx(fmr, abs=1e-12)


def test_fmr_below_the_floor_is_unknown() -> None:
    with pytest.raises(ValueError, match="floor"):
        matching.fmr_at(TAIL, 0.5)


@pytest.mark.parametrize(
    ("fmr", "just_above"),
    [(0.0, 0.9), (0.12, 0.9), (0.125, 0.8), (0.2, 0.8), (0.25, 0.7), (0.5, 0.7)],
)
def test_threshold_is_the_lowest_that_keeps_the_rate(fmr: float, just_above: float) -> None:
    threshold = matching.threshold_at_fmr(TAIL, fmr)
    assert threshold == math.nextafter(just_above, math.inf)
    assert matching.fmr_at(TAIL, threshold) <= fmr + 1e-12


def test_threshold_needs_a_tail_that_reaches_the_rate() -> None:
    with pytest.raises(ValueError, match="tail ends"):
        matching.threshold_at_fmr(TAIL, 0.625)


def test_equal_weights_are_the_plain_rate() -> None:
    tail = ImpostorTail(
        np.array([0.4, 0.3], np.float32),
        np.array([0, 1]),
        np.array([1, 0]),
        np.array([1, 1]),
        np.array([True, True]),
        -1.0,
    )
    assert matching.fmr_at(tail, 0.35) == 0.5
    assert matching.threshold_at_fmr(tail, 0.5) == np.nextafter(np.float32(0.3), np.float32(1))


@pytest.mark.parametrize(
    ("threshold", "fnmr"),
    [(0.5, 0.0), (0.55, 0.0), (0.6, 1 / 6), (0.7, 1 / 3), (0.8, 0.5), (1.0, 1.0)],
)
def test_fnmr_weighs_persons_alike(threshold: float, fnmr: float) -> None:
    assert matching.fnmr_at(GENUINE, threshold) == pytest.approx(fnmr, abs=1e-12)


def test_copies_of_a_person_weigh_more() -> None:
    copies = np.array([2, 0, 1])  # ordered pairs: two of 0-2, none else
    assert matching.pair_weight(TAIL.enrollable, copies) == 2
    assert matching.fmr_at(TAIL, 0.7, copies) == pytest.approx(0.5)  # half of 0-2 is at .9
    assert matching.fnmr_at(GENUINE, 0.7, copies) == pytest.approx(2 / 9)
    assert matching.threshold_at_fmr(TAIL, 0.25, copies) == math.nextafter(0.9, math.inf)


def test_the_copies_of_one_person_are_not_impostors() -> None:
    assert matching.pair_weight(np.array([True, True]), np.array([3, 1])) == 6


def test_several_thresholds_at_once_are_the_same_as_one_by_one() -> None:
    copies = np.array([2, 1, 1])
    found = matching.Resample(TAIL, copies)
    thresholds = found.thresholds_at(np.array([0.1, 0.25])).tolist()
    assert thresholds == [matching.threshold_at_fmr(TAIL, fmr, copies) for fmr in (0.1, 0.25)]
    rates = found.fmrs_at(np.array([0.9, 0.7])).tolist()
    assert rates == [matching.fmr_at(TAIL, at, copies) for at in (0.9, 0.7)]


def test_where_nothing_can_be_known_there_is_no_number() -> None:
    alone = np.array([3, 0, 0])
    assert np.isnan(matching.Resample(TAIL, alone).fmrs_at(np.array([0.7]))).all()
    assert np.isnan(matching.Resample(TAIL).thresholds_at(np.array([0.9]))).all()  # the tail ends
    assert np.isnan(matching.fnmrs_at(GENUINE, np.array([math.nan]))).all()
    assert np.isnan(matching.fnmrs_at(GENUINE, np.array([0.7]), np.array([0, 1, 0]))).all()


def test_cut_keeps_what_lies_above() -> None:
    cut = TAIL.cut(0.75)
    assert cut.similarity.tolist() == [0.9, 0.8]
    assert matching.fmr_at(cut, 0.8) == matching.fmr_at(TAIL, 0.8)


@pytest.mark.parametrize(("threshold", "pairs"), [(0.95, 0), (0.9, 1), (0.8, 2), (0.7, 3)])
def test_matching_pairs(threshold: float, pairs: int) -> None:
    assert matching.matching_pairs(TAIL, threshold) == pairs


def test_both_directions_are_one_matching_pair() -> None:
    tail = ImpostorTail(
        np.array([0.4, 0.3]),
        np.array([0, 1]),
        np.array([1, 0]),
        np.array([1.0, 1.0]),
        np.array([True, True]),
        0.0,
    )
    assert matching.matching_pairs(tail, 0.1) == 1


def test_normal_tail_is_found_again() -> None:
    # upper quantiles of N(0.5, 0.1): 1e-2 at +2.3263 deviations, 1e-4 at +3.7190
    tail = matching.normal_tail({1e-2: 0.73263, 1e-4: 0.87190})
    assert tail.mean == pytest.approx(0.5, abs=1e-4)
    assert tail.stdev == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(
    ("similarity", "same", "best"),
    [
        ([0.1, 0.9, 0.4, 0.6], [False, True, False, True], 0.6),
        ([0.9, 0.8, 0.7, 0.2], [True, False, True, False], 0.9),
        ([0.9, 0.5, 0.5], [True, True, False], 0.9),  # equals cannot be parted
        ([0.9, 0.1], [False, False], math.inf),
    ],
)
def test_best_threshold(similarity: list[float], same: list[bool], best: float) -> None:
    assert matching.best_threshold(np.array(similarity), np.array(same)) == best


def test_fold_accuracy_takes_the_threshold_from_the_other_folds() -> None:
    similarity = np.array([0.9, 0.1, 0.5, 0.3])
    same = np.array([True, False, True, False])
    fold = np.array([0, 0, 1, 1])
    # fold 0 with fold 1's threshold .5: both right; fold 1 with .9: the genuine pair is missed
    assert matching.fold_accuracy(similarity, same, fold) == pytest.approx(0.75)
