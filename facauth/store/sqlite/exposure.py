"""Who could read or replace a store, by the permissions of its file and folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from facauth.errors import shown
from facauth.store.files import real

OWN_FOLDER = "keep it in a folder of your own"


def exposure(path: Path) -> list[str]:
    """A line for each way in which others could change or read the store."""
    try:
        found, folders = path.stat(), {path.absolute().parent, real(path).parent}
        owners = {0, os.geteuid(), found.st_uid}
        open_folders = [folder for folder in sorted(folders) if _is_open(folder.stat(), owners)]
    except OSError:
        return []
    lines = [f"others may open {shown(path)}; chmod 600 {shown(path)}"] * bool(
        found.st_mode & 0o077
    )
    return lines + [f"{fault}; {cure}" for fault, cure in map(fault_of, open_folders)]


def fault_of(folder: Path) -> tuple[str, str]:
    """What is wrong with a folder that others can write in, and what its user can do about it.

    A folder that is not the user's own is left as it is: /tmp has to be open to everybody.
    """
    found, name = folder.stat(), shown(folder)
    if found.st_mode & stat.S_ISVTX:  # others cannot replace what is in it, but it is cleared
        return f"{name} is shared, and no place for a store that lasts", OWN_FOLDER
    fault = f"others may replace the store in {name}"
    return fault, f"chmod go-w {name}" if found.st_uid == os.geteuid() else OWN_FOLDER


def _is_open(folder: os.stat_result, owners: set[int]) -> bool:
    return bool(folder.st_mode & 0o022) or folder.st_uid not in owners
