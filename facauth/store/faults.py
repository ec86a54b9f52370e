"""The refusals of a store that cannot be used."""

from __future__ import annotations

from pathlib import Path

from facauth.errors import Reason, SetupProblem, shown

RESTORE = "restore a backup with facauth restore"


def unfit(code: str, path: Path, what: str, advice: str) -> SetupProblem:
    """The refusal of the store at `path`."""
    return SetupProblem(Reason(code, f"{shown(path)} {what}", advice))
