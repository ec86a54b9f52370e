"""OpenCV's own way to a camera, down to the kernel's interface: behind it is tests/faces/v4l2.c."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE_S, Facauth, Photo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices"),
]

# The age of frames in milliseconds: in a row, after pauses of .12 s, and of 1.5 s.
PROGRAM = """
import json, sys, time
from facauth.faces.camera import opened

def age_ms(pixels):
    squares = pixels[4, 6 : 6 + 12 * 32 : 12, 1]  # scaled by 3/4
    filled = sum(1 << bit for bit, light in enumerate(squares) if light > 128)
    return time.monotonic() * 1000 % 2**32 - filled

with opened(sys.argv[1]) as camera:
    def look(pause_s):
        time.sleep(pause_s)
        frame = camera.frame()
        return frame.at_s, age_ms(frame.pixels), frame.pixels.shape
    found = {pause: [look(pause) for _ in range(count)] for pause, count in
        ((0, 30), (0.12, 8), (1.5, 2))}
print(json.dumps(found))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("v4l2") / "v4l2.so"
    source = Path(__file__).with_name("v4l2.c")
    subprocess.run(
        ["cc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"],
        check=True,
    )
    return made


@pytest.fixture
def webcam(tmp_path: Path, library: Path, facauth: Facauth) -> Run:
    """Runs Python with a webcam, whose path it gets as the first argument."""
    device = tmp_path / "video0"
    os.mknod(device, 0o20600, os.makedev(81, 0))

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        named = {f"WEBCAM_{name.upper()}": value for name, value in settings.items()}
        env = facauth.environment({"LD_PRELOAD": str(library), "WEBCAM": str(device), **named})
        return subprocess.run(
            [sys.executable, *(str(device) if each == "WEBCAM" else each for each in arguments)],
            cwd=facauth.here,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return run


def ages(run: Run, **settings: str) -> dict[str, list[Any]]:
    done = run("-c", PROGRAM, "WEBCAM", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("fps", "buffers"), [("30", "1"), ("30", "4"), ("60", "4"), ("10", "2")])
def test_frames_are_of_now(webcam: Run, fps: str, buffers: str) -> None:
    """A driver holds back frames that came while nobody asked; those are left out."""
    found = ages(webcam, fps=fps, buffers=buffers)
    for pause_s, looks in found.items():
        old = sorted(age_ms for _, age_ms, _ in looks)
        assert old[-2] < 100, (pause_s, old)
    times = [at_s for at_s, _, _ in found["0"]]
    assert 29 / (times[-1] - times[0]) == pytest.approx(10, abs=0.5)
    assert found["0"][0][2] == [540, 960, 3]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("busy", 7, "is busy or does not start; close other programs that use it"),
        ("streaming", 7, "is busy or does not start; close other programs that use it"),
        ("silent", 4, "the camera gave no picture for 5 s; check its cable"),
    ],
)
def test_a_camera_that_gives_nothing(webcam: Run, fault: str, code: int, words: str) -> None:
    done = webcam("-m", "facauth", "spoof-check", "--device", "WEBCAM", "--json", fault=fault)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["exit_code"]) == (code, code)
    assert words in "; ".join(answer["reasons"][0].values())


def test_the_real_program_looks_through_a_webcam(webcam: Run, photo: Photo, tmp_path: Path) -> None:
    picture = tmp_path / "picture.yuyv"
    picture.write_bytes(yuyv(photo("obama_2010.jpg")))
    done = webcam("-m", "facauth", "spoof-check", "--device", "WEBCAM", picture=str(picture))
    assert (done.returncode, done.stdout) == (0, "camera: live\n")
    assert done.stderr.splitlines()[-1] == "checking"


def yuyv(path: str) -> bytes:
    """1280 x 720, with one pair of colours for two pixels."""
    import cv2
    import numpy as np

    found = cv2.imread(path)
    assert found is not None
    height, width = found.shape[:2]
    scale = 720 / height
    frame = np.full((720, 1280, 3), 110, np.uint8)
    small = cv2.resize(found, (int(width * scale) // 2 * 2, 720), interpolation=cv2.INTER_AREA)
    left = (1280 - small.shape[1]) // 4 * 2
    frame[:, max(0, left) : left + small.shape[1]] = small[:, max(0, -left) :][:, :1280]
    light = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV)
    packed = np.empty((720, 1280, 2), np.uint8)
    packed[..., 0] = light[..., 0]
    packed[:, ::2, 1], packed[:, 1::2, 1] = light[:, ::2, 1], light[:, ::2, 2]
    return packed.tobytes()
