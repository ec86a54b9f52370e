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
    """Look for faces in the photo as it is and, unless one is surely upright, turned thrice.

    The surest way up counts: YuNet also finds faces that stand on their head, and encodings of
    those are alike whoever it is. On 1,072 photos the upright face always scored highest.
    """
    import numpy as np

    sightings: list[Sighting] = []
    for quarter_turns in range(4):
        turned = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
        faces = find_faces(turned, detector)
        if quarter_turns:
            faces = tuple(f for f in faces if f.detection_score >= DETECTION.min_score_turned)
        sightings.append(Sighting(turned, faces, 90 * quarter_turns))
        if surest(faces) >= DETECTION.upright_score:
            break
    return max(sightings, key=lambda sighting: surest(sighting.faces))


def surest(faces: tuple[Face, ...]) -> float:
    """The highest detection score; 0 without a face."""
    return max((face.detection_score for face in faces), default=0.0)


def find_faces(pixels: Pixels, detector: cv2.FaceDetectorYN) -> tuple[Face, ...]:
    """All faces, the largest first, found on a copy of at most `max_side_px` a side."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = min(1.0, DETECTION.max_side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    detector.setInputSize(size)
    _, rows = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    if rows is None:
        return ()
    found = [_face(row, width / size[0], height / size[1]) for row in np.asarray(rows)]
    return tuple(sorted(found, key=area_px, reverse=True))


def _face(row: NDArray[np.float32], x_scale: float, y_scale: float) -> Face:
    import numpy as np

    points = row[:14].reshape(7, 2) * np.array([x_scale, y_scale], np.float32)
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
