"""Groups of people in LFW, for benchmarks that look for the worst one; nothing of it is shipped.

The sex is what first names tell (the package gender-guesser, then first_names.json). Photos were
looked at wherever the name tells nothing, or the face looks otherwise to a classifier of encodings.
Seven people of 2,339 are in no group. LFW tells nothing of age and origin that could be relied on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = Path(__file__).with_name("first_names.json")
WOMEN, MEN = "women", "men"


def group_of(person: str) -> str | None:
    """Of a person named as in LFW: First_Last."""
    known = json.loads(NAMES.read_text())
    for group in (WOMEN, MEN, "unknown"):
        if person in known["people"][group].split():
            return None if group == "unknown" else group
    first = person.partition("_")[0]
    return next((group for group in (WOMEN, MEN) if first in known[group].split()), None)


def groups_of(people: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """(people,) by group: who is in it."""
    found = [group_of(person) for person in people]
    return {group: np.array([each == group for each in found], bool) for group in (WOMEN, MEN)}
