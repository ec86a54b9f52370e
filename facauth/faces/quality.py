"""How good a photo of a face is: measured first, judged second.

Measures and reason codes take the names of OFIQ / ISO/IEC 29794-5 where it has one
(github.com/BSI-OFIQ/OFIQ-Project); the formulas are our own and simpler, so the numbers are not
OFIQ's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from facauth.errors import Reason, UnusableImage
from facauth.geometry import quantile
from facauth.structs import Quality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.settings import QualityLimits
    from facauth.structs import Face, Pixels, Sighting

BLOCK_PX = 8  # side of the blocks in which noise is estimated
QUARTILE_OF_NOISE = 0.89  # lower quartile over the blocks of even noise, over its mean
FACE_PX = 112  # side of the square face on which light, colour, noise and sharpness are measured
# Of a generic head, in units of the eye distance: how far the nose tip stands out from the eyes,
# and where between eyes (0) and mouth (1) it is seen from the front. Medians over LFW are then
# near 0 degrees for yaw and pitch; the angles are coarse.
NOSE_DEPTH = 0.6
NOSE_HEIGHT = 0.6


def measure(sighting: Sighting, face: Face) -> Quality:
    """Every measure of one face; never refuses."""
    height, width = sighting.pixels.shape[:2]
    small = small_face(sighting.pixels, face)
    grey = grey_of(small)
    yaw, pitch, roll = head_pose_deg(face.landmarks_px)
    return Quality(
        inter_eye_distance_px=_distance_px(face.landmarks_px[0], face.landmarks_px[1]),
        sharpness=sharpness(grey),
        noise=noise(grey),
        chroma=chroma(small),
        luminance_mean=float(grey.mean()) / 255,
        under_exposure=float((grey < 26).mean()),
        over_exposure=float((grey > 247).mean()),
        dynamic_range_bits=_entropy_bits(grey),
        head_pose_yaw_deg=yaw,
        head_pose_pitch_deg=pitch,
        head_pose_roll_deg=roll,
        face_inside=_share_inside(face, width, height),
        centrality=centrality(face, width, height),
        faces=len(sighting.faces),
    )


def small_face(pixels: Pixels, face: Face) -> Pixels:
    """(112, 112, 3) RGB: the face box as far as it lies in the frame, at least one pixel of it."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    x, y, w, h = face.box_px
    left, top = min(max(0, round(x)), width - 1), min(max(0, round(y)), height - 1)
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    crop = pixels[top : max(top + 1, bottom), left : max(left + 1, right)]
    way = cv2.INTER_AREA if min(crop.shape[:2]) > FACE_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (FACE_PX, FACE_PX), interpolation=way), dtype=np.uint8)


def grey_of(small: Pixels) -> NDArray[np.uint8]:
    """(112, 112) luminance."""
    import cv2
    import numpy as np

    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def chroma(small: Pixels) -> float:
    """Mean of the largest less the smallest of the three channels."""
    import numpy as np

    red, green, blue = (small[..., channel] for channel in range(3))
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    return float((most - least).mean())


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Deviation of the Laplacian over that of the luminance: contrast cancels out; noise adds."""
    import cv2

    deviation = float(grey.std())
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / deviation if deviation > 0 else 0.0


def noise(grey: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, in grey levels, of a (112, 112) face where it is smooth.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2),
    1996: what a filter that is blind to edges and slopes leaves over. It is not blind to hair,
    stubble and sharpened edges: so the lower quartile of blocks counts, of those in which neither
    black nor white cuts the noise off.
    """
    import cv2
    import numpy as np

    blind = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    left_over = _blocks(np.abs(cv2.filter2D(grey, cv2.CV_32F, blind))).mean(axis=1)
    light = _blocks(grey)
    whole = (light.min(axis=1) > 4) & (light.max(axis=1) < 251)
    smooth = quantile(left_over[whole] if whole.any() else left_over, 0.25)
    return smooth / QUARTILE_OF_NOISE * math.sqrt(math.pi / 2) / 6


def _blocks(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(169, 64): the blocks of 8 x 8 of a (112, 112) face, without its border."""
    inside = values[BLOCK_PX // 2 : -BLOCK_PX // 2, BLOCK_PX // 2 : -BLOCK_PX // 2]
    side = inside.shape[0] // BLOCK_PX
    cut = inside.reshape(side, BLOCK_PX, side, BLOCK_PX)
    return cut.transpose(0, 2, 1, 3).reshape(side * side, BLOCK_PX * BLOCK_PX)


def _entropy_bits(grey: NDArray[np.uint8]) -> float:
    import numpy as np

    share = np.bincount(grey.ravel(), minlength=256) / grey.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def head_pose_deg(landmarks_px: NDArray[np.float32]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from five points, as of a flat face with a nose on it."""
    import numpy as np

    eyes, nose, chin = _nose_and_mouth(landmarks_px)
    if not abs(eyes) > 0:
        return 0.0, 0.0, 0.0
    height = chin.imag if chin.imag > 0 else 1.0
    aside = nose.real - chin.real * nose.imag / height
    yaw = np.arctan2(aside, NOSE_DEPTH)
    pitch = np.arctan2(NOSE_HEIGHT * height - nose.imag, NOSE_DEPTH)
    yaw_deg, pitch_deg, roll_deg = np.degrees([yaw, pitch, np.angle(eyes)]).tolist()
    return yaw_deg, pitch_deg, roll_deg


def nose_drop(landmarks_px: NDArray[np.float32]) -> float:
    """How far the nose is below the eye line, in eye distances; NaN where the eyes are one point.

    It tells when somebody looks up better than the pitch, which turns of the head upset.
    """
    eyes, nose, _ = _nose_and_mouth(landmarks_px)
    return nose.imag if abs(eyes) > 0 else math.nan


def _nose_and_mouth(landmarks_px: NDArray[np.float32]) -> tuple[complex, complex, complex]:
    """From eye to eye in pixels; nose and mouth from between the eyes, which are a unit apart."""
    a, b, nose, *corners = (complex(x, y) for x, y in landmarks_px.tolist())
    eyes, between = b - a, (a + b) / 2
    unit = eyes or 1
    return eyes, (nose - between) / unit, (sum(corners) / 2 - between) / unit


def _distance_px(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return math.dist(a, b)


def _share_inside(face: Face, width: int, height: int) -> float:
    x, y, w, h = face.box_px
    inside_x = min(x + w, width) - max(x, 0)
    inside_y = min(y + h, height) - max(y, 0)
    return max(0.0, inside_x) * max(0.0, inside_y) / (w * h)


def centrality(face: Face, width: int, height: int) -> float:
    """1 in the middle of the frame, 0 in a corner or outside of it."""
    x, y, w, h = face.box_px
    off_x, off_y = (x + w / 2) / width - 0.5, (y + h / 2) / height - 0.5
    return max(0.0, 1 - math.sqrt(2) * math.hypot(off_x, off_y))


def require_quality(quality: Quality, limits: QualityLimits) -> None:
    """Raises UnusableImage with one reason for every limit that is missed."""
    reasons = tuple(reason for passed, reason in judgements(quality, limits) if not passed)
    if reasons:
        raise UnusableImage(*reasons)


def judgements(quality: Quality, limits: QualityLimits) -> tuple[tuple[bool, Reason], ...]:
    """Each limit as (passed, reason if not). Written so that NaN does not pass."""
    q, at = quality, limits
    light = q.luminance_mean >= at.min_luminance_mean and q.under_exposure <= at.max_under_exposure
    yaw = abs(q.head_pose_yaw_deg) <= at.max_head_pose_deg
    pitch = abs(q.head_pose_pitch_deg) <= at.max_head_pose_deg
    size = q.inter_eye_distance_px >= at.min_inter_eye_distance_px
    bright = q.over_exposure <= at.max_over_exposure
    contrast = q.dynamic_range_bits >= at.min_dynamic_range_bits
    checks = (
        (size, "inter_eye_distance", "the face is too small", "come closer"),
        (q.sharpness >= at.min_sharpness, "sharpness", "the face is blurred", STILL),
        (q.noise <= at.max_noise, "noise", "the photo is too noisy", "get more light"),
        (light, "under_exposure_prevention", "the face is too dark", "get more light"),
        (bright, "over_exposure_prevention", "the face is too bright", "get less light"),
        (contrast, "dynamic_range", "the face has too little contrast", "use even light"),
        (yaw, "head_pose_yaw", "the face is turned aside", "look into the camera"),
        (pitch, "head_pose_pitch", "the face looks up or down", "hold the camera at eye level"),
        (q.face_inside >= at.min_face_inside, "face_inside", "the face is cut off", WHOLE),
    )
    return tuple((passed, Reason(f"quality.{code}", *texts)) for passed, code, *texts in checks)


STILL = "hold still, wipe the lens, focus"
WHOLE = "get the whole face into the photo"
