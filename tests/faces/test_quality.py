"""Measures follow what was done to a photo, and no limit is passed by a broken number."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.errors import UnusableImage
from facauth.faces.detect import find_faces
from facauth.faces.quality import (
    head_pose_deg,
    judgements,
    measure,
    noise,
    require_quality,
)
from facauth.networks import Checked, Networks
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY, QualityLimits
from facauth.structs import Face, Quality, Sighting

Pixels = NDArray[np.uint8]

SAMPLES = Path(__file__).parents[2] / "sample_images"
LIMITS = {"sign-in": SIGN_IN_QUALITY, "enrolment": ENROLMENT_QUALITY}


@pytest.fixture(scope="module")
def hopper() -> tuple[Pixels, Face]:
    photo = cv2.imread(str(SAMPLES / "hopper_1984.jpg"), cv2.IMREAD_COLOR_RGB)
    assert photo is not None
    pixels = np.asarray(photo, dtype=np.uint8)
    (face,) = find_faces(pixels, Networks(Checked(None)).detector)
    return pixels, face


def measured(pixels: Pixels, face: Face) -> Quality:
    return measure(Sighting(pixels, (face,), 0), face)


# --- measures ------------------------------------------------------------------------------------


def test_blur_lowers_sharpness(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    blurred = [
        measured(np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma)), face).sharpness
        for sigma in (1, 2, 3, 4, 6)
    ]
    assert all(before > after * 1.05 for before, after in pairwise(blurred))


def test_contrast_cancels_out_of_sharpness(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    flat = (pixels * 0.5 + 60).round().astype(np.uint8)
    sharp = measured(pixels, face).sharpness
    assert measured(flat, face).sharpness == pytest.approx(sharp, rel=0.1)


def test_noise_raises_noise(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    dice = np.random.default_rng(0)
    grain = dice.normal(size=pixels.shape)
    noisy = [
        measured(np.clip(pixels + sigma * grain, 0, 255).astype(np.uint8), face).noise
        for sigma in (0, 10, 20, 40)
    ]
    assert all(before < after for before, after in pairwise(noisy))


def test_stubble_is_not_noise(hopper: tuple[Pixels, Face]) -> None:
    """Grain on the lower half of the face alone."""
    pixels, face = hopper
    x, y, w, h = (round(value) for value in face.box_px)
    dice = np.random.default_rng(0).normal(size=pixels.shape)
    stubble = np.zeros_like(dice)
    stubble[y + h // 2 : y + h, x : x + w] = 60
    rough = np.clip(pixels + stubble * dice, 0, 255).astype(np.uint8)
    grainy = np.clip(pixels + 40 * dice, 0, 255).astype(np.uint8)
    limit = ENROLMENT_QUALITY.max_noise
    assert measured(rough, face).noise < limit < measured(grainy, face).noise


def test_sharpened_edges_are_not_noise() -> None:
    """Of a photo without grain: 5.0 over the whole face."""
    photo = cv2.imread(str(SAMPLES / "obama_2009.jpg"), cv2.IMREAD_COLOR_RGB)
    (face,) = find_faces(np.asarray(photo, np.uint8), Networks(Checked(None)).detector)
    soft = cv2.GaussianBlur(np.asarray(photo, np.uint8), (0, 0), 2)
    sharpened = np.asarray(cv2.addWeighted(np.asarray(photo), 2.0, soft, -1.0, 0), dtype=np.uint8)
    assert measured(sharpened, face).noise < ENROLMENT_QUALITY.max_noise - 1


@pytest.mark.parametrize("sigma", [2.0, 4.5, 8.0])
def test_even_noise_is_measured_in_grey_levels(sigma: float) -> None:
    dice = np.random.default_rng(0).normal(size=(112, 112))
    grey = np.clip(128 + sigma * dice, 0, 255).round().astype(np.uint8)
    assert noise(grey) == pytest.approx(sigma, rel=0.05)


def test_black_and_white_are_not_taken_for_smooth() -> None:
    """Where light clips there is no noise to be seen."""
    dice = np.random.default_rng(0).normal(size=(112, 112))
    grey = np.full((112, 112), 128.0) + 8 * dice
    grey[:60], grey[60:80] = 0, 255
    assert noise(np.clip(grey, 0, 255).round().astype(np.uint8)) == pytest.approx(8, rel=0.1)


def test_darkness_lowers_luminance_and_then_the_rest(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    darker = [
        measured((pixels * light).astype(np.uint8), face) for light in (1, 0.7, 0.4, 0.2, 0.05, 0)
    ]
    for before, after in pairwise(darker):
        assert before.luminance_mean > after.luminance_mean
        assert before.under_exposure <= after.under_exposure
        assert before.dynamic_range_bits >= after.dynamic_range_bits
    assert darker[-1].under_exposure == 1
    assert darker[-1].luminance_mean == darker[-1].dynamic_range_bits == 0


def test_light_raises_luminance_and_over_exposure(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    brighter = [
        measured(np.clip(pixels * light, 0, 255).astype(np.uint8), face)
        for light in (1.0, 1.5, 2.0, 4.0, 255.0)
    ]
    for before, after in pairwise(brighter):
        assert before.luminance_mean < after.luminance_mean
        assert before.over_exposure <= after.over_exposure
    assert brighter[-1].over_exposure > 0.9


def test_a_grey_photo_has_no_chroma(hopper: tuple[Pixels, Face]) -> None:
    pixels, face = hopper
    grey = np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert measured(grey, face).chroma == 0
    half = ((pixels.astype(int) + grey) // 2).astype(np.uint8)
    assert 0 < measured(half, face).chroma < measured(pixels, face).chroma


@pytest.mark.parametrize("by", [0.5, 2, 3])
def test_sizes_scale_and_shares_do_not(hopper: tuple[Pixels, Face], by: float) -> None:
    pixels, face = hopper
    larger = cv2.resize(pixels, None, fx=by, fy=by, interpolation=cv2.INTER_AREA).astype(np.uint8)
    x, y, w, h = (value * by for value in face.box_px)
    after = measured(larger, Face((x, y, w, h), face.landmarks_px * np.float32(by), 0.9))
    before = measured(pixels, face)
    eyes_px = before.inter_eye_distance_px * by
    assert after.inter_eye_distance_px == pytest.approx(eyes_px, rel=1e-5)
    for name in ("head_pose_yaw_deg", "head_pose_pitch_deg", "head_pose_roll_deg", "centrality"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=0.1)
    assert after.luminance_mean == pytest.approx(before.luminance_mean, abs=0.01)


HEAD = np.array([(-30, 0), (30, 0), (4, 35), (-22, 60), (24, 61)], np.float64)


def turned(points: NDArray[np.float64], angle_deg: float) -> NDArray[np.float32]:
    """Clockwise as seen, for y points down."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    matrix = np.array([[cos, -sin], [sin, cos]])
    return np.asarray(points @ matrix.T + (200, 150), dtype=np.float32)


def mirrored(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[[1, 0, 2, 4, 3]] * (-1, 1)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(st.floats(-179, 179))
def test_roll_follows_a_rotation_and_nothing_else_does(angle_deg: float) -> None:
    yaw, pitch, roll = head_pose_deg(turned(HEAD, 0))
    assert roll == pytest.approx(0, abs=0.01)
    assert head_pose_deg(turned(HEAD, angle_deg)) == pytest.approx(
        (yaw, pitch, angle_deg), abs=0.02
    )


def test_a_mirror_turns_yaw_and_roll_round_and_leaves_pitch() -> None:
    yaw, pitch, roll = head_pose_deg(turned(HEAD, 12))
    assert yaw > 1
    mirror = head_pose_deg(turned(mirrored(HEAD), -12))
    assert mirror == pytest.approx((-yaw, pitch, -roll), abs=0.02)


def test_the_nose_tells_where_the_face_looks() -> None:
    """To the image's right and down are larger x and y."""
    noses = [(x, 35) for x in (-25, -10, 0, 10, 25)]
    yaws = [head_pose_deg(turned(with_nose(nose), 0))[0] for nose in noses]
    assert yaws == sorted(yaws)
    assert yaws[0] < -15
    assert yaws[-1] > 15
    pitches = [head_pose_deg(turned(with_nose((0, y)), 0))[1] for y in (15, 30, 40, 55)]
    assert pitches == sorted(pitches, reverse=True)


def with_nose(nose: tuple[float, float]) -> NDArray[np.float64]:
    points = HEAD.copy()
    points[2] = nose
    return points


@pytest.mark.parametrize(
    ("x", "y", "share"),
    [(100, 100, 1), (-50, 100, 0.5), (100, 250, 0.5), (-50, -50, 0.25), (400, 0, 0), (0, 400, 0)],
)
def test_how_much_of_the_box_is_inside(x: float, y: float, share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    face = Face((x, y, 100.0, 100.0), turned(HEAD, 0), 0.9)
    assert measured(pixels, face).face_inside == pytest.approx(share)


def test_centrality_falls_from_the_middle_to_the_corner() -> None:
    pixels = np.zeros((300, 400, 3), np.uint8)
    steps = [
        measured(pixels, Face((150 + 40 * i, 100 + 30 * i, 100, 100), turned(HEAD, 0), 0.9))
        for i in range(6)
    ]
    values = [quality.centrality for quality in steps]
    assert values[0] == pytest.approx(1)
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert values == sorted(values, reverse=True)


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(
    st.tuples(
        st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.floats(1e-3, 1e4)
    ),
    st.sampled_from([(1, 1), (1, 40), (40, 1), (90, 60)]),
    st.integers(0, 2),
)
def test_measuring_never_refuses(
    box: tuple[float, float, float, float], frame: tuple[int, int], light: int
) -> None:
    """Wherever the box is and whatever the photo shows."""
    noise = np.random.default_rng(0).integers(0, 256, (*frame, 3), np.uint8)
    pixels = (noise, np.zeros_like(noise), np.full_like(noise, 255))[light]
    quality = measured(pixels, Face(box, turned(HEAD, 0), 0.9))
    for name in ("luminance_mean", "under_exposure", "over_exposure", "face_inside", "centrality"):
        assert 0 <= getattr(quality, name) <= 1 + 1e-9
    assert 0 <= quality.dynamic_range_bits <= 8
    assert quality.sharpness >= 0
    assert quality.noise >= 0


@pytest.mark.parametrize("point", range(5))
def test_landmarks_that_are_not_numbers_are_refused(point: int) -> None:
    points = turned(HEAD, 0)
    points[point] = math.nan
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    with np.errstate(all="ignore"), pytest.raises(UnusableImage):
        quality = measured(pixels, Face((150.0, 100.0, 100.0, 100.0), points, 0.9))
        require_quality(replace(perfect(), **poses(quality)), SIGN_IN_QUALITY)


def poses(quality: Quality) -> dict[str, Any]:
    names = ("inter_eye_distance_px", "head_pose_yaw_deg", "head_pose_pitch_deg")
    return {name: getattr(quality, name) for name in names}


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 7)])
def test_landmarks_in_one_place_are_refused(points: NDArray[Any]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    face = Face((150.0, 100.0, 100.0, 100.0), points.astype(np.float32), 0.9)
    with pytest.raises(UnusableImage):
        require_quality(measured(pixels, face), SIGN_IN_QUALITY)


# --- judging -------------------------------------------------------------------------------------

JUDGED = set(QualityLimits._fields)
UNJUDGED = {"head_pose_roll_deg", "centrality", "chroma", "faces"}  # shown, and judged elsewhere


def perfect() -> Quality:
    """Passes every limit by far."""
    return Quality(
        inter_eye_distance_px=500,
        sharpness=5,
        noise=0,
        chroma=50,
        luminance_mean=0.5,
        under_exposure=0,
        over_exposure=0,
        dynamic_range_bits=8,
        head_pose_yaw_deg=0,
        head_pose_pitch_deg=0,
        head_pose_roll_deg=0,
        face_inside=1,
        centrality=1,
        faces=1,
    )


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_what_is_perfect_passes(limits: QualityLimits) -> None:
    require_quality(perfect(), limits)


@pytest.mark.parametrize("name", [field.name for field in fields(Quality)])
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_a_number_that_is_none_refuses(limits: QualityLimits, name: str) -> None:
    broken = replace(perfect(), **{name: math.nan})  # type: ignore[arg-type]
    if name in UNJUDGED:
        require_quality(broken, limits)
        return
    with pytest.raises(UnusableImage) as refusal:
        require_quality(broken, limits)
    (reason,) = refusal.value.reasons
    assert reason.code.startswith("quality.")


@pytest.mark.parametrize("name", sorted(JUDGED))
def test_a_limit_that_is_not_a_number_refuses(name: str) -> None:
    broken = SIGN_IN_QUALITY._replace(**{name: math.nan})
    with pytest.raises(UnusableImage):
        require_quality(perfect(), broken)


def measures_of(limit: str) -> list[str]:
    if limit == "max_head_pose_deg":
        return ["head_pose_yaw_deg", "head_pose_pitch_deg"]
    return [limit.removeprefix("min_").removeprefix("max_")]


@pytest.mark.parametrize("limit", sorted(JUDGED))
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_a_limit_is_passed_by_meeting_it(limits: QualityLimits, limit: str) -> None:
    at = float(getattr(limits, limit))
    beyond = math.nextafter(at, -math.inf if limit.startswith("min_") else math.inf)
    for name in measures_of(limit):
        require_quality(replace(perfect(), **{name: at}), limits)  # type: ignore[arg-type]
        with pytest.raises(UnusableImage) as refusal:
            require_quality(replace(perfect(), **{name: beyond}), limits)  # type: ignore[arg-type]
        assert len(refusal.value.reasons) == 1


@pytest.mark.parametrize("name", ["head_pose_yaw_deg", "head_pose_pitch_deg"])
def test_a_head_may_be_turned_to_neither_side(name: str) -> None:
    for angle_deg in (-80, 80):
        with pytest.raises(UnusableImage):
            require_quality(replace(perfect(), **{name: angle_deg}), SIGN_IN_QUALITY)


def test_every_fault_is_named() -> None:
    worst = replace(
        perfect(),
        inter_eye_distance_px=0,
        sharpness=0,
        noise=99,
        luminance_mean=0,
        over_exposure=1,
        dynamic_range_bits=0,
        head_pose_yaw_deg=90,
        head_pose_pitch_deg=90,
        face_inside=0,
    )
    with pytest.raises(UnusableImage) as refusal:
        require_quality(worst, SIGN_IN_QUALITY)
    codes = [reason.code for reason in refusal.value.reasons]
    assert len(codes) == len(set(codes)) == len(judgements(worst, SIGN_IN_QUALITY))
    assert all(reason.message and reason.advice for reason in refusal.value.reasons)


def test_enrolment_asks_for_no_less_than_sign_in() -> None:
    for name in JUDGED:
        easy, strict = getattr(SIGN_IN_QUALITY, name), getattr(ENROLMENT_QUALITY, name)
        assert strict >= easy if name.startswith("min_") else strict <= easy
