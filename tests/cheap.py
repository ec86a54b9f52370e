"""Stages that read the name of a photo instead of its pixels: for scenarios of many sign-ins.

"ada.jpg" shows Ada, "stranger.jpg" somebody else, "nobody.jpg" no face; "print of ada.jpg" is an
attack, and of "doubtful ada.jpg" it is not sure that she is live.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import Facauth
from numpy.typing import NDArray
from plain import PLAIN

from facauth.settings import DEFAULT
from facauth.spoof.liveness import verdict_on
from facauth.spoof.signature import CaptureSignature, Part
from facauth.store.sealing import Template
from facauth.structs import (
    NOTHING_COMPARED,
    Encoding,
    Face,
    Liveness,
    Quality,
    Sighting,
)

CONTRACT = "cheap/1"
PEOPLE = ("ada", "bob", "stranger")
FACE = Face((0, 0, 100, 100), np.zeros((5, 2), np.float32), 1.0)
GOOD = Quality(200, 0.3, 0.5, 0.0, 0.0, 1.0, 60.0, 7.5, 0.0, 0.0, 0.0, 1.0, 1.0, 1)
SCORES = {"print": 0.01, "doubtful": 0.2}  # of other photos .9


def bind_to(facauth: Facauth, **others: Callable[..., Any]) -> None:
    """From now on commands look at names; `others` go before the stages here."""
    stages: dict[str, Callable[..., Any]] = {
        "contract": lambda: CONTRACT,
        "calibration": lambda: PLAIN.calibration,
        "film": lambda _: None,
        "decode": lambda image: image,
        "sight": lambda image: Sighting(image, () if "nobody" in image else (FACE,), 0),
        "measure": lambda *_: GOOD,
        "liveness": lambda sighting, *_: liveness(sighting.pixels),
        "encode": lambda sighting, _: Encoding(CONTRACT, vector(sighting.pixels)),
        "signature": lambda *_: None,
        "replay": lambda *_: NOTHING_COMPARED,
    }
    facauth.bind(**(stages | others))


def liveness(image: str) -> Liveness:
    score = next((score for word, score in SCORES.items() if word in image), 0.9)
    verdict, reasons = verdict_on(score, DEFAULT)
    limits = DEFAULT.min_live_score, DEFAULT.sure_live_score
    return Liveness(verdict, score, *limits, (), reasons)


def vector(image: str) -> NDArray[np.float32]:
    """People are at right angles to each other."""
    found = np.zeros(256, np.float32)
    found[next(number for number, name in enumerate(PEOPLE) if name in image)] = 1
    return found


def capture(sighting: Sighting, *_: object) -> CaptureSignature:
    """One for each name of a photo."""
    dice = np.random.default_rng(zlib.crc32(str(sighting.pixels).encode()))
    parts = [
        Part(
            (0.0, 0.0, 1.0, 1.0),
            (20, 20),
            dice.integers(0, 65535, (3, 2)).astype(np.uint16),
            dice.integers(0, 255, (3, 128)).astype(np.uint8),
            dice.integers(0, 255, (4, 5)).astype(np.uint8),
            0.5,
        )
        for _ in range(2)
    ]
    frame, face = parts
    return CaptureSignature(frame, face)


def enrol(facauth: Facauth, *names: str) -> None:
    """As register does."""
    with facauth.opened(create=True) as store:
        for name in names:
            encoding = Encoding(CONTRACT, vector(name.lower())).as_bytes()
            with store.transaction() as change:
                store.person(name).add(change, CONTRACT, [Template(encoding, None, False)])
                change.log("register", "registered", uid=store.person(name).uid)
