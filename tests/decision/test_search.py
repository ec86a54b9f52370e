"""A crowd is searched by means made before, and decided as if all templates had been compared."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain import PLAIN

from facauth.decision import match
from facauth.decision.match import NEAREST, ROUNDING, Crowd, Gallery
from facauth.errors import SetupProblem, UsageProblem
from facauth.structs import Encoding

CALIBRATION = PLAIN.calibration
compare = partial(match.compare, calibration=CALIBRATION)
shortlist = partial(match.shortlist, calibration=CALIBRATION)

ROWS = 8  # of a block here
SCALE = 32767
Floats = NDArray[np.float32]
People = dict[int, list[bytes]]  # id -> encodings

quick = settings(derandomize=True, deadline=None, max_examples=200, database=None)
rates = st.floats(-8, -2).map(lambda exponent: 10**exponent)
# So close together that rounding may put them in another order.
close = st.builds(
    lambda about, off: about + off * 1e-6, st.sampled_from([0.3, 0.7, 0.9]), st.integers(0, 300)
)
wanted_of_each = st.lists(st.lists(close, min_size=1, max_size=3), min_size=1, max_size=40)


# At right angles to each other, and no number is zero.
AXES = np.linalg.qr(np.random.default_rng(1).normal(size=(256, 256)))[0]
PROBE = Encoding("test/1", AXES[0].astype(np.float32))


def like(similarity: float, index: int) -> bytes:
    """An encoding so similar to the probe, and beside that unlike any other index."""
    aside = math.sqrt(1 - similarity**2)
    vector: Floats = (similarity * AXES[0] + aside * AXES[1 + index % 255]).astype("<f4")
    return vector.tobytes()


def enrolled(wanted: Sequence[Sequence[float]], dice: random.Random) -> People:
    """People with ids that leave gaps."""
    ids = sorted(dice.sample(range(1, 3 * len(wanted) + 20), len(wanted)))
    return {
        person: [like(each, 3 * person + photo) for photo, each in enumerate(photos)]
        for person, photos in zip(ids, wanted, strict=True)
    }


@dataclass(frozen=True)
class Block:
    first: int
    photos: NDArray[np.intp]
    means: Floats


def rows_of(people: People) -> list[tuple[str, bytes]]:
    return [(f"p{person}", each) for person, photos in people.items() for each in photos]


def blocks_of(people: People) -> list[Block]:
    """As they are stored: to whole numbers."""
    ids = list(people)
    exact = Gallery.of(rows_of(people))
    means = np.zeros((max(ids) // ROWS * ROWS + ROWS, 256), np.float32)
    photos = np.zeros(len(means), np.intp)
    means[ids], photos[ids] = np.rint(exact.means * SCALE) / SCALE, exact.photos
    firsts = range(0, len(means), ROWS)
    return [Block(i, photos[i : i + ROWS], means[i : i + ROWS]) for i in firsts]


def crowd_of(people: People, blocks: Sequence[Block] | None = None) -> Crowd:
    def read(ids: Sequence[int]) -> list[tuple[str, bytes]]:
        assert len(ids) <= NEAREST
        return rows_of({person: people[person] for person in sorted(ids) if person in people})

    return Crowd(len(people), blocks if blocks is not None else blocks_of(people), read)


@quick
@given(wanted_of_each, rates, st.randoms(use_true_random=False))
def test_it_is_as_if_everybody_had_been_compared(
    wanted: list[list[float]], fmr: float, dice: random.Random
) -> None:
    people = enrolled(wanted, dice)
    everybody = compare(PROBE, Gallery.of(rows_of(people)), fmr)
    found = compare(PROBE, crowd_of(people), fmr)
    assert found == everybody  # to the last bit: person, similarity, threshold, margin, number


@quick
@given(wanted_of_each, rates, st.randoms(use_true_random=False))
def test_the_order_of_the_blocks_does_not_matter(
    wanted: list[list[float]], fmr: float, dice: random.Random
) -> None:
    people = enrolled(wanted, dice)
    blocks = blocks_of(people)
    dice.shuffle(blocks)
    found = compare(PROBE, crowd_of(people, blocks), fmr)
    assert found == compare(PROBE, crowd_of(people), fmr)


@pytest.mark.parametrize("seed", range(5))
def test_random_people(seed: int) -> None:
    """Thousands, one of whom it is; and a stranger."""
    dice = np.random.default_rng(seed)
    vectors = dice.normal(size=(3000, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = {2 * i: [each.astype("<f4").tobytes()] for i, each in enumerate(vectors)}
    crowd, gallery = crowd_of(people), Gallery.of(rows_of(people))
    aside = 0.3 * dice.normal(size=256) / 16
    for vector in (vectors[1234] + aside, dice.normal(size=256)):
        probe = Encoding("test/1", (vector / np.linalg.norm(vector)).astype(np.float32))
        assert compare(probe, crowd, 1e-8) == compare(probe, gallery, 1e-8)


def test_far_more_people_alike_than_are_looked_at_are_nobody() -> None:
    """And among them there still are two, so that it is ambiguous."""
    people = {person: [like(0.95, person)] for person in range(1, 5 * NEAREST)}
    found = compare(PROBE, crowd_of(people), 1e-8)
    assert found.compared == 5 * NEAREST - 1
    assert found.margin is not None
    assert not found.margin > found.similarity - found.min_similarity


# --- what is looked at again ---------------------------------------------------------------------


def test_nobody_is_on_no_list() -> None:
    similarities = np.array([0.9, 0.95, 0.5, 1.0], np.float32)
    assert shortlist(similarities, np.array([1, 1, 1, 0]), 1e-4).tolist() == [0, 1]
    assert shortlist(similarities, np.array([0, 0, 1, 0]), 1e-4).tolist() == [2]
    assert shortlist(similarities[:2], np.array([0, 1]), 1e-4).tolist() == [1]


def test_who_is_as_near_as_rounding_is_on_the_list() -> None:
    second = 0.9
    similarities = np.array([0.95, second, second - ROUNDING, second - 3 * ROUNDING], np.float32)
    assert shortlist(similarities, np.ones(4, np.intp), 1e-4).tolist() == [0, 1, 2]


def test_the_thresholds_count() -> None:
    """Who has more photos must be more alike."""
    similarities = np.array([0.9, 0.9, 0.9], np.float32)
    assert shortlist(similarities, np.array([3, 1, 1]), 1e-4).tolist() == [1, 2]


def test_what_is_not_a_number_is_on_the_list() -> None:
    similarities = np.array([0.5, np.nan, 0.9, 0.6], np.float32)
    assert 1 in shortlist(similarities, np.ones(4, np.intp), 1e-4)


# --- what does not fit ---------------------------------------------------------------------------


ADA, BOB, EVE = 1, 2, ROWS + 3
PEOPLE: People = {ADA: [like(0.95, 1)] * 2, BOB: [like(0.4, 2)], EVE: [like(0.3, 3)]}


def altered(change: Callable[[Floats, NDArray[np.intp]], object]) -> Crowd:
    """With the first block changed."""
    first, *others = blocks_of(PEOPLE)
    means, photos = first.means.copy(), first.photos.copy()
    change(means, photos)
    return crowd_of(PEOPLE, [replace(first, means=means, photos=photos), *others])


def swap(means: Floats, photos: NDArray[np.intp]) -> None:
    means[[ADA, BOB]], photos[[ADA, BOB]] = means[[BOB, ADA]], photos[[BOB, ADA]]


ALTERATIONS: dict[str, Callable[[Floats, NDArray[np.intp]], object]] = {
    "swapped": swap,
    "vectors swapped": lambda means, _: means.__setitem__([ADA, BOB], means[[BOB, ADA]]),
    "the probe as Bob": lambda means, _: means.__setitem__(BOB, PROBE.vector),
    "the probe as nobody": lambda means, photos: (
        means.__setitem__(5, PROBE.vector),
        photos.__setitem__(5, 1),
    ),
    "fewer photos": lambda _, photos: photos.__setitem__(ADA, 1),
    "more photos": lambda _, photos: photos.__setitem__(ADA, 3),
    "not a number": lambda means, _: means.__setitem__(BOB, np.nan),
    "longer": lambda means, _: means.__setitem__(BOB, 1000 * means[BOB]),
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_who_was_found_by_what_does_not_fit_is_not_compared(how: str) -> None:
    assert compare(PROBE, altered(lambda *_: None), 1e-4).person == f"p{ADA}"
    with pytest.raises(SetupProblem) as refusal:
        compare(PROBE, altered(ALTERATIONS[how]), 1e-4)
    assert refusal.value.reasons[0].code == "store.damaged"


def test_who_is_not_found_is_not_let_in() -> None:
    """Blocks that do not know Ada: nobody else becomes her."""

    def forget(_: Floats, photos: NDArray[np.intp]) -> None:
        photos[ADA] = 0

    found = compare(PROBE, altered(forget), 1e-4)
    assert found.person != f"p{ADA}"
    assert found.similarity < found.min_similarity


def test_a_rate_that_cannot_be_promised_is_refused() -> None:
    with pytest.raises(UsageProblem):
        compare(PROBE, crowd_of(PEOPLE), 1e-3 / 1_000_000)


def test_rounding_is_an_upper_bound() -> None:
    """Of the worst vectors there can be: each number rounded by half, all in one direction."""
    probe = np.full(256, 1 / 16)
    rounded = np.rint((probe + 0.4999 / SCALE) * SCALE) / SCALE
    worst = abs(float((rounded - probe - 0.4999 / SCALE) @ probe))
    assert worst < 0.5 / SCALE * 16 < ROUNDING
    assert match.ROUNDING == ROUNDING
