"""Is this the enrolled picture again: the file, a copy of it, or a photo of it?

Whatever shows the enrolled picture, screen and print included, shows it as one plane: many
features agree on one homography, and under it the grey pictures agree as well. Another photo of the
person has a few chance agreements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facauth.errors import Attack, Reason
from facauth.settings import REPLAY
from facauth.spoof.signature import DESCRIPTOR, STEPS, CaptureSignature, Part
from facauth.structs import NOTHING_COMPARED, Replay, ReplayVerdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.settings import ReplayLimits
    from facauth.structs import Pixels

    Floats = NDArray[np.floating[Any]]
    Grey = NDArray[np.uint8]  # (h, w)

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

DRAWN_PX = 480  # height of the picture that explains a comparison
LINE_RGB = (0, 230, 0)


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
class Comparison:
    """What was measured of a probe and one enrolled photo; judging it is `judge`'s work."""

    mirrored: bool
    features: int  # of the photo with fewer of them, frame and face together
    frame: Plane
    face: Plane
    rigid: float  # correlation of the faces on the plane of the *frame*; NaN without one


def compare(probe: CaptureSignature, enrolled: CaptureSignature) -> Comparison:
    """How far the probe shows the enrolled picture, or its mirror image; always an answer."""
    as_is = _compare(probe, enrolled, mirrored=False)
    if _inliers(as_is) >= NOT_MIRRORED:
        return as_is
    return max(as_is, _compare(probe, mirror(enrolled), mirrored=True), key=_inliers)


def _inliers(comparison: Comparison) -> int:
    return comparison.frame.inliers + comparison.face.inliers


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


def _compare(probe: CaptureSignature, enrolled: CaptureSignature, *, mirrored: bool) -> Comparison:
    frame, on_frame = plane(probe.frame, enrolled.frame)
    face, _ = plane(probe.face, enrolled.face)
    rigid = math.nan if on_frame is None else likeness(probe.face, enrolled.face, on_frame)[0]
    features = min(len(each.frame.points) + len(each.face.points) for each in (probe, enrolled))
    return Comparison(mirrored, features, frame, face, rigid)


def plane(probe: Part, enrolled: Part) -> tuple[Plane, Floats | None]:
    """What two parts have in common, and the homography from the enrolled to the probe's part.

    The homography is between shares of the photos' sides, so resizing leaves it alone.
    """
    pairs = alike(probe.descriptors, enrolled.descriptors)
    found, on_plane = _homography(probe, enrolled, pairs)
    if found is None or not sound(found, enrolled):
        return Plane(len(pairs), 0, math.nan, math.nan, math.nan, math.nan, math.nan), None
    alike_by, gain, lift = likeness(probe, enrolled, found)
    sharper = probe.detail / enrolled.detail if enrolled.detail > 0 else math.nan
    moved = displacement(found)
    return Plane(len(pairs), len(on_plane), moved, alike_by, gain, sharper, lift), found


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


def _homography(
    probe: Part, enrolled: Part, pairs: NDArray[np.int64]
) -> tuple[Floats | None, NDArray[np.int64]]:
    """Between shares of the photos, enrolled to probe, and the pairs that lie on it."""
    import cv2
    import numpy as np

    if len(pairs) < MIN_PAIRS:
        return None, pairs[:0]
    seen = probe.points[pairs[:, 0]] / STEPS * probe.size_px
    known = enrolled.points[pairs[:, 1]] / STEPS * enrolled.size_px
    found, mask = cv2.findHomography(known, seen, cv2.USAC_MAGSAC, PLANE_PX, None, 2000, 0.999)
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
}


def judge(
    probe: CaptureSignature, enrolled: Sequence[CaptureSignature], limits: ReplayLimits = REPLAY
) -> Replay:
    """The gravest verdict over all of a person's signatures; never refuses by itself."""
    found = [_replay(compare(probe, each), len(enrolled), limits) for each in enrolled]
    return max(found, key=_gravity, default=NOTHING_COMPARED)


def _gravity(replay: Replay) -> tuple[int, int]:
    return list(ReplayVerdict).index(replay.verdict), replay.inliers


def _replay(comparison: Comparison, compared: int, limits: ReplayLimits) -> Replay:
    verdict, reasons = verdict_on(comparison, limits)
    part, plane = max(
        (("frame", comparison.frame), ("face", comparison.face)), key=lambda each: each[1].inliers
    )
    return Replay(
        verdict,
        compared,
        part,
        plane.pairs,
        plane.inliers,
        _known(plane.displacement),
        _known(plane.correlation),
        comparison.mirrored,
        reasons,
    )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def verdict_on(
    replay: Comparison, limits: ReplayLimits
) -> tuple[ReplayVerdict, tuple[Reason, ...]]:
    """The verdict on one comparison, and why; nothing is to be said of a new photo."""
    frame_shown = shown(replay.frame, limits)
    face_shown = shown(replay.face, limits) or (
        frame_shown and not replay.rigid < limits.min_correlation
    )
    if face_shown and not (frame_shown and in_the_room(replay, limits)):
        return ReplayVerdict.ENROLLED_PICTURE, (REASONS["picture"],)
    same_room = (
        replay.frame.inliers >= limits.min_still_inliers
        and not replay.frame.displacement > limits.max_still_displacement
    )
    if face_shown or frame_shown or same_room:
        return ReplayVerdict.SAME_SITTING, (REASONS["sitting"],)
    return ReplayVerdict.NEW, ()


def shown(plane: Plane, limits: ReplayLimits) -> bool:
    """Whether the probe shows this part of the enrolled photo; yes where a number is missing."""
    many = not (plane.inliers < limits.min_inliers or plane.inlier_ratio < limits.min_inlier_ratio)
    agreement = plane.inlier_ratio + plane.correlation
    unlike = agreement < limits.min_agreement and plane.correlation < limits.min_alike
    alike_too = not (plane.inliers < limits.min_inliers_alike or unlike)
    return many or alike_too


def in_the_room(replay: Comparison, limits: ReplayLimits) -> bool:
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


# ---- a picture of it


def drawn(pixels: Pixels, probe: CaptureSignature, enrolled: Sequence[CaptureSignature]) -> Pixels:
    """(DRAWN_PX, w, 3) RGB: the probe and, beside it, what is kept of the enrolled photo.

    The stored signature is the one that decides; a line joins each feature with its like on the
    same plane. `pixels` are those that `probe` was made of. Raises ValueError without a signature.
    """
    import cv2
    import numpy as np

    part, known, mirrored = _decisive(probe, enrolled)
    pairs = alike(part.descriptors, (_mirror(known) if mirrored else known).descriptors)
    on_plane = _homography(part, _mirror(known) if mirrored else known, pairs)[1]
    left = _tall(pixels)
    right = _tall(np.repeat(known.grey[..., None], 3, axis=2))
    picture = np.ascontiguousarray(np.hstack([left, right]))
    sides = np.array([[left.shape[1], DRAWN_PX], [right.shape[1], DRAWN_PX]])
    seen = (part.inside[:2] + part.points[on_plane[:, 0]] / STEPS * part.inside[2:]) * sides[0]
    there = known.points[on_plane[:, 1]] / STEPS * sides[1] + [left.shape[1], 0]
    for start, end in zip(np.rint(seen).astype(int), np.rint(there).astype(int), strict=True):
        cv2.line(picture, start.tolist(), end.tolist(), LINE_RGB, 1, cv2.LINE_AA)
    return picture


def _decisive(
    probe: CaptureSignature, enrolled: Sequence[CaptureSignature]
) -> tuple[Part, Part, bool]:
    """The parts of probe and enrolled photo that `judge` rests on; and whether mirrored."""
    replays = [judge(probe, [each]) for each in enrolled]
    replay = max(replays, key=_gravity)
    kept = enrolled[replays.index(replay)]
    if replay.part == "face":
        return probe.face, kept.face, replay.mirrored
    return probe.frame, kept.frame, replay.mirrored


def _tall(pixels: Pixels) -> Pixels:
    import cv2
    import numpy as np

    width = max(1, round(pixels.shape[1] * DRAWN_PX / pixels.shape[0]))
    return np.asarray(cv2.resize(pixels, (width, DRAWN_PX)), np.uint8)


def require_new_picture(replay: Replay) -> None:
    """Raises Attack for the enrolled picture. What "same_sitting" demands is the caller's policy.

    Written so that only the other verdicts pass.
    """
    passing = (ReplayVerdict.NEW, ReplayVerdict.SAME_SITTING, ReplayVerdict.NOT_COMPARED)
    if replay.verdict not in passing:
        raise Attack(*replay.reasons)
