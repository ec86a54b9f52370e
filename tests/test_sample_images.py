"""The pictures in sample_images/: made as they say, credited, small, and without a position."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from simulator import DERIVED, SAMPLES, Medium, read, recapture

CREDITS = SAMPLES / "CREDITS.md"
PICTURES = sorted(path for path in SAMPLES.iterdir() if path != CREDITS)
GPS_IFD = 0x8825
MAX_BYTES = 3_200_000  # all of the folder, for it is in every wheel
MAX_DIFFERENCE = 3.0  # mean absolute difference in levels: JPEG alone takes 1.6


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_file_is_what_the_simulator_makes(name: str) -> None:
    stored, made = read(SAMPLES / name), DERIVED[name](SAMPLES)
    assert stored.shape == made.shape
    assert np.abs(stored.astype(float) - made).mean() < MAX_DIFFERENCE


def test_the_credits_name_every_picture_and_no_other() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", CREDITS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == [path.name for path in PICTURES]


def test_the_simulated_picture_says_so_in_the_credits_and_in_itself() -> None:
    row = next(line for line in CREDITS.read_text(encoding="utf-8").splitlines() if "recap" in line)
    assert "SIMULATED" in row
    with Image.open(SAMPLES / "simulated_recapture.jpg") as image:
        assert b"SIMULATED" in image.info["comment"]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_no_picture_tells_where_it_was_taken(path: Path) -> None:
    with Image.open(path) as image:
        assert not image.getexif().get_ifd(GPS_IFD)
    assert b"GPSLatitude" not in path.read_bytes()  # in XMP


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < MAX_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("medium", ["screen", "print"])
def test_a_recapture_depends_on_its_seed_and_on_nothing_else(medium: Medium) -> None:
    picture = read(SAMPLES / "hopper_1984.jpg")
    first, again, other = (recapture(picture, medium=medium, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (1280, 960, 3)
    assert np.array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > MAX_DIFFERENCE


def test_a_recapture_is_held_as_its_picture_and_leaves_it_alone() -> None:
    picture = read(SAMPLES / "no_face.png")
    before = picture.copy()
    assert recapture(picture, medium="screen", seed=1).shape == (960, 1280, 3)
    assert np.array_equal(picture, before)
