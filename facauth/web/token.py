"""The operator's token, in a file that only its owner can read. The first use creates it."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from facauth.errors import Reason, SetupProblem, shown

TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # TOKEN_BYTES in URL-safe base64


def operator_token(path: Path | None) -> str:
    """The token in the file at `path`; creates the file if there is none. Raises SetupProblem."""
    if path is None:
        raise _problem("this user has no folder for settings", "set HOME")
    try:
        if not os.path.lexists(path):
            _make(path)
        return _read(path)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "not a path"
        message = f"the operator's token in {shown(path)} cannot be used ({cause})"
        raise _problem(message, "check its folder and permissions") from error


def _make(path: Path) -> None:
    """Create the file whole or not at all. Of two processes, the first one's token stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)  # the umask may have removed bits
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO does not block
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise _problem(f"{shown(path)} is not a file of your own", "delete it")
        if found.st_mode & 0o077:
            advice = "delete it; the next start creates another"
            raise _problem(f"other users can read the token in {shown(path)}", advice)
        text = file.read(1024).decode("ascii", "replace").removesuffix("\n")
    if not TOKEN.fullmatch(text):
        raise _problem(f"{shown(path)} has no token in it", "delete it; the next start creates one")
    return text


def _problem(message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason("operator.token", message, advice))
