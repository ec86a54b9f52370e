"""The frames of a clip or camera: the face is followed through all of them, and some are judged.

Footage can be long, so a frame's pixels are kept only while it may become one of those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from facauth.faces.detect import find_faces, sight_upright
from facauth.faces.quality import grey_of, head_pose_deg, sharpness, small_face
from facauth.settings import CLIP
from facauth.structs import Pose

if TYPE_CHECKING:
    import cv2

    from facauth.structs import Face, Pixels, Sighting


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a clip."""

    pixels: Pixels
    at_s: float  # since the first frame


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """The frames of a clip, in order of time. They may be read once only."""

    frames: Iterable[Frame]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A face followed through footage."""

    poses: tuple[Pose, ...]  # of every frame in which a face was found
    judged: tuple[Sighting, ...]  # the sharpest frame of each part of the footage
    length_s: float

    @classmethod
    def follow(cls, footage: Footage, detector: cv2.FaceDetectorYN) -> Self:
        """The face nearest to where it was; in the first frame, the largest."""
        poses, parts = list[Pose](), _Parts()
        last, length_s = None, 0.0
        for frame in footage.frames:
            length_s = frame.at_s
            faces = find_faces(frame.pixels, detector, CLIP.track_side_px)
            last = _same(faces, last)
            if last is not None:
                poses.append(_pose(frame, last))
                sharp = sharpness(grey_of(small_face(frame.pixels, last)))
                parts.add(_Kept(frame, sharp))
        judged = [sight_upright(kept.frame.pixels, detector) for kept in parts.sharpest()]
        return cls(tuple(poses), tuple(judged), length_s)


def _same(faces: tuple[Face, ...], last: Face | None) -> Face | None:
    """The face that is nearest to the last one; None without a face."""
    if last is None:
        return faces[0] if faces else None
    x, y = _centre_px(last)

    def away_px(face: Face) -> float:
        return abs(_centre_px(face)[0] - x) + abs(_centre_px(face)[1] - y)

    return min(faces, key=away_px, default=None)


def _centre_px(face: Face) -> tuple[float, float]:
    x, y, width, height = face.box_px
    return x + width / 2, y + height / 2


def _pose(frame: Frame, face: Face) -> Pose:
    yaw, pitch, _ = head_pose_deg(face.landmarks_px)
    return Pose(frame.at_s, yaw, pitch, (face.box_px[2] * face.box_px[3]) ** 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    frame: Frame
    sharpness: float


class _Parts:
    """The sharpest frame of each part of the footage; parts grow with its length."""

    def __init__(self) -> None:
        self._part_s = 1 / CLIP.frames_a_second
        self._best: dict[int, _Kept] = {}

    def add(self, new: _Kept) -> None:
        self._put(self._best, new)
        while len(self._best) > 2 * CLIP.judged_frames:
            self._part_s *= 2
            merged: dict[int, _Kept] = {}
            for kept in self._best.values():
                self._put(merged, kept)
            self._best = merged

    def _put(self, best: dict[int, _Kept], new: _Kept) -> None:
        part = int(new.frame.at_s / self._part_s + 1e-6)
        if part not in best or not new.sharpness <= best[part].sharpness:
            best[part] = new

    def sharpest(self) -> list[_Kept]:
        """At most `judged_frames`, spread over the footage, in order of time."""
        kept = list(self._best.values())
        parts = min(len(kept), CLIP.judged_frames)
        ends = [round(part * len(kept) / parts) for part in range(parts + 1)] if parts else []
        groups = [kept[start:end] for start, end in pairwise(ends)]
        return [max(group, key=lambda one: one.sharpness) for group in groups]
