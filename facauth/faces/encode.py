"""From an aligned face to the fused encoding: dlib's network and SFace, in one unit vector."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from facauth.faces.align import dlib_box_px, dlib_chip, sface_chip
from facauth.faces.landmarks import find_landmarks
from facauth.networks import side_by_side
from facauth.settings import DLIB_WEIGHT
from facauth.structs import Encoding

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    from facauth.networks import BlockLayer, Networks
    from facauth.structs import Face, Pixels, Sighting


def encode(sighting: Sighting, face: Face, *, networks: Networks) -> Encoding:
    """The fused encoding: the dot product of two is
    DLIB_WEIGHT x dlib's cosine + (1 - DLIB_WEIGHT) x SFace's cosine."""
    halves = side_by_side(
        partial(dlib_half, sighting.pixels, face, networks),
        partial(sface_half, sighting.pixels, face, networks),
    )
    return Encoding(networks.contract, fuse(*halves))


def dlib_half(pixels: Pixels, face: Face, networks: Networks) -> NDArray[np.float32]:
    """(128,), equal to face_recognition's for the same face box, to 1e-5."""
    points_px = find_landmarks(pixels, dlib_box_px(face), networks.landmarks)
    return encode_dlib(dlib_chip(pixels, face, points_px), networks.encode_dlib)


def sface_half(pixels: Pixels, face: Face, networks: Networks) -> NDArray[np.float32]:
    """(128,) of the face and its mirror image."""
    chip = sface_chip(pixels, face)
    return encode_sface(chip, networks.encode_sface, networks.encode_sface_last)


def fuse(by_dlib: NDArray[np.float32], by_sface: NDArray[np.float32]) -> NDArray[np.float32]:
    """(256,) unit vector of the two (128,) encodings, each made a unit vector first."""
    import numpy as np

    halves = (DLIB_WEIGHT**0.5 * _unit(by_dlib), (1 - DLIB_WEIGHT) ** 0.5 * _unit(by_sface))
    return np.concatenate(halves).astype(np.float32)


def encode_dlib(chip: Pixels, network: cv2.dnn.Net) -> NDArray[np.float32]:
    """(128,) of a (150, 150, 3) RGB chip; equal to dlib's compute_face_descriptor to 1e-5."""
    import cv2

    network.setInput(cv2.dnn.blobFromImage(chip))
    return _vector(network)


def encode_sface(chip: Pixels, network: cv2.dnn.Net, last: BlockLayer) -> NDArray[np.float32]:
    """(128,) of a (112, 112, 3) RGB chip: the sum of the chip's own and its mirror image's.

    Both are unit vectors before they are added.
    """
    import cv2
    import numpy as np

    views = []  # one by one: a batch takes as long, and 8 MB more
    for view in (chip, chip[:, ::-1].copy()):
        network.setInput(cv2.dnn.blobFromImage(view))
        views.append(_vector(network))
    own, mirrored = run_last(np.stack(views), last)
    return _unit(own) + _unit(mirrored)


BLOCKS_AT_ONCE = 56  # as floats 1.8 MB: more leaves the processor's cache


def run_last(features: NDArray[np.float32], last: BlockLayer) -> NDArray[np.float32]:
    """(n, o): the outputs of a quantised layer for (n, inputs)."""
    import numpy as np

    count, outputs, inputs = last.weights.shape
    blocks = features.reshape(-1, count, inputs).transpose(1, 2, 0)
    sums = blocks.sum(axis=1, keepdims=True)
    found = np.zeros((outputs, len(features)), np.float32)
    for start in range(0, count, BLOCKS_AT_ONCE):
        part = slice(start, start + BLOCKS_AT_ONCE)
        products = last.weights[part].astype(np.float32) @ blocks[part]
        products -= last.zeros[part, :, None].astype(np.float32) * sums[part]
        found += (last.scales[part, :, None] * products).sum(axis=0)
    return found.T + last.bias


def _vector(network: cv2.dnn.Net) -> NDArray[np.float32]:
    import numpy as np

    return np.array(network.forward(), dtype=np.float32).reshape(-1)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return vector / np.float32(np.linalg.norm(vector))
