"""The geometry and arithmetic that faces and replay signatures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]  # (h, w) or (h, w, 3)

MAX_TIMES = 6  # a picture is larger than what it is reduced to, in one step
SFACE_CHIP_PX = 112
# The five-point template of 112 x 112 px that SFace shares with ArcFace
# (github.com/deepinsight/insightface, recognition/arcface_torch), x right, y down.
SFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


def reduced(pixels: Picture, size: tuple[int, int]) -> Picture:
    """The picture at a smaller width and height; a pixel is the mean of those that it covers.

    A much larger picture is halved before, which takes an eighth of the time; an odd last row or
    column is left out. What follows still reduces MAX_TIMES / 2 times, so the result is nearly the
    same.
    """
    import cv2
    import numpy as np

    while max(pixels.shape[:2]) >= MAX_TIMES * max(size) and min(pixels.shape[:2]) > 1:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        even = pixels[: 2 * half[1], : 2 * half[0]]
        pixels = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def similarity_transform(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """(2, 3) matrix of rotation, scale and shift that maps (n, 2) points best, by least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", IEEE TPAMI 13(4), 1991, equations 39-43; in the plane it is one complex number.
    """
    import numpy as np

    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    from_plane = (source - source_mean) @ np.array([1, 1j])
    to_plane = (target - target_mean) @ np.array([1, 1j])
    turn = np.vdot(from_plane, to_plane) / np.vdot(from_plane, from_plane)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([matrix, target_mean - matrix @ source_mean])


def quantile(values: NDArray[np.floating[Any]], share: float) -> float:
    """np.quantile(values, share), which imports numpy.ma: 12 ms of a cold sign-in.

    The same but for the last bit, which a quarter or sixteen values do not change.
    """
    import numpy as np

    kind = values.dtype.type
    place = kind(len(values) - 1) * kind(share)
    below = int(place)
    part = place - kind(below)
    low, high = np.sort(values)[[below, min(below + 1, len(values) - 1)]]
    step = high - low
    return float(low + step * part if part < 0.5 else high - step * (1 - part))
