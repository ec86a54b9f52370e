"""The space of comparison: arithmetic on what is stored, and NaN where there is no face."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from plain import stored as made_up

from facauth.decision.calibration import shipped
from facauth.decision.match import Crowd, Gallery, compare
from facauth.decision.space import AS_STORED, HALF, Space
from facauth.errors import SetupProblem
from facauth.faces.encode import fuse
from facauth.structs import Encoding

RANDOM = np.random.default_rng(7)
CENTRE = tuple(np.round(RANDOM.normal(size=256) * 0.05, 5).tolist())
SPACE = Space(CENTRE, 0.2)
CALIBRATION = replace(shipped().calibration, space=SPACE)


def faces(number: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Halves as networks give them: of any length."""
    drawn = np.random.default_rng(seed).normal(size=(2, number, HALF)) + 1
    return drawn[0].astype(np.float32), 9 * drawn[1].astype(np.float32)


def stored(number: int, seed: int = 0) -> NDArray[np.float32]:
    return np.stack([fuse(*halves) for halves in zip(*faces(number, seed), strict=True)])


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return made


def test_a_similarity_is_the_weighted_one_of_both_halves_less_the_centre() -> None:
    centre = np.reshape(CENTRE, (2, HALF))
    dlib, sface = (
        unit(unit(half.astype(np.float64)) - centre[place]) for place, half in enumerate(faces(5))
    )
    found = SPACE.of(stored(5))
    assert found @ found.T == pytest.approx(0.2 * dlib @ dlib.T + 0.8 * sface @ sface.T, abs=1e-6)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


def test_how_the_halves_are_weighted_where_they_are_stored_does_not_matter() -> None:
    """So a store needs nobody's photo again when the weights change."""
    rows = stored(5)
    heavier = unit(np.hstack([0.1 * rows[:, :HALF], 3 * rows[:, HALF:]]).astype(np.float64))
    assert SPACE.of(heavier.astype(np.float32)) == pytest.approx(SPACE.of(rows), abs=1e-6)


def test_made_up_encodings_are_as_similar_as_wanted() -> None:
    wanted = unit(np.random.default_rng(5).normal(size=(6, HALF)))
    found = SPACE.of(made_up(wanted, SPACE))
    assert found @ found.T == pytest.approx(wanted @ wanted.T, abs=1e-5)


def test_without_a_centre_nothing_is_moved() -> None:
    rows = stored(3)
    assert AS_STORED.of(rows) is rows
    assert AS_STORED.name == ""
    assert Space.of_document(None) is AS_STORED


def test_a_space_is_what_its_file_says_and_its_name_changes_with_it() -> None:
    again = Space.of_document(json.loads(json.dumps(SPACE.as_document())))
    assert again == SPACE
    assert again.name == SPACE.name
    others = [Space(CENTRE, 0.21), Space((CENTRE[0] + 1e-5, *CENTRE[1:]), 0.2)]
    assert len({SPACE.name, *(each.name for each in others)}) == 3


@pytest.mark.parametrize(
    "document",
    [
        {"centre": [0.0] * 255, "dlib_weight": 0.2},
        {"centre": [0.0] * 256, "dlib_weight": 1.2},
        {"centre": [0.0] * 256, "dlib_weight": float("nan")},
        {"centre": [0.0] * 256},
        {"centre": ["x"] * 256, "dlib_weight": 0.2},
    ],
)
def test_what_is_no_space_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        Space.of_document(document)


def test_an_encoding_with_an_empty_half_lets_nobody_in() -> None:
    empty = np.zeros((1, 256), np.float32)
    empty[0, 0] = 1
    assert np.isnan(SPACE.of(empty)).any()
    with pytest.raises(SetupProblem):
        Gallery.of([("Ada", empty[0].tobytes())], SPACE)
    ada = Gallery.of([("Ada", stored(1)[0].tobytes())], SPACE)
    match = compare(Encoding("", empty[0]), ada, 1e-4, CALIBRATION)
    assert not match.similarity >= match.min_similarity


def test_the_centre_itself_lets_nobody_in() -> None:
    only_centre = unit(np.reshape(CENTRE, (2, HALF)))
    row = (only_centre * np.sqrt(0.5)).reshape(-1)
    space = Space(tuple(only_centre.reshape(-1).tolist()), 0.2)
    assert np.isnan(space.of(row[None].astype(np.float32))).all()


def test_similarities_of_two_spaces_are_never_compared() -> None:
    (row,) = stored(1)
    probe = Encoding("", row)
    for gallery, calibration in (
        (Gallery.of([("Ada", row.tobytes())]), CALIBRATION),
        (Gallery.of([("Ada", row.tobytes())], SPACE), replace(CALIBRATION, space=AS_STORED)),
    ):
        with pytest.raises(ValueError, match="another"):
            compare(probe, gallery, 1e-4, calibration)


def test_a_person_is_the_mean_of_photos_in_the_space() -> None:
    rows = stored(3)
    gallery = Gallery.of([("Ada", row.tobytes()) for row in rows], SPACE)
    assert gallery.means[0] == pytest.approx(unit(SPACE.of(rows).sum(0).astype(float)), abs=1e-6)
    for part in (gallery.only("Ada"), gallery.without("Bob")):
        assert part.space == SPACE


class Whole:
    """Everybody in one block, as a store writes it: rounded to 1 / 32767."""

    def __init__(self, gallery: Gallery) -> None:
        self.first, self.photos = 0, gallery.photos
        self.means = (np.rint(gallery.means * 32767) / 32767).astype(np.float32)


def test_a_crowd_finds_whom_a_gallery_finds() -> None:
    rows = stored(400)
    people = [(f"p{place}", row.tobytes()) for place, row in enumerate(rows)]
    gallery = Gallery.of(people, SPACE)
    crowd = Crowd(400, [Whole(gallery)], lambda ids: [people[i] for i in ids], SPACE)
    for row in stored(40, seed=3):
        probe = Encoding("", row)
        assert compare(probe, crowd, 1e-6, CALIBRATION) == compare(
            probe, gallery, 1e-6, CALIBRATION
        )


def test_blocks_that_were_made_in_another_space_are_found_out() -> None:
    rows = stored(400)
    people = [(f"p{place}", row.tobytes()) for place, row in enumerate(rows)]
    stale = Crowd(400, [Whole(Gallery.of(people))], lambda ids: [people[i] for i in ids], SPACE)
    with pytest.raises(SetupProblem):
        compare(Encoding("", stored(1, seed=3)[0]), stale, 1e-6, CALIBRATION)
