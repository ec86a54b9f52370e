"""The enrolled picture is found again, other photos are not; what is decided, and drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from edits import Studio, Subject
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from simulator import SAMPLES, read

from facauth.errors import Attack
from facauth.faces.detect import sight
from facauth.networks import Checked, Networks
from facauth.settings import REPLAY
from facauth.spoof.plane import NOT_ALIKE, Comparison, Likeness, Plane, compare, mirror
from facauth.spoof.replay import DRAWN_PX, drawn, judge, require_new_picture, verdict_on
from facauth.spoof.signature import CaptureSignature, signature
from facauth.structs import Face, Replay, ReplayVerdict

if TYPE_CHECKING:
    from facauth.structs import Pixels

RECAPTURES = Path(__file__).parents[3] / "shared" / "data" / "replay" / "faces"
OBAMAS = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
PORTRAITS = (*OBAMAS, "biden_2010.jpg", "collins.png", "hopper_1984.jpg")
NOTHING = Plane(0, 0, math.nan, math.nan, NOT_ALIKE)
MANY = replace(NOTHING, pairs=50)
ALIKE = Likeness(correlation=0.97, detail=0.9, lift=0.0)
UNLIKE = replace(ALIKE, correlation=0.5)
FOUND = Plane(100, 90, 0.2, 1.0, ALIKE)
STILL = replace(FOUND, displacement=0.01)
DARKER = replace(STILL, grey=replace(ALIKE, lift=-0.3))
COPY = replace(ALIKE, detail=0.99)


@cache
def networks() -> Networks:
    return Networks(Checked(None))


def of(pixels: Pixels) -> CaptureSignature:
    """Around the face, or the middle of a crop too tight for the detector."""
    sighting = sight(pixels, networks().detector)
    if sighting.faces:
        return signature(sighting.pixels, sighting.faces[0])
    height, width = pixels.shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    return signature(pixels, Face(box, np.zeros((5, 2), np.float32), 0.0))


@cache
def sample(name: str) -> CaptureSignature:
    return of(read(SAMPLES / name))


def encoded(pixels: Pixels, kind: str, **options: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def resized(pixels: Pixels, by: float) -> Pixels:
    return np.asarray(
        cv2.resize(pixels, None, fx=by, fy=by, interpolation=cv2.INTER_AREA), np.uint8
    )


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "same": lambda pixels: pixels,
    "jpeg 30": lambda pixels: encoded(pixels, "JPEG", quality=30),
    "webp 50": lambda pixels: encoded(pixels, "WEBP", quality=50),
    "small": lambda pixels: resized(pixels, 0.3),
    "cropped": lambda pixels: pixels[pixels.shape[0] // 10 :, pixels.shape[1] // 12 :].copy(),
    "mirrored": lambda pixels: pixels[:, ::-1].copy(),
    "on its side": lambda pixels: np.rot90(pixels).copy(),
    "recoloured": lambda pixels: np.clip(pixels * [1.2, 1, 0.8], 0, 255).astype(np.uint8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("copy", COPIES)
def test_a_digital_copy_is_the_enrolled_picture(name: str, copy: str) -> None:
    replay = judge(of(COPIES[copy](read(SAMPLES / name))), [sample(name)])
    assert replay.verdict is ReplayVerdict.ENROLLED_PICTURE
    assert replay.mirrored == (copy == "mirrored")


def test_a_recapture_is_the_enrolled_picture_and_no_other() -> None:
    probe = sample("simulated_recapture.jpg")
    found = {name: judge(probe, [sample(name)]).verdict for name in PORTRAITS}
    expected = dict.fromkeys(PORTRAITS, ReplayVerdict.NEW)
    assert found == expected | {"obama_2012.jpg": ReplayVerdict.ENROLLED_PICTURE}


@pytest.mark.skipif(not RECAPTURES.is_dir(), reason="needs the real recaptures")
@pytest.mark.parametrize("medium", ["screen", "paper"])
@pytest.mark.parametrize("name", ["01.jpg", "02.jpg", "03.jpg"])
def test_a_real_recapture_is_the_enrolled_picture(name: str, medium: str) -> None:
    probe, enrolled = (of(read(RECAPTURES / kind / name)) for kind in (medium, "original"))
    assert judge(probe, [enrolled]).verdict is ReplayVerdict.ENROLLED_PICTURE


@pytest.mark.parametrize("probe", PORTRAITS)
@pytest.mark.parametrize("enrolled", PORTRAITS)
def test_other_photos_are_new_whomever_they_show(probe: str, enrolled: str) -> None:
    replay = judge(sample(probe), [sample(enrolled)])
    assert (replay.verdict is ReplayVerdict.NEW) == (probe != enrolled)


def test_the_same_file_does_not_move() -> None:
    same = compare(sample(OBAMAS[0]), sample(OBAMAS[0]))
    assert same.frame.displacement == pytest.approx(0, abs=1e-4)
    assert same.frame.grey.correlation == pytest.approx(1, abs=1e-3)
    assert same.face_on_frame.detail == pytest.approx(1, abs=1e-3)


def test_a_mirrored_signature_is_that_of_the_mirrored_photo() -> None:
    pixels = read(SAMPLES / OBAMAS[2])
    seen = compare(of(pixels[:, ::-1].copy()), mirror(sample(OBAMAS[2])))
    assert not seen.mirrored
    assert seen.frame.displacement == pytest.approx(0, abs=0.005)


def in_the_room_of(pixels: Pixels, picture: Pixels) -> Pixels:
    """The photo, the face of another one over its own."""
    faces = [sight(each, networks().detector).faces[0] for each in (pixels, picture)]
    (x, y, w, h), (left, top, wide, high) = ([round(n) for n in each.box_px] for each in faces)
    seen = pixels.copy()
    seen[y : y + h, x : x + w] = cv2.resize(picture[top : top + high, left : left + wide], (w, h))
    return seen


def test_another_face_in_the_same_room_is_the_same_sitting() -> None:
    room, later = read(SAMPLES / OBAMAS[0]), read(SAMPLES / OBAMAS[2])
    found = judge(of(in_the_room_of(room, later)), [of(room)])
    assert found.verdict is ReplayVerdict.SAME_SITTING


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_face_that_was_moved_in_its_picture_is_the_enrolled_picture(mirrored: bool) -> None:
    pixels = read(SAMPLES / OBAMAS[0])
    face = sight(pixels, networks().detector).faces[0]
    x, y, w, h = (round(each) for each in face.box_px)
    moved = pixels.copy()
    moved[y : y + h, x + 12 : x + 12 + w] = pixels[y : y + h, x : x + w]
    found = judge(of(moved[:, ::-1].copy() if mirrored else moved), [of(pixels)])
    assert (found.verdict, found.mirrored) == (ReplayVerdict.ENROLLED_PICTURE, mirrored)


def test_an_edit_is_missed_without_the_aligned_face_alone() -> None:
    """What an older signature lacks is what finds this one."""
    subject = Subject(SAMPLES / OBAMAS[2], read(SAMPLES / OBAMAS[2]), face_of(OBAMAS[2]))
    probe = of(Studio([], []).edited(subject, "glasses_warp"))
    known = sample(OBAMAS[2])
    assert judge(probe, [known]).verdict is ReplayVerdict.ENROLLED_PICTURE
    assert judge(probe, [replace(known, aligned=None)]).verdict is ReplayVerdict.SAME_SITTING


@pytest.mark.parametrize("probe", [OBAMAS[2], "collins.png"])
@pytest.mark.parametrize("attack", [*COPIES, "warp_1", "glasses_warp"])
def test_what_is_screened_out_changes_no_verdict(probe: str, attack: str) -> None:
    """The fine detail of most pairs is estimated (plane.compare); here it is measured in full."""
    pixels = read(SAMPLES / probe)
    if attack in COPIES:
        seen = of(COPIES[attack](pixels))
    else:
        seen = of(Studio([], []).edited(Subject(SAMPLES / probe, pixels, face_of(probe)), attack))
    for enrolled in map(sample, PORTRAITS):
        in_full = compare(seen, enrolled)
        assert judge(seen, [enrolled]).verdict is verdict_on(in_full, REPLAY)


def face_of(name: str) -> Face:
    return sight(read(SAMPLES / name), networks().detector).faces[0]


def test_the_gravest_verdict_over_all_enrolled_photos_counts() -> None:
    enrolled = [sample(name) for name in OBAMAS]
    found = judge(sample("simulated_recapture.jpg"), enrolled)
    assert (found.verdict, found.compared) == (ReplayVerdict.ENROLLED_PICTURE, 3)
    assert judge(sample("biden_2010.jpg"), enrolled).verdict is ReplayVerdict.NEW
    assert judge(sample("biden_2010.jpg"), []).verdict is ReplayVerdict.NOT_COMPARED


# ---- verdicts


def of_numbers(
    frame: Plane,
    face: Plane,
    face_on_frame: Likeness,
    *,
    mirrored: bool = False,
    detail: float = math.nan,
) -> Comparison:
    return Comparison(mirrored, frame, face, face_on_frame, detail)


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (of_numbers(NOTHING, NOTHING, NOT_ALIKE), "new"),
        (of_numbers(FOUND, FOUND, ALIKE), "enrolled_picture"),
        (of_numbers(NOTHING, FOUND, NOT_ALIKE), "enrolled_picture"),
        (of_numbers(FOUND, NOTHING, UNLIKE), "enrolled_picture"),
        (of_numbers(FOUND, FOUND, NOT_ALIKE), "enrolled_picture"),
        (of_numbers(replace(FOUND, pairs=1000), NOTHING, UNLIKE), "enrolled_picture"),
        (of_numbers(replace(FOUND, pairs=1000, grey=UNLIKE), NOTHING, UNLIKE), "same_sitting"),
        (of_numbers(replace(FOUND, pairs=70, inliers=8, grey=UNLIKE), NOTHING, UNLIKE), "new"),
        (of_numbers(MANY, MANY, NOT_ALIKE), "same_sitting"),  # many look alike, and on no plane
        (of_numbers(MANY, MANY, NOT_ALIKE, detail=0.97), "same_sitting"),
        (of_numbers(MANY, MANY, NOT_ALIKE, detail=0.99), "enrolled_picture"),
        (of_numbers(NOTHING, MANY, NOT_ALIKE, detail=0.97), "enrolled_picture"),  # no room is left
        (of_numbers(NOTHING, MANY, NOT_ALIKE, detail=0.94), "new"),
        (of_numbers(STILL, FOUND, UNLIKE, detail=0.99), "enrolled_picture"),  # whatever moved
        (of_numbers(STILL, FOUND, ALIKE), "same_sitting"),
        (of_numbers(STILL, FOUND, ALIKE, mirrored=True), "enrolled_picture"),
        (of_numbers(replace(STILL, grey=COPY), FOUND, COPY), "enrolled_picture"),
        (of_numbers(replace(STILL, grey=COPY), FOUND, ALIKE), "same_sitting"),  # only the room is
        (of_numbers(replace(STILL, sharper=4.0), FOUND, ALIKE), "enrolled_picture"),
        (of_numbers(replace(STILL, sharper=math.nan), FOUND, ALIKE), "enrolled_picture"),
        (of_numbers(replace(STILL, displacement=math.nan), FOUND, ALIKE), "enrolled_picture"),
        (of_numbers(DARKER, FOUND, ALIKE), "enrolled_picture"),
        (of_numbers(DARKER, NOTHING, UNLIKE), "same_sitting"),  # another light, and the face moved
        (of_numbers(FOUND, FOUND, UNLIKE), "same_sitting"),  # the face left its background's plane
        (of_numbers(replace(STILL, pairs=1000, grey=UNLIKE), NOTHING, UNLIKE), "same_sitting"),
    ],
)
def test_verdicts(comparison: Comparison, verdict: str) -> None:
    assert verdict_on(comparison, REPLAY) == verdict


@given(
    numbers=st.lists(st.sampled_from([0.0, 0.5, 0.95, 1.0, math.nan]), min_size=7, max_size=7),
    inliers=st.integers(40, 200),
    mirrored=st.booleans(),
)
def test_missing_numbers_never_make_a_plane_new(
    numbers: list[float], inliers: int, mirrored: bool
) -> None:
    grey = Likeness(*numbers[:3])
    frame = Plane(inliers, inliers, numbers[4], numbers[5], grey)
    face = Plane(inliers, inliers, numbers[6], 1.0, grey)
    comparison = of_numbers(frame, face, NOT_ALIKE, mirrored=mirrored)
    assert verdict_on(comparison, REPLAY) is not ReplayVerdict.NEW


def test_only_the_enrolled_picture_is_refused() -> None:
    for verdict in ReplayVerdict:
        replay = Replay(verdict, 1, "frame", 0, 0, None, None, False, ())
        if verdict is ReplayVerdict.ENROLLED_PICTURE:
            with pytest.raises(Attack):
                require_new_picture(replay)
        else:
            require_new_picture(replay)


def test_numbers_that_are_missing_are_none_and_reasons_are_given() -> None:
    new = judge(sample(OBAMAS[0]), [sample("collins.png")])
    assert (new.displacement, new.correlation, new.reasons) == (None, None, ())
    again = judge(sample(OBAMAS[0]), [sample(OBAMAS[0])])
    assert [reason.code for reason in again.reasons] == ["replay.enrolled_picture"]
    assert again.part == "frame"
    assert again.inliers > REPLAY.min_inliers


# ---- the picture of it


GREEN = (0, 230, 0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_lines_join_what_is_on_one_plane(mirrored: bool) -> None:
    pixels = read(SAMPLES / OBAMAS[2])
    seen = pixels[:, ::-1].copy() if mirrored else pixels
    picture = drawn(seen, of(seen), [sample("collins.png"), sample(OBAMAS[2])])
    assert picture.shape[0] == DRAWN_PX
    assert picture.shape[1] > DRAWN_PX * seen.shape[1] / seen.shape[0]
    assert picture.dtype == np.uint8
    assert (picture == GREEN).all(axis=2).sum() > 1000
    right = picture[:, -20:]
    unlined = right[~(np.abs(right.astype(int) - GREEN).sum(axis=2) < 300)]
    assert np.median(np.ptp(unlined, axis=1)) == 0  # what is stored of the enrolled photo is grey


def test_a_new_photo_is_drawn_without_lines() -> None:
    picture = drawn(
        read(SAMPLES / "collins.png"), sample("collins.png"), [sample("hopper_1984.jpg")]
    )
    assert not (picture == GREEN).all(axis=2).any()


def test_without_a_signature_nothing_is_drawn() -> None:
    with pytest.raises(ValueError, match="stored"):
        drawn(read(SAMPLES / OBAMAS[0]), sample(OBAMAS[0]), [])
