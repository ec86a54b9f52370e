"""Reads files up to a limit; writes files whole or not at all, for their owner alone.

The only module that opens files by descriptor, makes them private and syncs them to the disk. It
raises OSError, and ValueError for an impossible path; callers turn these into their own messages.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

BUSY_TIMEOUT_S = 10.0  # how long a command waits for another one


class NotAFile(OSError):
    """The path exists, but is not a regular file."""

    def __init__(self, mode: int) -> None:
        super().__init__(errno.EINVAL, "not a file")
        self.folder = stat.S_ISDIR(mode)


class TooLarge(OSError):
    """The file exceeds the limit."""


class Exposed(OSError):
    """Others can change the file or, where that matters, read it."""


class NotOurs(Exposed):
    """The file belongs to another user."""


# --- reading -------------------------------------------------------------------------------------


def read_bounded(path: Path | str, max_bytes: int) -> bytes:
    """The content of a regular file, at most max_bytes + 1 bytes. A pipe does not block.

    Raises NotAFile, OSError, ValueError.
    """
    with _regular(path) as file:
        return file.read(max_bytes + 1)


def read_trusted(path: Path, max_bytes: int) -> bytes:
    """The content of a file of this user or of root that nobody else may write.

    Raises NotOurs and Exposed for any other, NotAFile, TooLarge, OSError, ValueError.
    """
    return _read_owned(path, max_bytes, owners={0, os.geteuid()}, closed_to_others=0o022)


def read_private(path: Path, max_bytes: int) -> bytes:
    """The content of a file of this user that nobody else may read or write; not of a link.

    Raises as `read_trusted` does.
    """
    owners, nothing = {os.geteuid()}, 0o077
    return _read_owned(path, max_bytes, owners, nothing, os.O_NOFOLLOW)


def _read_owned(
    path: Path, max_bytes: int, owners: set[int], closed_to_others: int, flags: int = 0
) -> bytes:
    with _regular(path, flags) as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in owners:
            raise NotOurs(errno.EPERM, "it belongs to another user")
        if status.st_mode & closed_to_others:
            raise Exposed(errno.EPERM, "others can change it")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(errno.EFBIG, "too large")
    return data


@contextmanager
def _regular(path: Path | str, flags: int = 0) -> Iterator[BinaryIO]:
    # O_NONBLOCK: opening a FIFO must not wait for a writer; regular files do not notice it.
    flags |= os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotAFile(mode)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


# --- writing -------------------------------------------------------------------------------------


def write_private(
    path: Path, content: bytes, *, over: bool = False, draft: Path | None = None
) -> None:
    """Write a 0600 file, whole or not at all, and sync it to the disk.

    over: replace a regular file at `path`. Without it an existing file raises FileExistsError.
    draft: the file to write first, for callers that hold a lock; a draft of a killed process is
        replaced. Default: a random name beside `path`.
    """
    if draft is None:
        draft = path.with_name(f".facauth-{os.urandom(8).hex()}")
    else:
        draft.unlink(missing_ok=True)
    with new_private(draft) as file:
        file.write(content)
    try:
        if over:
            _require_replaceable(path)
            draft.replace(path)
        else:
            give_name(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path)


def _require_replaceable(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(mode := path.lstat().st_mode):
            raise NotAFile(mode)


def give_name(draft: Path, path: Path) -> None:
    """Give a whole file its name; the draft may stay as another one. Raises FileExistsError."""
    try:
        path.hardlink_to(draft)  # a rename would replace a file that was made there meanwhile
    except FileExistsError:
        raise
    except OSError:  # FAT has no links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        draft.rename(path)


@contextmanager
def new_private(path: Path) -> Iterator[BinaryIO]:
    """A new 0600 file to write to, whatever the umask; synced on exit, deleted after an error.

    Raises FileExistsError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            make_private(file)
            yield file
            sync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def reserve(path: Path) -> None:
    """Create an empty 0600 file, so that the name is taken. Raises FileExistsError."""
    with new_private(path):
        pass


def make_private(file: BinaryIO) -> None:
    """Allow only the owner to open the file."""
    os.fchmod(file.fileno(), 0o600)


def sync(file: BinaryIO) -> None:
    """Sync the file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def erase(path: Path) -> None:
    """Overwrite and delete a file; of a link or a file with several names, delete this name."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            with os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b") as file:
                if os.path.samestat(found, os.fstat(file.fileno())):  # not replaced meanwhile
                    file.write(bytes(found.st_size))
                    sync(file)
        if not stat.S_ISDIR(found.st_mode):
            path.unlink()


# --- folders -------------------------------------------------------------------------------------


def make_folders(path: Path) -> None:
    """Create the missing folders above `path`, with mode 0700."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        sync_folder(folder)


@contextmanager
def folder_of(path: Path) -> Iterator[int]:
    """A descriptor of the folder that `path` is in."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(path.absolute().parent, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Sync the folder of `path`, with the names in it, to the disk."""
    with folder_of(path) as folder:
        os.fsync(folder)


@contextmanager
def alone(path: Path, busy: Exception) -> Iterator[None]:
    """Lock the folder of `path`: a lock on a file is lost when the file is replaced.

    Raises `busy` if another process holds the lock for longer than BUSY_TIMEOUT_S.
    """
    deadline = monotonic() + BUSY_TIMEOUT_S
    with folder_of(path) as folder:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() > deadline:
                    raise busy from None
                sleep(0.01)
            else:
                break
        yield
