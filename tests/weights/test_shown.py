"""What the liveness networks are shown in a training: heads that are pasted, and tiny pictures."""

from __future__ import annotations

import numpy as np
import pytest
from weights import from_minifasnet, modelled, shown
from weights.pasted import cut, moved, put_on, scaled

from facauth.structs import Face


def face(x: float, y: float, side: float) -> Face:
    marks = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    placed = marks * np.float32(side) + np.array([x, y], np.float32)
    return Face((x, y, side, side), placed, 0.9)


def picture(height: int, width: int, seed: int = 1) -> modelled.Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("side", [24, 60, 91, 92, 400])
def test_a_picture_of_any_size_is_taken_anew(side: int) -> None:
    for seed in range(40):
        draw = np.random.default_rng(seed)
        pixels, found = shown.taken_anew(picture(side, side), face(4, 4, side / 2), draw)
        assert pixels.shape[2] == 3
        assert max(pixels.shape) <= max(640, 2 * side)
        assert 0 < found.box_px[2] < pixels.shape[1]


def test_a_face_goes_where_its_picture_goes() -> None:
    found = moved(face(30, 40, 20), 10, 15, by=2)
    assert found.box_px == (40, 50, 40, 40)
    assert found.landmarks_px[0] == pytest.approx((40 + 0.3 * 40, 50 + 0.4 * 40))
    smaller, found = scaled(picture(100, 80), face(30, 40, 20), 0.5)
    assert smaller.shape == (50, 40, 3)
    assert found.box_px == (15, 20, 10, 10)


def test_a_cut_holds_the_middle_of_the_face() -> None:
    pixels, whole = picture(200, 300), face(120, 80, 40)
    for seed in range(20):
        part, found = cut(pixels, whole, np.random.default_rng(seed), 1.25)
        x, y = (found.box_px[axis] + found.box_px[axis + 2] / 2 for axis in (0, 1))
        assert 0 < x < part.shape[1]
        assert 0 < y < part.shape[0]
        assert np.array_equal(part[int(y), int(x)], pixels[100, 140])


@pytest.mark.parametrize("shape", ["square", "oval"])
def test_a_head_is_put_on_another_picture(shape: str) -> None:
    head, room = np.full((60, 60, 3), 200, np.uint8), np.full((120, 160, 3), 50, np.uint8)
    at = np.array([100.0, 70.0])
    joined, found = put_on(head, face(20, 20, 20), room, at, shape, (1.2, 1.2), 0)
    assert (joined[70, 100] == 200).all()
    assert (joined[:40] == 50).all()
    assert (joined[:, :80] == 50).all()
    assert found.box_px == (90, 60, 20, 20)
    assert np.array_equal(room, np.full_like(room, 50))


def test_the_black_bars_of_a_source_are_not_shown() -> None:
    barred = np.zeros((120, 100, 3), np.uint8)
    barred[30:90] = 120
    assert shown.without_bars(barred).shape == (60, 100, 3)
    assert shown.without_bars(picture(50, 60)).shape == (50, 60, 3)


def test_a_tail_begins_at_the_first_layer_that_was_changed() -> None:
    none = np.zeros(1)
    before = from_minifasnet.LAYERS[from_minifasnet.first_changed({"conv_5.x": none, "bn.w": none})]
    assert before == "conv_5"
    assert from_minifasnet.first_changed({"conv_34.x": none, "conv_45.y": none}) == 4
