"""The settings file: TOML, in the platform's folder for settings; every value is checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import BadParameter

from facauth.cli.options import named
from facauth.defaults import config_file
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.files import Exposed, read_trusted
from facauth.places import Place, place_of

if TYPE_CHECKING:
    from facauth.settings import SpoofPolicy

CAMERAS = {"preferred": False, "required": True}
MAX_BYTES = 2**20  # a larger file is not a settings file


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of the file; None for a setting that it does not have."""

    store: Place | None = None
    key_file: Path | None = None
    fmr: float | None = None
    spoof_policy: SpoofPolicy | None = None
    camera: bool | None = None  # required for signing in
    path: Path | None = None  # the file
    lines: dict[str, int] = field(default_factory=dict)  # of each key in it, from 1


def configuration() -> Configuration:
    """The user's settings; empty without a settings file.

    Raises UsageProblem, with the line, for an unknown key or an impossible value; SetupProblem
    for a file that cannot be read, or that others can change.
    """
    path = config_file()
    if path is None:
        return Configuration()
    try:
        text = read_trusted(path, MAX_BYTES).decode()
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except Exposed:
        message = f"others can change the settings in {shown(path)}"
        advice = "check its content, make it your own and chmod go-w it"
        raise SetupProblem(Reason("config.exposed", message, advice)) from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        message = f"the settings in {shown(path)} cannot be read ({why})"
        advice = "check its folder and permissions"
        raise SetupProblem(Reason("config.unreadable", message, advice)) from None
    return parse(text, path)


@cache
def parse(text: str, path: Path) -> Configuration:
    """Raises UsageProblem as `configuration` does."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers or nesting beyond Python's limits
        known = isinstance(error, tomllib.TOMLDecodeError)
        message = f"{shown(path)} is not valid TOML" + f": {shown(error)}" * known
        raise UsageProblem(Reason("config.syntax", message, "correct it")) from None
    lines = {key: _line_of(key, text) for key in document}
    values = {}
    for key, value in document.items():
        where = f"{shown(path)}, line {lines[key]}"
        if key not in KEYS:
            message = f"{where}: there is no setting {shown(key)}"
            advice = f"use one of {', '.join(KEYS)}"
            raise UsageProblem(Reason("config.unknown_key", message, advice))
        parse_value, advice = KEYS[key]
        try:
            values[key] = parse_value(value)
        except IMPOSSIBLE as error:
            message = f"{where}: {key} cannot be {shown(repr(value))}"
            if isinstance(error, UsageProblem) and error.reasons[0].code == "store.address":
                message = f"{where}: {error.reasons[0].message}"  # the value may hold a password
                advice = error.reasons[0].advice
            raise UsageProblem(Reason("config.bad_value", message, advice)) from None
    return Configuration(**values, path=path, lines=lines)


def _line_of(key: str, text: str) -> int:
    """Where a key, or a table of this name, begins."""
    begins = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    numbered = enumerate(text.splitlines(), start=1)
    return next((number for number, line in numbered if begins.match(line)), 1)


def _path(value: Any) -> Path:
    """An absolute path; `~` is expanded. A relative one would depend on the working folder."""
    path = named(value)
    if "\0" in value or not path.is_absolute():
        raise ValueError
    return path


def _place(value: Any) -> Place:
    """A path as `_path`, or the address of a database."""
    if not isinstance(value, str):
        raise TypeError
    place = place_of(value)
    return _path(value) if isinstance(place, Path) else place


def _rate(value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError
    from facauth.settings import asked_rate

    return asked_rate(float(value), claimed=True)


def _policy(value: Any) -> SpoofPolicy:
    from facauth.settings import POLICIES

    return POLICIES[value]


PATH = "give a path in quotes that begins with / or ~"
# Setting -> its parser, which raises one of IMPOSSIBLE, and the advice for such a value.
KEYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "store": (_place, f"{PATH}, or the address of a database"),
    "key_file": (_path, PATH),
    "fmr": (_rate, "give the share of strangers that may pass, such as 1e-4"),
    "camera": (CAMERAS.__getitem__, f"give one of {', '.join(CAMERAS)}"),
    "spoof_policy": (_policy, "give one of default, strict, lenient, camera"),
}
IMPOSSIBLE = (UsageProblem, BadParameter, ValueError, TypeError, KeyError, OverflowError)
