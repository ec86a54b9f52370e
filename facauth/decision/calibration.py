"""From an error rate to the similarity that keeps it, as measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facauth.settings import CALIBRATION, MIN_FMR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def min_similarity(fmr: float, photos: NDArray[np.intp]) -> NDArray[np.float32]:
    """For each count of enrolment photos, the similarity that strangers reach at rate `fmr`.

    Straight lines through the measured points over log10(FMR); the last one goes on below what
    was measured, down to MIN_FMR. A count between two measured ones takes the stricter.
    """
    import numpy as np

    rows = [_at(fmr, points) for points in CALIBRATION.values()]
    measured = np.array(list(CALIBRATION))
    index = np.minimum(np.searchsorted(measured, photos), len(rows) - 1)
    return np.array(rows, np.float32)[index]


def _at(fmr: float, points: dict[float, float]) -> float:
    import numpy as np

    x = -np.log10(np.array(list(points)))
    y = np.array(list(points.values()))
    wanted = -np.log10(max(fmr, MIN_FMR))
    slope = (y[-1] - y[-2]) / (x[-1] - x[-2])
    beyond = max(0.0, float(wanted - x[-1]))
    return float(np.interp(wanted, x, y) + slope * beyond)
