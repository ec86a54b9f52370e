"""Clips made from one photo: a head that turns as asked, and what a thief films instead.

A head model is no person. It tests the plumbing of clips and challenges; how real people and real
screens fare is measured on real clips (docs/measurements.md, Clips).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facauth.challenge import Action, Challenge
from facauth.faces.detect import sight
from facauth.faces.image import decode, read_image
from facauth.networks import Checked, Networks
from facauth.structs import Face

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
FPS = 10
Movement = tuple[float, float, float]  # turn to the person's left and up, -1 to 1; nearer, 0 to 1
REST: Movement = (0.0, 0.0, 0.0)
MOVES: dict[Action, Movement] = {
    Action.LOOK_LEFT: (1.0, 0.0, 0.0),
    Action.LOOK_RIGHT: (-1.0, 0.0, 0.0),
    Action.LOOK_UP: (0.0, 1.0, 0.0),
    Action.COME_NEARER: (0.0, 0.0, 1.0),
}
TURN_DEG, UP_DEG, NEARER = 55.0, 42.0, 0.45  # of a whole movement; the last in parts of the size
SIDE_PX = 480
FINE = 2  # points of the head for each pixel of the picture, along one side


class Head:
    """A photo on a model of a head: half an ellipsoid with a nose, before a still background."""

    def __init__(self, photo: Path) -> None:
        detector = Networks(Checked(None)).detector
        self.pixels = _close(decode(read_image(str(photo)), str(photo)), detector)
        self.face: Face = sight(self.pixels, detector).faces[0]
        height, width = self.pixels.shape[:2]
        x, y, w, h = self.face.box_px
        self._middle = np.array([x + w / 2, y + h * 0.45])
        fine = np.meshgrid(np.arange(0, width, 1 / FINE), np.arange(0, height, 1 / FINE))
        self._points = np.stack(fine, axis=-1).reshape(-1, 2) - self._middle
        self._colours = cv2.resize(
            self.pixels, (width * FINE, height * FINE), interpolation=cv2.INTER_LINEAR
        ).reshape(-1, 3)
        inside = 1 - (self._points[:, 0] / (0.72 * w)) ** 2 - (self._points[:, 1] / (0.85 * h)) ** 2
        eyes_px = float(np.linalg.norm(self.face.landmarks_px[1] - self.face.landmarks_px[0]))
        nose = self._points - (self.face.landmarks_px[2] - self._middle)
        bump = np.exp(-(nose**2).sum(axis=1) / (0.28 * eyes_px) ** 2)
        self._depths = 0.62 * w * np.sqrt(np.maximum(inside, 0)) + 0.5 * eyes_px * bump
        self._on_head = inside > 0

    def frame(self, movement: Movement) -> Pixels:
        """The photo with the head turned."""
        turn, up, nearer = movement
        yaw, pitch = np.radians(turn * TURN_DEG), np.radians(up * UP_DEG)
        (x, y), z = self._points.T, self._depths
        x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
        y, z = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
        order = np.argsort(z[self._on_head])
        at = (np.stack([x, y], axis=1)[self._on_head] + self._middle)[order]
        height, width = self.pixels.shape[:2]
        columns, rows = np.rint(at).astype(int).T
        seen = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        picture = self.pixels.copy()
        picture[rows[seen], columns[seen]] = self._colours[self._on_head][order][seen]
        if any(movement):
            picture = np.asarray(cv2.medianBlur(picture, 3), np.uint8)
        return _nearer(picture, self._middle, 1 + NEARER * nearer)


def _close(pixels: Pixels, detector: cv2.FaceDetectorYN) -> Pixels:
    """The face with five times its size around it, as far as the photo goes; SIDE_PX high."""
    x, y, w, h = sight(pixels, detector).faces[0].box_px
    side = 2.5 * max(w, h)
    left, top = max(0, int(x + w / 2 - side)), max(0, int(y + h / 2 - side))
    crop = pixels[top : int(y + h / 2 + side), left : int(x + w / 2 + side)]
    scale = SIDE_PX / crop.shape[0]
    return np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def _nearer(picture: Pixels, middle: Points, zoom: float) -> Pixels:
    matrix = np.array([[zoom, 0, middle[0] * (1 - zoom)], [0, zoom, middle[1] * (1 - zoom)]])
    size = picture.shape[1::-1]
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def answer(challenge: Challenge) -> list[Movement]:
    """The movement of each frame, as somebody would follow the prompts."""
    frames = round(challenge.length_s * FPS) + 1
    return [_at(challenge, number / FPS) for number in range(frames)]


def _at(challenge: Challenge, at_s: float) -> Movement:
    for prompt in challenge.prompts:
        share = np.interp(at_s - prompt.from_s, [0.3, 0.7, 1.4, 1.8], [0, 1, 1, 0])
        if share:
            turn, up, nearer = MOVES[prompt.action]
            return float(turn * share), float(up * share), float(nearer * share)
    return REST


def filmed(head: Head, movements: Sequence[Movement]) -> list[Pixels]:
    """A clip of the head; frames with the same movement are drawn once."""
    drawn = {movement: head.frame(movement) for movement in set(movements)}
    return [drawn[movement] for movement in movements]


def write(path: Path, frames: Iterable[Pixels]) -> str:
    """A clip (.avi) of these frames."""
    writer = None
    for frame in frames:
        if writer is None:
            codec = cv2.VideoWriter.fourcc(*"MJPG")
            writer = cv2.VideoWriter(str(path), codec, FPS, frame.shape[1::-1])
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    assert writer
    writer.release()
    return str(path)


def moved_about(picture: Pixels, movements: Sequence[Movement]) -> list[Pixels]:
    """A still that is shifted, tilted and brought nearer before the camera as prompted."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    frames = []
    for turn, up, nearer in movements:
        away = 0.16 * np.array([width, height])
        tilt = np.array([[0, -turn], [0, turn], [0, -turn], [0, turn]]) * away
        tilt += np.array([[up, 0], [-up, 0], [0, 0], [0, 0]]) * away
        shift = np.array([turn, -up]) * away
        middle = corners.mean(axis=0)
        there = (corners - middle) * (1 + NEARER * nearer) + middle + tilt + shift
        matrix = cv2.getPerspectiveTransform(corners, there.astype(np.float32))
        moved = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        frames.append(np.asarray(moved, np.uint8))
    return frames


def bent(picture: Pixels, face: Face, movements: Sequence[Movement]) -> list[Pixels]:
    """A print that is bent round an upright axis through the face, as prompted."""
    height, width = picture.shape[:2]
    x, _, w, _ = face.box_px
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    aside = (across - x - w / 2) / w
    frames = []
    for turn, up, nearer in movements:
        zoom = 1 + NEARER * nearer
        from_x = x + w / 2 + (aside - turn * 0.35 * np.cos(np.clip(aside, -1.5, 1.5))) * w / zoom
        from_y = height / 2 + (down - height / 2) * (1 + 0.15 * up * aside**2) / zoom
        source = (from_x.astype(np.float32), from_y.astype(np.float32))
        frame = cv2.remap(picture, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        frames.append(np.asarray(frame, np.uint8))
    return frames
