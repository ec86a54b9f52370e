"""What a migration did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration from one schema version to another.

    It has no backup if nothing had to be done, or if the store is in a database.
    """

    before: int
    after: int
    backup: Path | None
