"""The crop of a face that each network expects: pure geometry.

The published accuracy was measured with these numbers (measurements, Recognition). Changing one
changes the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.geometry import SFACE_CHIP_PX, SFACE_TEMPLATE, similarity_transform

if TYPE_CHECKING:
    from facauth.structs import Face, Pixels


def dlib_box_px(face: Face) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the square that dlib's predictor expects.

    Its side is .974 sqrt(w h); its centre lies .034 w right of and .061 h below that of
    YuNet's box (fitted on LFW).
    """
    x, y, width, height = face.box_px
    half = 0.974 * (width * height) ** 0.5 / 2
    centre_x, centre_y = x + width * 0.534, y + height * 0.561
    return (
        round(centre_x - half),
        round(centre_y - half),
        round(centre_x + half),
        round(centre_y + half),
    )


def sface_chip(pixels: Pixels, face: Face) -> Pixels:
    """(112, 112, 3) RGB, the five landmarks moved onto SFace's template."""
    import cv2
    import numpy as np

    turn = similarity_transform(face.landmarks_px, np.array(SFACE_TEMPLATE))
    return np.asarray(cv2.warpAffine(pixels, turn, (SFACE_CHIP_PX, SFACE_CHIP_PX)), dtype=np.uint8)
