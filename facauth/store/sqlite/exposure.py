"""Permissions that let other users read or replace a store."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from facauth.errors import shown
from facauth.store.files import real

OWN_FOLDER = "keep it in a folder of your own"


def exposure(path: Path) -> list[str]:
    """A line for each way in which other users could read or replace the store."""
    try:
        found, folders = path.stat(), {path.absolute().parent, real(path).parent}
        owners = {0, os.geteuid(), found.st_uid}
        open_folders = [folder for folder in sorted(folders) if _is_open(folder.stat(), owners)]
    except OSError:
        return []
    lines = [f"other users can open {shown(path)}; chmod 600 {shown(path)}"] * bool(
        found.st_mode & 0o077
    )
    return lines + [f"{fault}; {cure}" for fault, cure in map(fault_of, open_folders)]


def fault_of(folder: Path) -> tuple[str, str]:
    """The fault of a folder in which others can write, and the remedy.

    The remedy never changes a folder of another user: /tmp must be open to everybody.
    """
    found, name = folder.stat(), shown(folder)
    if (
        found.st_mode & stat.S_ISVTX
    ):  # sticky: others cannot replace its files, but it may be cleared
        return f"{name} is a shared folder, which the system may clear", OWN_FOLDER
    fault = f"other users can replace the store in {name}"
    return fault, f"chmod go-w {name}" if found.st_uid == os.geteuid() else OWN_FOLDER


def _is_open(folder: os.stat_result, owners: set[int]) -> bool:
    return bool(folder.st_mode & 0o022) or folder.st_uid not in owners
