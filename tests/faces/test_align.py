"""Pure geometry: a known movement is found again, and OpenCV and dlib agree."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.faces.align import DLIB_CHIP_PX, dlib_box_px, dlib_chip, sface_chip
from facauth.faces.detect import find_faces
from facauth.geometry import (
    MAX_TIMES,
    SFACE_CHIP_PX,
    SFACE_TEMPLATE,
    quantile,
    reduced,
    similarity_transform,
)
from facauth.networks import WEIGHTS, Checked, Networks
from facauth.structs import Face

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]

SAMPLES = Path(__file__).parents[2] / "sample_images"
TEMPLATE = np.array(SFACE_TEMPLATE)

quick = settings(derandomize=True, deadline=None, max_examples=200, database=None)
coordinates = st.floats(-1000, 1000)
points = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=8).map(np.array)


def movement(angle_deg: float, scale: float, x: float, y: float) -> Points:
    """(2, 3): turned, scaled, then moved."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[scale * cos, -scale * sin, x], [scale * sin, scale * cos, y]])


def moved(place: Points, matrix: Points) -> Points:
    return np.asarray(place @ matrix[:, :2].T + matrix[:, 2])


def spread(place: Points) -> float:
    return float(np.linalg.norm(place - place.mean(axis=0)))


# --- the transform -------------------------------------------------------------------------------


@quick
@given(points, st.floats(-180, 180), st.floats(0.01, 100), coordinates, coordinates)
def test_a_known_movement_is_found_again(
    place: Points, angle_deg: float, scale: float, x: float, y: float
) -> None:
    assume(spread(place) > 1)
    matrix = movement(angle_deg, scale, x, y)
    found = similarity_transform(place, moved(place, matrix))
    np.testing.assert_allclose(moved(place, found), moved(place, matrix), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:, :2], matrix[:, :2], rtol=1e-6, atol=1e-6 * scale)


@quick
@given(points, points)
def test_it_never_mirrors_and_never_shears(place: Points, target: Points) -> None:
    target = np.resize(target, place.shape)
    assume(spread(place) > 1)
    (a, b, _), (c, d, _) = similarity_transform(place, target)
    assert a == pytest.approx(d)
    assert b == pytest.approx(-c)
    assert a * d - b * c >= 0


@quick
@given(points, points, st.floats(-5, 5), st.floats(0.9, 1.1))
def test_no_other_movement_fits_better(
    place: Points, target: Points, angle_deg: float, scale: float
) -> None:
    target = np.resize(target, place.shape)
    assume(spread(place) > 1)
    best = similarity_transform(place, target)
    other = best.copy()
    other[:, :2] = movement(angle_deg, scale, 0, 0)[:, :2] @ best[:, :2]
    other[:, 2] = target.mean(axis=0) - other[:, :2] @ place.mean(axis=0)
    misfits = [float(np.square(moved(place, each) - target).sum()) for each in (best, other)]
    assert misfits[0] <= misfits[1] * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize("angle_deg", [0.0, 7.5, -33.0, 90.0, 179.0])
def test_opencv_finds_the_same_movement(angle_deg: float) -> None:
    target = moved(TEMPLATE, movement(angle_deg, 2.7, 120.5, -33.25))
    theirs, _ = cv2.estimateAffinePartial2D(TEMPLATE, target)
    np.testing.assert_allclose(similarity_transform(TEMPLATE, target), theirs, atol=1e-3)


def test_small_numbers_are_as_exact_as_large_ones() -> None:
    """Landmarks come as float32, a few thousand pixels from the corner."""
    place = (TEMPLATE + 8000).astype(np.float32)
    found = similarity_transform(place, TEMPLATE)
    np.testing.assert_allclose(moved(place.astype(np.float64), found), TEMPLATE, atol=1e-3)


# --- SFace's chip --------------------------------------------------------------------------------


def test_a_face_that_fits_the_template_is_cut_out_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    face = Face((0, 0, 1, 1), (TEMPLATE + np.array([50, 70])).astype(np.float32), 0.9)
    chip = sface_chip(picture, face)
    assert chip.shape == (SFACE_CHIP_PX, SFACE_CHIP_PX, 3)
    expected = picture[70 : 70 + SFACE_CHIP_PX, 50 : 50 + SFACE_CHIP_PX]
    assert np.abs(chip.astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(Checked(None))


def sample(name: str, networks: Networks) -> tuple[Pixels, Face]:
    photo = cv2.imread(str(SAMPLES / name), cv2.IMREAD_COLOR_RGB)
    assert photo is not None
    pixels = np.asarray(photo, dtype=np.uint8)
    (face,) = find_faces(pixels, networks.detector)
    return pixels, face


@pytest.mark.parametrize("name", ["hopper_1984.jpg", "obama_2009.jpg", "biden_2010.jpg"])
def test_opencv_cuts_the_same_chip(networks: Networks, name: str) -> None:
    """FaceRecognizerSF.alignCrop, where this OpenCV can make one of the network."""
    try:
        theirs = cv2.FaceRecognizerSF.create(str(WEIGHTS / "encode_sface_2021dec_int8.onnx"), "")
    except cv2.error:
        pytest.skip("FaceRecognizerSF does not take this network here")
    pixels, face = sample(name, networks)
    row = np.concatenate([face.box_px, face.landmarks_px.ravel(), [face.detection_score]])
    expected = theirs.alignCrop(pixels, row.astype(np.float32)[None])
    off = np.abs(sface_chip(pixels, face).astype(int) - expected)
    assert off.max() <= 3
    assert off.mean() < 0.05


def test_eyes_and_mouth_of_a_chip_are_where_they_belong(networks: Networks) -> None:
    """Found again by the detector, in the chip enlarged."""
    pixels, face = sample("hopper_1984.jpg", networks)
    chip = cv2.resize(sface_chip(pixels, face), None, fx=3, fy=3)
    framed = cv2.copyMakeBorder(chip, 150, 150, 150, 150, cv2.BORDER_REPLICATE)
    (found,) = find_faces(np.asarray(framed, dtype=np.uint8), networks.detector)
    np.testing.assert_allclose((found.landmarks_px - 150) / 3, TEMPLATE, atol=4)


@given(st.integers(1, 169), st.integers(0, 2**32 - 1))
@settings(derandomize=True, deadline=None, database=None)
def test_a_quantile_is_numpys(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=count).astype(np.float32)
    assert quantile(values, 0.25) == float(np.quantile(values, 0.25))
    assert quantile(values, 0.9) == pytest.approx(float(np.quantile(values, 0.9)), rel=1e-5)
    cells = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    assert quantile(cells, 0.9) == float(np.percentile(cells, 90))


# --- dlib's box and chip -------------------------------------------------------------------------


def boxed(x: float, y: float, width: float, height: float) -> Face:
    return Face((x, y, width, height), np.zeros((5, 2), np.float32), 0.9)


@quick
@given(coordinates, coordinates, st.floats(10, 1000), st.floats(10, 1000))
def test_dlibs_box_is_a_square_around_the_face(x: float, y: float, w: float, h: float) -> None:
    left, top, right, bottom = dlib_box_px(boxed(x, y, w, h))
    assert abs((right - left) - (bottom - top)) <= 1
    assert right - left == pytest.approx(0.974 * math.sqrt(w * h), abs=1.01)
    assert (left + right) / 2 == pytest.approx(x + 0.534 * w, abs=0.51)
    assert (top + bottom) / 2 == pytest.approx(y + 0.561 * h, abs=0.51)


def test_dlibs_box_in_numbers() -> None:
    assert dlib_box_px(boxed(100, 50, 100, 100)) == (105, 57, 202, 155)


@quick
@given(coordinates, coordinates, st.floats(50, 500), st.floats(50, 500), st.floats(2, 4))
def test_dlibs_box_scales_with_the_face(x: float, y: float, w: float, h: float, by: float) -> None:
    small = np.array(dlib_box_px(boxed(x, y, w, h)))
    large = np.array(dlib_box_px(boxed(x * by, y * by, w * by, h * by)))
    np.testing.assert_allclose(large, small * by, atol=by)


def test_dlibs_chip_is_upright_and_aligned() -> None:
    """Five points as on a head turned by 20 degrees: the eye line of the chip is level."""
    picture = np.zeros((400, 400, 3), np.uint8)
    outer, inner = np.array([[-60.0, 0], [-25, 0]]), np.array([[60.0, 0], [25, 0]])
    head = np.vstack([inner, outer, [[0.0, 45]]])  # dlib's order: one eye, the other, the nose
    points_px = np.rint(moved(head, movement(20, 1, 200, 180))).astype(np.int64)
    for x, y in points_px[:4]:
        cv2.circle(picture, (int(x), int(y)), 3, (255, 255, 255), -1)
    chip = dlib_chip(picture, boxed(120, 100, 160, 160), points_px)
    assert chip.shape == (DLIB_CHIP_PX, DLIB_CHIP_PX, 3)
    assert chip.dtype == np.uint8
    lit = np.argwhere(chip[..., 0] > 128)
    assert np.ptp(lit[:, 0]) < 10
    assert np.ptp(lit[:, 1]) > 40


# --- reducing ------------------------------------------------------------------------------------


def texture(height: int, width: int, *channels: int) -> Pixels:
    """Detail of every size."""
    noise = np.random.default_rng(0).normal(0, 1, (height, width, *channels))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1, 4, 16)]
    return np.asarray(np.clip(128 + 40 * np.sum(layers, axis=0), 0, 255), np.uint8)


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("times", [1.5, MAX_TIMES - 0.1, MAX_TIMES, 2.5 * MAX_TIMES])
def test_a_reduced_picture_is_that_of_opencv(channels: tuple[int, ...], times: float) -> None:
    """To the pixel below MAX_TIMES; beyond it, only where halves are rounded and edges are odd."""
    size = (40, 31)
    picture = texture(round(size[1] * times) | 1, round(size[0] * times) | 1, *channels)
    expected = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(int)
    off = np.abs(reduced(picture, size) - expected)
    if max(picture.shape) < MAX_TIMES * max(size):
        assert off.max() == 0
    else:
        assert off.max() > 0
        assert off.mean() < 2.5


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 5000, 3), (4097, 2)])
def test_a_picture_of_any_shape_is_reduced(shape: tuple[int, ...]) -> None:
    plain = np.full(shape, 77, np.uint8)
    small = reduced(plain, (20, 10))
    assert small.shape == (10, 20, *shape[2:])
    assert (small == 77).all()
