"""A calibration in which made-up encodings are compared as they are stored.

The numbers are those of real encodings, dlib : SFace 3 : 1 and nothing taken away: strangers are
near .65, one person near .9.
"""

from __future__ import annotations

import json
from pathlib import Path

from facauth.decision.calibration import Calibration, InForce
from facauth.decision.space import AS_STORED

FILE = Path(__file__).with_name("plain_calibration.json")
DOCUMENT = json.loads(FILE.read_text())
PLAIN = InForce(Calibration.of(DOCUMENT), DOCUMENT)
assert PLAIN.calibration.space is AS_STORED
