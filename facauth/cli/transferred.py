"""What export and import share: passphrase and summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facauth.cli.passphrase import asked_passphrase
from facauth.cli.wording import counted
from facauth.errors import Reason, UsageProblem

if TYPE_CHECKING:
    from facauth.admin import PersonCopy

STREAM = "-"
VARIABLE = "FACAUTH_EXPORT_PASSPHRASE"


def export_passphrase(prompt: str) -> str:
    """From the environment or the terminal; raises UsageProblem if there is neither."""
    passphrase = asked_passphrase(prompt, VARIABLE)
    if passphrase is None:
        message = "the export needs a passphrase, and there is no terminal to ask for it"
        raise UsageProblem(Reason("export.passphrase", message, f"set {VARIABLE}"))
    return passphrase


def summary(verb: str, copies: Sequence[PersonCopy]) -> str:
    """One line: the verb, the name or the number of people, and the number of photos."""
    people = copies[0].name.text if len(copies) == 1 else f"{len(copies):,} people"
    return f"{verb} {people} ({counted(sum(len(copy.photos) for copy in copies))})"


def numbers(copies: Sequence[PersonCopy]) -> list[dict[str, object]]:
    """The names and numbers of photos, for --json."""
    return [{"name": copy.name.text, "photos": len(copy.photos)} for copy in copies]
