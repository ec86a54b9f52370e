"""backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.bound import store_path
from facauth.cli.options import Call, named
from facauth.cli.output import answering
from facauth.cli.wording import UNREACHED, counted_people
from facauth.errors import shown

Out = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="The file to create.", show_default=False, parser=named),
]


def backup(call: Call, out: Out) -> None:
    """Copy the store into a file; other processes may use the store meanwhile.

    No key is needed: the copy of an encrypted store is encrypted. The copy is checked.

    Example: facauth backup /media/usb/facauth.backup
    """
    from facauth import admin

    with answering(call, "enrolled") as answer:
        path = store_path(call)
        enrolled = answer.more["enrolled"] = admin.backup(path, out)
        answer.verdict = "backed_up"
        answer.lines.append(f"backed up {shown(path)} ({counted_people(enrolled)})")
        answer.notes.append(UNREACHED)
