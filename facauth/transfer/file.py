"""The file of an export: created, written and read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from facauth import files
from facauth.errors import STDIN, Reason, UsageProblem, shown
from facauth.transfer.document import MAX_BYTES


def require_new(path: Path) -> None:
    """Raises UsageProblem unless a file can be created at `path`."""
    try:
        path.lstat()
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise unwritable(path, "its folder cannot be written") from None
    except (OSError, ValueError) as error:
        raise unwritable(path, getattr(error, "strerror", None) or "not a path") from error
    else:
        raise exists(path)


def exists(path: Path) -> UsageProblem:
    """The refusal to overwrite a file."""
    return UsageProblem(Reason("export.exists", f"{shown(path)} exists already", "name a new file"))


def unwritable(path: Path, why: str) -> UsageProblem:
    """The refusal of a place where no file can be written."""
    reason = Reason("export.unwritable", f"{shown(path)} cannot be written: {why}", "name another")
    return UsageProblem(reason)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600, whole or not at all; raises UsageProblem.

    A killed process may leave a hidden `.facauth-…` of the same mode beside it.
    """
    try:
        files.write_private(path, content)
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from error


def read(source: str) -> bytes:
    """The content of an export; of stdin for "-". Raises UsageProblem if it cannot be read."""
    return read_stdin() if source == STDIN else read_file(source)


def read_stdin() -> bytes:
    """The bytes of stdin, at most MAX_BYTES + 1; raises UsageProblem."""
    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    except (AttributeError, OSError, ValueError) as error:  # closed: sys.stdin is None, or shut
        reason = Reason("import.unreadable", "stdin cannot be read", "pipe an export in")
        raise UsageProblem(reason) from error


def read_file(source: str) -> bytes:
    """The bytes of a regular file, at most MAX_BYTES + 1; raises UsageProblem."""
    try:
        return files.read_bounded(source, MAX_BYTES)
    except FileNotFoundError as error:
        reason = Reason("import.missing", f"{shown(source)} does not exist", "check the path")
        raise UsageProblem(reason) from error
    except (OSError, ValueError) as error:
        why = shown(getattr(error, "strerror", None) or "not a path")
        message = f"{shown(source)} cannot be read ({why})"
        reason = Reason("import.unreadable", message, "name an exported file")
        raise UsageProblem(reason) from error
