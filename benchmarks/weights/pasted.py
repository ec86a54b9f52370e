"""Heads cut out of one picture and pasted on another, and where their faces are then."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facauth.structs import Face
from weights import modelled

Pixels = NDArray[np.uint8]


def cut(
    pixels: Pixels, face: Face, draw: modelled.Random, least: float, most: float = 7
) -> tuple[Pixels, Face]:
    """`least` to `most` boxes around the face, which then is not in the middle."""
    x, y, w, h = face.box_px
    side = max(w, h) * np.exp(draw.uniform(np.log(least), np.log(most)))
    aside = 0.15 * min(1.0, side / max(w, h) - 1)
    left = int(max(0, x + w / 2 - side / 2 + draw.uniform(-aside, aside) * side))
    top = int(max(0, y + h / 2 - side / 2 + draw.uniform(-aside, aside) * side))
    part = pixels[top : int(top + side), left : int(left + side)]
    return part, moved(face, left, top)


def moved(face: Face, left: float, top: float, by: float = 1) -> Face:
    """The face as seen from another corner, then scaled."""
    x, y, w, h = face.box_px
    box = (x - left) * by, (y - top) * by, w * by, h * by
    marks = (face.landmarks_px - np.array([left, top], np.float32)) * np.float32(by)
    return Face(box, marks, face.detection_score)


def scaled(picture: Any, face: Face, by: float) -> tuple[Any, Face]:
    """Picture and face."""
    return modelled.resized(picture, by), moved(face, 0, 0, by)


def pasted(
    pixels: Pixels, face: Face, other: tuple[Pixels, Face], draw: modelled.Random
) -> tuple[Pixels, Face]:
    """The head on another picture: over the face there, or on what is beside that face."""
    picture, covered = other
    if draw.random() < 0.5:
        picture = beside(picture, covered)
        side = draw.uniform(0.2, 0.55) * min(picture.shape[:2])
        at = draw.uniform(0.35, 0.65, 2) * picture.shape[1::-1]
    else:
        x, y, w, h = covered.box_px
        side, at = h * draw.uniform(0.95, 1.35), np.array([x + w / 2, y + h / 2])
    head, face = scaled(pixels, face, max(24.0, side) / face.box_px[3])
    shape = str(draw.choice(["oval", "square", "seamless"], p=[0.45, 0.25, 0.3]))
    size = draw.uniform(1.05, 1.7), draw.uniform(1.15, 1.8)
    return put_on(head, face, picture, at, shape, size, float(draw.choice([0, 0.02, 0.06])))


def beside(picture: Pixels, face: Face) -> Pixels:
    """A room: the larger part of a picture left or right of its face, if it is large enough."""
    x, _, w, _ = face.box_px
    parts = picture[:, : max(1, int(x - 0.15 * w))], picture[:, int(x + 1.15 * w) :]
    part = max(parts, key=lambda each: each.shape[1])
    if part.shape[1] < 0.25 * picture.shape[1]:
        return picture
    width = max(part.shape[1], round(picture.shape[0] * 0.8))
    return np.ascontiguousarray(cv2.resize(part, (width, picture.shape[0])))


def put_on(
    head: Pixels,
    face: Face,
    picture: Pixels,
    at: NDArray[np.float64],
    shape: str,
    size: tuple[float, float],
    soft: float,
) -> tuple[Pixels, Face]:
    """The head in an oval or a square of `size` boxes, its middle `at` a point of the picture.

    soft: how wide its edge fades, in boxes. seamless: an oval whose colours flow together.
    """
    x, y, w, h = face.box_px
    middle = np.array([x + w / 2, y + h / 2])
    mask = np.zeros(head.shape[:2], np.uint8)
    half = int(w * size[0] / 2), int(h * size[1] / 2)
    centre = int(middle[0]), int(middle[1] - 0.05 * h)
    if shape == "square":
        corner = (centre[0] - half[0], centre[1] - half[1])
        cv2.rectangle(mask, corner, (centre[0] + half[0], centre[1] + half[1]), 255, -1)
    else:
        cv2.ellipse(mask, (centre, (2 * half[0], 2 * half[1]), 0), 255, -1)
    shift = np.array([[1, 0, at[0] - middle[0]], [0, 1, at[1] - middle[1]]])
    across = picture.shape[1], picture.shape[0]
    layer, inside = (
        np.asarray(cv2.warpAffine(each, shift, across), np.uint8) for each in (head, mask)
    )
    face = moved(face, middle[0] - at[0], middle[1] - at[1])
    if shape == "seamless" and (joined := _seamless(layer, inside, picture)) is not None:
        return joined, face
    weight: NDArray[Any] = inside.astype(np.float32)[..., None] / 255
    if soft:
        weight = cv2.GaussianBlur(weight, (0, 0), max(0.5, soft * w))[..., None]
    return (layer * weight + picture * (1 - weight)).astype(np.uint8), face


def _seamless(layer: Pixels, mask: Pixels, picture: Pixels) -> Pixels | None:
    mask = mask.copy()
    mask[[0, 1, -2, -1]] = 0
    mask[:, [0, 1, -2, -1]] = 0
    x, y, w, h = cv2.boundingRect(mask)
    if min(w, h) < 8:
        return None
    middle = (x + w // 2, y + h // 2)
    return np.asarray(cv2.seamlessClone(layer, picture, mask, middle, cv2.NORMAL_CLONE), np.uint8)
