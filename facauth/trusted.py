"""Files that decide how easily strangers pass: read only where nobody else can write them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class Exposed(OSError):
    """Somebody else can change the file."""


def read_trusted(path: Path, max_bytes: int) -> bytes:
    """All of a file of ours, or of root's, that nobody else may write; waits for no pipe.

    Raises Exposed for any other, OSError for what cannot be read, is no file or is longer.
    """
    with open(path, "rb", opener=_at_once) as file:
        of = os.fstat(file.fileno())
        if not stat.S_ISREG(of.st_mode):
            raise OSError(errno.EINVAL, "not a file")
        if of.st_mode & 0o022 or of.st_uid not in (0, os.geteuid()):
            raise Exposed(errno.EPERM, "others can change it")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, "too large")
    return data


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
