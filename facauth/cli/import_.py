"""import."""

from __future__ import annotations

import os
import stat
import sys
from functools import partial
from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import AllowDuplicate, Call, named
from facauth.cli.output import answering, progress
from facauth.cli.transferred import STREAM, export_passphrase, numbers, summary
from facauth.errors import Reason, UsageProblem, shown

Source = Annotated[
    str,
    typer.Argument(metavar="IN", help="A file made by export, or - for stdin.", show_default=False),
]


def import_people(call: Call, source: Source, allow_duplicate: AllowDuplicate = False) -> None:
    """Enrol the people of an exported file, all of them or none.

    These people can sign in from then on: import only files that you trust.

    Example: facauth import ada.facauth
    """
    from facauth.decision.calibration import in_force
    from facauth.networks import Checked, Networks
    from facauth.records.people import lookalikes
    from facauth.transfer import document, people

    with answering(call, "people") as answer:
        contract = Networks(Checked(None)).contract
        calibration = in_force().calibration
        content = read_stdin() if source == STREAM else read_file(str(named(source)))
        copies = document.read(
            content, source, lambda _: export_passphrase("passphrase of the export")
        )
        with (
            unlocked(call, answer, create=True) as store,
            progress(len(copies), wanted=call.shows_progress) as advance,
        ):
            take_in = partial(people.take_in, store, copies, contract, calibration)
            take_in(allow_duplicate=allow_duplicate, advance=advance)
            answer.notes += lookalikes(store, *(copy.name.text for copy in copies))
        answer.verdict = "imported"
        answer.lines.append(summary("imported", copies))
        answer.more["people"] = numbers(copies)
        if any(photo.contract != contract for copy in copies for photo in copy.photos):
            answer.notes.append("some people need a new photo: other networks encoded theirs")


def read_stdin() -> bytes:
    """The bytes of stdin, but for those that make it too large."""
    from facauth.transfer.document import MAX_BYTES

    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    except (AttributeError, OSError, ValueError) as error:  # closed: sys.stdin is None, or shut
        reason = Reason("import.unreadable", "stdin cannot be read", "pipe an export in")
        raise UsageProblem(reason) from error


def read_file(source: str) -> bytes:
    """The bytes of a regular file, but for those that make it too large; raises UsageProblem."""
    from facauth.transfer.document import MAX_BYTES

    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer; regular files do not notice it.
        number = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            why = "not a file"
            if stat.S_ISREG(os.fstat(number).st_mode):
                with open(number, "rb", closefd=False) as file:
                    return file.read(MAX_BYTES + 1)
        finally:
            os.close(number)
    except FileNotFoundError as error:
        reason = Reason("import.missing", f"{shown(source)} does not exist", "check the path")
        raise UsageProblem(reason) from error
    except (OSError, ValueError) as error:
        why = shown(getattr(error, "strerror", None) or "not a path")
    message = f"{shown(source)} cannot be read ({why})"
    raise UsageProblem(Reason("import.unreadable", message, "name an exported file"))
