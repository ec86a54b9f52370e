"""The enrolled picture is found again, other photos are not, and stored signatures are checked."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from simulator import SAMPLES, read

from facauth.errors import Attack
from facauth.faces.detect import sight
from facauth.networks import Checked, Networks
from facauth.settings import REPLAY
from facauth.spoof.replay import (
    MAGIC,
    CaptureSignature,
    Judgement,
    Plane,
    Replay,
    ReplayVerdict,
    compare,
    explained,
    features,
    judge,
    judge_all,
    mirror,
    require_new_picture,
    signature,
)

if TYPE_CHECKING:
    from facauth.structs import Pixels

OBAMAS = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
PORTRAITS = (*OBAMAS, "biden_2010.jpg", "collins.png", "hopper_1984.jpg")
NOTHING = Plane(0, 0, math.nan, math.nan, math.nan, math.nan, math.nan)
FOUND = Plane(100, 90, 0.2, 0.95, 1.0, 1.0, 0.0)
STILL = replace(FOUND, displacement=0.01)


@cache
def networks() -> Networks:
    return Networks(Checked(None))


def of(pixels: Pixels) -> CaptureSignature:
    sighting = sight(pixels, networks().detector)
    return signature(sighting.pixels, sighting.faces[0])


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


@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("copy", COPIES)
def test_a_digital_copy_is_the_enrolled_picture(name: str, copy: str) -> None:
    probe = of(COPIES[copy](read(SAMPLES / name)))
    replay = compare(probe, sample(name))
    assert judge(replay, REPLAY).verdict is ReplayVerdict.ENROLLED_PICTURE
    assert replay.mirrored == (copy == "mirrored")


def test_a_recapture_is_the_enrolled_picture_and_no_other() -> None:
    probe = sample("simulated_recapture.jpg")
    found = {name: judge(compare(probe, sample(name)), REPLAY).verdict for name in PORTRAITS}
    expected = dict.fromkeys(PORTRAITS, ReplayVerdict.NONE)
    assert found == expected | {"obama_2012.jpg": ReplayVerdict.ENROLLED_PICTURE}


@pytest.mark.parametrize("probe", PORTRAITS)
@pytest.mark.parametrize("enrolled", PORTRAITS)
def test_other_photos_are_new_whomever_they_show(probe: str, enrolled: str) -> None:
    judgement = judge(compare(sample(probe), sample(enrolled)), REPLAY)
    assert (judgement.verdict is ReplayVerdict.NONE) == (probe != enrolled)


def test_the_same_file_does_not_move() -> None:
    replay = compare(sample(OBAMAS[0]), sample(OBAMAS[0]))
    assert replay.frame.displacement == pytest.approx(0, abs=1e-4)
    assert replay.frame.correlation == pytest.approx(1, abs=1e-3)
    assert replay.rigid == pytest.approx(1, abs=1e-3)


def test_a_mirrored_signature_is_that_of_the_mirrored_photo() -> None:
    pixels = read(SAMPLES / OBAMAS[2])
    seen = compare(of(pixels[:, ::-1].copy()), mirror(sample(OBAMAS[2])))
    assert not seen.mirrored
    assert seen.frame.displacement == pytest.approx(0, abs=0.005)


def test_the_gravest_verdict_over_all_enrolled_photos_counts() -> None:
    enrolled = [sample(name) for name in OBAMAS]
    found = judge_all(sample("simulated_recapture.jpg"), enrolled, REPLAY)
    assert found.verdict is ReplayVerdict.ENROLLED_PICTURE
    assert judge_all(sample("biden_2010.jpg"), enrolled, REPLAY).verdict is ReplayVerdict.NONE
    assert judge_all(sample("biden_2010.jpg"), [], REPLAY).replay is None


# ---- verdicts


def replay_of(frame: Plane, face: Plane, rigid: float, **other: bool) -> Replay:
    return Replay(other.get("mirrored", False), 400, frame, face, rigid)


@pytest.mark.parametrize(
    ("replay", "verdict"),
    [
        (replay_of(NOTHING, NOTHING, math.nan), "none"),
        (replay_of(FOUND, FOUND, 0.95), "enrolled_picture"),
        (replay_of(NOTHING, FOUND, math.nan), "enrolled_picture"),
        (replay_of(FOUND, FOUND, math.nan), "enrolled_picture"),
        (replay_of(STILL, FOUND, 0.9), "same_sitting"),
        (replay_of(STILL, FOUND, 0.9, mirrored=True), "enrolled_picture"),
        (replay_of(replace(STILL, correlation=0.99), FOUND, 0.99), "enrolled_picture"),
        (replay_of(replace(STILL, gain=1.5), FOUND, 0.9), "enrolled_picture"),
        (replay_of(replace(STILL, lift=-0.3), FOUND, 0.9), "enrolled_picture"),
        (replay_of(replace(STILL, sharper=4.0), FOUND, 0.9), "enrolled_picture"),
        (replay_of(replace(STILL, sharper=math.nan), FOUND, 0.9), "enrolled_picture"),
        (replay_of(replace(STILL, displacement=math.nan), FOUND, 0.9), "enrolled_picture"),
        (replay_of(FOUND, FOUND, 0.3), "same_sitting"),  # the face left its background's plane
        (replay_of(FOUND, NOTHING, 0.1), "same_sitting"),  # the room, and another face
    ],
)
def test_verdicts(replay: Replay, verdict: str) -> None:
    assert judge(replay, REPLAY).verdict == verdict


@given(
    numbers=st.lists(st.sampled_from([0.0, 0.5, 0.95, 1.0, math.nan]), min_size=6, max_size=6),
    inliers=st.integers(40, 200),
    mirrored=st.booleans(),
)
def test_a_missing_number_is_never_nothing(
    numbers: list[float], inliers: int, mirrored: bool
) -> None:
    frame = Plane(inliers, inliers, numbers[0], math.nan, *numbers[1:4])
    face = Plane(inliers, inliers, numbers[4], math.nan, 1.0, 1.0, 0.0)
    replay = Replay(mirrored, 400, frame, face, numbers[5])
    assert judge(replay, REPLAY).verdict is not ReplayVerdict.NONE


def test_a_photo_without_detail_is_not_called_new() -> None:
    replay = Replay(False, REPLAY.min_features - 1, NOTHING, NOTHING, math.nan)
    judgement = judge(replay, REPLAY)
    assert judgement.verdict is ReplayVerdict.SAME_SITTING
    assert [reason.code for reason in judgement.reasons] == ["replay.cannot_compare"]


def test_only_the_enrolled_picture_is_refused() -> None:
    for verdict in ReplayVerdict:
        judgement = Judgement(verdict, None, ())
        if verdict is ReplayVerdict.ENROLLED_PICTURE:
            with pytest.raises(Attack):
                require_new_picture(judgement)
        else:
            require_new_picture(judgement)


def test_the_numbers_in_words() -> None:
    words = explained(replay_of(FOUND, NOTHING, math.nan, mirrored=True))
    assert words == (
        "frame: 90 of 100 points on one plane, moved by 20.0% of the diagonal; "
        "face: 0 of 0 points on one plane; mirrored"
    )


# ---- stored bytes


def test_bytes_go_round() -> None:
    kept = sample(OBAMAS[1]).to_bytes()
    assert CaptureSignature.from_bytes(kept).to_bytes() == kept
    assert kept.startswith(MAGIC)
    assert len(kept) < 100_000


@given(data=st.data())
def test_cut_or_lengthened_bytes_are_refused(data: st.DataObject) -> None:
    kept = sample(OBAMAS[1]).to_bytes()
    cut = data.draw(st.integers(0, len(kept) - 1))
    for hostile in (kept[:cut], kept + bytes(1 + cut % 7), bytes(4) + kept[4:]):
        with pytest.raises(ValueError, match="signature"):
            CaptureSignature.from_bytes(hostile)


@given(start=st.integers(0, 60), noise=st.binary(min_size=1, max_size=60))
def test_altered_bytes_are_refused_or_compared_without_a_fault(start: int, noise: bytes) -> None:
    kept = sample(OBAMAS[1]).to_bytes()
    altered = kept[:start] + noise + kept[start + len(noise) :]
    try:
        hostile = CaptureSignature.from_bytes(altered)
    except ValueError:
        return
    assert judge(compare(sample(OBAMAS[1]), hostile), REPLAY).verdict in ReplayVerdict


@given(noise=st.binary(max_size=400))
def test_any_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match="signature"):
        CaptureSignature.from_bytes(MAGIC + noise)


def test_a_flat_picture_has_no_features() -> None:
    points, descriptors = features(np.full((64, 64), 128, np.uint8))
    assert points.shape == (0, 2)
    assert descriptors.shape == (0, 128)
