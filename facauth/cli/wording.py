"""Phrases that several commands use."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.structs import Basis


def counted(number: int, one: str = "photo", several: str = "photos") -> str:
    """ "1 photo", "2 photos"."""
    return f"{number} {one if number == 1 else several}"


def counted_people(number: int) -> str:
    """ "1 person", "2 people"."""
    return counted(number, "person", "people")


def field_text(value: object) -> str:
    """The value of a field, for people and simple scripts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else shown(value)


def local_time(at: str | None, *, seconds: bool = True) -> str:
    """A stored time in the zone of this machine, for a terminal."""
    if not at:
        return ""
    try:
        clock = "%H:%M:%S" if seconds else "%H:%M"
        return datetime.fromisoformat(at).astimezone().strftime(f"%Y-%m-%d {clock} %Z")
    except (ValueError, OverflowError, OSError):  # in a damaged store it can be anything
        return shown(at)


def more_photos(photos: int) -> list[str]:
    """A note on the benefit of more photos."""
    if photos not in (1, 2):
        return []
    from facauth.settings import FNMR_WITH_PHOTOS

    now, then = (f"{FNMR_WITH_PHOTOS[count]:.2%}".replace("%", " %") for count in (photos, 3))
    failing = f"{then} of the person's own sign-ins fail instead of {now}"
    return [f"with three photos of different days, {failing}"]


def rests_on(basis: Basis | None) -> list[str]:
    """A note on a sign-in by more than a photo."""
    from facauth.structs import Basis

    frames = {Basis.CLIP: "a clip without a challenge", Basis.CHALLENGE: "a challenge"}
    return [f"the sign-in rests on {frames[basis]}"] if basis in frames else []


def not_compared(name: str, unsigned: int, compared: int, older: int) -> list[str]:
    """Notes on photos whose reuse cannot be detected, or less reliably.

    unsigned: photos without a signature; compared: stored signatures; older: those of them
    without an aligned face.
    """
    notes = []
    if unsigned:
        whose = f"{counted(unsigned)} of {name}" if compared else name
        notes.append(
            f"no replay signature of {whose} is stored; reuse of such a photo cannot be detected"
        )
    if older:
        notes.append(
            f"the replay signature of {counted(older)} of {name} is of an older version, which "
            "detects edited copies less reliably; register again with --replace"
        )
    return notes


# Advice for a copy beside the store.
DELETE_COPY = (
    "delete it when you no longer need it; remove, purge, register --replace and key init also"
    " delete it"
)
UNREACHED = "facauth remove does not reach this file; delete it when you no longer need it"
