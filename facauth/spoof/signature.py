"""Capture signatures, by which reuse of an enrolled photo is detected, and their bytes.

A capture signature holds local features (SIFT) of the whole frame and of the face, a small grey
picture of each, and the aligned face in its fine detail. A face can be recognised from it: it is
biometric data, kept and deleted like encodings.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from facauth.errors import Reason, SetupProblem
from facauth.geometry import SFACE_CHIP_PX, SFACE_TEMPLATE, reduced, similarity_transform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.structs import Face, Pixels

    Grey = NDArray[np.uint8]  # (h, w)

# The definition of a signature. If one of these changes, MAGIC must change.
MAGIC = b"fCS2"
WITHOUT_ALIGNED = b"fCS1"  # of facauth 0.1: the same, but for the aligned face
FRAME_PX = 256  # longer side that the frame is reduced to; SIFT doubles it again
CHIP_PX = 160  # side of the face chip ...
CHIP_BOXES = 1.35  # ... which is so many times the longer side of the face box
GREY_PX = 96  # longer side of the small grey picture of each part
MIN_SHARE = 1e-5  # of the photo's sides that a part may cover; less is no part of a photo
FEATURES = 250  # of each part, the strongest; 132 bytes each
CONTRAST = 0.02  # SIFT's contrastThreshold, half the usual: recaptures lose contrast
DESCRIPTOR = 128
UNIT = 512  # descriptor levels per 1 of a unit vector; above 255 clips
DETAIL_PX = 1.5  # standard deviation of the blur that detail is measured with
STEPS = 65535  # position steps over a part's side
ALIGNED_PX = 128  # side of the aligned face; its eyes are a quarter of it apart
ALIGNED_SPREAD = 0.8  # of SFace's template about its middle: hair and chin are seen too
MAX_SAMPLES = 8  # of the photo along a pixel of the aligned face, averaged


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Features and a small grey picture of one part of a photo: the whole frame, or the face.

    inside: left, top, width, height in shares of the photo's width and height.
    size_px: width, height that the features were found in.
    points: (n, 2), x right, y down, 0 to STEPS over the part's width and height.
    descriptors: (n, 128), RootSIFT (Arandjelovic and Zisserman, CVPR 2012), UNIT levels per 1.
    grey: (h, w).
    """

    inside: tuple[float, float, float, float]
    size_px: tuple[int, int]
    points: NDArray[np.uint16]
    descriptors: NDArray[np.uint8]
    grey: Grey
    detail: float  # deviation of what a blur removes, over that of the part; higher is sharper


@dataclass(frozen=True, slots=True, eq=False)
class CaptureSignature:
    """The stored data by which reuse of a photo is detected."""

    frame: Part
    face: Part
    aligned: Grey | None = None  # (ALIGNED_PX, ALIGNED_PX); None where facauth 0.1 stored it

    def to_bytes(self) -> bytes:
        """As it is stored: little-endian, MAGIC first."""
        parts = _part_bytes(self.frame) + _part_bytes(self.face)
        if self.aligned is None:
            return WITHOUT_ALIGNED + parts
        return MAGIC + parts + self.aligned.tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """From `to_bytes` of this or an older version. Raises ValueError for any other bytes."""
        magic = stored[: len(MAGIC)]
        if magic not in (MAGIC, WITHOUT_ALIGNED):
            raise ValueError("not a capture signature of this version")
        frame, rest = _read_part(stored[len(MAGIC) :])
        face, rest = _read_part(rest)
        if len(rest) != (ALIGNED_PX**2 if magic == MAGIC else 0):
            raise ValueError("a capture signature ends elsewhere than its bytes do")
        return cls(frame, face, _read_aligned(rest) if rest else None)


def _read_aligned(stored: bytes) -> Grey:
    import numpy as np

    return np.frombuffer(stored, np.uint8).reshape(ALIGNED_PX, ALIGNED_PX)


HEADER = struct.Struct("<5d5H")  # inside, detail, size_px, features, grey width and height


def _part_bytes(part: Part) -> bytes:
    height, width = part.grey.shape
    header = HEADER.pack(*part.inside, part.detail, *part.size_px, len(part.points), width, height)
    arrays = (part.points.astype("<u2"), part.descriptors, part.grey)
    return header + b"".join(array.tobytes() for array in arrays)


def _read_part(stored: bytes) -> tuple[Part, bytes]:
    """A part, and the bytes after it; lengths are checked before arrays are made."""
    import numpy as np

    if len(stored) < HEADER.size:
        raise ValueError("a capture signature is cut off")
    *inside, detail, px_wide, px_high, features, width, height = HEADER.unpack_from(stored)
    _require_sane(inside, detail, (px_wide, px_high), features, (width, height))
    ends = [HEADER.size]
    for length in (features * 4, features * DESCRIPTOR, width * height):
        ends.append(ends[-1] + length)
    if len(stored) < ends[-1]:
        raise ValueError("a capture signature is cut off")
    points, descriptors, grey = (stored[start:end] for start, end in pairwise(ends))
    part = Part(
        (inside[0], inside[1], inside[2], inside[3]),
        (px_wide, px_high),
        np.frombuffer(points, "<u2").reshape(-1, 2).astype(np.uint16),
        np.frombuffer(descriptors, np.uint8).reshape(-1, DESCRIPTOR),
        np.frombuffer(grey, np.uint8).reshape(height, width),
        detail,
    )
    return part, stored[ends[-1] :]


def _require_sane(
    inside: Sequence[float],
    detail: float,
    size_px: tuple[int, int],
    features: int,
    grey: tuple[int, int],
) -> None:
    left, top, width, height = inside
    sane = (
        all(0 <= share <= 1 for share in (left, top, detail))  # NaN is not
        and all(MIN_SHARE <= length <= 1 for length in (width, height))
        and all(1 <= side <= max(FRAME_PX, CHIP_PX) for side in size_px)
        and all(1 <= side <= GREY_PX for side in grey)
        and features <= FEATURES
    )
    if not sane:
        raise ValueError("a capture signature with impossible numbers")


# ---- from a photo to its signature


def signature(pixels: Pixels, face: Face) -> CaptureSignature:
    """The signature of a photo that shows `face`."""
    import cv2
    import numpy as np

    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = grey.shape
    return CaptureSignature(
        _part(grey, (0, 0, width, height), min(1.0, FRAME_PX / max(width, height))),
        _part(grey, *chip(face, width, height)),
        aligned(grey, face),
    )


def aligned(grey: Grey, face: Face) -> Grey:
    """(ALIGNED_PX, ALIGNED_PX): the landmarks on SFace's template, spread by ALIGNED_SPREAD.

    Each pixel is the mean of those of the photo that it covers, of MAX_SAMPLES squared at most.
    """
    import cv2
    import numpy as np

    middle, unit = SFACE_CHIP_PX / 2, ALIGNED_PX / SFACE_CHIP_PX
    template = ((np.array(SFACE_TEMPLATE) - middle) * ALIGNED_SPREAD + middle) * unit
    points = face.landmarks_px.astype(np.float64)
    x, y, w, h = face.box_px
    if not np.ptp(points, axis=0).min() > 0:  # not a detected face
        points = np.array([x, y]) + template / ALIGNED_PX * [w, h]
    turn = similarity_transform(points, template)
    scale = math.hypot(turn[0, 0], turn[1, 0])
    samples = min(MAX_SAMPLES, max(2, math.ceil(1 / scale)))
    turn = turn * samples
    turn[:, 2] += (samples - 1) / 2  # pixels are counted from their centres
    side = (ALIGNED_PX * samples, ALIGNED_PX * samples)
    fine = cv2.warpAffine(grey, turn, side, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return _resized(np.asarray(fine, np.uint8), 1 / samples)


def chip(face: Face, width: int, height: int) -> tuple[tuple[int, int, int, int], float]:
    """Left, top, right, bottom of the face chip in the photo's pixels, cut at the photo's border,
    and the scale that would make the whole chip CHIP_PX wide."""
    x, y, w, h = face.box_px
    side = max(8.0, CHIP_BOXES * max(w, h))
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    box = (
        min(max(0, round(left)), width - 1),
        min(max(0, round(top)), height - 1),
        max(1, min(width, round(left + side))),
        max(1, min(height, round(top + side))),
    )
    return box, CHIP_PX / side


def _part(grey: Grey, box: tuple[int, int, int, int], scale: float) -> Part:
    left, top, right, bottom = box
    photo_height, photo_width = grey.shape
    cut = _resized(grey[top:bottom, left:right], scale)
    height, width = cut.shape
    points, descriptors = features(cut)
    return Part(
        (
            left / photo_width,
            top / photo_height,
            (right - left) / photo_width,
            (bottom - top) / photo_height,
        ),
        (width, height),
        points,
        descriptors,
        _resized(cut, min(1.0, GREY_PX / max(height, width))),
        _detail(cut),
    )


def _detail(grey: Grey) -> float:
    import cv2
    import numpy as np

    taken = grey - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), DETAIL_PX)
    return min(1.0, float(taken.std()) / max(float(grey.std()), 1.0))


def _resized(grey: Grey, scale: float) -> Grey:
    import cv2
    import numpy as np

    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return reduced(grey, size) if scale < 1 else np.asarray(cv2.resize(grey, size), np.uint8)


def features(grey: Grey) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """(n, 2) points and (n, 128) descriptors, as in Part; none in a picture without texture."""
    import cv2
    import numpy as np

    detector: cv2.Feature2D = getattr(cv2, "SIFT_create")(  # noqa: B009 - not in the type stubs
        nfeatures=FEATURES, contrastThreshold=CONTRAST
    )
    found, sift = detector.detectAndCompute(grey, None)
    if sift is None:
        return np.zeros((0, 2), np.uint16), np.zeros((0, DESCRIPTOR), np.uint8)
    # SIFT may return a few more features than requested.
    where = np.array([keypoint.pt for keypoint in found[:FEATURES]]) + 0.5
    shares = np.clip(where / (grey.shape[1], grey.shape[0]), 0, 1)
    sift = sift[:FEATURES]
    root = np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1))
    return (
        np.rint(shares * STEPS).astype(np.uint16),
        np.clip(np.rint(root * UNIT), 0, 255).astype(np.uint8),
    )


def read_signatures(stored: Sequence[bytes | None]) -> list[CaptureSignature]:
    """The stored signatures; raises SetupProblem for one that cannot be read."""
    try:
        return [CaptureSignature.from_bytes(blob) for blob in stored if blob is not None]
    except (ValueError, TypeError) as error:  # TypeError: a flipped bit can change the type
        raise SetupProblem(
            Reason(
                "store.signature",
                "the store holds a capture signature that cannot be read",
                "register this person again with --replace",
            )
        ) from error
