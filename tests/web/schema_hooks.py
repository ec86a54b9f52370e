"""For schemathesis: some of the files that it makes up become photos, and some texts known ones.

Of made-up bytes none is an image, so that nothing behind the decoder would ever be reached.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import schemathesis

SAMPLES = Path(__file__).resolve().parents[2] / "sample_images"
PHOTOS = [
    (SAMPLES / name).read_bytes()
    for name in (
        "obama_2012.jpg",
        "obama_2010.jpg",
        "biden_2010.jpg",
        "simulated_recapture.jpg",
        "two_faces.jpg",
    )
]
NAMES = ["Barack", "Joe"]
FOR_FRAMES = ("frame", "times_ms", "challenge", "state")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Most of the texts; which, follows from what was made up. What is no text stays wrong."""
    if not isinstance(body, dict) or not {"file", "frame"} & set(body):
        return body
    draw = crc32(repr(body).encode())
    if draw % 8:  # a photo alone: with frames beside it, it is refused
        body = {name: each for name, each in body.items() if name not in FOR_FRAMES}
        body.setdefault("file", b"x")
    known = {
        "file": PHOTOS[draw // 8 % len(PHOTOS)],
        "name": NAMES[draw // 7 % len(NAMES)],
        "for": "register",
    }
    for field, value in known.items():
        if draw % (3 + len(field)) and isinstance(body.get(field), (str, bytes)) and body[field]:
            body[field] = value
    return body
