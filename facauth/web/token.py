"""The operator's token, in a file that only its owner can read. The first use creates it."""

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
    files.make_folders(path)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with suppress(FileExistsError):
        files.write_private(path, f"{token}\n".encode())


def _read(path: Path) -> str:
    try:
        text = files.read_private(path, MAX_BYTES).decode("ascii", "replace").removesuffix("\n")
    except (files.NotAFile, files.NotOurs):
        raise _problem(f"{shown(path)} is not a file of your own", "delete it") from None
    except files.Exposed:
        advice = "delete it; the next start creates another"
        raise _problem(f"other users can read the token in {shown(path)}", advice) from None
    except files.TooLarge:
        text = ""
    if not TOKEN.fullmatch(text):
        raise _problem(f"{shown(path)} has no token in it", "delete it; the next start creates one")
    return text


def _problem(message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason("operator.token", message, advice))
