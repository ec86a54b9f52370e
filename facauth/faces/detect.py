"""Where the faces are, and whether there is exactly one to speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.errors import Reason, UnusableImage
from facauth.settings import DETECTION
from facauth.structs import Face, Sighting

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    from facauth.structs import Pixels


def sight(pixels: Pixels, detector: cv2.FaceDetectorYN) -> Sighting:
    """Look for faces in the photo as it is and, unless one is surely upright, turned.

    The way up in which the largest face is surest counts: YuNet also finds faces that stand on
    their head, and encodings of those are alike whoever it is. The largest, for it is the one
    that may be used; a small upright face beside it must not vouch for it.
    """
    small = _shrunk(pixels, DETECTION.max_side_px)
    upright = _search(small, detector, _scales(pixels, small, 0))
    if _sureness(upright) >= DETECTION.upright_score:
        return Sighting(pixels, upright, 0)
    turns = _surest_turns(small, upright, detector, max(pixels.shape) / max(small.shape))
    turned = _turned(small, turns)
    faces = _search(turned, detector, _scales(pixels, small, turns)) if turns else ()
    if _sureness(faces) >= max(DETECTION.min_score_turned, _sureness(upright)):
        return Sighting(_turned(pixels, turns), faces, 90 * turns)
    return Sighting(pixels, upright, 0)


def _surest_turns(
    small: Pixels, upright: tuple[Face, ...], detector: cv2.FaceDetectorYN, scale: float
) -> int:
    """How many quarter turns make a face surest; 0 to 3.

    If a face was seen the photo is tried at a size at which that face is easily seen still.
    """
    side_px = max(upright[0].box_px[2:]) / scale if upright else 0.0
    shrink_by = max(1.0, side_px / DETECTION.try_face_px)
    tried = _shrunk(small, max(small.shape) / shrink_by)
    sure = [_sureness(_search(_turned(tried, k), detector, (1.0, 1.0))) for k in range(4)]
    return max(range(4), key=sure.__getitem__)


def _turned(pixels: Pixels, quarter_turns: int) -> Pixels:
    import numpy as np

    return np.ascontiguousarray(np.rot90(pixels, quarter_turns))


def _sureness(faces: tuple[Face, ...]) -> float:
    """The detection score of the largest face, which comes first; 0 without a face."""
    return faces[0].detection_score if faces else 0.0


def find_faces(pixels: Pixels, detector: cv2.FaceDetectorYN) -> tuple[Face, ...]:
    """All faces of a photo as it is, the largest first."""
    small = _shrunk(pixels, DETECTION.max_side_px)
    return _search(small, detector, _scales(pixels, small, 0))


def _shrunk(pixels: Pixels, max_side_px: float) -> Pixels:
    """A copy of at most `max_side_px` a side; the photo itself if it is no larger."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = min(1.0, max_side_px / max(height, width))
    if scale == 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _scales(pixels: Pixels, small: Pixels, quarter_turns: int) -> tuple[float, float]:
    """How much larger the photo is in x and in y, once both are turned."""
    y_scale, x_scale = pixels.shape[0] / small.shape[0], pixels.shape[1] / small.shape[1]
    return (y_scale, x_scale) if quarter_turns % 2 else (x_scale, y_scale)


def _search(
    pixels: Pixels, detector: cv2.FaceDetectorYN, scales: tuple[float, float]
) -> tuple[Face, ...]:
    import cv2
    import numpy as np

    detector.setInputSize(pixels.shape[1::-1])
    _, rows = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    found = [] if rows is None else [_face(row, scales) for row in np.asarray(rows)]
    return tuple(sorted(found, key=area_px, reverse=True))


def _face(row: NDArray[np.float32], scales: tuple[float, float]) -> Face:
    import numpy as np

    points = row[:14].reshape(7, 2) * np.array(scales, np.float32)
    x, y, width, height = points[:2].ravel().tolist()
    return Face((x, y, width, height), points[2:].copy(), float(row[14]))


def area_px(face: Face) -> float:
    """The area of the face box."""
    return face.box_px[2] * face.box_px[3]


def only_face(sighting: Sighting, *, largest: bool) -> Face:
    """The one face of a photo; raises UnusableImage when there is none or several.

    largest: of several, take the largest if it clearly dominates.
    """
    faces = sighting.faces
    if not faces:
        raise UnusableImage(
            Reason(
                "face.none", "no face was found", "give a photo that shows one face from the front"
            )
        )
    if len(faces) == 1:
        return faces[0]
    if not largest:
        raise UnusableImage(
            Reason(
                "face.several",
                f"{len(faces)} faces were found",
                "give a photo of one person, or --largest for the one in front",
            )
        )
    if not area_px(faces[0]) >= DETECTION.dominant_area_ratio * area_px(faces[1]):
        raise UnusableImage(
            Reason(
                "face.none_dominates",
                f"{len(faces)} faces were found and none is clearly the largest",
                "crop the photo to one person",
            )
        )
    return faces[0]
