"""The operator's token: a file that nobody else can read, made when it is first asked for."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from facauth.errors import Reason, SetupProblem, shown

TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # of so many bytes, in URL-safe base64


def operator_token(path: Path | None) -> str:
    """The token that is kept at `path`, which is made if nothing is there. Raises SetupProblem."""
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
    """Whole or not at all; of two processes that make it, one is first and both then read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO holds nobody up
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise _problem(f"{shown(path)} is no file of your own", "delete it")
        if found.st_mode & 0o077:
            advice = "delete it: the next start makes a new one"
            raise _problem(f"the token in {shown(path)} is open to other users", advice)
        text = file.read(1024).decode("ascii", "replace").removesuffix("\n")
    if not TOKEN.fullmatch(text):
        raise _problem(f"{shown(path)} holds no token", "delete it: the next start makes one")
    return text


def _problem(message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason("operator.token", message, advice))
