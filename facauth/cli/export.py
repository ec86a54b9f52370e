"""export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import Call, named
from facauth.cli.output import answering
from facauth.cli.transferred import STREAM, export_passphrase, numbers, summary
from facauth.cli.wording import UNREACHED
from facauth.errors import Reason, UsageProblem
from facauth.records import PersonName

NameAndOut = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME] OUT",
        help="The person (or --all), and the file to create; - for stdout.",
        show_default=False,
    ),
]
Everybody = Annotated[bool, typer.Option("--all", help="Export everybody in the store.")]
NOT_ENCRYPTED = (
    "the file is not encrypted: anybody who can read it gets the biometric data of these people"
)
Plain = Annotated[bool, typer.Option("--plain", help="Do not encrypt the file.")]


def export(
    call: Call, name_and_out: NameAndOut, everybody: Everybody = False, plain: Plain = False
) -> None:
    """Copy people into a file that import reads.

    The file holds encodings, replay signatures, times and consent. It is encrypted with a
    passphrase, which is asked for or taken from FACAUTH_EXPORT_PASSPHRASE.

    Example: facauth export "Ada Lovelace" ada.facauth
    """
    from facauth import admin
    from facauth.transfer import document, file

    with answering(call, "people") as answer:
        name, out = target(name_and_out, everybody, call.as_json)
        with unlocked(call, answer) as store:
            admin.chosen(store, name)  # before the user is asked for a passphrase
            lock = (
                None
                if plain
                else document.new_lock(
                    lambda prompt: export_passphrase(f"{prompt}, for the export")
                )
            )
            copies, text = admin.export(store, name, lock)
            if store.read_only:
                answer.notes.append("the store is read-only: this export is not in its log")
        if out is None:
            answer.lines.append(text)
        else:
            file.write_new(out, text.encode())
            answer.lines.append(summary("exported", copies))
        answer.verdict, answer.person = "exported", copies[0].name.text if name else None
        answer.more["people"] = numbers(copies)
        if plain:
            answer.notes.append(NOT_ENCRYPTED)
        answer.notes.append(UNREACHED)


def target(
    name_and_out: Sequence[str], everybody: bool, as_json: bool
) -> tuple[PersonName | None, Path | None]:
    """The person to export (None: everybody), and the file to create (None: stdout).

    Raises UsageProblem for contradictory arguments and for a file that cannot be created.
    """
    from facauth.transfer import file

    *names, out = name_and_out
    if len(names) != (0 if everybody else 1):
        raise UsageProblem(
            Reason("usage", "export takes NAME OUT, or --all OUT", "give NAME or --all, and OUT")
        )
    if out == STREAM:
        if as_json:
            raise UsageProblem(Reason("usage", "--json and - both write to stdout", "name a file"))
        path = None
    else:
        path = named(out)
        file.require_new(path)
    return None if everybody else PersonName.parse(names[0]), path
