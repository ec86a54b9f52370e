"""The chip is dlib's own, pixel for pixel: of faces, and of any five points."""

from __future__ import annotations

import math
from pathlib import Path

import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.faces.align import dlib_box_px
from facauth.faces.chip import CHIP_PX, PADDING, TEMPLATE, cut
from facauth.faces.detect import sight
from facauth.faces.image import decode, read_image
from facauth.faces.landmarks import find_landmarks
from facauth.networks import Networks

Pixels = NDArray[np.uint8]

TOP = Path(__file__).parents[2]
SAMPLES = sorted((TOP / "sample_images").glob("*.[jp][pn]g"))
LFW = sorted((TOP.parent / "shared" / "data" / "lfw").glob("*/*_0001.jpg"))
SQUARE = np.array(TEMPLATE) - 0.5


def by_dlib(pixels: Pixels, points_px: NDArray[np.int64]) -> Pixels:
    points = [dlib.point(x, y) for x, y in points_px.tolist()]
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), points)
    return np.asarray(dlib.get_face_chip(pixels, shape, CHIP_PX, PADDING))


def require_the_same(path: Path, networks: Networks) -> int:
    sighting = sight(decode(read_image(str(path)), path.name), networks.detector)
    for face in sighting.faces:
        points = find_landmarks(sighting.pixels, dlib_box_px(face), networks.landmarks)
        np.testing.assert_array_equal(
            cut(sighting.pixels, points), by_dlib(sighting.pixels, points)
        )
    return len(sighting.faces)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_faces_of_the_sample_images(path: Path, networks: Networks) -> None:
    assert require_the_same(path, networks) == {"no_face.png": 0, "two_faces.jpg": 2}.get(
        path.name, 1
    )


@pytest.mark.slow
@pytest.mark.skipif(not LFW, reason="LFW is not here")
def test_faces_of_lfw(networks: Networks) -> None:
    assert sum(require_the_same(path, networks) for path in LFW[:: len(LFW) // 300]) >= 300


@given(
    st.floats(0, 2 * math.pi),
    st.floats(1, 900),  # side of the landmarks' square: up to three halvings
    st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)),
    st.integers(0, 8),
    st.integers(0, 2**32 - 1),
)
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
def test_any_five_points(
    angle: float, side: float, at: tuple[float, float], jitter: int, seed: int
) -> None:
    """Turned, tiny, huge, at the border and outside of the photo.

    Where a place falls on a whole pixel, the last bit of a float decides on one level.
    """
    random = np.random.default_rng(seed)
    height, width = random.integers(2, 700, 2)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = SQUARE @ turn.T * side + np.array(at) * (width, height)
    points = np.rint(places + random.uniform(-jitter, jitter, (5, 2))).astype(np.int64)
    found, expected = cut(pixels, points).astype(int), by_dlib(pixels, points).astype(int)
    assert (found != expected).mean() < 1e-3
    assert np.abs(found - expected).max() <= 1


def test_five_points_in_one_place(networks: Networks) -> None:
    """Not landmarks; but no reason to fail otherwise than by a face that nobody has."""
    pixels = np.full((40, 40, 3), 200, np.uint8)
    points = np.full((5, 2), 20)
    np.testing.assert_array_equal(cut(pixels, points), by_dlib(pixels, points))
