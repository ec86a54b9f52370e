"""What can go wrong, and the exit code that says so; imports nothing of facauth.

FacauthError             70  a bug, if it is ever raised as such
├── UsageProblem          2  an impossible path, name or setting
├── NoMatch               1  the face is fine; nobody, not the claimed person, or ambiguous
├── Attack                3  replay or presentation attack
├── UnusableImage         4  not an image, none or several faces, too poor to judge
├── LockedOut             5  too many failed attempts before this one
├── Conflict              6  name or face already taken, or unknown name
├── SetupProblem          7  store, weights or an extra missing or damaged
└── Unwritten            74  stdout is closed or full: the result could not be written
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """The contract with scripts: anything but OK means not authenticated."""

    OK = 0
    NO_MATCH = 1
    USAGE = 2
    ATTACK = 3
    UNUSABLE_IMAGE = 4
    LOCKED_OUT = 5
    CONFLICT = 6
    SETUP = 7
    PARTIAL = 8
    INTERNAL = 70
    UNWRITTEN = 74  # EX_IOERR of sysexits.h, as 70 is its EX_SOFTWARE
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused, for a script (code) and for a person (message, advice).

    `code` is a stable dotted word, e.g. "face.none"; texts are lower case without a full stop.
    """

    code: str
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}"


class FacauthError(Exception):
    """Base of everything that facauth raises on purpose; holds at least one reason."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    verdict: ClassVar[str] = "internal_error"
    photos: tuple[
        FacauthError | None, ...
    ] = ()  # the refusal of each of several photos; None: not refused

    def __init__(self, *reasons: Reason) -> None:
        self.reasons = reasons
        # The findings on each photo; facauth.evidence.evidence_of gives them their type.
        self.evidence: tuple[object, ...] = ()
        super().__init__(" | ".join(str(reason) for reason in reasons))

    def __reduce__(self) -> tuple[type[FacauthError], tuple[Reason, ...], dict[str, object]]:
        """Another process gets the reasons, and not the evidence."""
        return type(self), self.reasons, self.__dict__ | {"evidence": ()}


class UsageProblem(FacauthError):
    """The command is wrong: a path that does not exist, an impossible name."""

    exit_code = ExitCode.USAGE
    verdict = "usage"


class NoMatch(FacauthError):
    """The photo is good, and the face does not match."""

    exit_code = ExitCode.NO_MATCH
    verdict = "no_match"


class Attack(FacauthError):
    """The photo shows a picture of a face, not a live face."""

    exit_code = ExitCode.ATTACK
    verdict = "attack"
    likely_mistake = False  # the enrolled file itself, as who tries facauth gives it


class UnusableImage(FacauthError):
    """This photo does not allow a decision; another one may."""

    exit_code = ExitCode.UNUSABLE_IMAGE
    verdict = "unusable_image"


class LockedOut(FacauthError):
    """Too many failures in a row: the photo was not examined.

    retry_after_s: time until the next attempt; None: an operator must unlock first.
    """

    exit_code = ExitCode.LOCKED_OUT
    verdict = "locked_out"

    def __init__(self, *reasons: Reason, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(*reasons)


class Conflict(FacauthError):
    """A conflict with the store: the name or face is taken, or the name is unknown."""

    exit_code = ExitCode.CONFLICT
    verdict = "conflict"


class SetupProblem(FacauthError):
    """This installation or store cannot be used."""

    exit_code = ExitCode.SETUP
    verdict = "setup"


class Unwritten(FacauthError):
    """The command is done, but stdout did not accept the result; stderr names it."""

    exit_code = ExitCode.UNWRITTEN
    verdict = "unwritten"


def shown(text: object) -> str:
    """`text`, safe for a terminal: characters that are not printable are escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )


STDIN = "-"  # the name of an image from stdin


def image_name(source: str) -> str:
    """The name of an image in messages and results."""
    return "(stdin)" if source == STDIN else shown(Path(source))
