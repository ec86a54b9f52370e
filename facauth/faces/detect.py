"""Face detection, and the choice of the face that a photo is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.errors import Reason, UnusableImage
from facauth.faces.quality import centrality, grey_of, sharpness, small_face
from facauth.geometry import reduced
from facauth.settings import DETECTION
from facauth.structs import Face, Sighting

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    from facauth.structs import Pixels


def sight(pixels: Pixels, detector: cv2.FaceDetectorYN) -> Sighting:
    """Find faces in the photo and, unless one is clearly upright, in the turned photo.

    The orientation in which the largest face scores highest counts: YuNet also finds upside-down
    faces, and encodings of different upside-down people are alike. The largest face decides,
    because it is the one that may be used. A small upright face beside it must not decide for it,
    nor a detection that a second search does not confirm.
    """
    small = _shrunk(pixels, DETECTION.max_side_px)
    found = _search(small, detector, _scales(pixels, small, 0))
    upright = _confirmed(found, pixels, detector)
    if _sureness(upright) >= DETECTION.upright_score:
        return Sighting(pixels, upright, 0)
    turns = _surest_turns(small, upright, detector, max(pixels.shape) / max(small.shape))
    found = _search(_turned(small, turns), detector, _scales(pixels, small, turns)) if turns else ()
    if _sureness(found) >= DETECTION.min_score_turned:
        turned = _turned(pixels, turns)
        faces = _confirmed(found, turned, detector)
        if _sureness(faces) >= max(DETECTION.min_score_turned, _sureness(upright)):
            return Sighting(turned, faces, 90 * turns)
    return Sighting(pixels, upright, 0)


def sight_upright(pixels: Pixels, detector: cv2.FaceDetectorYN) -> Sighting:
    """Find faces in a picture that is known to be upright."""
    return Sighting(pixels, _confirmed(find_faces(pixels, detector), pixels, detector), 0)


def _confirmed(
    faces: tuple[Face, ...], pixels: Pixels, detector: cv2.FaceDetectorYN
) -> tuple[Face, ...]:
    """Of several faces, those that a second search finds again.

    Blur and foliage beside a real face are detected as faces. Only the largest are searched again,
    so that a crowd costs little; the smaller ones count as faces.
    """
    if len(faces) < 2:
        return faces
    looked_at, rest = faces[: DETECTION.max_looks], faces[DETECTION.max_looks :]
    return (*(face for face in looked_at if _found_again(face, pixels, detector)), *rest)


def _found_again(face: Face, pixels: Pixels, detector: cv2.FaceDetectorYN) -> bool:
    """Whether a search of twice the face box finds the face again, at one of the sizes."""
    x, y, w, h = face.box_px
    side = max(w, h)
    left, top = max(0, int(x + w / 2 - side)), max(0, int(y + h / 2 - side))
    crop = pixels[top : int(y + h / 2 + side) + 1, left : int(x + w / 2 + side) + 1]
    here = (x - left, y - top, w, h)
    return crop.size > 0 and any(
        again.detection_score >= DETECTION.min_score_again
        and overlap(again.box_px, here) >= DETECTION.nms_iou
        for face_px in DETECTION.look_face_px
        for again in _search_scaled(crop, face_px / side, detector)
    )


def _search_scaled(crop: Pixels, by: float, detector: cv2.FaceDetectorYN) -> tuple[Face, ...]:
    """The faces of a crop, in its pixels; for the search it is scaled `by` this factor."""
    import cv2
    import numpy as np

    size = (max(1, round(crop.shape[1] * by)), max(1, round(crop.shape[0] * by)))
    if by < 1:
        look = reduced(crop, size)
    else:
        look = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    return _search(look, detector, _scales(crop, look, 0))


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    sides = [
        max(0.0, min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]))
        for i in (0, 1)
    ]
    both = sides[0] * sides[1]
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def _surest_turns(
    small: Pixels, upright: tuple[Face, ...], detector: cv2.FaceDetectorYN, scale: float
) -> int:
    """The number of quarter turns with the highest score of a face; 0 to 3.

    A photo with a face is shrunk first, to a size at which that face is still easy to find.
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


def find_faces(
    pixels: Pixels, detector: cv2.FaceDetectorYN, max_side_px: int = DETECTION.max_side_px
) -> tuple[Face, ...]:
    """All faces of a photo as it is, the largest first.

    max_side_px: of the picture that is searched; a photo that is larger is scaled down.
    """
    small = _shrunk(pixels, max_side_px)
    return _search(small, detector, _scales(pixels, small, 0))


def _shrunk(pixels: Pixels, max_side_px: float) -> Pixels:
    """A copy of at most `max_side_px` a side; the photo itself if it is no larger."""
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side_px / max(height, width))
    if scale == 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return reduced(pixels, size)


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


def only_face(sighting: Sighting) -> Face:
    """The subject of a photo: the face that dominates by its size and its place.

    Raises UnusableImage if there is no face, or if another face could be the subject.
    """
    if not sighting.faces:
        advice = "give a photo that shows one face from the front"
        raise UnusableImage(Reason("face.none", "no face was found", advice))
    subject, *others = sighting.faces
    rivals = sum(not _stands_back(other, subject, sighting.pixels) for other in others)
    if rivals:
        message = f"{1 + rivals} faces of similar size were found"
        raise UnusableImage(Reason("face.several", message, "give a photo of one person"))
    return subject


def _stands_back(other: Face, subject: Face, pixels: Pixels) -> bool:
    """Whether a face cannot be the subject: far less prominent, or out of focus. NaN is neither."""
    prominent = _prominence_px(other, pixels)
    if _prominence_px(subject, pixels) >= DETECTION.min_prominence_ratio * prominent:
        return True
    sharp, blurred = (sharpness(grey_of(small_face(pixels, face))) for face in (subject, other))
    return blurred < DETECTION.max_blurred_ratio * sharp


def _prominence_px(face: Face, pixels: Pixels) -> float:
    """The area of the face box, by up to a third less away from the middle of the frame."""
    height, width = pixels.shape[:2]
    return area_px(face) * (2 + centrality(face, width, height)) / 3
