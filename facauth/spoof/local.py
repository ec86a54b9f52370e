"""Whether a face consists of another face's pixels, wherever an editor moved them.

Dense flow brings the aligned faces together, cell by cell; then their fine detail is compared. A
warp, a move or a drawn pair of glasses leaves the pixels of some cells as they were. Another photo
of the person has other detail everywhere, and so has a later frame, unless the person hardly moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facauth.geometry import quantile
from facauth.spoof.signature import ALIGNED_PX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.spoof.signature import Grey

    Floats = NDArray[np.floating[Any]]

# How two aligned faces are compared; benchmarks/replay.py measures with it.
CELL_PX = 16
CELLS = 4  # along the middle of the face, which is what a face swap leaves of it
FINE_PX, COARSE_PX = 1.0, 2.0  # standard deviations: finer detail is noise, coarser everybody's
MARGIN_PX = 8  # that the wider blur reaches
SHARE = 0.9  # quantile of the cells: the best one or two decide


def fine_detail(probe: Grey, enrolled: Grey, least: float = -1.0) -> float:
    """In [-1, 1]: correlation of the best cells, independent of light, contrast and place.

    Both are (ALIGNED_PX, ALIGNED_PX). The mean of the flow from one to the other and back; of the
    first alone where the mean is below `least` whatever the second is, as that is half of the work.
    """

    there = quantile(_cells(probe, enrolled), SHARE)
    if (there + 1) / 2 < least:
        return there
    return (there + quantile(_cells(enrolled, probe), SHARE)) / 2


def _cells(still: Grey, moved: Grey) -> Floats:
    """(CELLS²,) correlations, once the flow from the one to the other is undone."""
    import cv2
    import numpy as np

    # Kroeger et al., Fast optical flow using dense inverse search, ECCV 2016. It keeps buffers of
    # its own, so threads that shared one would crash.
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dense.calc(still, moved, None)  # type: ignore[call-overload]  # None makes a new one
    down, across = np.indices(still.shape, np.float32)
    edge = cv2.BORDER_REPLICATE
    brought = cv2.remap(
        moved, across + flow[..., 0], down + flow[..., 1], cv2.INTER_CUBIC, borderMode=edge
    )
    first, second = (_in_cells(_band(np.asarray(each, np.uint8))) for each in (still, brought))
    lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return np.asarray((first * second).sum(axis=1) / np.maximum(lengths, 1e-6))


def _band(grey: Grey) -> Floats:
    """The middle of the face, between two blurs."""
    import cv2
    import numpy as np

    reach = CELLS * CELL_PX // 2
    low, high = ALIGNED_PX // 2 - reach - MARGIN_PX, ALIGNED_PX // 2 + reach + MARGIN_PX
    cut = grey[low:high, low:high].astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(cut, (0, 0), sigma) for sigma in (FINE_PX, COARSE_PX))
    return np.asarray(fine - coarse)[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _in_cells(band: Floats) -> Floats:
    """(CELLS², CELL_PX²), the mean of each cell taken away."""
    import numpy as np

    rows = band.reshape(CELLS, CELL_PX, CELLS, CELL_PX).swapaxes(1, 2).reshape(CELLS**2, -1)
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))
