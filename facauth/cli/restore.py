"""restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.bound import store_path
from facauth.cli.options import Call, named
from facauth.cli.output import answering
from facauth.cli.wording import DELETE_COPY, counted_people
from facauth.errors import shown

In = Annotated[
    Path,
    typer.Argument(metavar="IN", help="A file made by backup.", show_default=False, parser=named),
]


def restore(call: Call, source: In) -> None:
    """Replace the store with a copy that backup made.

    The copy is checked first. The current store is kept beside it. People who were removed after
    the copy was made are enrolled again, and failed sign-ins since then are forgotten. No key is
    needed.

    Example: facauth restore /media/usb/facauth.backup
    """
    from facauth import admin

    with answering(call, "enrolled", "replaced") as answer:
        path = store_path(call)
        done = admin.restore(path, source)
        answer.verdict, answer.more["enrolled"] = "restored", done.enrolled
        answer.lines.append(f"restored {shown(path)} ({counted_people(done.enrolled)})")
        if done.replaced is not None:
            aside = answer.more["replaced"] = shown(done.replaced)
            answer.notes.append(f"{aside} holds the earlier store; {DELETE_COPY}")
