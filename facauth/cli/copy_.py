"""store copy."""

from __future__ import annotations

from typing import Annotated

import typer

from facauth.cli.options import Call, placed
from facauth.cli.output import answering
from facauth.cli.wording import counted_people
from facauth.errors import shown

Source = Annotated[
    str,
    typer.Argument(
        metavar="FROM", help="A file, or postgresql://USER@HOST/DATABASE.", show_default=False
    ),
]
Target = Annotated[
    str, typer.Argument(metavar="TO", help="The same, where no store is yet.", show_default=False)
]


def copy(call: Call, source: Source, target: Target) -> None:
    """Copy a store into a database, or from a database into a file.

    People, photos, the log and failed sign-ins are copied and compared. What is encrypted stays
    encrypted with the same key, so that no key is needed. Stop what uses the store before: what is
    changed after the copy is in one of them only.

    Example: facauth store copy store.sqlite3 postgresql://facauth@db.example.org/faces
    """
    from facauth.store.copying import copy_store

    with answering(call, "enrolled") as answer:
        enrolled = answer.more["enrolled"] = copy_store(placed(source), placed(target))
        answer.verdict = "copied"
        where = shown(placed(target))
        answer.lines.append(f"copied {counted_people(enrolled)} to {where}")
        answer.notes.append(f"{shown(placed(source))} is unchanged; remove it once nothing uses it")
