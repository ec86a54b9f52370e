"""The space in which faces are compared, made by arithmetic from what is stored.

Stored are the two networks' encodings as they are, so a better space needs nobody's photo again.
All faces have much in common, women's faces with each other more than men's. What all have in
common says nothing about who it is, so each half loses it, and gets unit length again. That and
the weights make up a space; benchmarks/calibration.py fits it, and calibration.json holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HALF = 128  # numbers of dlib's half, which is first, and of SFace's
DECIMALS = 5  # of the centre in the file


@dataclass(frozen=True)
class Space:
    """What is taken from both halves, and how much each counts."""

    centre: tuple[float, ...]  # (256,), in either half the mean of people; empty: nothing is moved
    dlib_weight: float  # of the similarity that is dlib's; SFace has the rest

    @classmethod
    def of_document(cls, document: dict[str, Any] | None) -> Self | Space:
        """From what a calibration's file holds; raises ValueError for what is none."""
        if document is None:
            return AS_STORED
        made = cls(tuple(map(float, document["centre"])), float(document["dlib_weight"]))
        if len(made.centre) != 2 * HALF or not 0 <= made.dlib_weight <= 1:
            raise ValueError("a space has 256 numbers and a share")
        return made

    def as_document(self) -> dict[str, Any]:
        """What a calibration's file holds."""
        return {"dlib_weight": self.dlib_weight, "centre": list(self.centre)}

    @cached_property
    def name(self) -> str:
        """Changes with the numbers; empty where faces are compared as they are stored."""
        if not self.centre:
            return ""
        return sha256(repr((self.centre, self.dlib_weight)).encode()).hexdigest()[:12]

    def of(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, 256) encodings as rows of unit length in this space.

        A half that is nothing but the centre, or no half at all, becomes NaN, which refuses.
        """
        import numpy as np

        if not self.centre:
            return stored
        halves = stored.astype(np.float64).reshape(-1, 2, HALF)
        with np.errstate(all="ignore"):
            halves = _unit(_unit(halves) - np.reshape(self.centre, (2, HALF)))
        halves *= np.sqrt([[self.dlib_weight], [1 - self.dlib_weight]])
        return halves.reshape(-1, 2 * HALF).astype(np.float32)


def _unit(halves: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    lengths = np.linalg.norm(halves, axis=-1, keepdims=True)
    return halves / np.where(lengths > 1e-6, lengths, np.nan)


AS_STORED = Space((), 0.0)
