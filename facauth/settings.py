"""Every number that can change a decision, with unit, direction and source; and default paths.

"README" names the section that shows the measurement; the commands are in benchmarks/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Checked before decoding, so that no file can ask for more than this."""

    max_bytes: int = 64 * 2**20  # larger than any camera's JPEG or HEIC
    max_pixels: int = 64_000_000  # 192 MB as RGB; a phone's 48 megapixels pass, bombs do not


@dataclass(frozen=True, slots=True)
class DetectionLimits:
    """YuNet's working point."""

    max_side_px: int = 640  # more finds nothing more (measured on 25 full-frame photos)
    min_score: float = 0.6  # in [0, 1]; a face at or above it
    nms_iou: float = 0.3  # boxes that overlap more are one face
    dominant_area_ratio: float = 4.0  # --largest: its box is at least so many times the next one's


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """A face passes a `min_` at or above it and a `max_` at or below it; see structs.Quality."""

    min_inter_eye_distance_px: float
    min_sharpness: float
    min_luminance_mean: float
    max_under_exposure: float
    max_over_exposure: float
    min_dynamic_range_bits: float
    max_head_pose_deg: float
    min_face_inside: float


@dataclass(frozen=True, slots=True)
class LivenessLimits:
    """Silent-Face's working point, and the conditions under which it is one."""

    min_live_score: float = 0.38  # P(live) in [0, 1]; live at or above it
    min_context: float = 1.3  # frame over face box, per side; below it: cannot judge
    min_sharpness: float = 0.15  # as in Quality; below it: cannot judge


@dataclass(frozen=True, slots=True)
class Rates:
    """The error rates that thresholds are made from; lower is stricter."""

    verify_fmr: float = 1e-4  # sign-in --as: a stranger passes for the named person (SP 800-63B-4)
    identify_fpir: float = 1e-3  # sign-in: a stranger passes for anybody in the store
    same_person_fmr: float = 1e-3  # register: photos of one call, or of an enrolled person
    duplicate_fmr: float = 1e-5  # register: the face is enrolled under another name


IMAGE = ImageLimits()
DETECTION = DetectionLimits()
LIVENESS = LivenessLimits()
RATES = Rates()

SIGN_IN_QUALITY = QualityLimits(
    min_inter_eye_distance_px=18,
    min_sharpness=0.05,
    min_luminance_mean=0.08,
    max_under_exposure=0.9,
    max_over_exposure=0.5,
    min_dynamic_range_bits=4.0,
    max_head_pose_deg=45,
    min_face_inside=0.8,
)
ENROLMENT_QUALITY = QualityLimits(
    min_inter_eye_distance_px=30,
    min_sharpness=0.08,
    min_luminance_mean=0.15,
    max_under_exposure=0.6,
    max_over_exposure=0.3,
    min_dynamic_range_bits=5.5,
    max_head_pose_deg=35,
    min_face_inside=0.9,
)

# The share of dlib's cosine in the similarity; SFace has the rest (3 : 1 measured best, README).
DLIB_WEIGHT = 0.75

# Enrolment photos -> false match rate -> similarity that strangers reach at that rate.
CALIBRATION: dict[int, dict[float, float]] = {
    1: {1e-2: 0.73, 1e-3: 0.765, 1e-4: 0.791, 1e-5: 0.812},
    2: {1e-2: 0.74, 1e-3: 0.78, 1e-4: 0.809, 1e-5: 0.828},
    3: {1e-2: 0.75, 1e-3: 0.79, 1e-4: 0.816, 1e-5: 0.838},
    5: {1e-2: 0.755, 1e-3: 0.795, 1e-4: 0.823, 1e-5: 0.843},
}
MIN_FMR = 1e-9  # thresholds are not extrapolated further than this


def default_store() -> Path:
    """The platform's folder for user data, e.g. ~/.local/share/facauth/facauth.sqlite3."""
    from platformdirs import user_data_path

    return user_data_path("facauth", appauthor=False) / "facauth.sqlite3"


def weight_memory() -> Path:
    """Where it is remembered which weights were found intact (networks.Checked)."""
    from platformdirs import user_cache_path

    return user_cache_path("facauth", appauthor=False) / "weights.json"
