"""Is this the enrolled picture again: the file, a copy of it, or a photo of it?

A capture signature is what is kept of a photo to answer that: local features (SIFT) of the whole
frame and of the face, and a small grey picture of each. Whatever shows the enrolled picture,
screen and print included, shows it as one plane: many features agree on one homography, and under
it the grey pictures agree as well. Another photo of the person has a few chance agreements.

Signatures are partly invertible: biometric data, to be kept and deleted like encodings.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from facauth.errors import Attack, Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.settings import ReplayLimits
    from facauth.structs import Face, Pixels

    Floats = NDArray[np.floating[Any]]
    Grey = NDArray[np.uint8]  # (h, w)

# What makes a signature. Change any of these and MAGIC with it.
MAGIC = b"fCS1"
FRAME_PX = 320  # longer side that the frame is reduced to; SIFT doubles it again
CHIP_PX = 160  # side of the face chip ...
CHIP_BOXES = 1.35  # ... which is so many times the longer side of the face box
GREY_PX = 96  # longer side of the small grey picture of each part
FEATURES = 250  # of each part, the strongest; 132 bytes each
CONTRAST = 0.02  # SIFT's contrastThreshold, half the usual: recaptures lose contrast
DESCRIPTOR = 128
UNIT = 512  # descriptor levels per 1 of a unit vector; above 255 clips
DETAIL_PX = 1.5  # standard deviation of the blur that detail is measured with
STEPS = 65535  # position steps over a part's side

# How two signatures are compared.
MAX_DISTANCE_RATIO = 0.8  # of the best to the second best descriptor (Lowe, IJCV 60(2), 2004)
PLANE_PX = 1.5  # how far a feature may lie off the plane, in the part's pixels
MIN_PAIRS = 8  # features that a homography is looked for with; fewer never suffice
NOT_MIRRORED = 60  # inliers, frame and face together, that spare looking for a mirror image
MIN_OVERLAP = 0.1  # of the grey picture; less says nothing
DULL = 4.0  # grey levels; where a picture varies less, its noise is not made large
MIN_AREA = 1 / 50  # of the enrolled part on the probe, in shares; and its inverse
FINE_PX = 1.5  # standard deviations in pixels of the grey picture: finer detail is not compared,
EVEN_PX = 5.0  # nor are slower changes of light


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
    detail: (
        float  # of the part: deviation of what a blur takes away, over that of all; sharper: more
    )


@dataclass(frozen=True, slots=True, eq=False)
class CaptureSignature:
    """What is kept of a photo to find it again."""

    frame: Part
    face: Part

    def to_bytes(self) -> bytes:
        """As it is stored: little-endian, MAGIC first."""
        return MAGIC + _part_bytes(self.frame) + _part_bytes(self.face)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Raises ValueError for whatever `to_bytes` of this version did not make."""
        if stored[: len(MAGIC)] != MAGIC:
            raise ValueError("not a capture signature of this version")
        frame, rest = _read_part(stored[len(MAGIC) :])
        face, rest = _read_part(rest)
        if rest:
            raise ValueError("a capture signature ends before these bytes do")
        return cls(frame, face)


HEADER = struct.Struct("<5d5H")  # inside, detail, size_px, features, grey width and height


def _part_bytes(part: Part) -> bytes:
    height, width = part.grey.shape
    header = HEADER.pack(*part.inside, part.detail, *part.size_px, len(part.points), width, height)
    arrays = (part.points.astype("<u2"), part.descriptors, part.grey)
    return header + b"".join(array.tobytes() for array in arrays)


def _read_part(stored: bytes) -> tuple[Part, bytes]:
    """A part and the bytes after it; nothing is made before lengths are known to be right."""
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
        and all(0 < length <= 1 for length in (width, height))
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
    )


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
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=method), np.uint8)


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
    # SIFT may give a few more than it was asked for.
    where = np.array([each.pt for each in found[:FEATURES]]) + 0.5
    shares = np.clip(where / (grey.shape[1], grey.shape[0]), 0, 1)
    sift = sift[:FEATURES]
    root = np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1))
    return (
        np.rint(shares * STEPS).astype(np.uint16),
        np.clip(np.rint(root * UNIT), 0, 255).astype(np.uint8),
    )


# ---- from two signatures to numbers


@dataclass(frozen=True, slots=True)
class Plane:
    """How far one part of the probe shows the same part of the enrolled photo, as one plane."""

    pairs: int  # features that look alike
    inliers: int  # of them, those on the plane; 0 where there is none
    displacement: float  # of the photo's corners, mean, in diagonals; NaN without a plane
    correlation: float  # of the grey pictures on the plane, in [-1, 1]; NaN without a plane
    gain: float  # the probe's contrast there over the enrolled photo's; NaN without a plane
    sharper: float  # the probe's detail over the enrolled photo's; NaN without a plane
    lift: float  # the probe's brightness there less the enrolled photo's, in [-1, 1]; NaN without

    @property
    def inlier_ratio(self) -> float:
        """Inliers of pairs, in [0, 1]."""
        return self.inliers / self.pairs if self.pairs else 0.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What was measured of a probe and one enrolled photo; judging it is `judge`'s work."""

    mirrored: bool
    features: int  # of the photo with fewer of them, frame and face together
    frame: Plane
    face: Plane
    rigid: float  # correlation of the faces on the plane of the *frame*; NaN without one


def compare(probe: CaptureSignature, enrolled: CaptureSignature) -> Replay:
    """How far the probe shows the enrolled picture, or its mirror image; always an answer."""
    as_is = _compare(probe, enrolled, mirrored=False)
    if _inliers(as_is) >= NOT_MIRRORED:
        return as_is
    return max(as_is, _compare(probe, mirror(enrolled), mirrored=True), key=_inliers)


def _inliers(replay: Replay) -> int:
    return replay.frame.inliers + replay.face.inliers


def mirror(known: CaptureSignature) -> CaptureSignature:
    """The signature of the mirror image, up to rounding: nothing has to be kept for it."""
    return CaptureSignature(_mirror(known.frame), _mirror(known.face))


def _mirror(part: Part) -> Part:
    """A descriptor is 4 x 4 cells of 8 directions, laid out along the feature's own direction:
    mirroring turns the order of the rows round, and each direction to the other side."""
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


def _compare(probe: CaptureSignature, enrolled: CaptureSignature, *, mirrored: bool) -> Replay:
    frame, on_frame = plane(probe.frame, enrolled.frame)
    face, _ = plane(probe.face, enrolled.face)
    rigid = math.nan if on_frame is None else likeness(probe.face, enrolled.face, on_frame)[0]
    features = min(len(each.frame.points) + len(each.face.points) for each in (probe, enrolled))
    return Replay(mirrored, features, frame, face, rigid)


def plane(probe: Part, enrolled: Part) -> tuple[Plane, Floats | None]:
    """What two parts have in common, and the homography from the enrolled to the probe's part.

    The homography is between shares of the photos' sides, so resizing leaves it alone.
    """
    pairs = alike(probe.descriptors, enrolled.descriptors)
    found, inliers = _homography(probe, enrolled, pairs)
    if found is None or not sound(found, enrolled):
        return Plane(len(pairs), 0, math.nan, math.nan, math.nan, math.nan, math.nan), None
    alike_by, gain, lift = likeness(probe, enrolled, found)
    sharper = probe.detail / enrolled.detail if enrolled.detail > 0 else math.nan
    moved = displacement(found)
    return Plane(len(pairs), inliers, moved, alike_by, gain, sharper, lift), found


def alike(probe: NDArray[np.uint8], enrolled: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, 2), indices of features that are each other's nearest, and clearly nearer than the next.

    Both are (n, 128). Distances are those of unit vectors: sqrt(2 - 2 cos).
    """
    import numpy as np

    if min(len(probe), len(enrolled)) < 2:
        return np.zeros((0, 2), np.int64)
    cosines = _unit(probe) @ _unit(enrolled).T
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


def _homography(probe: Part, enrolled: Part, pairs: NDArray[np.int64]) -> tuple[Floats | None, int]:
    """Between shares of the photos, enrolled to probe, and how many pairs lie on it."""
    import cv2
    import numpy as np

    if len(pairs) < MIN_PAIRS:
        return None, 0
    seen = probe.points[pairs[:, 0]] / STEPS * probe.size_px
    known = enrolled.points[pairs[:, 1]] / STEPS * enrolled.size_px
    found, mask = cv2.findHomography(known, seen, cv2.USAC_MAGSAC, PLANE_PX, None, 2000, 0.999)
    if found is None or not np.isfinite(found).all():
        return None, 0
    matrix = to_shares(probe) @ found @ np.linalg.inv(to_shares(enrolled))
    return matrix, int(np.count_nonzero(mask))


def to_shares(part: Part) -> Floats:
    """(3, 3), from the part's pixels to shares of the photo's sides."""
    import numpy as np

    left, top, width, height = part.inside
    across, down = part.size_px
    return np.array([[width / across, 0, left], [0, height / down, top], [0, 0, 1.0]])


def sound(homography: Floats, enrolled: Part) -> bool:
    """Whether a camera could see the enrolled part so: not folded, mirrored or a mere line."""
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


def likeness(probe: Part, enrolled: Part, homography: Floats) -> tuple[float, float, float]:
    """Correlation, gain and lift (see Plane) of the parts' grey pictures, brought together.

    The correlation is free of light and contrast. All NaN where the pictures hardly overlap.
    """
    import cv2
    import numpy as np

    height, width = probe.grey.shape
    there = to_shares(enrolled) @ _grey_to_part(enrolled)
    here = to_shares(probe) @ _grey_to_part(probe)
    matrix = np.linalg.inv(here) @ homography @ there
    known = np.asarray(cv2.warpPerspective(enrolled.grey, matrix, (width, height)), np.uint8)
    full = np.full_like(enrolled.grey, 255)
    covered = cv2.warpPerspective(full, matrix, (width, height), flags=cv2.INTER_NEAREST)
    mask = np.asarray(cv2.erode(covered, np.ones((5, 5), np.uint8), borderValue=0)) > 0
    if not mask.mean() >= MIN_OVERLAP:
        return math.nan, math.nan, math.nan
    seen, shown = probe.grey[mask].astype(np.float32), known[mask].astype(np.float32)
    alike_by = cosine(_evened(probe.grey)[mask], _evened(known)[mask])
    gain = float(seen.std() / shown.std()) if shown.std() > 0 else math.nan
    return alike_by, gain, float(seen.mean() - shown.mean()) / 255


def cosine(first: Floats, second: Floats) -> float:
    """Pearson's correlation; NaN where one of them does not vary."""
    first, second = first - first.mean(), second - second.mean()
    length = float((first @ first) * (second @ second)) ** 0.5
    return float(first @ second) / length if length > 0 else math.nan


def _grey_to_part(part: Part) -> Floats:
    """(3, 3), from grey pixels, counted from their centres, to the part's, counted from borders."""
    import numpy as np

    height, width = part.grey.shape
    across, down = part.size_px[0] / width, part.size_px[1] / height
    return np.array([[across, 0, across / 2], [0, down, down / 2], [0, 0, 1.0]])


def _evened(grey: Grey) -> Floats:
    """A grey picture without slow changes of light, its contrast evened: glare weighs less."""
    import cv2
    import numpy as np

    fine = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), FINE_PX)
    detail = fine - cv2.GaussianBlur(fine, (0, 0), EVEN_PX)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 2 * EVEN_PX))
    return np.asarray(detail / (spread + DULL))


# ---- from numbers to a verdict


class ReplayVerdict(StrEnum):
    """Three answers; only "none" says that nothing of the enrolled photo was seen again."""

    NONE = "none"
    SAME_SITTING = "same_sitting"  # neither refused nor trusted: demand a high live score
    ENROLLED_PICTURE = "enrolled_picture"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one probe, and the comparison it rests on."""

    verdict: ReplayVerdict
    replay: Replay | None  # None where there was nothing to compare with
    reasons: tuple[Reason, ...]  # empty for "none"


REASONS = {
    "picture": Reason(
        "replay.enrolled_picture",
        "this is the enrolled photo again, or a picture of it",
        "take a new photo",
    ),
    "sitting": Reason(
        "replay.same_sitting",
        "this photo was taken where and when an enrolled one was",
        "take a photo at another time or place",
    ),
    "unclear": Reason(
        "replay.cannot_compare",
        "too little detail is seen to compare this with the enrolled photos",
        "get more light and hold still",
    ),
}


def judge(replay: Replay, limits: ReplayLimits) -> Judgement:
    """The verdict on one comparison; never refuses by itself."""
    frame_shown = shown(replay.frame, limits)
    face_shown = shown(replay.face, limits) or (
        frame_shown and not replay.rigid < limits.min_correlation
    )
    if face_shown and not (frame_shown and in_the_room(replay, limits)):
        return Judgement(ReplayVerdict.ENROLLED_PICTURE, replay, (REASONS["picture"],))
    same_room = (
        replay.frame.inliers >= limits.min_still_inliers
        and not replay.frame.displacement > limits.max_still_displacement
    )
    if face_shown or frame_shown or same_room:
        return Judgement(ReplayVerdict.SAME_SITTING, replay, (REASONS["sitting"],))
    if not replay.features >= limits.min_features:
        return Judgement(ReplayVerdict.SAME_SITTING, replay, (REASONS["unclear"],))
    return Judgement(ReplayVerdict.NONE, replay, ())


def shown(plane: Plane, limits: ReplayLimits) -> bool:
    """Whether the probe shows this part of the enrolled photo; yes where a number is missing."""
    many = not (plane.inliers < limits.min_inliers or plane.inlier_ratio < limits.min_inlier_ratio)
    agreement = plane.inlier_ratio + plane.correlation
    unlike = agreement < limits.min_agreement and plane.correlation < limits.min_alike
    alike_too = not (plane.inliers < limits.min_inliers_alike or unlike)
    return many or alike_too


def in_the_room(replay: Replay, limits: ReplayLimits) -> bool:
    """Whether face and background changed as they do between two photos of one sitting.

    Either the face left its background's plane, which no picture can, or the camera stood still
    in the same light and the photo is yet no copy. A missing number says no.
    """
    frame = replay.frame
    depth = replay.rigid <= replay.face.correlation - limits.max_depth
    still = (
        frame.displacement <= limits.max_still_displacement
        and 1 / limits.max_still_gain <= frame.gain <= limits.max_still_gain
        and 1 / limits.max_still_sharper <= frame.sharper <= limits.max_still_sharper
        and abs(frame.lift) <= limits.max_still_lift
    )
    copy = not frame.correlation < limits.min_copy_correlation
    return not replay.mirrored and (depth or (still and not copy))


SEVERITY = tuple(ReplayVerdict)


def judge_all(
    probe: CaptureSignature, enrolled: Sequence[CaptureSignature], limits: ReplayLimits
) -> Judgement:
    """The gravest verdict over all of a person's signatures; "none" where none is stored."""
    found = [judge(compare(probe, each), limits) for each in enrolled]
    nothing = Judgement(ReplayVerdict.NONE, None, ())
    return max(found, key=lambda each: SEVERITY.index(each.verdict), default=nothing)


def require_new_picture(judgement: Judgement) -> None:
    """Raises Attack for the enrolled picture. What "same_sitting" demands is the caller's policy.

    Written so that only the two other verdicts pass.
    """
    if judgement.verdict not in (ReplayVerdict.NONE, ReplayVerdict.SAME_SITTING):
        raise Attack(*judgement.reasons)


def explained(replay: Replay) -> str:
    """The numbers in words; for an operator, never for the person in front of the camera."""
    parts = (
        f"{name}: {plane.inliers} of {plane.pairs} points on one plane"
        + (f", moved by {plane.displacement:.1%} of the diagonal" if plane.inliers else "")
        for name, plane in (("frame", replay.frame), ("face", replay.face))
    )
    return "; ".join([*parts, *(["mirrored"] if replay.mirrored else [])])
