"""A face in a photo that does as it is told: it turns and comes nearer. It cannot look up.

For tests of the page and of the protocol only. The photo is warped as if the face were painted on
half an egg with a nose, so that its five points lie as those of a turned head do. Never use it to
claim anything about liveness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from chromium import scene
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facauth.networks import Networks
    from facauth.structs import Pixels

PHOTO, PLACE = "obama_2012.jpg", ((425, 310), 600)  # see chromium.scene


class Turn(NamedTuple):
    """To the image's right, and the head that turns: lengths in eye distances."""

    degrees: float
    depth: float  # of the egg
    nose: float  # how far it stands out
    reach: float  # its size


TURNS = {"look_left": Turn(68, 1.0, 0.9, 0.35), "look_right": Turn(-68, 0.5, 1.7, 0.7)}
EGG = 1.5, 2.1  # half its width and height, in eye distances
NEARER = 1.45
CAN = frozenset({"look_left", "look_right", "come_nearer"})


def can_follow(movements: set[str]) -> bool:
    """Whether this face makes these movements well; it is too far turned to the other side."""
    return "look_left" in movements and movements <= CAN


def poses(networks: Networks) -> dict[str, Image.Image]:
    """The actor as a camera sees them, by action; "" for looking into the camera."""
    from facauth.faces.detect import sight

    picture = scene(PHOTO, *PLACE).resize((640, 480))
    points = sight(np.asarray(picture), networks.detector).faces[0].landmarks_px
    return {action: posed(picture, points, action) for action in ("", *CAN)}


def posed(picture: Image.Image, points_px: NDArray[np.float32], action: str) -> Image.Image:
    """The picture with its face in one pose; an action that is none leaves it as it is.

    points_px: the landmarks of the face, as structs.Face has them.
    """
    pixels = np.asarray(picture.convert("RGB"))
    if action == "come_nearer":
        return Image.fromarray(_nearer(pixels, points_px[2]))
    if action not in TURNS:
        return picture
    return Image.fromarray(_turned(pixels, points_px, TURNS[action]))


def _nearer(pixels: Pixels, middle: NDArray[np.float32]) -> Pixels:
    """Larger, around the nose."""
    x, y = (float(each) for each in middle)
    matrix = np.array([[NEARER, 0, x * (1 - NEARER)], [0, NEARER, y * (1 - NEARER)]])
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(cv2.warpAffine(pixels, matrix, size), np.uint8)


def _turned(pixels: Pixels, points_px: NDArray[np.float32], turn: Turn) -> Pixels:
    """Every pixel moves as far as it stands out from the axis of the head."""
    eyes_px, by = _eyes_px(points_px), np.sin(np.radians(turn.degrees))
    down, across = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    x, y = (across - points_px[2][0]) / eyes_px, (down - points_px[2][1]) / eyes_px
    egg = turn.depth * np.sqrt(np.clip(1 - (x / EGG[0]) ** 2 - (y / EGG[1]) ** 2, 0, None))
    tip = (x - turn.depth * by) ** 2 + y**2  # the nose has moved with the egg before it stands out
    depth_px = eyes_px * (egg + turn.nose * np.exp(-tip / (2 * turn.reach**2)))
    left = (across - depth_px * by).astype(np.float32)
    return np.asarray(cv2.remap(pixels, left, down, cv2.INTER_LINEAR), np.uint8)


def _eyes_px(points_px: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(points_px[1] - points_px[0]))
