"""Replay detection: whether a photo is an enrolled one, a copy, an edit or a photo of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from facauth.errors import Attack, Reason
from facauth.settings import REPLAY
from facauth.spoof.plane import Comparison, Plane, compare, mirror_part, plane
from facauth.spoof.signature import STEPS, CaptureSignature, Part
from facauth.structs import NOTHING_COMPARED, Replay, ReplayVerdict

if TYPE_CHECKING:
    from facauth.settings import ReplayLimits
    from facauth.structs import Pixels

DRAWN_PX = 480  # height of the picture that explains a comparison
LINE_RGB = (0, 230, 0)
REASONS = {
    ReplayVerdict.ENROLLED_PICTURE: Reason(
        "replay.enrolled_picture",
        "this is an enrolled photo, or was made from one",
        "take a new photo in another place",
    ),
    ReplayVerdict.SAME_SITTING: Reason(
        "replay.same_sitting",
        "this photo was taken in the same sitting as an enrolled photo",
        "take a photo at another time or place",
    ),
}


ITSELF = Reason(
    "replay.enrolled_picture", "this is an enrolled photo itself", "sign in with another photo"
)


def judge(
    probe: CaptureSignature, enrolled: Sequence[CaptureSignature], limits: ReplayLimits = REPLAY
) -> Replay:
    """The gravest verdict over all of a person's signatures; never refuses by itself."""
    least = min(limits.min_moved_detail, limits.min_same_detail)  # see `edited`
    compared = [compare(probe, signature, least) for signature in enrolled]
    found = [_replay(each, len(enrolled), limits) for each in compared]
    gravest = max(found, key=gravity, default=NOTHING_COMPARED)
    return replace(gravest, older=sum(signature.aligned is None for signature in enrolled))


def gravity(replay: Replay) -> tuple[int, int]:
    """The graver of two replays is greater."""
    return list(ReplayVerdict).index(replay.verdict), replay.inliers


def _replay(comparison: Comparison, compared: int, limits: ReplayLimits) -> Replay:
    verdict = verdict_on(comparison, limits)
    parts = (("frame", comparison.frame), ("face", comparison.face))
    part, best = max(parts, key=lambda named: named[1].inliers)
    reasons = (REASONS[verdict],) if verdict in REASONS else ()
    itself = verdict is ReplayVerdict.ENROLLED_PICTURE and same_pixels(comparison)
    return Replay(
        verdict,
        compared,
        part,
        best.pairs,
        best.inliers,
        _known(best.displacement),
        _known(best.grey.correlation),
        comparison.mirrored,
        (ITSELF,) if itself else reasons,
        itself=itself,
    )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def verdict_on(comparison: Comparison, limits: ReplayLimits) -> ReplayVerdict:
    """The verdict by the comparison with one enrolled photo."""
    frame = comparison.frame
    seen = shown(frame, limits) or shown(comparison.face, limits)
    if edited(comparison, limits) or (seen and not in_the_room(comparison, limits)):
        return ReplayVerdict.ENROLLED_PICTURE
    same_room = (
        frame.inliers >= limits.min_inliers
        and not frame.displacement > limits.max_still_displacement
    )
    doubts = (
        seen,
        same_room,
        comparison.pairs >= limits.min_pairs,
        unclear(frame, limits),
        unclear(comparison.face, limits),
    )
    return ReplayVerdict.SAME_SITTING if any(doubts) else ReplayVerdict.NEW


def same_pixels(comparison: Comparison) -> bool:
    """Whether it is the enrolled file: a copy at JPEG quality 90 is moved by 4e-5."""
    grey, moved = comparison.frame.grey, comparison.frame.displacement
    return not comparison.mirrored and grey.correlation >= 0.99999 and moved <= 1e-6


def edited(comparison: Comparison, limits: ReplayLimits) -> bool:
    """Whether the face consists of the pixels of the enrolled face.

    Two photos of one sitting share their background. Without a common background less suffices.
    """
    alone = comparison.frame.pairs < limits.max_room_pairs
    return comparison.detail >= (limits.min_moved_detail if alone else limits.min_same_detail)


def unclear(plane: Plane, limits: ReplayLimits) -> bool:
    """Whether there is a plane on which the pictures overlap too little for a comparison."""
    return plane.inliers >= limits.min_inliers_alike and math.isnan(plane.grey.correlation)


def shown(plane: Plane, limits: ReplayLimits) -> bool:
    """Whether the probe shows this part of the enrolled photo."""
    many = plane.inliers >= limits.min_inliers and plane.inlier_ratio >= limits.min_inlier_ratio
    alike = plane.grey.correlation >= limits.min_alike
    agreed = plane.inlier_ratio + plane.grey.correlation >= limits.min_agreement
    return many or (plane.inliers >= limits.min_inliers_alike and (alike or agreed))


def in_the_room(comparison: Comparison, limits: ReplayLimits) -> bool:
    """Whether face and frame changed as they do between two photos of one sitting.

    Either the face left the plane of its background, which a picture cannot do; or camera and
    sharpness are the same, and the face moved or the light is the same. A missing number means no,
    and so does a copy.
    """
    frame, face, rigid = comparison.frame, comparison.face, comparison.face_on_frame
    copy = not (frame.grey.detail < limits.min_copy_detail or rigid.detail < limits.min_copy_detail)
    if comparison.mirrored or copy or not frame.inliers >= limits.min_inliers:
        return False
    if rigid.correlation <= face.grey.correlation - limits.max_depth:
        return True
    moved = rigid.correlation < limits.min_alike
    same_light = as_sharp(face, limits) and abs(frame.grey.lift) <= limits.max_still_lift
    stood = frame.displacement <= limits.max_still_displacement and as_sharp(frame, limits)
    return stood and (moved or same_light)


def as_sharp(plane: Plane, limits: ReplayLimits) -> bool:
    """Whether both photos have as much detail; a screen has less, and a laser print more."""
    return 1 / limits.max_still_sharper <= plane.sharper <= limits.max_still_sharper


# ---- a picture of the comparison


def drawn(pixels: Pixels, probe: CaptureSignature, enrolled: Sequence[CaptureSignature]) -> Pixels:
    """(DRAWN_PX, w, 3) RGB: the probe beside the stored grey picture of the enrolled photo.

    The enrolled photo is the one that decides. Lines join the features that match on one plane.
    `pixels` are the photo of `probe`. Raises ValueError without a signature.
    """
    import cv2
    import numpy as np

    part, known, mirrored = _decisive(probe, enrolled)
    on_plane = plane(part, mirror_part(known) if mirrored else known)[2]
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
    """The parts of probe and enrolled photo that decide in `judge`; and whether mirrored."""
    if not enrolled:
        raise ValueError("there is no stored signature to draw")
    replays = [judge(probe, [signature]) for signature in enrolled]
    replay = max(replays, key=gravity)
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
    """Raises Attack for an enrolled picture. The policy of the caller decides on "same_sitting"."""
    if not passes(replay):
        attack = Attack(*replay.reasons)
        attack.likely_mistake = replay.itself
        raise attack


def passes(replay: Replay) -> bool:
    """Whether a replay is no attack. These verdicts are listed, so that any other is refused."""
    passing = (ReplayVerdict.NEW, ReplayVerdict.SAME_SITTING, ReplayVerdict.NOT_COMPARED)
    return replay.verdict in passing
