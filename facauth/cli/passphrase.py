"""Passphrases from the environment or the terminal."""

from __future__ import annotations

import os
from pathlib import Path

PASSPHRASE = "FACAUTH_PASSPHRASE"  # noqa: S105 - its variable


class Passphrase:
    """Asks for the passphrase once, also for child processes; None without a terminal."""

    def __init__(self) -> None:
        self._answer = os.environ.get(PASSPHRASE)  # child processes do not inherit the variable

    def __call__(self, prompt: str) -> str | None:
        """The passphrase, asked for with `prompt` if necessary."""
        if self._answer is None:
            self._answer = asked_passphrase(prompt)
        return self._answer


def asked_passphrase(prompt: str, variable: str = PASSPHRASE) -> str | None:
    """The passphrase from the environment or the terminal; None if there is neither."""
    given = os.environ.get(variable)
    if given is not None:
        return given
    try:
        with Path("/dev/tty").open("r+b", buffering=0):
            pass
    except OSError:
        return None
    from getpass import getpass

    return getpass(f"{prompt}: ")
