"""Sign-ins to random galleries."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from plain import PLAIN
from portraits import encodings

from facauth.decision.match import Gallery, compare, require_match
from facauth.errors import NoMatch, UsageProblem
from facauth.measure.comparisons import mean_templates, single_photos
from facauth.measure.identification import _Hits, identified, require_gallery
from facauth.structs import Encoding

CALIBRATION = PLAIN.calibration


def axes(*of: int) -> NDArray[np.float32]:
    """One unit vector for each photo, along one of the axes."""
    return np.eye(256, dtype=np.float32)[list(of)]


PERSON = np.arange(6).repeat(2)


def test_people_who_all_differ_are_never_confused() -> None:
    found = identified(single_photos(axes(*PERSON), PERSON), 3, CALIBRATION)
    assert found and found.fpir and found.fnir
    assert (found.fpir.value, found.fnir.value) == (0, 0)
    assert (found.fpir.interval, found.fnir.interval) == ((0, 0.5), (0, 0.5))
    assert (found.gallery, found.photos, found.strangers, found.mates) == (3, 1, 3, 3)


def test_the_rate_of_the_sign_in_is_shared_out() -> None:
    found = identified(single_photos(axes(*PERSON), PERSON), 4, CALIBRATION)
    assert found
    assert found.asked_fmr == pytest.approx(found.asked_fpir / 4)


def test_a_double_lets_strangers_in_where_exactly_one_of_two_is_enrolled() -> None:
    """People 0 and 1 look the same: with one of six enrolled, the other passes."""
    alike = axes(*np.maximum(PERSON, 1))
    found = identified(single_photos(alike, PERSON), 1, CALIBRATION)
    assert found and found.fpir and found.fnir
    assert found.fpir.value == pytest.approx(2 / 6 / 5, abs=0.02)
    assert found.fnir.value == 0


def test_with_both_enrolled_it_is_ambiguous_which_is_a_refusal() -> None:
    alike = axes(*np.maximum(PERSON, 1))
    found = identified(single_photos(alike, PERSON), 5, CALIBRATION)
    assert found and found.fpir and found.fnir
    # 4 of 6 draws have both among five: two mates of five miss; else one of the two is outside
    assert found.fnir.value == pytest.approx(4 / 6 * 2 / 5, abs=0.03)
    assert found.fpir.value == pytest.approx(2 / 6, abs=0.05)


def test_it_decides_as_sign_in_does() -> None:
    """Against compare and require_match, on people of whom many are nearly alike."""
    found = encodings(*[2] * 40)
    made = single_photos(found.vectors, found.person)
    fmr, ones = 0.02, np.ones(20, np.intp)
    threshold = float(CALIBRATION.min_similarity(fmr, np.array([1]))[0])
    chosen = np.arange(0, 40, 2)  # the first photos of twenty people
    enrolled = np.isin(np.arange(80), chosen)
    gallery = Gallery(tuple(found.files[each] for each in chosen), found.vectors[chosen], ones)
    expected = set()
    ambiguous = 0
    for photo in range(80):
        if photo not in chosen:
            match = compare(Encoding("", found.vectors[photo]), gallery, fmr, CALIBRATION)
            try:
                require_match(match, claimed=False)
            except NoMatch as refused:
                ambiguous += refused.reasons[0].code == "match.ambiguous"
            else:
                expected.add((photo, found.files.index(match.person)))
    decided = set(zip(*_Hits.of(made, threshold).decided(enrolled), strict=True))
    assert {each for each in decided if each[0] not in chosen} == expected
    assert expected and ambiguous


def test_who_looks_otherwise_on_the_other_photo_is_missed() -> None:
    found = identified(single_photos(axes(*range(12)), PERSON), 2, CALIBRATION)
    assert found and found.fnir
    assert (found.fnir.value, found.fnir.interval) == (1, (0.5, 1))


def test_without_a_further_photo_nobody_can_be_missed() -> None:
    found = identified(mean_templates(axes(*PERSON), PERSON, 2), 3, CALIBRATION)
    assert found and found.fpir
    assert (found.fnir, found.mates, found.photos) == (None, 0, 2)


@pytest.mark.parametrize("size", [6, 7])
def test_nobody_outside_is_no_measurement(size: int) -> None:
    assert identified(single_photos(axes(*PERSON), PERSON), size, CALIBRATION) is None


def test_too_few_who_can_be_enrolled() -> None:
    person = np.array([0, 0, 1, 1, 2, 3, 4])
    assert identified(mean_templates(axes(*person), person, 2), 3, CALIBRATION) is None


def test_twice_the_same() -> None:
    made = single_photos(axes(*np.maximum(PERSON, 1)), PERSON)
    assert identified(made, 2, CALIBRATION) == identified(made, 2, CALIBRATION)


def test_a_gallery_leaves_somebody_outside_and_is_supported() -> None:
    require_gallery(None, 2, CALIBRATION)
    require_gallery(9, 10, CALIBRATION)
    with pytest.raises(UsageProblem, match="a gallery of 10 leaves nobody outside of 10 people"):
        require_gallery(10, 10, CALIBRATION)
    with pytest.raises(UsageProblem, match="cannot be promised"):
        require_gallery(10**9, 10**10, CALIBRATION)
