"""Encodings that behave as real ones do, without photos: strangers near .64, one person near .9."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np

from facauth.measure.encoded import Encodings, Found, Vector
from facauth.measure.folders import Portrait


def vector(person: str, photo: str) -> Vector:
    """The same for the same names."""
    made = np.zeros(256, np.float32)
    made[0] = 0.8
    made[1:21] = 0.51 * _direction(person, 20)
    made[21:51] = 0.316 * _direction(f"{person}/{photo}", 30)
    unit: Vector = made / np.linalg.norm(made)
    return unit


def _direction(seed: str, dimensions: int) -> Vector:
    drawn = np.random.default_rng(crc32(seed.encode())).normal(size=dimensions)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def encodings(*counts: int) -> Encodings:
    """Of people with so many photos each: p0/0.jpg, p0/1.jpg, ..., p1/0.jpg, ..."""
    names = [
        (f"p{person:03}", f"{n}.jpg") for person, count in enumerate(counts) for n in range(count)
    ]
    photos = [Portrait(f"{p}/{file}", f"{p}/{file}", p) for p, file in names]
    return Encodings.of(photos, [Found(vector(*each)) for each in names])


def filled(folder: Path, *files: str) -> Path:
    """A folder with empty files."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder
