"""What facauth measures on every frame of clips; and how often a rule over frames goes wrong.

    python benchmarks/clips.py CLIPS --cache FOLDER [--processes N] [--measure-only]

CLIPS holds {live,attack…}/SETUP_NN.EXT: a video, or a folder of frames in the order of their
names, ten a second. All clips of one SETUP show one camera and place. Frames are read ten a second,
at most 30 s of a clip and 960 px a side, and go through facauth's own stages: sight, quality,
liveness, encode; beside these, faces are found at 320 px. What was measured of a clip is kept in
the cache, as KIND-CLIP.npz; a clip that is there is not measured again.

A sign-in looks at some five seconds, so a clip is cut into windows of that length. The first window
in which a face is seen is a live person's first try; an attacker may choose, so an attack is
accepted where any window is.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facauth.errors import FacauthError
from facauth.faces import detect, quality
from facauth.faces.encode import encode
from facauth.networks import Checked, Networks
from facauth.settings import LIVENESS, SIGN_IN_QUALITY
from facauth.spoof import liveness
from facauth.structs import Face, Quality, Sighting

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

EVERY_S, MAX_S, MAX_SIDE_PX, SMALL_PX = 0.1, 30.0, 960, 320
QUALITY = tuple(field.name for field in fields(Quality))
STAGES = ("decode", "detect", "detect_320", "quality", "liveness", "encode")
IMAGES = {".jpg", ".jpeg", ".png"}


@cache
def networks() -> Networks:
    """The networks of this process, loaded and set to one thread: there are other processes."""
    found = Networks(Checked(None))
    found.load()
    cv2.setNumThreads(1)
    return found


# ---- the frames of a clip


def clips(folder: Path) -> list[Path]:
    """All clips below {live,attack…}, in a fixed order."""
    kinds = sorted(kind for kind in folder.iterdir() if kind.is_dir())
    return [path for kind in kinds for path in sorted(kind.iterdir())]


def read(clip: Path) -> Iterator[tuple[float, Pixels]]:
    """(seconds, RGB) of a clip's frames, at most one every EVERY_S."""
    stills = sorted(clip.iterdir()) if clip.is_dir() else None
    frames = _of_folder(stills) if stills is not None else _of_video(clip)
    due = 0.0
    for at_s, bgr in frames:
        if at_s > MAX_S:
            return
        if at_s >= due - EVERY_S / 4:  # a video of 10 a second loses none to rounding
            due = max(due + EVERY_S, at_s)
            yield at_s, shrunk(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))


def _of_folder(stills: Sequence[Path]) -> Iterator[tuple[float, Any]]:
    for place, path in enumerate(path for path in stills if path.suffix.lower() in IMAGES):
        yield place * EVERY_S, cv2.imread(str(path))


def _of_video(clip: Path) -> Iterator[tuple[float, Any]]:
    video = cv2.VideoCapture(str(clip))
    try:
        while True:
            decoded, bgr = video.read()
            if not decoded:
                return
            yield video.get(cv2.CAP_PROP_POS_MSEC) / 1000, bgr
    finally:
        video.release()


def shrunk(pixels: Pixels, side_px: int = MAX_SIDE_PX) -> Pixels:
    """At most this many pixels a side."""
    by = side_px / max(pixels.shape[:2])
    if by >= 1:
        return pixels
    size = (round(pixels.shape[1] * by), round(pixels.shape[0] * by))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


# ---- what is measured of a frame


@dataclass(slots=True)
class Frame:
    """Numbers of one frame; NaN where there is no face."""

    at_s: float
    size_px: tuple[int, int]  # width, height
    turned_deg: int
    faces: int
    one_face: bool  # facauth knows which face the frame is about
    box_px: Floats
    marks_px: Floats
    score: float
    faces_320: int
    box_320_px: Floats
    marks_320_px: Floats
    score_320: float
    sharpness_320: float
    quality: Floats  # in the order of QUALITY
    context: float
    near: float  # log-odds of being live, of the 2.7 view
    far: float  # of the 4.0 view
    encoding: NDArray[np.float32]
    unmet: str  # what sign-in and liveness ask for and the frame does not have, codes
    ms: Floats  # in the order of STAGES


def measured(at_s: float, pixels: Pixels, decode_ms: float) -> Frame:
    """One frame through facauth's stages."""
    nets, ms = networks(), [decode_ms]

    def timed(stage: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = stage()
        ms.append((time.perf_counter() - start) * 1000)
        return result

    sighting: Sighting = timed(lambda: detect.sight(pixels, nets.detector))
    small: tuple[Face, ...] = timed(lambda: found_small(pixels, nets))
    frame = _without_face(at_s, pixels, sighting, small)
    if small:
        frame.box_320_px, frame.marks_320_px, frame.score_320 = _of_face(small[0])
        grey = quality.grey_of(quality.small_face(pixels, small[0]))
        frame.sharpness_320 = quality.sharpness(grey)
    if sighting.faces:
        face = sighting.faces[0]
        frame.box_px, frame.marks_px, frame.score = _of_face(face)
        found: Quality = timed(lambda: quality.measure(sighting, face))
        frame.near, frame.far = timed(lambda: log_odds(sighting.pixels, face, nets))
        frame.encoding = timed(lambda: encode(sighting, face, networks=nets)).vector
        frame.quality = np.array(astuple(found), float)
        frame.context = liveness.context(sighting.pixels, face)
        frame.unmet = " ".join(unmet(found, frame.context))
    frame.ms[: len(ms)] = ms
    return frame


def found_small(pixels: Pixels, nets: Networks) -> tuple[Face, ...]:
    """The faces of the frame as it stands, found at SMALL_PX; in its pixels."""
    small = shrunk(pixels, SMALL_PX)
    by = pixels.shape[1] / small.shape[1]
    return tuple(
        Face(
            tuple(side * by for side in face.box_px),
            np.asarray(face.landmarks_px * by, np.float32),
            face.detection_score,
        )
        for face in detect.find_faces(small, nets.detector)
    )


def log_odds(pixels: Pixels, face: Face, nets: Networks) -> tuple[float, float]:
    """The two numbers whose mean is facauth's live score, as log-odds."""
    near = liveness.live_log_odds(liveness.views(pixels, face, 2.7), nets.live_2_7)
    return near, liveness.live_log_odds(liveness.views(pixels, face, 4.0), nets.live_4_0)


def unmet(found: Quality, context: float) -> list[str]:
    """Codes of what a still would be refused for before its liveness is judged."""
    judged = quality.judgements(found, SIGN_IN_QUALITY)
    seen = liveness.conditions(context, found, LIVENESS)
    reasons = [*(reason for passed, reason in judged if not passed), *liveness.unmet(seen)]
    return [reason.code for reason in reasons]


def _without_face(at_s: float, pixels: Pixels, sighting: Sighting, small: Sequence[Face]) -> Frame:
    box, marks, nan = np.full(4, np.nan), np.full((5, 2), np.nan), math.nan
    return Frame(
        at_s=at_s,
        size_px=(pixels.shape[1], pixels.shape[0]),
        turned_deg=sighting.turned_deg,
        faces=len(sighting.faces),
        one_face=_one_face(sighting),
        box_px=box,
        marks_px=marks,
        score=nan,
        faces_320=len(small),
        box_320_px=box,
        marks_320_px=marks,
        score_320=nan,
        sharpness_320=nan,
        quality=np.full(len(QUALITY), nan),
        context=nan,
        near=nan,
        far=nan,
        encoding=np.full(256, nan, np.float32),
        unmet="",
        ms=np.full(len(STAGES), nan),
    )


def _one_face(sighting: Sighting) -> bool:
    try:
        detect.only_face(sighting)
    except FacauthError:
        return False
    return True


def _of_face(face: Face) -> tuple[Floats, Floats, float]:
    return np.array(face.box_px), face.landmarks_px.astype(float), face.detection_score


def measure_clip(work: tuple[Path, Path]) -> str:
    """Measure a clip into a file, unless it is there."""
    clip, file = work
    if file.exists():
        return f"{file.stem}: kept"
    found = []
    networks()
    start = time.perf_counter()
    for at_s, pixels in read(clip):
        decode_ms = (time.perf_counter() - start) * 1000
        found.append(measured(at_s, pixels, decode_ms))
        start = time.perf_counter()
    columns: dict[str, Any] = {
        field.name: np.array([getattr(frame, field.name) for frame in found])
        for field in fields(Frame)
    }
    np.savez(file, **columns)
    return f"{file.stem}: {len(found)} frames"


def measure_all(folder: Path, cache_in: Path, processes: int) -> list[Path]:
    """Measure all clips; the files that hold what was measured."""
    cache_in.mkdir(parents=True, exist_ok=True)
    works = [(clip, cache_in / f"{clip.parent.name}-{clip.stem}.npz") for clip in clips(folder)]
    with get_context("spawn").Pool(processes) as pool:
        for line in pool.imap_unordered(measure_clip, works):
            print(line, flush=True)
    return [file for _, file in works]


def main() -> None:
    """Parse, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="{live,attack…}/SETUP_NN.EXT")
    parser.add_argument("--cache", type=Path, required=True, help="keep what is measured here")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    measure_all(options.folder, options.cache, options.processes)


if __name__ == "__main__":
    main()
