"""What facauth measures on every frame of clips; and how often a rule over frames goes wrong.

    python benchmarks/clips.py CLIPS --cache FOLDER [--processes N] [--trained SETUP ...]

CLIPS holds {live,attack…}/SETUP_NN.EXT: a video, or a folder of frames in the order of their
names, ten a second. All clips of one SETUP show one camera and place. Frames are read ten a second,
at most 30 s of a clip and 960 px a side, and go through facauth's own stages: sight, quality,
liveness, encode; beside these, faces are found at 320 px. What was measured of a clip is kept in
the cache, as KIND-CLIP.npz; a clip that is there is not measured again.

A sign-in looks at some five seconds. A live person's first try is the first window of that length
in which a usable face is seen; the next ones do not overlap it. An attacker may choose, so windows
of attacks start every half second, and an attack is accepted where any window is. The rule is
`accepted`, with the limits of RULE; the set-ups of --trained, which the networks learned from, are
told apart.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
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

from facauth.decision.calibration import shipped
from facauth.errors import FacauthError
from facauth.faces import detect, quality
from facauth.faces.encode import encode
from facauth.measure.rates import interval
from facauth.networks import Checked, Networks
from facauth.settings import DEFAULT, LIVENESS, SIGN_IN_QUALITY
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
            print(line, file=sys.stderr, flush=True)
    return [file for _, file in works]


# ---- the rule


@dataclass(frozen=True, slots=True)
class Rule:
    """When the frames of one window are one live person."""

    seconds: float = 5.0
    frames: int = 12  # one of each equal part of the window, the sharpest with a face
    min_faces: int = 9  # of the frames, with a face; all of these vote, turned aside or not
    min_usable: int = 4  # of the frames, such as sign-in asks of a still
    min_mean: float = 0.6  # P(live), of the mean of the log-odds
    min_lowest: float = 0.4  # P(live), of the mean of the lowest third of the log-odds
    min_link: float = 0.3  # similarity; each frame is tied to the others by links as strong


RULE = Rule()


@dataclass(slots=True)
class Clip:
    """What was measured of a clip."""

    kind: str
    name: str
    at_s: Floats
    log_odds: Floats  # of being live, NaN without a face
    sharpness: Floats
    usable: NDArray[np.bool_]
    encodings: NDArray[np.float32]  # in the space of comparisons

    @property
    def setup(self) -> str:
        """The camera and place."""
        return self.name.rpartition("_")[0]

    @classmethod
    def load(cls, file: Path) -> Clip:
        """From the cache."""
        kind, _, name = file.stem.partition("-")
        columns = np.load(file)
        usable = columns["one_face"] & (columns["unmet"] == "")
        return cls(
            kind,
            name,
            columns["at_s"],
            (columns["near"] + columns["far"]) / 2,
            columns["quality"][:, QUALITY.index("sharpness")],
            usable,
            shipped().calibration.space.of(columns["encoding"]),
        )

    def windows(self, step_s: float, rule: Rule = RULE) -> Iterator[NDArray[np.intp]]:
        """The frames of each window; a clip that is shorter is one window."""
        starts = np.arange(0, max(step_s, self.at_s[-1] - rule.seconds + 0.6), step_s)
        for start in starts:
            inside = (self.at_s > start - 1e-6) & (self.at_s < start + rule.seconds - 1e-6)
            yield np.flatnonzero(inside)


def chosen(clip: Clip, window: NDArray[np.intp], rule: Rule = RULE) -> NDArray[np.intp]:
    """The frames of a window that are judged; parts without a face have none."""
    first, last = clip.at_s[window[[0, -1]]]
    length = max(min(rule.seconds, last - first + 1e-3), 1e-3)
    part = ((clip.at_s[window] - first) / length * rule.frames).astype(int)
    with_face = np.isfinite(clip.log_odds[window])
    parts = (window[(part == each) & with_face] for each in range(rule.frames))
    return np.array([seen[clip.sharpness[seen].argmax()] for seen in parts if len(seen)], np.intp)


def accepted(clip: Clip, window: NDArray[np.intp], rule: Rule = RULE) -> bool:
    """Whether the window shows one live person throughout."""
    frames = chosen(clip, window, rule)
    if len(frames) < rule.min_faces or clip.usable[frames].sum() < rule.min_usable:
        return False
    votes = np.sort(clip.log_odds[frames])
    return bool(
        votes.mean() >= as_log_odds(rule.min_mean)
        and votes[: len(votes) // 3].mean() >= as_log_odds(rule.min_lowest)
        and weakest_link(clip.encodings[frames]) >= rule.min_link
    )


def weakest_link(encodings: NDArray[np.float32]) -> float:
    """The highest similarity at which all encodings are tied together, each to any other.

    A face that turns is unlike the frontal one, but like the one that has turned half as far.
    """
    similar = encodings @ encodings.T
    tied, weakest = np.arange(len(encodings)) == 0, 1.0
    while not tied.all():
        best = np.where(tied, -np.inf, similar[tied].max(axis=0))
        weakest = min(weakest, float(best.max()))
        tied[best.argmax()] = True
    return weakest


def as_log_odds(probability: float) -> float:
    """The log-odds of a probability."""
    return math.log(probability / (1 - probability))


# ---- how often it goes wrong


def let_in(clip: Clip) -> tuple[bool, bool, float]:
    """Whether the clip is accepted; whether its first usable frame is, and which share of them."""
    stills = clip.log_odds[clip.usable] >= as_log_odds(DEFAULT.min_live_score)
    first, share = (bool(stills[0]), float(stills.mean())) if len(stills) else (False, 0.0)
    if clip.kind != "live":
        return any(accepted(clip, each) for each in clip.windows(0.5)), first, share
    tries = (each for each in clip.windows(RULE.seconds) if clip.usable[each].any())
    return any(accepted(clip, each) for each in list(tries)[:1]), first, share


def print_table(files: Sequence[Path], trained: Sequence[str]) -> None:
    """A line for each set-up and kind, and sums of those that no network learned from."""
    rows: dict[tuple[str, str], list[tuple[bool, bool, float]]] = {}
    for clip in map(Clip.load, files):
        rows.setdefault((clip.kind, clip.setup), []).append(let_in(clip))
    print(f"{'accepted':<32}{'clips':>6}{'the rule':>10}{'first still':>12}{'stills':>8}")
    for (kind, setup), found in sorted(rows.items()):
        mark = "*" if setup in trained else ""
        _print_row(f"{kind} {setup}{mark}", found)
    for kind in sorted({kind for kind, _ in rows}):
        unseen = [found for key, found in rows.items() if key[0] == kind and key[1] not in trained]
        clips = [each for found in unseen for each in found]
        low, high = interval(sum(each[0] for each in clips), len(clips))
        _print_row(f"{kind}, {len(unseen)} set-ups, none *", clips, f"[{low:.1%}, {high:.1%}]")


def _print_row(title: str, found: Sequence[tuple[bool, bool, float]], note: str = "") -> None:
    rule, first = sum(each[0] for each in found), sum(each[1] for each in found)
    share = sum(each[2] for each in found) / len(found)
    print(f"{title:<32}{len(found):>6}{rule:>10}{first:>12}{share:>8.1%} {note}".rstrip())


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="{live,attack…}/SETUP_NN.EXT")
    parser.add_argument("--cache", type=Path, required=True, help="keep what is measured here")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trained", nargs="*", default=[], metavar="SETUP")
    options = parser.parse_args()
    files = measure_all(options.folder, options.cache, options.processes)
    print_table(files, options.trained)


if __name__ == "__main__":
    main()
