"""What is wrong with a store, in facauth's words."""

from __future__ import annotations

from pathlib import Path

from facauth.errors import Reason, SetupProblem, shown

RESTORE = "bring back a copy of it with facauth restore"


def unfit(code: str, path: Path, what: str, advice: str) -> SetupProblem:
    """The store at `path` cannot be used so."""
    return SetupProblem(Reason(code, f"{shown(path)} {what}", advice))
