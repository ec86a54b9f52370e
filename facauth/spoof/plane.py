"""Compares capture signatures: common planes, and the similarity of the pictures on them.

A screen or a print shows the enrolled picture as one plane: many features agree on one homography,
and under it the grey pictures agree as well. Another photo of the person agrees in a few features
by chance. An edit bends or cuts the plane; see spoof.local.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from facauth.spoof.local import fine_detail
from facauth.spoof.signature import DESCRIPTOR, STEPS, CaptureSignature, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Pairs = NDArray[np.int64]  # (n, 2), indices of a feature of the probe and of its like
    Grey = NDArray[np.uint8]  # (h, w)

# How two signatures are compared.
MAX_DISTANCE_RATIO = 0.8  # of the best to the second best descriptor (Lowe, IJCV 60(2), 2004)
PLANE_PX = 1.5  # how far a feature may lie off the plane, in the part's pixels
TRIES = 500  # of four pairs; with half of the pairs on the plane 110 find it 999 times in 1,000
MIN_PAIRS = 8  # matching features from which a homography is searched
MIN_ALIKE = 6  # matching features of the face; with fewer its fine detail is not compared
NOT_MIRRORED = 60  # inliers, frame and face together; with more no mirror image is tried
MIN_OVERLAP = 0.1  # share of the grey picture; less is not compared
DULL = 4.0  # grey levels; keeps noise small where a picture varies less
MIN_AREA = 1 / 50  # of the enrolled part on the probe, in shares; and its inverse
FINE_PX = 1.5  # standard deviations in pixels of the grey picture: finer detail is not compared,
EVEN_PX = 5.0  # nor are slower changes of light
FINEST_PX = 0.7  # likewise for detail


@dataclass(frozen=True, slots=True)
class Likeness:
    """The similarity of two grey pictures in their overlap; all NaN if it is too small."""

    correlation: float  # in [-1, 1], free of light and contrast
    detail: float  # the same of the finest detail; noise and small motion lower it
    lift: float  # the probe's brightness less the enrolled photo's, in [-1, 1]


NOT_ALIKE = Likeness(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Plane:
    """How far one part of the probe shows the same part of the enrolled photo, as one plane."""

    pairs: int  # features that look alike
    inliers: int  # of them, those on the plane; 0 where there is none
    displacement: float  # of the photo's corners, mean, in diagonals; NaN without a plane
    sharper: float  # the probe's detail over the enrolled photo's; NaN without a plane
    grey: Likeness  # of the grey pictures on the plane

    @property
    def inlier_ratio(self) -> float:
        """Inliers of pairs, in [0, 1]."""
        return self.inliers / self.pairs if self.pairs else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The measures of a probe against one enrolled photo; `judge` judges them."""

    mirrored: bool
    frame: Plane
    face: Plane
    face_on_frame: Likeness  # of the faces on the plane of the *frame*
    detail: float = math.nan  # of the aligned faces, in [-1, 1] (spoof.local); NaN: not compared

    @property
    def pairs(self) -> int:
        """Features that look alike, on a plane or not."""
        return self.frame.pairs + self.face.pairs


def compare(
    probe: CaptureSignature, enrolled: CaptureSignature, least_detail: float = -1.0
) -> Comparison:
    """How far the probe shows the enrolled picture, or its mirror image; never refuses.

    least_detail: lower fine detail is estimated, below it too.
    """
    found, known = _compare(probe, enrolled, mirrored=False), enrolled
    if _inliers(found) < NOT_MIRRORED:
        other = mirror(enrolled)
        turned = _compare(probe, other, mirrored=True)
        if (_inliers(turned), turned.pairs) > (_inliers(found), found.pairs):
            found, known = turned, other
    if found.face.pairs < MIN_ALIKE or probe.aligned is None or known.aligned is None:
        return found
    return replace(found, detail=fine_detail(probe.aligned, known.aligned, least_detail))


def _inliers(comparison: Comparison) -> int:
    return comparison.frame.inliers + comparison.face.inliers


def mirror(known: CaptureSignature) -> CaptureSignature:
    """The signature of the mirror image, up to rounding; it is computed, not stored."""
    aligned = None if known.aligned is None else known.aligned[:, ::-1].copy()
    return CaptureSignature(mirror_part(known.frame), mirror_part(known.face), aligned)


def mirror_part(part: Part) -> Part:
    """A descriptor is 4 x 4 cells of 8 directions, laid out along the feature's own direction:
    mirroring reverses the order of the rows, and flips each direction."""
    import numpy as np

    left, top, width, height = part.inside
    cells = part.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]]
    return Part(
        (1 - left - width, top, width, height),
        part.size_px,
        np.column_stack([STEPS - part.points[:, 0], part.points[:, 1]]),
        cells.reshape(-1, DESCRIPTOR),
        part.grey[:, ::-1],
        part.detail,
    )


def _compare(probe: CaptureSignature, enrolled: CaptureSignature, *, mirrored: bool) -> Comparison:
    frame, on_frame, _ = plane(probe.frame, enrolled.frame)
    face, _, _ = plane(probe.face, enrolled.face)
    rigid = NOT_ALIKE if on_frame is None else likeness(probe.face, enrolled.face, on_frame)
    return Comparison(mirrored, frame, face, rigid)


def plane(probe: Part, enrolled: Part) -> tuple[Plane, Floats | None, Pairs]:
    """The common plane of two parts, the homography from the enrolled to the probe's part, and
    the pairs of features on it.

    The homography maps shares of the photos' sides, so resizing does not change it.
    """
    pairs = alike(probe.descriptors, enrolled.descriptors)
    found, on_plane = _homography(probe, enrolled, pairs)
    if found is None or not sound(found, enrolled):
        return Plane(len(pairs), 0, math.nan, math.nan, NOT_ALIKE), None, pairs[:0]
    sharper = probe.detail / enrolled.detail if enrolled.detail > 0 else math.nan
    grey = likeness(probe, enrolled, found)
    return Plane(len(pairs), len(on_plane), displacement(found), sharper, grey), found, on_plane


def alike(probe: NDArray[np.uint8], enrolled: NDArray[np.uint8]) -> Pairs:
    """Features that are each other's nearest, and clearly nearer than the next.

    Both are (n, 128). Distances are those of unit vectors: sqrt(2 - 2 cos).
    """
    import cv2
    import numpy as np

    if min(len(probe), len(enrolled)) < 2:
        return np.zeros((0, 2), np.int64)
    # numpy's BLAS keeps every processor busy for so small a product, unless a command tells it.
    product = cv2.gemm(_unit(probe), _unit(enrolled), 1, None, 0, flags=cv2.GEMM_2_T)  # type: ignore[call-overload]  # None adds nothing
    cosines = np.asarray(product, np.float32)
    best, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    rows = np.arange(len(probe))
    near = 2 - 2 * cosines[rows, best]
    cosines[rows, best] = -1
    ratio = near / np.maximum(2 - 2 * cosines.max(axis=1), 1e-6)
    kept = (back[best] == rows) & (ratio < MAX_DISTANCE_RATIO**2)
    return np.column_stack([rows[kept], best[kept]])


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    import numpy as np

    vectors = descriptors.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1), np.float32)


def _homography(probe: Part, enrolled: Part, pairs: Pairs) -> tuple[Floats | None, Pairs]:
    """Between shares of the photos, enrolled to probe, and the pairs that lie on it."""
    import cv2
    import numpy as np

    if len(pairs) < MIN_PAIRS:
        return None, pairs[:0]
    seen = probe.points[pairs[:, 0]] / STEPS * probe.size_px
    known = enrolled.points[pairs[:, 1]] / STEPS * enrolled.size_px
    found, mask = cv2.findHomography(known, seen, cv2.USAC_MAGSAC, PLANE_PX, None, TRIES, 0.999)
    if found is None or not np.isfinite(found).all():
        return None, pairs[:0]
    matrix = to_shares(probe) @ found @ np.linalg.inv(to_shares(enrolled))
    return matrix, pairs[mask.ravel() > 0]


def to_shares(part: Part) -> Floats:
    """(3, 3), from the part's pixels to shares of the photo's sides."""
    import numpy as np

    left, top, width, height = part.inside
    across, down = part.size_px
    return np.array([[width / across, 0, left], [0, height / down, top], [0, 0, 1.0]])


def sound(homography: Floats, enrolled: Part) -> bool:
    """Whether a camera could see the enrolled part this way: not folded, mirrored or a line."""
    import numpy as np

    left, top, width, height = enrolled.inside
    corners = projected(
        homography,
        np.array([left, top]) + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width, height],
    )
    if not np.isfinite(corners).all():
        return False
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    area = turns.mean() / (width * height)  # of a parallelogram, exactly
    return bool((turns > 0).all() and MIN_AREA < area < 1 / MIN_AREA)


def projected(homography: Floats, points: Floats) -> Floats:
    """(n, 2) points through a homography; NaN where they fall behind the camera."""
    import numpy as np

    through = points @ homography[:, :2].T + homography[:, 2]
    depth = np.where(through[:, 2:] > 1e-9, through[:, 2:], np.nan)
    return np.asarray(through[:, :2] / depth, np.float64)


def displacement(homography: Floats) -> float:
    """How far the photo's corners move, mean, as a share of the diagonal of a square photo."""
    import numpy as np

    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    moved = np.linalg.norm(projected(homography, corners) - corners, axis=1)
    return float(moved.mean() / math.sqrt(2))


def likeness(probe: Part, enrolled: Part, homography: Floats) -> Likeness:
    """The similarity of the parts' grey pictures under the homography."""
    import cv2
    import numpy as np

    height, width = probe.grey.shape
    there = to_shares(enrolled) @ _grey_to_part(enrolled)
    here = to_shares(probe) @ _grey_to_part(probe)
    matrix = np.linalg.inv(here) @ homography @ there
    known = np.asarray(cv2.warpPerspective(enrolled.grey, matrix, (width, height)), np.uint8)
    full = np.full_like(enrolled.grey, 255)
    covered = cv2.warpPerspective(full, matrix, (width, height), flags=cv2.INTER_NEAREST)
    mask = np.asarray(cv2.erode(covered, np.ones((3, 3), np.uint8), borderValue=0)) > 0
    if not mask.mean() >= MIN_OVERLAP:
        return NOT_ALIKE
    pair = [probe.grey.astype(np.float32), known.astype(np.float32)]
    correlation, detail = (cosine(*band) for band in _bands(pair, mask))
    probe_grey, enrolled_grey = (grey[mask] for grey in pair)
    return Likeness(correlation, detail, float(probe_grey.mean() - enrolled_grey.mean()) / 255)


def cosine(first: Floats, second: Floats) -> float:
    """Pearson's correlation; NaN where one of them does not vary."""
    first, second = first - first.mean(), second - second.mean()
    length = float((first @ first) * (second @ second)) ** 0.5
    return float(first @ second) / length if length > 0 else math.nan


def _bands(pair: list[Floats], mask: NDArray[np.bool_]) -> tuple[list[Floats], list[Floats]]:
    """Structure and detail of two grey pictures (h, w) within the mask, each as (n,).

    Structure is normalised so that glare weighs less. Pixels outside of the mask do not count.
    """
    import cv2
    import numpy as np

    inside = mask.astype(np.float32)

    def blurred(pair: list[Floats], sigma: float) -> list[Floats]:
        weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)
        return [cv2.GaussianBlur(each * inside, (0, 0), sigma) / weight for each in pair]

    def between(low: float, high: float) -> list[Floats]:
        fine = blurred(pair, low)
        return [each - slow for each, slow in zip(fine, blurred(fine, high), strict=True)]

    structure = between(FINE_PX, EVEN_PX)
    spread = blurred([each * each for each in structure], 2 * EVEN_PX)
    evened = [each / (np.sqrt(by) + DULL) for each, by in zip(structure, spread, strict=True)]
    detail = between(FINEST_PX, 3 * FINEST_PX)
    return [each[mask] for each in evened], [each[mask] for each in detail]


def _grey_to_part(part: Part) -> Floats:
    """(3, 3), from grey pixels, counted from their centres, to the part's, counted from borders."""
    import numpy as np

    height, width = part.grey.shape
    across, down = part.size_px[0] / width, part.size_px[1] / height
    return np.array([[across, 0, across / 2], [0, down, down / 2], [0, 0, 1.0]])
