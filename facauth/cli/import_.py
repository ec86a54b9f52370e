"""import."""

from __future__ import annotations

from typing import Annotated

import typer

from facauth.cli.bound import ready, unlocked
from facauth.cli.options import AllowDuplicate, Call, named
from facauth.cli.output import answering, progress
from facauth.cli.transferred import STREAM, export_passphrase, numbers, summary

PROMPT = "passphrase of the export"
Source = Annotated[
    str,
    typer.Argument(metavar="IN", help="A file made by export, or - for stdin.", show_default=False),
]


def import_people(call: Call, source: Source, allow_duplicate: AllowDuplicate = False) -> None:
    """Enrol the people of an exported file: all of them, or none.

    These people can sign in from then on: import only files that you trust.

    Example: facauth import ada.facauth
    """
    from facauth import admin
    from facauth.system import System
    from facauth.transfer import file

    with answering(call, "people") as answer:
        stages, calibration = ready()
        content = file.read(source if source == STREAM else str(named(source)))
        copies = admin.read_export(content, source, lambda _: export_passphrase(PROMPT))
        with (
            unlocked(call, answer, create=True) as store,
            progress(len(copies), wanted=call.shows_progress) as advance,
        ):
            system = System(stages, store, calibration)
            admin.import_(system, copies, allow_duplicate=allow_duplicate, advance=advance)
            answer.notes += admin.lookalikes(store, *(copy.name.text for copy in copies))
            contract = stages.contract()
        answer.verdict = "imported"
        answer.lines.append(summary("imported", copies))
        answer.more["people"] = numbers(copies)
        if any(photo.contract != contract for copy in copies for photo in copy.photos):
            answer.notes.append(
                "some people need a new photo: their photos were encoded by other networks"
            )
