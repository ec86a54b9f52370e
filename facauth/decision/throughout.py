"""Whether all frames of a clip show one face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facauth.errors import Reason, UnusableImage
from facauth.settings import CLIP

if TYPE_CHECKING:
    from facauth.decision.space import Space
    from facauth.structs import Encoding


def require_one_face(frames: Sequence[Encoding], space: Space) -> None:
    """Raises UnusableImage unless each frame's face is as like the first as a turned face may be.

    frames: at least one; the first is the best.
    """
    import numpy as np

    vectors = space.of(np.stack([each.vector for each in frames]))
    alike = vectors[1:] @ vectors[0]
    if not (alike >= CLIP.min_similarity).all():  # NaN is not
        message = "the clip does not show one face throughout"
        raise UnusableImage(
            Reason("clip.face_changes", message, "record one person, without a cut")
        )
