"""dlib's face chip: the face, turned upright and scaled, as dlib's network was trained with it.

The same pixels as `dlib.get_face_chip` (tests/faces/test_chip.py), computed in the same order and
precision, so that encodings stay comparable. Importing dlib for this takes 13 ms and 6 MB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from facauth.geometry import similarity_transform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.structs import Pixels

CHIP_PX = 150
PADDING = 0.25  # of the landmarks' square, on each side; as the network was trained
# Where the five landmarks lie in that square, x right, y down: the outer and the inner corner of
# the eye on the right, the same of the eye on the left, and the base of the nose.
TEMPLATE = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)
MIN_HALVED_PX = 9  # a smaller picture is not halved
ROWS_AT_ONCE = 64  # of a halved picture: a large face would take a dozen times its memory


class Box(NamedTuple):
    """Centre, and half of what the corner pixels are apart; of a square before it is turned."""

    x: float
    y: float
    half: float

    def halved(self) -> Box:
        """In the picture of half the size, which begins 2.5 and 1.5 pixels further in."""
        return Box(self.x / 2 - 1.25, self.y / 2 - 0.75, self.half / 2)

    @property
    def area(self) -> float:
        """In pixels, with those of its corners; 0 of an empty one."""
        return (2 * self.half + 1) ** 2 if self.half >= 0 else 0.0


def cut(pixels: Pixels, landmarks_px: NDArray[np.int64]) -> Pixels:
    """(150, 150, 3) RGB around (5, 2) landmarks of dlib's; black outside of the photo."""
    import numpy as np

    template = (np.array(TEMPLATE) + PADDING) / (2 * PADDING + 1) * CHIP_PX
    turn = similarity_transform(template, landmarks_px.astype(np.float64))
    centre = turn @ np.array([CHIP_PX / 2, CHIP_PX / 2, 1])
    scale, angle = math.hypot(turn[0, 0], turn[1, 0]), math.atan2(turn[1, 0], turn[0, 0])
    box = Box(float(centre[0]), float(centre[1]), (CHIP_PX * scale - 1) / 2)
    depth = _halvings(box)
    left, top, right, bottom = _surroundings(box, angle, depth, pixels.shape[:2])
    picture = pixels[top : bottom + 1, left : right + 1]
    box = box._replace(x=box.x - left, y=box.y - top)
    for _ in range(depth):
        picture, box = _halve(picture), box.halved()
    return _sampled(picture, *_corners(box, angle)[:3])


def _halvings(box: Box) -> int:
    """How often the picture is halved: as long as the box is still larger than the chip then."""
    depth = 0
    while (box := box.halved()).area > CHIP_PX**2:
        depth += 1
    return depth


def _corners(box: Box, angle: float) -> list[tuple[float, float]]:
    """Top left, top right, bottom left, bottom right of the turned box."""
    cos, sin = math.cos(angle) * box.half, math.sin(angle) * box.half
    ways = ((-1, -1), (1, -1), (-1, 1), (1, 1))
    return [(box.x + cos * x - sin * y, box.y + sin * x + cos * y) for x, y in ways]


def _surroundings(
    box: Box, angle: float, depth: int, size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels that the halvings need, inside the photo."""
    margin = 2.0
    for _ in range(depth):
        margin = margin * 2 + 2
    height, width = size
    xs, ys = zip(*_corners(box, angle), strict=True)
    sides = (
        max(min(xs) - margin, 0),
        max(min(ys) - margin, 0),
        min(max(xs) + margin, width - 1),
        min(max(ys) + margin, height - 1),
    )
    left, top, right, bottom = (math.floor(side + 0.5) for side in sides)
    return left, top, right, bottom


def _halve(picture: Pixels) -> Pixels:
    """Blurred by 1 4 6 4 1, without fraction; every other pixel. The border is lost."""
    import cv2
    import numpy as np

    height, width = ((side - 3) // 2 for side in picture.shape[:2])
    if min(picture.shape[:2]) < MIN_HALVED_PX:
        return np.zeros((0, 0, 3), np.uint8)
    half = np.empty((height, width, 3), np.uint8)
    kernel = np.array([1, 4, 6, 4, 1], np.float32)  # sums are whole numbers below 2**24: exact
    for start in range(0, height, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, height - start)
        band = picture[2 * start : 2 * (start + rows) + 3]
        sums = cv2.sepFilter2D(band, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
        kept = sums[2 : 2 * rows + 2 : 2, 2 : 2 * width + 2 : 2]
        half[start : start + rows] = kept.astype(np.uint16) >> 8
    return half


def _sampled(
    picture: Pixels,
    top_left: tuple[float, float],
    top_right: tuple[float, float],
    bottom_left: tuple[float, float],
) -> Pixels:
    """The chip whose corner pixels lie there, by bilinear interpolation without fraction."""
    import numpy as np

    height, width = picture.shape[:2]
    if min(height, width) < 2:
        return np.zeros((CHIP_PX, CHIP_PX, 3), np.uint8)
    column, row = np.arange(CHIP_PX), np.arange(CHIP_PX)[:, None]
    x, y = (
        top_left[i]
        + (top_right[i] - top_left[i]) / (CHIP_PX - 1) * column
        + (bottom_left[i] - top_left[i]) / (CHIP_PX - 1) * row
        for i in (0, 1)
    )
    left, top = np.floor(x), np.floor(y)
    inside = (left >= 0) & (top >= 0) & (left + 1 < width) & (top + 1 < height)
    at = np.where(inside, top * width + left, 0).astype(np.intp)
    flat = picture.reshape(-1, 3)
    here, right_of, below, diagonal = (
        flat.take(at + step, axis=0) for step in (0, 1, width, width + 1)
    )
    to_right, down = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - to_right) * here + to_right * right_of
    lower = (1 - to_right) * below + to_right * diagonal
    values = (1 - down) * upper + down * lower
    return np.where(inside[..., None], values, 0).astype(np.uint8)
