"""Fine detail says whether a face is made of another's pixels, wherever they were moved."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facauth.spoof.local import fine_detail
from facauth.spoof.signature import ALIGNED_PX

Grey = NDArray[np.uint8]


def face(seed: int) -> Grey:
    """Texture of all sizes, as skin and hair have."""
    dice = np.random.default_rng(seed)
    sizes = (4, 8, 16, 32, 64, 128)
    layers = [
        cv2.resize(
            dice.normal(0, 14, (n, n)), (ALIGNED_PX, ALIGNED_PX), interpolation=cv2.INTER_CUBIC
        )
        for n in sizes
    ]
    return np.asarray(np.clip(128 + np.sum(layers, axis=0), 0, 255), np.uint8)


def warped(grey: Grey, px: float) -> Grey:
    y, x = np.indices(grey.shape, np.float32)
    wave = np.float32(px) * np.sin((x + 2 * y) / 40)
    return np.asarray(cv2.remap(grey, x + wave, y - wave, cv2.INTER_CUBIC), np.uint8)


def test_the_same_face_is_alike_and_another_is_not() -> None:
    assert fine_detail(face(1), face(1)) == pytest.approx(1, abs=1e-3)
    assert fine_detail(face(1), face(2)) < 0.8


@pytest.mark.parametrize("px", [1.0, 3.0])
def test_a_warp_is_undone(px: float) -> None:
    assert fine_detail(warped(face(1), px), face(1)) > 0.97


def test_light_and_contrast_do_not_matter() -> None:
    darker = (face(1) * 0.6 + 20).astype(np.uint8)
    assert fine_detail(darker, face(1)) > 0.97


def test_a_part_that_is_left_is_enough() -> None:
    half = face(2)
    half[:, : ALIGNED_PX // 2] = face(1)[:, : ALIGNED_PX // 2]
    assert fine_detail(half, face(1)) > 0.97


def test_which_of_two_comes_first_does_not_matter() -> None:
    assert fine_detail(face(1), warped(face(1), 2)) == fine_detail(warped(face(1), 2), face(1))


def test_a_flat_picture_is_like_nothing() -> None:
    flat = np.full((ALIGNED_PX, ALIGNED_PX), 128, np.uint8)
    found = [fine_detail(flat, face(1)), fine_detail(face(1), flat), fine_detail(flat, flat)]
    assert all(math.isfinite(each) and each < 0.5 for each in found)


def test_threads_of_a_server_compare_as_one_does() -> None:
    """What OpenCV keeps between calls is not shared: threads crashed the process, or each other."""
    pairs = [(face(seed), np.roll(face(seed + seed % 2), seed, axis=1)) for seed in range(8)]
    alone = [fine_detail(*pair) for pair in pairs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda pair: fine_detail(*pair), pairs * 16))
    assert together == alone * 16


@pytest.mark.parametrize("least", [0.5, 0.8, 0.9, 0.955, 0.9875, 1.0])
def test_half_of_the_work_never_changes_on_which_side_of_a_limit_a_pair_is(least: float) -> None:
    """A face turns into another one: from 0, the same, to 1."""
    mixed = [cv2.addWeighted(face(1), 1 - part, face(2), part, 0) for part in np.linspace(0, 1, 21)]
    pairs = [(warped(np.asarray(each, np.uint8), 2), face(1)) for each in mixed]
    pairs += [(enrolled, probe) for probe, enrolled in pairs]
    whole = [fine_detail(*pair) >= least for pair in pairs]
    assert [fine_detail(*pair, least) >= least for pair in pairs] == whole
