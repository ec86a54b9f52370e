"""Passphrases, from the environment or from the person at the terminal."""

from __future__ import annotations

import os
from pathlib import Path

PASSPHRASE = "FACAUTH_PASSPHRASE"  # noqa: S105 - its variable


class Passphrase:
    """Asked for once, also for processes that are started later; None where there is nobody."""

    def __init__(self) -> None:
        self._answer = os.environ.get(PASSPHRASE)  # which those processes do not inherit

    def __call__(self, prompt: str) -> str | None:
        """The answer to a prompt."""
        if self._answer is None:
            self._answer = asked_passphrase(prompt)
        return self._answer


def asked_passphrase(prompt: str, variable: str = PASSPHRASE) -> str | None:
    """From the environment, or from the person at the terminal; None if there is none."""
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
