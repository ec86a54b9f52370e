"""The file of an export: where it may be, written whole or not at all, and read."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from facauth.errors import STDIN, Reason, UsageProblem, shown
from facauth.transfer.document import MAX_BYTES


def require_new(path: Path) -> None:
    """Raises UsageProblem unless a file can be made there."""
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
    """Nothing is written over."""
    return UsageProblem(Reason("export.exists", f"{shown(path)} exists already", "name a new file"))


def unwritable(path: Path, why: str) -> UsageProblem:
    """The export went nowhere."""
    reason = Reason("export.unwritable", f"{shown(path)} cannot be written: {why}", "name another")
    return UsageProblem(reason)


def write_new(path: Path, content: bytes) -> None:
    """A file of mode 0600 that is there whole or not at all; raises UsageProblem.

    What is killed meanwhile may leave a hidden `.facauth-export-…` of the same mode beside it.
    """
    from tempfile import mkstemp

    from facauth.store.files import sync_folder

    try:
        descriptor, part = mkstemp(prefix=".facauth-export-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            place(Path(part), path)
        finally:
            with suppress(FileNotFoundError):
                Path(part).unlink()
        sync_folder(path)
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from error


def place(part: Path, path: Path) -> None:
    """Give a file its name, unless something else has it: FileExistsError."""
    try:
        path.hardlink_to(part)  # a rename would go over what was made there since we looked
    except FileExistsError:
        raise
    except OSError:  # FAT has no links
        if os.path.lexists(path):
            raise FileExistsError from None
        part.rename(path)


def read(source: str) -> bytes:
    """The content of an export, or (-) of stdin. Raises UsageProblem if it cannot be read."""
    return read_stdin() if source == STDIN else read_file(source)


def read_stdin() -> bytes:
    """The bytes of stdin, but for those that make it too large."""
    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    except (AttributeError, OSError, ValueError) as error:  # closed: sys.stdin is None, or shut
        reason = Reason("import.unreadable", "stdin cannot be read", "pipe an export in")
        raise UsageProblem(reason) from error


def read_file(source: str) -> bytes:
    """The bytes of a regular file, but for those that make it too large; raises UsageProblem."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer; regular files do not notice it.
        number = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            why = "not a file"
            if stat.S_ISREG(os.fstat(number).st_mode):
                with open(number, "rb", closefd=False) as file:
                    return file.read(MAX_BYTES + 1)
        finally:
            os.close(number)
    except FileNotFoundError as error:
        reason = Reason("import.missing", f"{shown(source)} does not exist", "check the path")
        raise UsageProblem(reason) from error
    except (OSError, ValueError) as error:
        why = shown(getattr(error, "strerror", None) or "not a path")
    message = f"{shown(source)} cannot be read ({why})"
    raise UsageProblem(Reason("import.unreadable", message, "name an exported file"))
