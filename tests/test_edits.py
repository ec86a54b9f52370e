"""The edits that attacks are made of (benchmarks/edits.py) are what they say, whenever made."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from edits import EDITS, Studio, Subject, drawn_room, read, subjects
from simulator import SAMPLES

from facauth.networks import Checked, Networks

KEEPS = ("swap", "pasted")  # of the photo these keep the face alone


@cache
def cast() -> list[Subject]:
    """Two photos, each the other's stranger."""
    paths = [SAMPLES / "collins.png", SAMPLES / "hopper_1984.jpg"]
    return list(subjects(paths, Networks(Checked(None)).detector))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_another_picture_and_the_same_each_time(name: str) -> None:
    collins, _ = cast()
    first, again = (Studio([], cast()).edited(collins, name) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.dtype == np.uint8
    if name.startswith(KEEPS):
        assert first.shape in {each.pixels.shape for each in cast()} | {(720, 960, 3)}
    else:
        assert first.shape == collins.pixels.shape
        assert not np.array_equal(first, collins.pixels)


def test_another_seed_is_another_warp() -> None:
    collins, _ = cast()
    one, two = (Studio([], cast(), seed).edited(collins, "warp_1") for seed in (1, 2))
    assert not np.array_equal(one, two)


def test_a_drawn_room_shows_no_face() -> None:
    detector = Networks(Checked(None)).detector
    rng = np.random.default_rng(1)
    detector.setInputSize((960, 720))
    assert all(detector.detect(drawn_room(rng))[1] is None for _ in range(3))


@pytest.mark.parametrize(
    ("form", "folders"),
    [("replay", {"original", "glasses", "warp_1"}), ("spoof", {"attack_glasses", "attack_warp_1"})],
)
def test_edits_are_written_as_evaluate_reads_them(
    tmp_path: Path, form: str, folders: set[str]
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "benchmarks" / "edits.py"), str(SAMPLES), str(out)]
    more = ["--form", form, "--only", "warp_1", "glasses", "--photos", "2"]
    subprocess.run([*command, *more], check=True, timeout=120)
    assert {each.name for each in out.iterdir()} == folders
    names = [{each.name for each in folder.iterdir()} for folder in out.iterdir()]
    assert all(each == names[0] for each in names)
    assert read(next((out / min(folders)).iterdir())).ndim == 3
