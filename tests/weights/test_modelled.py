"""What the liveness networks learn from: the same pictures for the same draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from weights import modelled

SAMPLE = Path(__file__).parents[2] / "sample_images" / "collins.png"
SEEDS = range(12)  # enough that every branch is drawn

Changed = Callable[[modelled.Bytes, modelled.Random], modelled.Light]


def of_camera(picture: modelled.Bytes, draw: modelled.Random) -> modelled.Light:
    return modelled.through_camera(modelled.light(picture), draw, 1)


@pytest.fixture(scope="module")
def picture() -> modelled.Bytes:
    return np.asarray(Image.open(SAMPLE).convert("RGB").resize((160, 200)))


@pytest.mark.parametrize("change", [modelled.on_screen, modelled.on_paper, of_camera])
def test_a_draw_decides_everything(change: Changed, picture: modelled.Bytes) -> None:
    before = picture.copy()
    found = set()
    for seed in SEEDS:
        once, again = (change(picture, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(once, again)
        assert once.shape == picture.shape
        assert once.dtype == np.float32
        assert np.isfinite(once).all()
        found.add(once.tobytes())
    assert len(found) == len(SEEDS)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("change", [modelled.on_screen, modelled.on_paper])
def test_the_picture_can_still_be_made_out(change: Changed, picture: modelled.Bytes) -> None:
    """On most screens and prints: glare and dark ones hide some."""
    alike = [
        np.corrcoef(change(picture, np.random.default_rng(seed)).ravel(), picture.ravel())[0, 1]
        for seed in SEEDS
    ]
    assert np.median(alike) > 0.7


def test_a_file_has_eight_bits_and_keeps_its_colours(picture: modelled.Bytes) -> None:
    light = modelled.light(picture)
    files = [modelled.as_file(light, np.random.default_rng(seed)) for seed in SEEDS]
    assert all(each.dtype == np.uint8 and each.shape == picture.shape for each in files)
    coloured = [each for each in files if (each[..., 0] != each[..., 2]).any()]
    assert 0 < len(coloured) < len(files)  # some are grey
    for each in coloured:
        assert np.abs(each.mean((0, 1)) - picture.mean((0, 1))).max() < 3


def test_a_third_of_people_is_kept_aside_and_always_the_same() -> None:
    people = [f"Person_{number}" for number in range(3000)]
    aside = [person for person in people if modelled.kept_aside(person)]
    assert 900 < len(aside) < 1100
    assert aside == [person for person in people if modelled.kept_aside(person)]
    assert modelled.kept_aside("Person_0") is False
