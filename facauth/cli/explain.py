"""--explain: a picture of what a photo has in common with an enrolled one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.evidence import Evidence
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Pixels


def explain(target: Path, found: Evidence, enrolled: Sequence[CaptureSignature]) -> str:
    """Draw the comparison that was made, and say what is to be seen there."""
    from facauth.spoof.replay import drawn

    replay, sighting, probe = found.replay, found.sighting, found.signature
    if not (enrolled and replay and sighting and probe):
        return f"nothing was compared with an enrolled photo, so {shown(target)} was not written"
    said = f"{replay.inliers} of {replay.pairs} points that look alike lie on one plane"
    if replay.displacement is not None:
        said += f", moved by {replay.displacement:.1%} of the diagonal"
    try:
        write_privately(target, png(drawn(sighting.pixels, probe, enrolled)))
    except OSError as error:
        return f"{said}; {shown(target)} could not be written ({error.strerror})"
    return f"{said}; see {shown(target)}"


def png(pixels: Pixels) -> bytes:
    """As a PNG file."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_privately(target: Path, content: bytes) -> None:
    """Into a regular file that only its owner can read; raises OSError for anything else."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(target, flags, 0o600), "wb") as file:  # noqa: PTH123  by its descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        os.fchmod(file.fileno(), 0o600)
        file.truncate(0)
        file.write(content)
