"""Who is it: nobody by accident, nobody by a broken number, and nobody more easily in a crowd."""

from __future__ import annotations

import math
import random
import re
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain import PLAIN

from facauth.decision import match as decision
from facauth.decision.match import Crowd, Gallery, fmr_of_each, require_match
from facauth.errors import FacauthError, NoMatch, SetupProblem, UsageProblem
from facauth.settings import DEFAULT, MIN_MARGIN, RATES, asked_rate
from facauth.structs import Encoding, Match, Terms

CALIBRATION = PLAIN.calibration
compare = partial(decision.compare, calibration=CALIBRATION)

Vector = NDArray[np.float32]
Rows = list[tuple[str, bytes]]

quick = settings(derandomize=True, deadline=None, max_examples=150, database=None)
similarities = st.floats(0.3, 0.999)
rates = st.floats(-8, -2).map(lambda exponent: 10**exponent)


def axis(index: int) -> NDArray[np.float64]:
    vector = np.zeros(256)
    vector[index] = 1
    return vector


PROBE = Encoding("test/1", axis(0).astype(np.float32))


def like(similarity: float, index: int) -> bytes:
    """An encoding so similar to the probe, and beside that unlike any other index."""
    aside = math.sqrt(1 - similarity**2)
    return (similarity * axis(0) + aside * axis(index)).astype("<f4").tobytes()


def crowd(*wanted: float) -> Rows:
    """One person with one photo for each similarity to the probe: p0, p1, ..."""
    return [(f"p{index}", like(each, index + 1)) for index, each in enumerate(wanted)]


def signed_in(rows: Rows, fmr: float | None = None, probe: Encoding = PROBE) -> str | None:
    """Who gets in, as in pipeline.sign_in without a claimed name; None is nobody."""
    gallery = Gallery.of(rows)
    match = compare(probe, gallery, fmr or RATES.identify_fpir / len(gallery.names))
    try:
        require_match(match, claimed=False)
    except NoMatch:
        return None
    return match.person


# --- comparing -----------------------------------------------------------------------------------


@quick
@given(st.lists(similarities, min_size=1, max_size=8))
def test_the_most_similar_person_is_the_best(wanted: list[float]) -> None:
    match = compare(PROBE, Gallery.of(crowd(*wanted)), 1e-4)
    assert match.similarity == pytest.approx(max(wanted), abs=1e-5)
    assert match.compared == len(wanted)
    assert (match.margin is None) is (len(wanted) == 1)
    if match.margin is not None:
        first, second = sorted(wanted, reverse=True)[:2]
        assert match.margin == pytest.approx(first - second, abs=1e-5)


def test_with_more_photos_more_is_asked_for() -> None:
    """So the person with three photos may be more similar and yet not the best."""
    rows = [("three", like(0.80, 1))] * 3 + [("one", like(0.79, 2))]
    match = compare(PROBE, Gallery.of(rows), 1e-4)
    assert match.person == "one"


def test_the_mean_of_the_photos_is_compared() -> None:
    rows = [("ada", like(0.8, 1)), ("ada", like(0.8, 2))]
    match = compare(PROBE, Gallery.of(rows), 1e-4)
    assert match.similarity == pytest.approx(0.8 / math.sqrt((1 + 0.64) / 2), abs=1e-5)


@quick
@given(st.lists(similarities, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_enrolment_does_not_matter(wanted: list[float], dice: random.Random) -> None:
    assume(len({round(each, 4) for each in wanted}) == len(wanted))
    people = [
        [(f"p{index}", like(each, 10 * index + photo)) for photo in range(1, 4)]
        for index, each in enumerate(wanted)
    ]
    before = compare(PROBE, Gallery.of([*chain(*people)]), 1e-4)
    dice.shuffle(people)
    for person in people:
        dice.shuffle(person)
    after = compare(PROBE, Gallery.of([*chain(*people)]), 1e-4)
    assert before.person == after.person
    assert before.similarity == pytest.approx(after.similarity, abs=1e-6)
    assert before.min_similarity == after.min_similarity


# --- refusing ------------------------------------------------------------------------------------


@quick
@given(similarities, rates, rates)
def test_a_lower_rate_lets_nobody_else_in(similarity: float, one: float, other: float) -> None:
    strict, easy = sorted((one, other))
    if signed_in(crowd(similarity), strict):
        assert signed_in(crowd(similarity), easy) == "p0"


@quick
@given(similarities, st.lists(st.floats(0.3, 0.7), max_size=40))
def test_with_more_people_nobody_gets_in_more_easily(similarity: float, more: list[float]) -> None:
    if signed_in(crowd(similarity, *more)):
        assert signed_in(crowd(similarity)) == "p0"


@quick
@given(st.lists(similarities, min_size=1, max_size=6), st.lists(similarities, max_size=6))
def test_who_is_let_in_as_one_of_more_would_be_let_in_as_one_of_fewer(
    here: list[float], more: list[float]
) -> None:
    person = signed_in(crowd(*here, *more))
    if person is not None and person in {name for name, _ in crowd(*here)}:
        assert signed_in(crowd(*here)) == person


@pytest.mark.parametrize("people", [1, 10, 100, 1000])
def test_a_stranger_stays_one_however_many_people_there_are(people: int) -> None:
    """Similarities as strangers have them: the best of n is better than the best of one."""
    dice = np.random.default_rng(people)
    vectors = dice.normal(size=(people, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [(f"p{i}", vector.astype("<f4").tobytes()) for i, vector in enumerate(vectors)]
    assert signed_in(rows) is None


def at(similarity: float, limit: float, margin: float | None = None) -> Match:
    return Match("Ada", similarity, limit, 1e-4, margin, 1 if margin is None else 2)


@pytest.mark.parametrize("claimed", [True, False])
def test_at_or_above_the_limit_it_is_a_match(claimed: bool) -> None:
    require_match(at(0.8, 0.8), claimed=claimed)
    require_match(at(math.nextafter(0.8, 1), 0.8), claimed=claimed)
    with pytest.raises(NoMatch) as refusal:
        require_match(at(math.nextafter(0.8, 0), 0.8), claimed=claimed)
    (reason,) = refusal.value.reasons
    assert reason.code == "match.none"
    assert ("Ada" in reason.message) is claimed  # who is only nearly matched is not named


@pytest.mark.parametrize(
    "match",
    [
        at(math.nan, 0.8),
        at(0.9, math.nan),
        at(math.nan, math.nan),
        at(-math.inf, 0.8),
        at(0.9, 0.8, math.nan),
        at(math.nan, 0.8, math.nan),
    ],
)
@pytest.mark.parametrize("claimed", [True, False])
def test_not_a_number_is_not_a_match(match: Match, claimed: bool) -> None:
    with pytest.raises(NoMatch):
        require_match(match, claimed=claimed)


@pytest.mark.parametrize("fmr", [math.nan, 0.0, -1.0, 1e-3 / 200_000])
def test_a_rate_that_cannot_be_promised_lets_nobody_in(fmr: float) -> None:
    with pytest.raises(UsageProblem):
        compare(PROBE, Gallery.of([("ada", PROBE.as_bytes())]), fmr)


@pytest.mark.parametrize(("second", "code"), [(0.9, "match.ambiguous"), (0.7, None)])
def test_two_people_who_both_match_are_nobody(second: float, code: str | None) -> None:
    match = compare(PROBE, Gallery.of(crowd(0.95, second)), 1e-4)
    if code is None:
        require_match(match, claimed=False)
        return
    with pytest.raises(NoMatch) as refusal:
        require_match(match, claimed=False)
    (reason,) = refusal.value.reasons
    assert reason.code == code
    assert "p0" not in str(reason)
    assert "p1" not in str(reason)


def test_the_same_face_under_two_names_is_nobody() -> None:
    assert signed_in([("ada", like(0.95, 1)), ("eve", like(0.95, 1))]) is None


@quick
@given(st.floats(0.6, 0.999), st.floats(0.6, 0.999), rates)
def test_a_match_of_one_is_a_miss_of_all_others(one: float, other: float, fmr: float) -> None:
    rows = crowd(one, other)
    alone = [signed_in([row], fmr) is not None for row in rows]
    assume(abs(abs(one - other) - MIN_MARGIN) > 1e-5)
    clear = sum(alone) == 1 and abs(one - other) > MIN_MARGIN
    assert (signed_in(rows, fmr) is not None) is clear


@pytest.mark.parametrize(("behind", "code"), [(0.054, "match.ambiguous"), (0.056, None)])
def test_who_is_hardly_ahead_of_somebody_else_is_nobody(behind: float, code: str | None) -> None:
    """Though the other misses the threshold, which both are close to."""
    limit = compare(PROBE, Gallery.of(crowd(0.9, 0.1)), 1e-4).min_similarity
    match = compare(PROBE, Gallery.of(crowd(limit + 0.01, limit + 0.01 - behind)), 1e-4)
    if code is None:
        require_match(match, claimed=False)
        return
    with pytest.raises(NoMatch) as refusal:
        require_match(match, claimed=False)
    assert refusal.value.reasons[0].code == code


# --- the rate that is asked for ------------------------------------------------------------------


@pytest.mark.parametrize(("claimed", "rate"), [(True, 1e-4), (False, 1e-3)])
def test_without_a_word_the_default_rate_is_kept(claimed: bool, rate: float) -> None:
    assert asked_rate(None, claimed=claimed) == rate
    assert asked_rate(1e-6, claimed=claimed) == 1e-6


@pytest.mark.parametrize("rate", [0.0, -1e-4, 0.11, 1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_share_of_strangers_is_refused(rate: float) -> None:
    with pytest.raises(UsageProblem) as refusal:
        asked_rate(rate, claimed=True)
    assert refusal.value.reasons[0].code == "match.impossible_rate"


@quick
@given(rates, st.integers(1, 300))
def test_the_rate_of_all_comparisons_together_is_the_one_asked_for(asked: float, n: int) -> None:
    """Or nothing is promised: never is a comparison looser than its share, nor beyond the data."""
    gallery = Gallery.of([(f"p{each}", GOOD) for each in range(n)])
    named = Terms(max(asked, 1e-8), DEFAULT, "p0")
    assert fmr_of_each(gallery, named, CALIBRATION.min_fmr) == named.rate
    try:
        each = fmr_of_each(gallery, Terms(asked, DEFAULT), CALIBRATION.min_fmr)
    except UsageProblem as refusal:
        assert refusal.reasons[0].code == "match.unsupported_rate"
        assert asked / n < CALIBRATION.min_fmr
    else:
        assert each * n == pytest.approx(asked)
        assert each >= CALIBRATION.min_fmr * 0.999999


@given(st.integers(2, 10**7))
def test_the_rate_that_is_advised_is_supported(people: int) -> None:
    many = Crowd(people, (), lambda _: [])
    with pytest.raises(UsageProblem) as refusal:
        fmr_of_each(many, Terms(1e-8, DEFAULT), CALIBRATION.min_fmr)
    (advised,) = re.findall(r"--fmr (\S+)", refusal.value.reasons[0].advice)
    terms = Terms(float(advised), DEFAULT)
    assert fmr_of_each(many, terms, CALIBRATION.min_fmr) < 1.2e-8


def test_a_probe_unlike_everybody_is_nobody() -> None:
    probe = Encoding("test/1", (-axis(0)).astype(np.float32))
    assert signed_in(crowd(0.9, 0.8), probe=probe) is None


# --- the gallery ---------------------------------------------------------------------------------


def test_nobody_makes_an_empty_gallery() -> None:
    gallery = Gallery.of([])
    assert gallery.names == ()
    assert gallery.only("ada").names == gallery.without("ada").names == ()


def test_only_and_without() -> None:
    gallery = Gallery.of([*crowd(0.9, 0.8), ("p1", like(0.8, 2)), ("P1", like(0.7, 5))])
    assert gallery.names == ("p0", "p1", "P1")
    assert gallery.photos.tolist() == [1, 2, 1]
    assert gallery.only("p1").names == ("p1",)
    assert gallery.only("p1").photos.tolist() == [2]
    assert gallery.only("nobody").names == ()
    assert gallery.without("p1").names == ("p0", "P1")
    assert gallery.without(None).names == gallery.names
    np.testing.assert_allclose(np.linalg.norm(gallery.means, axis=1), 1, atol=1e-6)
    assert compare(PROBE, gallery.only("p1"), 1e-4).person == "p1"


GOOD = like(0.9, 1)


@pytest.mark.parametrize(
    "encoding",
    [
        b"",
        GOOD[:-4],
        GOOD[:-1],
        GOOD + b"\0" * 4,
        GOOD * 2,
        bytes(1024),
        np.full(256, np.nan, "<f4").tobytes(),
        np.full(256, np.inf, "<f4").tobytes(),
        np.full(256, 3e38, "<f4").tobytes(),
        np.full(256, 1e-40, "<f4").tobytes(),
        np.where(np.arange(256) == 7, np.nan, np.frombuffer(GOOD, "<f4")).astype("<f4").tobytes(),
        (np.frombuffer(GOOD, "<f4") * 1.1).astype("<f4").tobytes(),
        (np.frombuffer(GOOD, "<f4") * 0.9).astype("<f4").tobytes(),
        np.frombuffer(GOOD, "<f4").astype(">f4").tobytes(),
        np.frombuffer(GOOD, "<f4").astype("<f8").tobytes(),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_a_damaged_encoding_is_not_compared(encoding: bytes, others: int) -> None:
    with pytest.raises(SetupProblem) as refusal:
        Gallery.of([*crowd(0.9)[:others], ("bad", encoding)])
    assert refusal.value.reasons[0].code == "store.damaged"


@pytest.mark.parametrize("others", [0, 1])
def test_photos_that_cancel_each_other_out_let_nobody_in(others: int) -> None:
    """Their mean has no direction."""
    opposite = (-np.frombuffer(GOOD, "<f4")).astype("<f4").tobytes()
    rows = [("bad", GOOD), ("bad", opposite), *crowd(0.3)[:others]]
    try:
        assert signed_in(rows) is None
    except FacauthError as error:
        assert isinstance(error, SetupProblem)


@pytest.mark.parametrize(
    "vector",
    [
        np.full(256, np.nan),
        np.zeros(256),
        np.full(256, np.inf),
        axis(0) * 1.01,
        np.eye(128)[0],
        axis(0).reshape(1, 256),
        axis(0).reshape(16, 16),
    ],
)
def test_a_probe_is_a_unit_vector_or_nothing(vector: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="unit length"):
        Encoding("test/1", vector.astype(np.float32))


def test_a_stored_encoding_is_the_one_that_was_made() -> None:
    assert PROBE.as_bytes() == axis(0).astype("<f4").tobytes()
    match = compare(PROBE, Gallery.of([("ada", PROBE.as_bytes())]), 1e-8)
    assert match.similarity == pytest.approx(1, abs=1e-6)
    require_match(match, claimed=False)
