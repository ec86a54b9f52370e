"""Clips, from a file to frames; what is wrong with one is a refusal, and nothing else."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import SAMPLES
from mutations import mutated

from facauth.errors import UnusableImage
from facauth.faces import clip, footage
from facauth.faces.clip import HEADER, film, frames_in, is_clip
from facauth.faces.footage import Footage, Frame, Track
from facauth.networks import Networks
from facauth.settings import CLIP
from facauth.structs import Face

KINDS = {"mp4": "mp4v", "mov": "mp4v", "avi": "MJPG", "mkv": "MJPG", "webm": "VP80"}


@pytest.fixture(scope="module")
def portrait() -> Any:
    """A face, 480 pixels high."""
    photo = cv2.imread(str(SAMPLES / "obama_2009.jpg"))
    assert photo is not None
    scale = 480 / photo.shape[0]
    return cv2.resize(photo[..., ::-1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def made(
    folder: Path,
    kind: str = "mp4",
    seconds: float = 2,
    fps: int = 30,
    size: tuple[int, int] = (64, 48),
) -> bytes:
    """A clip whose frames get brighter."""
    path = folder / f"clip.{kind}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*KINDS[kind]), fps, size)
    assert writer.isOpened()
    frames = round(seconds * fps)
    for number in range(frames):
        writer.write(np.full((size[1], size[0], 3), 200 * number // frames, np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_every_kind(tmp_path: Path, kind: str) -> None:
    data = made(tmp_path, kind)
    assert is_clip(data[: clip.HEAD_BYTES])
    frames = list(frames_in(data, "clip"))
    assert 18 <= len(frames) <= 21  # ten a second
    assert [frame.at_s for frame in frames] == sorted({frame.at_s for frame in frames})
    assert frames[0].at_s == 0
    assert frames[-1].at_s == pytest.approx(1.93, abs=0.07)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    light = [float(frame.pixels.mean()) for frame in frames]
    assert light == sorted(light)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 250), np.uint8))  # as OpenCV has them
    writer.release()
    (frame,) = frames_in(path.read_bytes(), "clip")
    red, green, blue = frame.pixels.reshape(-1, 3).mean(axis=0)
    assert red > 200 > 50 > max(green, blue)


def test_large_frames_are_made_smaller(tmp_path: Path) -> None:
    frames = list(frames_in(made(tmp_path, seconds=0.2, size=(1920, 1080)), "clip"))
    assert {frame.pixels.shape for frame in frames} == {(540, 960, 3)}


def test_frames_that_are_too_large(tmp_path: Path) -> None:
    data = made(tmp_path, "avi", seconds=0.2, fps=10, size=(4800, 2000))
    with pytest.raises(UnusableImage) as refusal:
        list(frames_in(data, "clip.avi"))
    assert refusal.value.reasons[0].code == "clip.too_many_pixels"


def test_what_comes_after_half_a_minute_is_not_looked_at(tmp_path: Path) -> None:
    frames = list(frames_in(made(tmp_path, "avi", seconds=33, fps=4), "clip"))
    assert frames[-1].at_s == CLIP.max_s


def test_a_clip_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "CLIP", CLIP._replace(max_decode_s=0.0))
    with pytest.raises(UnusableImage) as refusal:
        list(frames_in(made(tmp_path), "clip.mp4"))
    assert refusal.value.reasons[0].code == "clip.damaged"


@pytest.mark.parametrize(
    ("at_s", "width", "height"),
    [(0.0, 2**32 - 1, 2**32 - 1), (0.0, 961, 1), (0.0, 0, 9), (float("nan"), 1, 1), (-1.0, 1, 1)],
)
def test_a_decoder_that_was_taken_over_gets_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_s: float, width: int, height: int
) -> None:
    """Neither memory nor a time that no clip has."""
    (tmp_path / "said").write_bytes(HEADER.pack(at_s, width, height) + bytes(3000))
    decoder = tmp_path / "decoder"
    decoder.write_text(f"#!/bin/sh\nexec cat '{tmp_path}/said'\n")
    decoder.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(decoder))
    with pytest.raises(UnusableImage) as refusal:
        list(frames_in(b"", "clip.mp4"))
    assert refusal.value.reasons[0].code == "clip.damaged"


def test_the_decoder_ends_when_nobody_reads_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    real = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    frames = frames_in(made(tmp_path, seconds=20), "clip.mp4")
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert started[0].returncode is not None


def test_the_decoder_opens_no_file() -> None:
    """Once it is confined: neither what a clip may name, nor an address."""
    program = """
import cv2, socket
from facauth.faces.clip_decoder import _confine
_confine()
for attempt in (lambda: open("/etc/passwd"), socket.socket, lambda: open("/tmp/clip", "w")):
    try:
        attempt()
    except OSError:
        continue
    raise SystemExit("opened")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


STILLS = (
    *(b"", b"\xff\xd8\xff\xe0", b"\x89PNG", b"GIF89a"),
    *(b"\0\0\0\x18ftypheic", b"RIFF\0\0\0\0WEBP"),
)


@pytest.mark.parametrize("head", STILLS)
def test_what_is_no_clip_is_a_still(head: bytes) -> None:
    assert not is_clip(head)
    assert film("photo", lambda _: head, pytest.fail) is None


@pytest.mark.parametrize(("photos", "exit_code"), [(45, 4), (46, 0)])
def test_a_folder_of_a_few_photos_is_no_clip(tmp_path: Path, photos: int, exit_code: int) -> None:
    for number in range(photos):
        (tmp_path / f"{number:02}.jpg").touch()
    picture = np.zeros((8, 8, 3), np.uint8)
    if exit_code:
        with pytest.raises(UnusableImage, match=f"and has {photos}; name photos one by one"):
            film(str(tmp_path), pytest.fail, lambda _: picture)
    else:
        footage = film(str(tmp_path), pytest.fail, lambda _: picture)
        assert footage and len(list(footage.frames)) == photos


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_clip_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    """No other error, no hang, and no picture beyond the limits."""
    data = made(tmp_path, kind, seconds=1)
    read = 0
    dice = random.Random(kind)
    for _ in range(40):
        try:
            for frame in frames_in(mutated(data, dice), "clip"):
                height, width, _ = frame.pixels.shape
                assert max(height, width) <= CLIP.max_side_px
                assert 0 <= frame.at_s <= CLIP.max_s
                read += 1
        except UnusableImage as refusal:
            assert refusal.reasons[0].code.startswith("clip.")
    assert read  # some changes leave a clip


# --- the frames that are judged -------------------------------------------------------------------


def walk(pixels: Any, seconds: float) -> Iterator[Frame]:
    for number in range(round(seconds * 10) + 1):
        yield Frame(np.roll(pixels, number % 3, axis=1), number / 10)


def test_frames_are_spread_over_the_clip(networks: Networks, portrait: Any) -> None:
    for seconds in (0.5, 2, 5, 13, 29):
        track = Track.follow(Footage(walk(portrait, seconds)), networks.detector)
        assert track.length_s == pytest.approx(seconds)
        assert len(track.poses) == round(seconds * 10) + 1
        assert len(track.judged) == min(12, round(seconds * 10) + 1)


def test_frames_without_a_face_are_left_out(networks: Networks, portrait: Any) -> None:
    nothing = np.zeros_like(portrait)
    frames = [Frame(nothing if number % 2 else portrait, number / 10) for number in range(60)]
    track = Track.follow(Footage(frames), networks.detector)
    assert len(track.poses) == 30
    assert all(len(sighting.faces) == 1 for sighting, _ in track.judged)


def test_footage_without_a_face(networks: Networks) -> None:
    frames = [Frame(np.zeros((48, 64, 3), np.uint8), number / 10) for number in range(9)]
    track = Track.follow(Footage(frames), networks.detector)
    assert (track.poses, track.judged, track.length_s) == ((), (), 0)
    assert not Track.follow(Footage([]), networks.detector).judged


def test_the_face_that_was_followed_stays_the_one(networks: Networks, portrait: Any) -> None:
    """A larger face that comes in later is another one."""
    height, width = portrait.shape[:2]
    small = cv2.resize(portrait, (width // 2, height // 2))
    alone = np.full((height, 2 * width, 3), 128, np.uint8)
    alone[: height // 2, : width // 2] = small
    both = alone.copy()
    both[:, width:] = portrait
    frames = [Frame(both if number > 5 else alone, number / 10) for number in range(12)]
    sizes = [pose.size_px for pose in Track.follow(Footage(frames), networks.detector).poses]
    assert max(sizes) < 1.3 * min(sizes)


def test_chance_chooses_every_second_frame(networks: Networks, portrait: Any) -> None:
    """So that nobody can tell beforehand which frames will be judged."""
    frames = [Frame(portrait.copy(), number / 10) for number in range(60)]
    places = {id(frame.pixels): number for number, frame in enumerate(frames)}

    def judged() -> tuple[int, ...]:
        track = Track.follow(Footage(frames), networks.detector)
        return tuple(places[id(sighting.pixels)] for sighting, _ in track.judged)

    assert len({judged() for _ in range(4)}) > 1


def hidden(number: int) -> list[float]:
    """Times of 80 frames or fewer: two blurred ones for each movement, among many of one moment."""
    idle = [n * 0.4 for n in range(16) if n not in (5, 13)]
    near = [side * 0.002 * n for n in range(1, number + 1) for side in (-1, 1)]
    return sorted(
        [*idle, *(at + (0.3 if by > 0 else 0) + by for at in BLURRED[::2] for by in near)]
    )


BLURRED = (2.0, 2.3, 4.9, 5.2)


@pytest.mark.parametrize("number", [1, 14])
def test_a_movement_cannot_be_hidden_from_chance(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Blurred frames of another face could follow a challenge, and never be judged."""
    face = Face((0, 0, 9, 9), np.array([[2, 2], [6, 2], [4, 4], [2, 6], [6, 6]], np.float32), 1)
    monkeypatch.setattr(footage, "find_faces", lambda *_: (face,))
    monkeypatch.setattr(footage, "sharpness", lambda grey: float(grey.mean()))
    monkeypatch.setattr(footage, "sight_upright", lambda pixels, _: pixels)
    detector: Any = None  # find_faces has it
    sharp: Any = np.full((9, 9, 3), 200, np.uint8)
    blurred: Any = np.zeros((9, 9, 3), np.uint8)
    times_s = sorted([*hidden(number), *BLURRED])
    frames = [Frame(blurred if at_s in BLURRED else sharp, at_s) for at_s in times_s]
    found = [
        any(pixels is blurred for pixels, _ in Track.follow(Footage(frames), detector).judged)
        for _ in range(200)
    ]
    assert len(frames) <= 80
    assert sum(found) > 100
