"""The geometry and arithmetic that faces and replay signatures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
