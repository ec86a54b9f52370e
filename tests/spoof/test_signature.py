"""What is kept of a photo goes to bytes and back; whatever else the bytes are is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator import SAMPLES, read

from facauth.faces.detect import sight
from facauth.networks import Checked, Networks
from facauth.spoof.replay import judge
from facauth.spoof.signature import (
    ALIGNED_PX,
    MAGIC,
    WITHOUT_ALIGNED,
    CaptureSignature,
    aligned,
    chip,
    features,
    signature,
)
from facauth.structs import Face


@cache
def photo() -> CaptureSignature:
    sighting = sight(read(SAMPLES / "obama_2010.jpg"), Networks(Checked(None)).detector)
    return signature(sighting.pixels, sighting.faces[0])


def test_a_chip_is_cut_at_the_border() -> None:
    face = Face((-20, 10, 100, 100), np.zeros((5, 2), np.float32), 1.0)
    (left, top, right, bottom), scale = chip(face, 320, 240)
    assert (left, top, right, bottom) == (0, 0, 98, 128)
    assert scale == pytest.approx(160 / 135)


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (-500, -500, 20, 20), (0, 0, 9000, 9000)])
def test_any_box_has_a_signature(box: tuple[int, int, int, int]) -> None:
    face = Face(box, np.zeros((5, 2), np.float32), 1.0)
    kept = signature(np.zeros((40, 30, 3), np.uint8), face).to_bytes()
    assert CaptureSignature.from_bytes(kept).to_bytes() == kept


def test_bytes_go_round() -> None:
    kept = photo().to_bytes()
    assert CaptureSignature.from_bytes(kept).to_bytes() == kept
    assert kept.startswith(MAGIC)
    assert len(kept) < 120_000


def test_a_signature_of_facauth_0_1_is_read_and_compared() -> None:
    """Up to its magic and the aligned face at its end the bytes are the same."""
    kept = photo().to_bytes()
    old = WITHOUT_ALIGNED + kept[len(MAGIC) : -(ALIGNED_PX**2)]
    known = CaptureSignature.from_bytes(old)
    assert known.aligned is None
    assert known.to_bytes() == old
    again = judge(photo(), [photo(), known])
    assert (again.verdict, again.compared, again.older) == ("enrolled_picture", 2, 1)
    assert judge(photo(), [known]).verdict == "enrolled_picture"
    assert judge(photo(), [photo()]).older == 0


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("turn", [0, 30])
def test_the_aligned_face_is_the_same_at_any_size_and_turn(size: int, turn: float) -> None:
    pixels = read(SAMPLES / "obama_2012.jpg")
    face = sight(pixels, Networks(Checked(None)).detector).faces[0]
    middle = (pixels.shape[1] / 2, pixels.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, turn, 1 / size)
    seen = cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], flags=cv2.INTER_AREA)
    points = face.landmarks_px @ matrix[:, :2].T + matrix[:, 2]
    there = replace(face, landmarks_px=points.astype(np.float32))
    known, again = (
        aligned(np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), np.uint8), where).astype(float)
        for each, where in ((pixels, face), (seen, there))
    )
    assert known.shape == (ALIGNED_PX, ALIGNED_PX)
    assert np.corrcoef(known[8:-8, 8:-8].ravel(), again[8:-8, 8:-8].ravel())[0, 1] > 0.98


@given(data=st.data())
def test_cut_or_lengthened_bytes_are_refused(data: st.DataObject) -> None:
    kept = photo().to_bytes()
    cut = data.draw(st.integers(0, len(kept) - 1))
    for hostile in (kept[:cut], kept + bytes(1 + cut % 7), bytes(4) + kept[4:]):
        with pytest.raises(ValueError, match="signature"):
            CaptureSignature.from_bytes(hostile)


@given(start=st.integers(0, 60), noise=st.binary(min_size=1, max_size=60))
def test_altered_bytes_are_refused_or_compared_without_a_fault(start: int, noise: bytes) -> None:
    kept = photo().to_bytes()
    altered = kept[:start] + noise + kept[start + len(noise) :]
    try:
        hostile = CaptureSignature.from_bytes(altered)
    except ValueError:
        return
    assert judge(photo(), [hostile]).compared == 1


@given(magic=st.sampled_from([MAGIC, WITHOUT_ALIGNED]), noise=st.binary(max_size=400))
def test_any_bytes_are_refused(magic: bytes, noise: bytes) -> None:
    with pytest.raises(ValueError, match="signature"):
        CaptureSignature.from_bytes(magic + noise)


def test_a_flat_picture_has_no_features() -> None:
    points, descriptors = features(np.full((64, 64), 128, np.uint8))
    assert points.shape == (0, 2)
    assert descriptors.shape == (0, 128)
