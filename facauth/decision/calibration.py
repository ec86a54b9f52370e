"""From an error rate to the similarity that keeps it, and back.

The map is data: calibration.json, made by benchmarks/calibration.py, which says how.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from facauth.errors import Reason, UsageProblem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FILE = Path(__file__).with_name("calibration.json")
ROUNDING = 1e-9  # a rate that misses another by less than this share of it is that rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """Similarities that strangers reach at certain rates, by number of enrolment photos.

    Between its points the map is straight over log10(FMR) and over 1 / photos.
    """

    fmrs: tuple[float, ...]  # falling
    inverse_photos: tuple[float, ...]  # falling; 0 is the limit of ever more photos
    similarities: tuple[tuple[float, ...], ...]  # of each of inverse_photos at each of fmrs
    min_fmr: float  # no lower rate can be promised

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """From what the file holds."""
        rows = document["rows"]
        return cls(
            tuple(point["fmr"] for point in rows[0]["points"]),
            tuple(1 / row["photos"] if row["photos"] else 0.0 for row in rows),
            tuple(tuple(point["similarity"] for point in row["points"]) for row in rows),
            document["min_fmr"],
        )

    def min_similarity(self, fmr: float, photos: NDArray[np.intp]) -> NDArray[np.float32]:
        """For each number of enrolment photos, the similarity that strangers reach at rate `fmr`.

        A rate above the highest measured one gives that one's, which is stricter. Raises
        UsageProblem for a rate that cannot be promised.
        """
        import numpy as np

        self.require_supported(fmr)
        at_fmr = [np.interp(-math.log10(fmr), self._x(), row) for row in self.similarities]
        counts = np.arange(1, photos.max(initial=1) + 1)  # few, however many people there are
        of_counts = np.interp(1 / counts, self.inverse_photos[::-1], at_fmr[::-1])
        return np.array([np.nan, *of_counts], np.float32)[photos]

    def fmr_of(self, similarity: float, photos: int) -> float:
        """The rate at which strangers reach a similarity: the inverse of min_similarity.

        At least min_fmr: nothing is said beyond it. 1 below what was measured, and for NaN.
        """
        import numpy as np

        rows = np.array(self.similarities[::-1])
        inverse = self.inverse_photos[::-1]
        points = [float(np.interp(1 / photos, inverse, column)) for column in rows.T]
        if not similarity >= points[0]:
            return 1.0
        return max(self.min_fmr, float(10 ** -np.interp(similarity, points, self._x())))

    def require_supported(self, fmr: float) -> None:
        """Raises UsageProblem unless the rate of a comparison can be promised; NaN cannot."""
        if not self.min_fmr * (1 - ROUNDING) <= fmr <= 1:
            raise UsageProblem(
                Reason(
                    "match.unsupported_rate",
                    f"a false match rate of {fmr:.2g} per comparison cannot be promised",
                    f"ask for one from {self.min_fmr:.2g} to 1",
                )
            )

    def _x(self) -> Floats:
        import numpy as np

        return np.asarray(-np.log10(self.fmrs))


@cache
def calibration() -> Calibration:
    """The one that is shipped."""
    return Calibration.of(json.loads(FILE.read_text(encoding="utf-8")))


def min_similarity(fmr: float, photos: NDArray[np.intp]) -> NDArray[np.float32]:
    """As Calibration.min_similarity, by the one in force."""
    return calibration().min_similarity(fmr, photos)


def fmr_of(similarity: float, photos: int) -> float:
    """As Calibration.fmr_of, by the one in force."""
    return calibration().fmr_of(similarity, photos)
