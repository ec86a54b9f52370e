"""What the liveness networks are shown: crops of real faces, changed in many ways.

DATA holds lfw/PERSON/IMAGE, pad/SOURCE/{live,attack*}/, stills/{live,attack*}/SOURCE_nn.jpg and
clips/{live,attack*}/SOURCE_nn.*; SOURCES says which are shown. Every photo is cut, scaled, lit,
masked, blurred and compressed anew for each sample, live faces and attacks alike, so that none of
it tells them apart. Heads are also pasted on rooms and on other people's photos: what is around a
face must not answer for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facauth.faces.detect import sight
from facauth.faces.image import decode, read_image
from facauth.networks import Checked, Networks
from facauth.spoof.liveness import view
from facauth.structs import Face
from weights import modelled
from weights.pasted import cut, moved, pasted, scaled

Pixels = NDArray[np.uint8]

SCALES = {"tight": 1.5, "near": 2.7, "far": 4.0}
IMAGES = {".jpg", ".jpeg", ".png"}
FRAMES = 6  # of a clip
SMALL_PX = 480  # the longer side of what heads are pasted on
PEOPLE = 400  # of the press photos
EVERY = {"nuaa": 5}  # photos of one session are alike
PASTED_ON = 60  # press photos, and as many others
SEED = 20261130


@dataclass(frozen=True, slots=True)
class Shown:
    """How many samples are made of each photo of a source."""

    live: float = 0  # a live photo as it is
    modelled: float = 0  # a live photo on a modelled screen or print
    attack: float = 0  # an attack as it is
    pasted: float = 0  # the head of either, put on another picture


STILL = Shown(live=7, modelled=2, attack=9, pasted=3)
SOURCES = {
    "lfw": Shown(live=1.5, modelled=0.7, pasted=0.5),
    "nuaa": Shown(live=3, modelled=0.8, attack=3, pasted=0.8),
    "phone_full_bleed_c": Shown(attack=10, pasted=4),
    "phone_in_hand_d": Shown(attack=14, pasted=5),
    "webcam_e": Shown(live=20, modelled=4, attack=20, pasted=6),
    "webcam_f": Shown(live=20, modelled=4, pasted=6),
    "selfies_g": Shown(live=9, modelled=2, pasted=3),
    "library_k": STILL,
    "livingroom_l": STILL,
    "office_m": STILL,
    "wall_n": STILL,
    "curtain_o": STILL,
    "many_p": STILL,
    "backlight_q": STILL,
    "college_r": STILL,
    "selfie_s": STILL,
    "studio_h": STILL,
    "pose_j": STILL,
}
OF_A_FRAME = 0.5  # of what is made of a still: frames of a clip are alike


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo or a frame of a clip; its file, and which frame."""

    source: str
    person: str
    is_attack: bool
    file: Path
    frame: int | None = None

    @property
    def draw(self) -> modelled.Random:
        """Always the same draw for the same shot."""
        name = f"{SEED} {self.source}/{self.person}/{self.is_attack}/{self.file.name}/{self.frame}"
        return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))


@dataclass(frozen=True, slots=True)
class Sample:
    """One face as the networks see it, (3, 80, 80, 3) RGB."""

    source: str
    person: str
    kind: str  # live, attack, screen or paper
    on: str  # the source of the picture it is pasted on; empty where it is not
    views: Pixels


# ---- which photos


def shots(data: Path) -> list[Shot]:
    """Every photo and frame that training may see, in a fixed order."""
    return [*_press(data / "lfw"), *_sets(data / "pad"), *_stills(data), *_frames(data)]


def _press(lfw: Path) -> Iterator[Shot]:
    people = sorted(path for path in lfw.iterdir() if not modelled.kept_aside(path.name))
    for folder in people[:PEOPLE]:
        yield Shot("lfw", folder.name, False, min(folder.iterdir()))


def _sets(pad: Path) -> Iterator[Shot]:
    for source in sorted(SOURCES.keys() & {path.name for path in pad.iterdir()}):
        files = sorted(each for each in (pad / source).rglob("*") if each.suffix in IMAGES)
        for path in files[:: EVERY.get(source, 1)]:
            is_attack = path.relative_to(pad / source).parts[0].startswith("attack")
            yield Shot(source, path.parent.name, is_attack, path)


def _stills(data: Path) -> Iterator[Shot]:
    for path in sorted((data / "stills").glob("*/*")):
        source = path.stem.rpartition("_")[0]
        if source in SOURCES:
            yield Shot(source, path.parent.name, path.parent.name != "live", path)


def _frames(data: Path) -> Iterator[Shot]:
    for path in sorted((data / "clips").glob("*/*")):
        source = {"phone_d": "phone_in_hand_d"}.get(name := path.stem.rpartition("_")[0], name)
        if source in SOURCES:
            for frame in range(FRAMES):
                yield Shot(source, path.parent.name, path.parent.name != "live", path, frame)


@cache
def networks() -> Networks:
    """This process's, with one thread."""
    found = Networks(Checked(None))
    _ = found.detector
    cv2.setNumThreads(1)
    return found


@cache
def frames_of(clip: Path, count: int = FRAMES) -> tuple[Pixels, ...]:
    """So many frames of a clip, as far apart as they can be."""
    video, found = cv2.VideoCapture(str(clip)), []
    while (taken := video.read())[0]:
        found.append(taken[1])
    chosen = np.linspace(0, len(found) - 1, count).round().astype(int)
    return tuple(np.ascontiguousarray(found[each][..., ::-1]) for each in chosen)


def opened(shot: Shot) -> tuple[Pixels, Face] | None:
    """Its pixels without black bars, and the largest face."""
    if shot.frame is None:
        pixels = decode(read_image(str(shot.file)), str(shot.file))
    else:
        pixels = frames_of(shot.file)[shot.frame]
    sighting = sight(without_bars(pixels), networks().detector)
    return (sighting.pixels, sighting.faces[0]) if sighting.faces else None


@cache
def opened_small(shot: Shot) -> tuple[Pixels, Face] | None:
    """What others are pasted on; a few are opened often."""
    found = opened(shot)
    return found and scaled(*found, min(1, SMALL_PX / max(found[0].shape)))


def without_bars(pixels: Pixels) -> Pixels:
    """Without the black bars that one source has around its attacks and hardly on live faces."""
    for _ in range(2):
        lit = np.flatnonzero(np.percentile(pixels, 98, (1, 2)) > 24)
        if len(lit) > len(pixels) / 3:
            pixels = pixels[lit[0] : lit[-1] + 1]
        pixels = np.rot90(pixels)
    return np.ascontiguousarray(np.rot90(pixels, 2))


# ---- what is made of one


def samples(shot: Shot, others: list[Shot]) -> list[Sample]:
    """All samples of a photo's largest face; none where there is no face.

    others: whose photos its head may be pasted on.
    """
    found = opened(shot)
    if found is None:
        return []
    draw, made = shot.draw, []
    for kind, is_pasted in _kinds(shot, draw):
        pixels, face = found
        if kind in ("screen", "paper"):
            pixels, face = on_modelled(pixels, face, draw, kind)
        on = ""
        if is_pasted:
            other = others[draw.integers(len(others))]
            other_face = opened_small(other)
            if other_face is None or other.source == shot.source:
                continue
            pixels, face = pasted(pixels, face, other_face, draw)
            on = other.source
        else:
            pixels, face = cut(pixels, face, draw, 1.25 if shot.source != "lfw" else 1.6)
        crops = poorer(views(*taken_anew(pixels, face, draw), draw), draw)
        made.append(Sample(shot.source, shot.person, kind, on, crops))
    return made


def _kinds(shot: Shot, draw: modelled.Random) -> Iterator[tuple[str, bool]]:
    """What each sample of a photo shows, and whether its head is pasted."""
    shown, by = SOURCES[shot.source], 1.0 if shot.frame is None else OF_A_FRAME
    if shot.is_attack:
        yield from [("attack", False)] * _times(shown.attack * by, draw)
        yield from [("attack", True)] * _times(shown.pasted * by, draw)
        return
    yield from [("live", False)] * _times(shown.live * by, draw)
    yield from [("live", True)] * _times(shown.pasted * by, draw)
    for _ in range(_times(shown.modelled * by, draw)):
        paper = draw.random() < 0.35
        yield ("paper", draw.random() < 0.6) if paper else ("screen", draw.random() < 0.2)


def _times(count: float, draw: modelled.Random) -> int:
    return int(count + draw.random())


def on_modelled(
    pixels: Pixels, face: Face, draw: modelled.Random, kind: str
) -> tuple[Pixels, Face]:
    """The photo on a screen or a print."""
    pixels, face = cut(pixels, face, draw, 1.9)
    pixels, face = scaled(pixels, face, draw.uniform(220, 480) / max(pixels.shape))
    showing = modelled.on_screen if kind == "screen" else modelled.on_paper
    seen = modelled.through_camera(showing(pixels, draw), draw, 1)
    return np.clip(seen * 255, 0, 255).astype(np.uint8), face


def taken_anew(pixels: Pixels, face: Face, draw: modelled.Random) -> tuple[Pixels, Face]:
    """Masked, lit from behind, framed, scaled and taken by some camera, each of it at times."""
    pixels = np.ascontiguousarray(pixels)
    if draw.random() < 0.06:
        pixels = modelled.masked(pixels, face.landmarks_px, draw)
    if draw.random() < 0.08:
        pixels = modelled.backlit(pixels, face.box_px, draw)
    if draw.random() < 0.05:
        pixels, face = barred(pixels, face, draw)
    longer = max(pixels.shape)
    if draw.random() < 0.75:
        most_px = min(480, 1.3 * longer)
        aim_px = draw.uniform(min(most_px, max(120, 0.4 * min(longer, 480))), most_px)
        pixels, face = scaled(pixels, face, aim_px / longer)
    if draw.random() < 0.15 or max(pixels.shape) > 640:
        return pixels, face
    return modelled.as_file(modelled.through_camera(modelled.light(pixels), draw, 0.7), draw), face


def barred(pixels: Pixels, face: Face, draw: modelled.Random) -> tuple[Pixels, Face]:
    """With black bars above and below, or left and right."""
    down, across = (np.array(pixels.shape[:2]) * draw.uniform(0.05, 0.3)).astype(int)
    down, across = (down, 0) if draw.random() < 0.5 else (0, across)
    wider = cv2.copyMakeBorder(pixels, down, down, across, across, cv2.BORDER_CONSTANT)
    return np.asarray(wider, np.uint8), moved(face, -across, -down)


def views(pixels: Pixels, face: Face, draw: modelled.Random) -> Pixels:
    """(3, 80, 80, 3): what each network sees, the box a little off; mirrored at times."""
    by = draw.uniform(0.82, 1.18)
    x, y, w, h = face.box_px
    x, y = x + draw.uniform(-0.04, 0.04) * w, y + draw.uniform(-0.04, 0.04) * h
    face = replace(face, box_px=(x, y, w, h))
    widest = min((pixels.shape[1] - 1) / w, (pixels.shape[0] - 1) / h)
    crops = np.stack([view(pixels, face, min(each * by, widest)) for each in SCALES.values()])
    return crops[:, :, ::-1] if draw.random() < 0.5 else crops


def poorer(crops: Pixels, draw: modelled.Random) -> Pixels:
    """Some of them of fewer pixels, blurred or noisy."""
    few = max(16, round(80 * draw.uniform(0.35, 1))) if draw.random() < 0.2 else 80
    sigma = draw.uniform(0.4, 1.5) if draw.random() < 0.2 else 0.0
    noise = draw.uniform(1, 12) if draw.random() < 0.2 else 0.0
    made = [_poorer(crop.astype(np.float32), few, sigma) for crop in crops]
    changed = np.stack(made) + draw.normal(0, 1, crops.shape) * noise
    return np.clip(changed, 0, 255).astype(np.uint8)


def _poorer(crop: NDArray[np.float32], few: int, sigma: float) -> NDArray[np.float32]:
    if few < 80:
        small = cv2.resize(crop, (few, few), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(small, (80, 80)), np.float32)
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.float32) if sigma else crop


# ---- all of it, made once


def pasted_on(chosen: list[Shot]) -> list[Shot]:
    """Live photos that heads are pasted on."""
    draw = np.random.default_rng(SEED)
    live = [shot for shot in chosen if not shot.is_attack]
    press = [shot for shot in live if shot.source == "lfw"]
    others = [shot for shot in live if shot.source != "lfw"]
    groups = press, others
    return [group[each] for group in groups for each in draw.permutation(len(group))[:PASTED_ON]]


def of_shots(chosen: list[Shot], on: list[Shot]) -> list[Sample]:
    """Work of one process."""
    return [sample for shot in chosen for sample in samples(shot, on)]


def kept(file: Path, data: Path) -> dict[str, NDArray[Any]]:
    """The samples as arrays, made only if the file is not there."""
    if not file.exists():
        chosen = shots(data)
        parts = [chosen[at : at + 60] for at in range(0, len(chosen), 60)]
        with get_context("spawn").Pool(2) as pool:
            work = partial(of_shots, on=pasted_on(chosen))
            found = [sample for part in pool.map(work, parts, chunksize=1) for sample in part]
        columns = {
            name: np.array([getattr(each, name) for each in found])
            for name in ("source", "person", "kind", "on", "views")
        }
        np.savez(file, **columns)  # type: ignore[arg-type]  # numpy's stub of **
    with np.load(file) as arrays:
        return dict(arrays)
