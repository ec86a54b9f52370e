"""remove."""

from __future__ import annotations

from facauth.cli.bound import unlocked
from facauth.cli.options import Call, Name, Yes
from facauth.cli.output import answering, confirm
from facauth.records import PersonName


def remove(call: Call, name: Name, yes: Yes = False) -> None:
    """Delete a person and everything derived from their photos.

    Files made by export and backup keep the person. The log keeps its entries, without the name.

    Example: facauth remove "Ada Lovelace" --yes
    """
    from facauth import admin

    with answering(call) as answer:
        person = PersonName.parse(name)
        with unlocked(call, answer) as store:
            known_as = admin.known_as(store, person)
            if not yes:
                confirm(f"Permanently delete {known_as}?", call.name)
            admin.remove(store, person)
            answer.notes += store.remains
        answer.verdict, answer.person = "removed", known_as
        answer.lines.append(f"removed {known_as}")
