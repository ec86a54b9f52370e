"""Secrets of a server, each in a file that only its owner can read. The first use creates it."""

from __future__ import annotations

import base64
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
    return kept_secret("operator.token", "the operator's token", path)


def result_key(path: Path | None) -> bytes:
    """The key that signs results, as `operator_token`. Raises SetupProblem."""
    text = kept_secret("result.signing", "the key of results", path)
    return base64.urlsafe_b64decode(text + "=")


def kept_secret(code: str, what: str, path: Path | None) -> str:
    """The secret in the file at `path`; creates the file if there is none. Raises SetupProblem.

    code, what: of the reason of a refusal.
    """
    if path is None:
        raise _problem(code, "this user has no folder for settings", "set HOME")
    try:
        if not os.path.lexists(path):
            _make(path)
        return _read(path, code, what)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "not a path"
        message = f"{what} in {shown(path)} cannot be used ({cause})"
        raise _problem(code, message, "check its folder and permissions") from error


def _make(path: Path) -> None:
    """Create the file whole or not at all. Of two processes, the first one's secret stays."""
    files.make_folders(path)
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    with suppress(FileExistsError):
        files.write_private(path, f"{secret}\n".encode())


def _read(path: Path, code: str, what: str) -> str:
    try:
        text = files.read_private(path, MAX_BYTES).decode("ascii", "replace").removesuffix("\n")
    except (files.NotAFile, files.NotOurs):
        message = f"{shown(path)} is not a file of your own"
        raise _problem(code, message, "delete it") from None
    except files.Exposed:
        message = f"other users can read {what} in {shown(path)}"
        raise _problem(code, message, "delete it; the next start creates another") from None
    except files.TooLarge:
        text = ""
    if not TOKEN.fullmatch(text):
        message = f"{shown(path)} does not hold {what}"
        raise _problem(code, message, "delete it; the next start creates one")
    return text


def _problem(code: str, message: str, advice: str) -> SetupProblem:
    return SetupProblem(Reason(code, message, advice))
