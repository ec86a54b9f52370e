"""Phrases that several commands use."""

from __future__ import annotations

from facauth.errors import shown
from facauth.settings import FNMR_WITH_PHOTOS


def counted(number: int, one: str = "photo", several: str = "photos") -> str:
    """ "1 photo", "2 photos"."""
    return f"{number} {one if number == 1 else several}"


def counted_people(number: int) -> str:
    """ "1 person", "2 people"."""
    return counted(number, "person", "people")


def said(value: object) -> str:
    """A field for people and simple scripts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else shown(value)


def more_photos(photos: int) -> list[str]:
    """A note on what it would bring to register more of them."""
    if photos not in (1, 2):
        return []
    now, then = (f"{FNMR_WITH_PHOTOS[count]:.2%}".replace("%", " %") for count in (photos, 3))
    return [f"with three photos of different days {then} of genuine tries fail instead of {now}"]


def not_compared(unsigned: int, name: str, compared: int) -> list[str]:
    """A note where replays of a person's photos, or of `unsigned` of them, cannot be found."""
    if not unsigned:
        return []
    whose = f"{counted(unsigned)} of {name}" if compared else name
    return [f"no replay signature of {whose} is stored; reuse of such a photo cannot be detected"]


FORGETTERS = "remove, purge, register --replace and key init do"  # of copies beside the store
UNREACHED = "facauth remove does not reach this file; delete it when you no longer need it"
