"""purge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import opened, unlocked
from facauth.cli.options import Call, Yes
from facauth.cli.output import answering, complain, confirm
from facauth.cli.tables import lines
from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.records import PersonRow

UnusedFor = Annotated[
    str,
    typer.Option(
        "--unused-for",
        metavar="PERIOD",
        help="Time without a sign-in or a new photo: 30d, 12w, 6m (of 30 days), 3y (of 365).",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List these people; delete nobody.")]


def purge(call: Call, unused_for: UnusedFor, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Delete people who have been inactive for a given time.

    A person is active with each sign-in and each new photo. The clock of this machine decides:
    if it is set far ahead, everybody is deleted.

    Example: facauth purge --unused-for 3y --dry-run
    """
    from facauth import admin

    with answering(call, "people") as answer:
        period = admin.parse_period(unused_for)
        # A dry run needs no key: an operator can always see who would be deleted.
        with opened(call, answer) if dry_run else unlocked(call, answer) as store:
            found = admin.unused_for(store, period)
            if not dry_run:
                if found and not yes:
                    confirm_each(found)
                found = admin.purge(store, found, period)
                answer.notes += store.remains if found else []
        answer.verdict = "listed" if dry_run else "purged"
        rows = [(row.name, row.last_used_at) for row in found]
        answer.more["people"] = [{"name": name, "last_used_at": at} for name, at in rows]
        if rows:
            answer.lines += lines(("Name", "Last used"), rows)
        else:
            answer.notes.append(f"nobody has been inactive for {unused_for}")


def confirm_each(unused: Sequence[PersonRow]) -> None:
    """List the people, then ask. Raises UsageProblem unless the user at a terminal confirms."""
    for row in unused:
        complain(f"{shown(row.name)} was last active {shown(row.last_used_at)}")
    people = "these people" if len(unused) > 1 else shown(unused[0].name)
    confirm(f"Permanently delete {people}?", "purge")
