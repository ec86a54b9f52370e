"""rename."""

from __future__ import annotations

from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.records import PersonName

Old = Annotated[str, typer.Argument(metavar="OLD", help="The current name.", show_default=False)]
New = Annotated[str, typer.Argument(metavar="NEW", help="The new name.", show_default=False)]


def rename(call: Call, old: Old, new: New) -> None:
    """Give an enrolled person another name.

    Example: facauth rename "Ada Byron" "Ada Lovelace"
    """
    from facauth import admin

    with answering(call) as answer:
        before, after = PersonName.parse(old), PersonName.parse(new)
        with unlocked(call, answer) as store:
            known_as = admin.rename(store, before, after)
            answer.notes += admin.lookalikes(store, after.text)
        answer.verdict, answer.person = "renamed", after.text
        answer.lines.append(f"renamed {known_as} to {after.text}")
