"""unlock."""

from __future__ import annotations

from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.cli.wording import counted
from facauth.errors import shown
from facauth.records import PersonName

Locked = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The person's name; default: sign-ins without --as.",
        show_default=False,
    ),
]


def unlock(call: Call, name: Locked = None) -> None:
    """Allow sign-ins again after too many failures.

    Example: facauth unlock "Ada Lovelace"
    """
    from facauth import admin

    with answering(call, "failures") as answer:
        person = None if name is None else PersonName.parse(name)
        with unlocked(call, answer) as store:
            done = admin.unlock(store, person)
        known_as = shown(done.person) if done.person else None
        answer.verdict, answer.person = "unlocked", known_as
        forgotten = answer.more["failures"] = done.failures
        count = (
            "an impossible number of failures"
            if forgotten is None
            else counted(forgotten, "failure", "failures")
        )
        answer.lines.append(f"unlocked {known_as or 'sign-ins without --as'} ({count} forgotten)")
