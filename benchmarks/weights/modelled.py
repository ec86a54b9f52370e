"""Photos as cameras, phone screens and paper change them: what the liveness networks learn from.

Modelled screens teach something about real ones, yet look like them only in part (card: README.md
of this folder): they are for training, and no rate of facauth was ever measured on them.

A picture is (height, width, 3), RGB: uint8, or float32 with 0 black and 1 white.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Light = NDArray[np.float32]
Random = np.random.Generator

FIBRE_PX = 3  # of paper
MASKS = ((165, 200, 215), (225, 225, 225), (40, 40, 45), (150, 90, 80))  # RGB
ASIDE = 3  # every third person of a set is kept aside


def kept_aside(person: str) -> bool:
    """Whether the photos of a person are never trained with, so that they can judge."""
    return hashlib.sha256(person.encode()).digest()[0] % ASIDE == 0


def resized(picture: NDArray[np.generic], by: float) -> NDArray[np.generic]:
    """Scaled by a factor; averaged where that is less than 1."""
    height, width = picture.shape[:2]
    size = max(8, round(width * by)), max(8, round(height * by))
    how = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how))


def light(picture: Bytes) -> Light:
    """0 to 255 as 0 to 1."""
    return np.asarray(picture.astype(np.float32) / 255, np.float32)


def through_camera(seen: Light, draw: Random, strength: float) -> Light:
    """White balance, exposure, tone, focus, sharpening and noise, as any camera may set them."""
    seen = seen * _channels(draw, (-0.12, 0.12), (0, 0), (-0.12, 0.12), by=strength)
    seen = seen * np.float32(np.exp(draw.uniform(-0.35, 0.35) * strength))
    if draw.random() < 0.4:
        seen = _toned(seen, draw.uniform(-0.6, 0.8))
    if draw.random() < 0.3:
        seen = _saturated(seen, draw.uniform(0.6, 1.3))
    if draw.random() < 0.5:
        focus_px = max(0.3, draw.uniform(0, 2.2) * max(seen.shape) / 640)
        seen = _blurred(seen, focus_px)
    if draw.random() < 0.5:
        seen = seen + (seen - _blurred(seen, draw.uniform(0.6, 1.8))) * draw.uniform(0.2, 1.4)
    if draw.random() < 0.6:
        grain = draw.uniform(0.002, 0.05) * (1 if draw.random() < 0.3 else 0.4)
        seen = np.asarray(seen + draw.normal(0, grain, seen.shape), np.float32)
    return seen


def as_file(seen: Light, draw: Random) -> Bytes:
    """8 bits, some of them grey, most of them through JPEG."""
    picture: NDArray[np.generic] = np.clip(seen * 255, 0, 255).astype(np.uint8)
    if draw.random() < 0.12:
        grey = cv2.cvtColor(np.asarray(picture, np.uint8), cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, 2)
    if draw.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(draw.uniform(35, 95))]
        _, file = cv2.imencode(".jpg", np.asarray(picture, np.uint8), quality)
        picture = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(picture, np.uint8)


def on_screen(picture: Bytes, draw: Random) -> Light:
    """What is seen of a phone or monitor that shows the picture and (nearly) fills the frame."""
    shown = light(picture) ** np.float32(draw.uniform(0.75, 1.35))
    if draw.random() < 0.75:
        shown = _saturated(shown, draw.uniform(0.9, 1.7))
    if draw.random() < 0.5:
        shown = _toned(shown, draw.uniform(0.2, 1))
    shown = np.maximum(shown * _channels(draw, (-0.15, 0.1), (-0.08, 0.05), (-0.1, 0.2)), 0)
    shown = shown * draw.uniform(0.75, 1) + draw.uniform(0, 0.1)  # black is not black
    height, width = shown.shape[:2]
    if draw.random() < 0.75:
        shown = shown * _moire(height, width, draw)
    if draw.random() < 0.6:
        tint = np.array([1, draw.uniform(0.8, 1), draw.uniform(0.6, 1.1)])
        glare = _glare(height, width, draw, int(draw.integers(1, 5)))[..., None]
        shown = shown + glare * tint * draw.uniform(0.05, 0.5)
    if draw.random() < 0.3:
        shade = _glare(height, width, draw, 1)[..., None].clip(0, 1)
        shown = shown * (1 - shade * draw.uniform(0, 0.36))
    if draw.random() < 0.25:  # a screen that is lit line by line
        down = np.arange(height)[:, None, None] / height
        bands = np.sin(2 * np.pi * (down * draw.uniform(0.5, 5) + draw.random()))
        shown = shown * (1 + draw.uniform(0.03, 0.2) * bands)
    shown = _seen_aslant(shown.astype(np.float32), draw, 0.04)
    return _with_edges(shown, draw) if draw.random() < 0.35 else shown


def on_paper(picture: Bytes, draw: Random) -> Light:
    """What is seen of a print, flat or bent."""
    shown = _saturated(light(picture), draw.uniform(0.4, 1.1)).clip(0, 1)
    shown = shown ** np.float32(draw.uniform(0.8, 1.3)) * draw.uniform(0.6, 0.85)
    shown = shown + draw.uniform(0.05, 0.2)
    shown = shown * _channels(draw, (-0.1, 0.15), (-0.1, 0.05), (-0.25, 0.05))
    height, width = shown.shape[:2]
    if draw.random() < 0.5:  # dots
        down, across = np.mgrid[0:height, 0:width].astype(np.float32)
        turn = np.pi * draw.uniform(0.2, 0.64)
        dots = np.sin(turn * (across + down) + 1) * np.sin(turn * (across - down))
        shown = shown * (1 + draw.uniform(0.01, 0.08) * dots)[..., None]
    if draw.random() < 0.4:  # fibres
        side = FIBRE_PX
        few = draw.normal(0, draw.uniform(0.01, 0.05), (height // side + 1, width // side + 1))
        fibres = few.repeat(side, 0).repeat(side, 1)[:height, :width, None]
        shown = shown * (1 + fibres)
    across = np.linspace(0, 1, width)[None, :, None]
    bend = np.sin(2 * np.pi * (across * draw.uniform(0.2, 1.2) + draw.random()))
    shown = shown * (1 + draw.uniform(0, 0.35) * bend)
    if draw.random() < 0.4:
        shown = shown + _glare(height, width, draw, 1)[..., None] * draw.uniform(0.02, 0.25)
    return _seen_aslant(shown.astype(np.float32), draw, 0.05)


def masked(picture: Bytes, landmarks_px: NDArray[np.float32], draw: Random) -> Bytes:
    """The lower face under a medical or cloth mask, drawn from the five landmarks."""
    left, right, nose = landmarks_px[:3]
    across, mouth = right - left, (landmarks_px[3] + landmarks_px[4]) / 2
    down = (mouth - (left + right) / 2) * np.float32(draw.uniform(0.95, 1.15))
    bridge, chin = nose - 0.25 * down, mouth + 0.55 * down
    cheeks = left + 0.45 * down - 0.45 * across, right + 0.45 * down + 0.45 * across
    jaws = mouth + 0.25 * down - 0.75 * across, mouth + 0.25 * down + 0.75 * across
    outline = np.stack([cheeks[0], bridge, cheeks[1], jaws[1], chin, jaws[0]])
    shape = cv2.fillPoly(np.zeros(picture.shape[:2], np.uint8), [outline.round().astype(int)], 255)
    weight = cv2.GaussianBlur(shape, (0, 0), 1.0)[..., None] / np.float32(255)
    colour = np.array(MASKS[draw.integers(len(MASKS))], np.float32)
    shade = cv2.GaussianBlur(picture, (0, 0), max(1.0, float(across[0]) / 3)).mean(2) / 128
    cloth = colour * shade.clip(0.3, 1.4)[..., None].astype(np.float32)
    cloth += draw.normal(0, 3, picture.shape).astype(np.float32)
    seen = np.clip(cloth * weight + picture * (1 - weight), 0, 255)
    return np.asarray(seen, np.uint8)


def backlit(picture: Bytes, box_px: tuple[float, float, float, float], draw: Random) -> Bytes:
    """The face dark before something bright, as before a window."""
    height, width = picture.shape[:2]
    x, y, w, h = box_px
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot((across - x - w / 2) / (0.9 * w), (down - y - h) / (1.6 * h))
    bright = np.clip(far - 0.6, 0, 1)[..., None]
    dark = draw.uniform(0.35, 0.7)
    lit = light(picture) * (dark + (draw.uniform(1.2, 2.2) - dark) * bright)
    seen = np.clip((lit + bright * draw.uniform(0, 0.35)) * 255, 0, 255)
    return np.asarray(seen, np.uint8)


def _channels(draw: Random, *ranges: tuple[float, float], by: float = 1) -> Light:
    """A factor for each channel, 1 plus a draw from each range."""
    return np.array([1 + draw.uniform(*each) * by for each in ranges], np.float32)


def _saturated(picture: Light, by: float) -> Light:
    grey = picture.mean(2, keepdims=True)
    return np.asarray(grey + (picture - grey) * np.float32(by), np.float32)


def _toned(picture: Light, by: float) -> Light:
    """Moved towards an s-shaped curve, or away from it where `by` is negative."""
    kept = picture.clip(0, 1)
    return np.asarray(picture + (kept**2 * (3 - 2 * kept) - kept) * np.float32(by), np.float32)


def _blurred(picture: Light, sigma_px: float) -> Light:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.float32)


def _moire(height: int, width: int, draw: Random) -> Light:
    """One to three bent waves of brightness, often of another phase in each channel."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    across = across + draw.uniform(-6, 6) * np.sin(
        2 * np.pi * down / height * draw.uniform(0.3, 1.5)
    )
    down = down + draw.uniform(-6, 6) * np.sin(2 * np.pi * across / width * draw.uniform(0.3, 1.5))
    waves = np.ones((height, width, 3), np.float32)
    for _ in range(draw.integers(1, 4)):
        per_px = 10 ** draw.uniform(-2.3, -0.45)
        turn, start = draw.uniform(0, np.pi), draw.uniform(0, 2 * np.pi)
        height_of_wave = draw.uniform(0.005, 0.14) * (0.5 if per_px > 0.1 else 1)
        apart = draw.uniform(0, 2.2) * (draw.random() < 0.7)
        phase = 2 * np.pi * per_px * (across * np.cos(turn) + down * np.sin(turn)) + start
        for channel in range(3):
            waves[..., channel] *= 1 + height_of_wave * np.sin(phase + channel * apart)
    return waves


def _glare(height: int, width: int, draw: Random, spots: int) -> Light:
    """Bright spots, from round and soft to long and sharp."""
    down, across = np.mgrid[0:height:4, 0:width:4].astype(np.float32)
    bright = np.zeros_like(across)
    for _ in range(spots):
        x, y = draw.uniform(-0.2, 1.2) * width, draw.uniform(-0.2, 1.2) * height
        long, short = draw.uniform(0.05, 0.6) * width, draw.uniform(0.03, 0.4) * height
        turn = draw.uniform(0, np.pi)
        along = (across - x) * np.cos(turn) + (down - y) * np.sin(turn)
        aside = (down - y) * np.cos(turn) - (across - x) * np.sin(turn)
        fall = np.abs(along / long) ** draw.uniform(1.5, 6)
        fall = fall + np.abs(aside / short) ** draw.uniform(1.5, 6)
        bright += np.exp(-fall) * draw.uniform(0.2, 1)
    return np.asarray(cv2.resize(bright.astype(np.float32), (width, height)), np.float32)


def _seen_aslant(picture: Light, draw: Random, by: float) -> Light:
    """In perspective, each corner moved by up to this share of the sides."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + draw.uniform(-by, by, (4, 2)).astype(np.float32) * [width, height]
    view = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    size, beyond = (width, height), cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpPerspective(picture, view, size, borderMode=beyond), np.float32)


def _with_edges(picture: Light, draw: Random) -> Light:
    """Some sides end in the device's dark edge, and beyond it in something plain."""
    for _ in range(4):
        picture = np.ascontiguousarray(np.rot90(picture))
        if draw.random() < 0.4:
            edge = int(draw.uniform(0.01, 0.12) * len(picture))
            picture[:edge] = draw.uniform(0, 0.15)
            picture[: int(edge * draw.uniform(0, 0.8))] = draw.uniform(0, 0.9, 3)
    return picture
