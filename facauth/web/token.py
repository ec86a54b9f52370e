"""The operator's token: a file that nobody else can read, made when it is first asked for."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from facauth import files
from facauth.errors import Reason, SetupProblem, shown

TOKEN_BYTES = 32
MAX_BYTES = 1024  # of the file
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
    """Of two processes that make it one is first, and both then read it."""
    files.make_folders(path)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with suppress(FileExistsError):
        files.write_private(path, f"{token}\n".encode())


def _read(path: Path) -> str:
    try:
        text = files.read_private(path, MAX_BYTES).decode("ascii", "replace").removesuffix("\n")
    except (files.NotAFile, files.NotOurs):
        raise _problem(f"{shown(path)} is no file of your own", "delete it") from None
    except files.Exposed:
        advice = "delete it: the next start makes a new one"
        raise _problem(f"the token in {shown(path)} is open to other users", advice) from None
    except files.TooLarge:
        text = ""
    if not TOKEN.fullmatch(text):
        raise _problem(f"{shown(path)} holds no token", "delete it: the next start makes one")
    return text


def _problem(message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason("operator.token", message, advice))
