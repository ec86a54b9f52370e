"""Made-up encodings: a calibration that compares them as they are stored, and the other way.

The plain calibration has the numbers of real encodings, dlib : SFace 3 : 1 and nothing taken away:
strangers are near .65, one person near .9.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facauth.decision.calibration import Calibration, InForce
from facauth.decision.space import AS_STORED, HALF, Space
from facauth.faces.encode import fuse

FILE = Path(__file__).with_name("plain_calibration.json")
DOCUMENT = json.loads(FILE.read_text())
PLAIN = InForce(Calibration.of(DOCUMENT), DOCUMENT)
assert PLAIN.calibration.space is AS_STORED


def stored(wanted: NDArray[np.float64], space: Space) -> NDArray[np.float32]:
    """(n, 256): encodings whose halves, in the space, are both these (n, 128) unit vectors.

    So two of them are as similar there as two of the vectors.
    """
    halves = []
    for centre in np.reshape(space.centre, (2, HALF)):
        along = wanted @ centre
        length = -along + np.sqrt(along**2 + 1 - centre @ centre)
        halves.append((centre + length[:, None] * wanted).astype(np.float32))
    return np.stack([fuse(*both) for both in zip(*halves, strict=True)])
