"""The refusals of a store that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import Reason, SetupProblem, shown

if TYPE_CHECKING:
    from facauth.places import Place

RESTORE = "restore a backup with facauth restore"
RESTORE_DATABASE = "restore a backup of the database"


def unfit(code: str, place: Place, what: str, advice: str) -> SetupProblem:
    """The refusal of the store at `place`."""
    if advice == RESTORE and not isinstance(place, Path):
        advice = RESTORE_DATABASE
    return SetupProblem(Reason(code, f"{shown(place)} {what}", advice))
