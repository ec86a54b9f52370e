"""Where the face is in the oval of the page, in one word: no measure leaves the server."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from facauth.evidence import Evidence

# Of the frame. The page draws its oval in the middle, 72 % of the frame's height. The face box
# reaches from the brows' upper edge to the chin, so a face that fills the oval is about half as
# high as the frame, and can still come nearer.
MAX_ASIDE = 0.1  # of the width, from the middle
MAX_ABOVE, MAX_BELOW = 0.14, 0.14  # of the height, from the middle
MIN_HEIGHT, MAX_HEIGHT = 0.24, 0.6


class Position(StrEnum):
    """What is wrong with the place of the face; left and right are the image's."""

    INSIDE = "inside"
    FAR = "far"
    NEAR = "near"
    LEFT = "left"
    RIGHT = "right"
    HIGH = "high"
    LOW = "low"


def position_of(found: Sequence[Evidence]) -> Position | None:
    """The position of the subject of the one picture; None without one, and if it lies askew."""
    sighting = found[0].sighting if len(found) == 1 else None
    if sighting is None or found[0].quality is None or sighting.turned_deg:
        return None  # only the one subject of a picture is measured
    height, width = sighting.pixels.shape[:2]
    x, y, w, h = sighting.faces[0].box_px
    return position(
        (x + w / 2) / width,
        (y + h / 2) / height,
        h / height,
    )


def position(across: float, down: float, tall: float) -> Position:
    """The position of a face whose box has this middle and this height, in shares of the frame."""
    right = {  # written so that NaN is wrong
        Position.FAR: tall >= MIN_HEIGHT,
        Position.NEAR: tall <= MAX_HEIGHT,
        Position.LEFT: across >= 0.5 - MAX_ASIDE,
        Position.RIGHT: across <= 0.5 + MAX_ASIDE,
        Position.HIGH: down >= 0.5 - MAX_ABOVE,
        Position.LOW: down <= 0.5 + MAX_BELOW,
    }
    return next((fault for fault, is_right in right.items() if not is_right), Position.INSIDE)
