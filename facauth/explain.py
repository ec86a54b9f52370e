"""A picture of the points that a photo shares with an enrolled one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import Reason, UsageProblem, shown
from facauth.faces.folder import is_folder

if TYPE_CHECKING:
    from facauth.evidence import Evidence
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Pixels


def explain(target: Path, found: Evidence, enrolled: Sequence[CaptureSignature]) -> str:
    """Draw the comparison into `target`; returns a note on it."""
    from facauth.spoof.replay import drawn

    replay, sighting, probe = found.replay, found.sighting, found.signature
    if not (enrolled and replay and sighting and probe):
        return f"nothing was compared with an enrolled photo; {shown(target)} was not written"
    note = f"{replay.inliers} of {replay.pairs} points that look alike lie on one plane"
    if replay.displacement is not None:
        note += f", moved by {replay.displacement:.1%} of the diagonal"
    try:
        write_privately(target, png(drawn(sighting.pixels, probe, enrolled)))
    except OSError as error:
        return f"{note}; {shown(target)} could not be written ({error.strerror})"
    return f"{note}; see {shown(target)}"


def png(pixels: Pixels) -> bytes:
    """As a PNG file."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_privately(target: Path, content: bytes) -> None:
    """Write a regular file that only its owner can read; raises OSError for any other file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(target, flags, 0o600), "wb") as file:  # noqa: PTH123  by its descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        os.fchmod(file.fileno(), 0o600)
        file.truncate(0)
        file.write(content)


def require_picture(target: Path | None, photos: Sequence[str]) -> None:
    """Raises UsageProblem unless a PNG can be written to `target`; called before the work starts.

    photos: files that must not be overwritten.
    """
    fault = None if target is None else _fault(target, photos)
    if fault:
        reason = Reason(
            "picture.unfit", f"{shown(target)} cannot be written: {fault}", "name another .png file"
        )
        raise UsageProblem(reason)


def _fault(target: Path, photos: Sequence[str]) -> str | None:
    if target.suffix.lower() != ".png":
        return "its name does not end in .png"
    try:
        if not stat.S_ISREG(target.lstat().st_mode):
            return "it is not a regular file"
    except (OSError, ValueError):  # a new file
        folder = target.parent
        fit = is_folder(folder) and os.access(folder, os.W_OK)
        return None if fit else "its folder cannot be written"
    if any(_is_file(photo, target) for photo in photos):
        return "it is one of the photos"
    return None if os.access(target, os.W_OK) else "it is read-only"


def _is_file(photo: str, target: Path) -> bool:
    try:
        return target.samefile(photo)
    except (OSError, ValueError):
        return False
