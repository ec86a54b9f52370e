"""The frames of a clip or camera: the face is followed through all of them, and some are judged.

Footage can be long, so a frame's pixels are kept only while it may become one of those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from secrets import SystemRandom
from typing import TYPE_CHECKING, Self

from facauth.faces.detect import area_px, find_faces, sight_upright
from facauth.faces.quality import grey_of, head_pose_deg, nose_drop, sharpness, small_face
from facauth.settings import CLIP
from facauth.structs import Pose

if TYPE_CHECKING:
    import cv2

    from facauth.structs import Face, Pixels, Sighting

TINY_S = 1e-6  # two frames of one moment: the second is hardly ever drawn


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
    judged: tuple[tuple[Sighting, Face], ...]  # one of each part of the footage; the followed face

    @property
    def length_s(self) -> float:
        """From the first frame with a face to the last."""
        return self.poses[-1].at_s - self.poses[0].at_s if self.poses else 0.0

    @classmethod
    def follow(cls, footage: Footage, detector: cv2.FaceDetectorYN) -> Self:
        """The face nearest to where it was; in the first frame, the largest."""
        poses, parts = list[Pose](), _Parts()
        last: Face | None = None
        for frame in footage.frames:
            faces = find_faces(frame.pixels, detector, CLIP.track_side_px)
            face = _same(faces, last)
            if face is not None:
                last = face
                poses.append(_pose(frame, face))
                sharp = sharpness(grey_of(small_face(frame.pixels, face)))
                parts.add(_Kept(frame, face, sharp, parts.lot(frame.at_s)))
        judged = [
            (sight_upright(kept.frame.pixels, detector), kept.face) for kept in parts.judged()
        ]
        return cls(tuple(poses), tuple(judged))


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
    yaw_deg, *_ = head_pose_deg(face.landmarks_px)
    size_px = math.sqrt(area_px(face))
    return Pose(frame.at_s, yaw_deg, nose_drop(face.landmarks_px), size_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    frame: Frame
    face: Face
    sharpness: float
    lot: float  # by chance


class _Parts:
    """Of each part of the footage the sharpest frame and one by chance; parts grow with its length.

    Whoever makes a clip could blur all frames but those that are to be judged; chance finds them.
    A frame's chance grows with the time since the frame before it, so that nobody hides a movement
    among many frames that come at once.
    """

    def __init__(self) -> None:
        self._part_s = 1 / CLIP.frames_a_second
        self._sharpest: dict[int, _Kept] = {}
        self._drawn: dict[int, _Kept] = {}
        self._dice, self._last_s = SystemRandom(), 0.0

    def lot(self, at_s: float) -> float:
        """A number by chance for the next frame; the highest of a part is drawn.

        Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006, in logarithms.
        """
        alone_s, self._last_s = at_s - self._last_s, at_s
        return math.log(1 - self._dice.random()) / max(alone_s, TINY_S)

    def add(self, kept: _Kept) -> None:
        """Consider a frame that shows the face."""
        self._put(kept, kept)
        while len(self._sharpest) > 2 * CLIP.judged_frames:
            self._part_s *= 2
            before = zip(self._sharpest.values(), self._drawn.values(), strict=True)
            self._sharpest, self._drawn = {}, {}
            for sharp, drawn in before:
                self._put(sharp, drawn)

    def _put(self, sharp: _Kept, drawn: _Kept) -> None:
        part = int(sharp.frame.at_s / self._part_s + 1e-6)
        best, other = self._sharpest.get(part, sharp), self._drawn.get(part, drawn)
        self._sharpest[part] = max(best, sharp, key=lambda kept: kept.sharpness)
        self._drawn[part] = max(other, drawn, key=lambda kept: kept.lot)

    def judged(self) -> list[_Kept]:
        """At most `judged_frames` in order of time, of every two groups of them one by chance.

        Which of the two is drawn as well: where the sharpest frame is sure to be judged, a blurred
        one never would be.
        """
        sharpest, drawn = list(self._sharpest.values()), list(self._drawn.values())
        number = min(len(sharpest), CLIP.judged_frames)
        ends = [round(group * len(sharpest) / max(1, number)) for group in range(number + 1)]
        by_chance = {2 * pair + self._dice.randrange(2) for pair in range(number)}
        return [
            max(drawn[start:end], key=lambda kept: kept.lot)
            if group in by_chance
            else max(sharpest[start:end], key=lambda kept: kept.sharpness)
            for group, (start, end) in enumerate(pairwise(ends))
        ]
