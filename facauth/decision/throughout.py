"""Whether all frames of a clip, or all photos of a sign-in, show one face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facauth.decision.enrolment import require_one_person
from facauth.errors import Conflict, Reason, UnusableImage
from facauth.settings import CLIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.decision.calibration import Calibration
    from facauth.decision.space import Space
    from facauth.structs import Encoding


def require_same_person(photos: Sequence[Encoding], calibration: Calibration) -> None:
    """Raises UnusableImage unless several photos of one sign-in show one person."""
    try:
        require_one_person(photos, calibration)
    except Conflict as refusal:
        (reason,) = refusal.reasons
        advice = "give photos of one person"
        raise UnusableImage(Reason(reason.code, reason.message, advice)) from None


def require_one_face(frames: Sequence[Encoding], space: Space) -> None:
    """Raises UnusableImage unless all frames are joined by links of faces that are alike.

    A face looks like itself from step to step: a frame with the chin up is far from the frontal one
    and near to the one before. frames: at least one.
    """
    import numpy as np

    vectors = space.of(np.stack([each.vector for each in frames]))
    if not weakest_link(vectors @ vectors.T) >= CLIP.min_link:  # NaN is not
        message = "the clip does not show one face throughout"
        advice = "record one person, without a cut"
        raise UnusableImage(Reason("clip.face_changes", message, advice))


def weakest_link(alike: NDArray[np.float32]) -> float:
    """The lowest similarity in the tree that joins all faces by the highest ones (Prim); 1 for one.

    alike: (n, n) similarities; NaN gives NaN.
    """
    import numpy as np

    nearest, weakest = alike[0].copy(), 1.0
    apart = np.ones(len(alike), bool)
    apart[0] = False
    while apart.any():
        if np.isnan(alike).any():
            return float("nan")
        joined = int(np.argmax(np.where(apart, nearest, -np.inf)))
        weakest = min(weakest, float(nearest[joined]))
        apart[joined] = False
        nearest = np.maximum(nearest, alike[joined])
    return weakest
