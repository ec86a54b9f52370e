"""list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import opened, store_path
from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.cli.tables import csv_lines, on_terminal, table
from facauth.cli.wording import local_time
from facauth.errors import shown

if TYPE_CHECKING:
    from facauth.records import PersonRow


class ListFormat(StrEnum):
    """Formats of `list`."""

    TABLE = "table"
    PLAIN = "plain"
    CSV = "csv"


Format = Annotated[
    ListFormat | None,
    typer.Option(
        "--format",
        help="Default: table on a terminal, plain (tab-separated) in a pipe.",
        show_default=False,
    ),
]
COLUMNS = ("name", "photos", "enrolled_at", "last_sign_in_at", "remark")


def list_people(call: Call, layout: Format = None) -> None:
    """List enrolled people: number of photos, time of enrolment, last sign-in.

    No key is needed. Times are local on a terminal, and UTC elsewhere.

    Example: facauth list --format csv > people.csv
    """
    from facauth import admin

    with answering(call, "people") as answer:
        with opened(call, answer) as store:
            rows = admin.people(store)
        answer.verdict = "listed"
        answer.more["people"] = [asdict(row) for row in rows]
        if call.as_json:
            return
        answer.lines += listing(rows, layout or default_layout())
        if not rows:
            answer.notes.append(f"nobody is enrolled in {shown(store_path(call))}")


def default_layout() -> ListFormat:
    """A table on a terminal, tabs elsewhere."""
    return ListFormat.TABLE if on_terminal() else ListFormat.PLAIN


def listing(people: Sequence[PersonRow], layout: ListFormat) -> list[str]:
    """The lines of the list."""
    rows = [
        (
            row.name,
            str(row.photos),
            row.enrolled_at,
            row.last_sign_in_at or "",
            "needs a new photo" if row.outdated else "",
        )
        for row in people
    ]
    if layout is ListFormat.CSV:
        return csv_lines([COLUMNS, *rows])
    if layout is ListFormat.PLAIN:  # a fifth field only for people with a remark
        return ["\t".join(row if row[-1] else row[:-1]) for row in rows]
    marked = [
        (
            name,
            photos + in_doubt(row),
            local_time(enrolled, seconds=False),
            local_time(signed_in, seconds=False),
            remark,
        )
        for row, (name, photos, enrolled, signed_in, remark) in zip(people, rows, strict=True)
    ]
    return [table(("Name", "Photos", "Enrolled", "Last sign-in", ""), marked)] if rows else []


def in_doubt(row: PersonRow) -> str:
    """A mark for photos that are not surely live, or were enrolled with --accept-spoof."""
    return f" ({row.accepted_spoof} in doubt)" if row.accepted_spoof else ""
