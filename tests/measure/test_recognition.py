"""Rates of whole folders, against the same counted pair by pair."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from plain import PLAIN
from portraits import encodings

from facauth.measure import recognition
from facauth.measure.comparisons import EDGES, floor_for, impostor_spread, reached
from facauth.measure.encoded import Encodings
from facauth.measure.folders import Portrait
from facauth.measure.matching import MIN_PAIRS
from facauth.measure.rates import Method, estimate
from facauth.measure.recognition import FMRS, MatchEvaluation, Row

CALIBRATION = PLAIN.calibration

UNEVEN = [1, 2, 3, 4] * 6  # photos of 24 people


@pytest.fixture(scope="module")
def found() -> Encodings:
    return encodings(*UNEVEN)


@pytest.fixture(scope="module")
def row(found: Encodings) -> Row:
    made = recognition.gallery_of(found, 1)
    assert made
    return recognition.measured(made, 0.2, CALIBRATION)


def counted(found: Encodings, threshold: float) -> tuple[float, float]:
    """FMR and FNMR: the mean over ordered pairs of people, over people with two photos."""
    similarity = found.vectors @ found.vectors.T
    photos = [np.flatnonzero(found.person == one) for one in range(len(found.names))]
    strangers = [
        (similarity[np.ix_(photos[a], photos[b])] >= threshold).mean()
        for a, b in product(range(len(photos)), repeat=2)
        if a != b
    ]
    same = []
    for mine in photos:
        if len(mine) > 1:
            own = similarity[np.ix_(mine, mine)][~np.eye(len(mine), dtype=bool)]
            same.append((own < threshold).mean())
    return float(np.mean(strangers)), float(np.mean(same))


def test_how_much_was_compared(row: Row) -> None:
    n = sum(UNEVEN)
    own = sum(count**2 for count in UNEVEN)
    assert (row.photos, row.enrolled, row.people) == (1, 24, 18)
    assert (row.genuine, row.impostor, row.pairs) == (own - n, n * n - own, 24 * 23 // 2)


def test_the_calibrations_thresholds_do_what_is_counted(found: Encodings, row: Row) -> None:
    assert [each.asked_fmr for each in row.kept] == [0.2, *FMRS]
    for kept in row.kept:
        expected = float(CALIBRATION.min_similarity(kept.asked_fmr, np.array([1]))[0])
        assert kept.min_similarity == expected
        assert kept.fmr and kept.fnmr
        assert (kept.fmr.value, kept.fnmr.value) == pytest.approx(counted(found, expected))
    assert row.kept[0].fmr and row.kept[0].fmr.value > 0


def test_thresholds_set_here_keep_the_rate_and_no_lower_one_does(
    found: Encodings, row: Row
) -> None:
    shown = [each for each in row.shown if each.min_similarity is not None]
    assert shown
    for each in shown:
        assert each.min_similarity and each.fnmr
        assert counted(found, each.min_similarity)[0] <= each.fmr + 1e-9
        assert counted(found, each.min_similarity - 1e-6)[0] > each.fmr
        assert each.fnmr.value == pytest.approx(counted(found, each.min_similarity)[1])


def test_what_few_pairs_show_is_not_shown(row: Row) -> None:
    for each in row.shown:
        assert (each.pairs < MIN_PAIRS) == (each.min_similarity is None) == (each.fnmr is None)
    assert row.shown[-1].fnmr is None


def test_the_spread_is_the_rate_at_every_edge(found: Encodings, row: Row) -> None:
    for place in np.searchsorted(EDGES, [-1, 0.5, 0.6, 0.65, 0.7, 0.8, 1]):
        threshold = float(EDGES[place])
        fmr, fnmr = counted(found, threshold)
        assert row.fmrs[place] == pytest.approx(fmr, abs=2e-3)  # edges are not exact in float32
        assert row.fnmrs[place] == pytest.approx(fnmr, abs=2e-3)


def test_the_equal_error_rate_is_equal() -> None:
    fmrs, fnmrs = np.array([1, 0.6, 0.21, 0.1, 0.0]), np.array([0, 0.0, 0.19, 0.4, 1.0])
    assert recognition._equal_error_rate(fmrs, fnmrs) == pytest.approx(0.2)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
def test_a_floor_reaches_down_to_its_share_and_hardly_further(
    found: Encodings, share: float
) -> None:
    made = recognition.gallery_of(found, 1)
    assert made
    floor = floor_for(made, share)
    assert counted(found, floor)[0] >= share - 1e-9
    assert counted(found, floor + 3e-4)[0] <= share + 0.01
    assert impostor_spread(made)[0] == 1


def test_a_photo_is_not_compared_with_a_template_that_it_is_part_of(found: Encodings) -> None:
    made = recognition.gallery_of(found, 3)
    assert made
    template, photo, _ = reached(made, -1.0)
    assert not (made.members[template] == photo[:, None]).any()
    assert len(template) == len(made.owner) * (len(made.person) - 3)


def test_several_photos_are_measured_where_enough_people_have_them() -> None:
    assert recognition.numbers_of_photos(encodings(*[4] * 9, 3), 1) == [1]
    assert recognition.numbers_of_photos(encodings(*[4] * 10), 1) == [1, 3]
    assert recognition.numbers_of_photos(encodings(2, 2), 2) == [1, 2]


def evaluated(*counts: int, photos: int = 1, at_fmr: float = 1e-4) -> MatchEvaluation:
    return recognition.evaluate(
        encodings(*counts), calibration=CALIBRATION, at_fmr=at_fmr, photos=photos
    )


def test_nobody_with_two_photos_has_no_fnmr() -> None:
    (row,) = evaluated(1, 1, 1).rows
    assert (row.people, row.genuine, row.eer) == (0, 0, None)
    assert all(each.fnmr is None for each in row.shown)
    assert all(each.fnmr is None for each in row.kept)
    assert all(each.fmr and each.fmr.value in (0, 1) for each in row.kept)


@pytest.mark.parametrize("counts", [(), (3,)])
def test_with_one_person_nothing_is_compared(counts: tuple[int, ...]) -> None:
    found = evaluated(*counts)
    assert (found.rows, found.row, found.gallery, found.groups) == ((), None, None, None)


def test_the_equal_error_rate_has_an_interval() -> None:
    wide, narrow = (evaluated(*[3] * people).rows[0].eer for people in (20, 150))
    assert wide and narrow
    for found in (wide, narrow):
        low, high = found.interval
        assert 0 <= low <= found.value <= high < 0.5
    assert np.ptp(narrow.interval) < np.ptp(wide.interval)


def test_where_the_two_rates_meet_below_the_tail_nothing_is_known() -> None:
    falling, rising = np.array([0.1, 0.05, 0.0]), np.array([0.2, 0.3, 0.4])
    assert recognition._equal_error_rate(falling, rising) is None
    assert recognition._equal_error_rate(falling, np.array([np.nan] * 3)) is None
    assert recognition._equal_error_rate(falling, rising - 0.15) == pytest.approx(0.05, abs=0.06)


def refused(person: str, *codes: str) -> tuple[Portrait, tuple[str, ...]]:
    return Portrait(f"{person}/x.jpg", f"{person}/x.jpg", person), codes


def test_photos_that_cannot_be_used_count_as_missed_if_asked() -> None:
    made = encodings(3, 3, 1)
    lost = (
        refused("p000", "face.none"),
        refused("p002", "face.none"),
        refused("gone", "face.none"),
    )
    found = replace(made, failed=(*lost, refused("p001", "image.format")))
    plain, counted = (
        recognition.evaluate(
            found,
            calibration=CALIBRATION,
            at_fmr=1e-2,
            photos=1,
            gallery=2,
            group_of={"p000/0.jpg": "a", "p000/x.jpg": "a", "p001/0.jpg": "b", "p001/1.jpg": "b"},
            count_fta=count,
        )
        for count in (False, True)
    )
    assert plain.row and counted.row
    assert (plain.row.people, plain.row.genuine) == (2, 12)
    assert (counted.row.people, counted.row.genuine) == (3, 12 + 3 + 1)
    before, after = (row.kept[0].fnmr for row in (plain.row, counted.row))
    assert before and after
    assert before.value == 0
    assert after.value == pytest.approx((3 / 9 + 0 + 1) / 3)  # of one person a third, of one all
    assert plain.groups and counted.groups
    assert [each.fnmr and each.fnmr.value for each in plain.groups.within] == [0, 0]
    assert [each.fnmr and each.fnmr.value for each in counted.groups.within] == [3 / 5, 0]
    assert counted.groups.most_missed == counted.groups.within[0]
    assert plain.gallery and counted.gallery
    assert plain.gallery.fnir and counted.gallery.fnir
    assert plain.gallery.fnir.value == 0
    assert counted.gallery.fnir.value > 0.3
    assert plain.gallery.fpir == counted.gallery.fpir


def test_two_people_are_enough() -> None:
    (row,) = evaluated(2, 2).rows
    assert row.pairs == 1
    assert all(each.fmr and each.fmr.interval == (0, 1) for each in row.kept)


def test_more_photos_than_anybody_has() -> None:
    found = evaluated(3, 3, photos=4)
    assert [row.photos for row in found.rows] == [1]
    assert found.row is None
    assert recognition.missed(found, 1.0)


@pytest.mark.parametrize(("limit", "codes"), [(None, []), (1.0, []), (0.0, ["evaluate.fnmr"])])
def test_a_limit_is_about_the_calibrations_threshold(limit: float | None, codes: list[str]) -> None:
    found = evaluated(*UNEVEN, at_fmr=1e-8)
    assert found.row
    assert found.row.kept[-1].asked_fmr == 1e-8
    assert found.row.kept[-1].fnmr and found.row.kept[-1].fnmr.value > 0
    assert [reason.code for reason in recognition.missed(found, limit)] == codes


def test_of_what_nothing_is_known_no_limit_is_kept() -> None:
    (reason,) = recognition.missed(evaluated(1, 1), 1.0)
    assert "is unknown" in reason.message


# ---- estimates


@pytest.mark.parametrize(
    ("value", "low", "high", "units", "interval", "method"),
    [
        (0.2, 0.1, 0.3, 100, (0.1, 0.3), Method.BOOTSTRAP),
        (0.0, 0.0, 0.0, 100, (0.0, 0.03), Method.RULE_OF_THREE),
        (1.0, 1.0, 1.0, 100, (0.97, 1.0), Method.RULE_OF_THREE),
        (0.001, 0.0, 0.002, 100, (0.0, 0.03), Method.BOOTSTRAP),  # more may hide in 100
        (0.2, 0.2, 0.2, 1, (0.0, 1.0), Method.NONE),
        (0.2, math.nan, math.nan, 9, (0.0, 1.0), Method.NONE),
    ],
)
def test_an_interval_says_no_more_than_is_known(
    value: float,
    low: float,
    high: float,
    units: int,
    interval: tuple[float, float],
    method: Method,
) -> None:
    found = estimate(value, low, high, units)
    assert found
    assert found.interval == pytest.approx(interval)
    assert found.method == method


def test_no_number_is_no_rate() -> None:
    assert estimate(math.nan, 0.0, 1.0, 100) is None
