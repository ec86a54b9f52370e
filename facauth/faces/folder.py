"""The photos in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from facauth.errors import Reason, UsageProblem, shown

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif"),
    *(".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif"),
)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether the path is a folder or a link to one; an inaccessible path is not."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for a name that is too long


def photos_below(folder: str | Path) -> list[str]:
    """The image files in a folder and its folders, by suffix, in order of their paths.

    Hidden files and folders are left out, and links to folders are not followed. Raises
    UsageProblem for a folder that cannot be read.
    """
    found, ahead = list[str](), [str(folder)]
    while ahead:  # os.walk recurses, and folders may be nested too deeply
        try:
            with os.scandir(ahead.pop()) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise _unreadable(error) from error
        ahead += [entry.path for entry in seen if entry.is_dir(follow_symlinks=False)]
        photos = [entry for entry in seen if is_photo(entry.name) and not is_folder(entry)]
        found += [str(Path(entry)) for entry in photos]
    return sorted(found)


def is_photo(file: str) -> bool:
    """Whether a file of this name is taken for a photo."""
    return not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES


def _unreadable(error: OSError) -> UsageProblem:
    return UsageProblem(
        Reason(
            "image.unreadable",
            f"{shown(error.filename)} cannot be read ({error.strerror})",
            "check its permissions",
        )
    )
