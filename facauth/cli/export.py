"""export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.bound import unlocked
from facauth.cli.options import Call, named
from facauth.cli.output import answering
from facauth.cli.transferred import STREAM, export_passphrase, numbers, summary
from facauth.cli.wording import UNREACHED
from facauth.errors import Reason, UsageProblem, shown
from facauth.structs import PersonName

What = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME] OUT",
        help="The person (or --all), and the file to create; - for stdout.",
        show_default=False,
    ),
]
Everybody = Annotated[bool, typer.Option("--all", help="Export everybody in the store.")]
Plain = Annotated[bool, typer.Option("--plain", help="Do not encrypt the file.")]


def export(call: Call, what: What, everybody: Everybody = False, plain: Plain = False) -> None:
    """Copy people into a file, to keep it or to import it into another store.

    The file holds encodings, replay signatures, times and consent. It is encrypted with a
    passphrase, which is asked for or taken from FACAUTH_EXPORT_PASSPHRASE.

    Example: facauth export "Ada Lovelace" ada.facauth
    """
    from facauth.transfer import document, people

    with answering(call, "people") as answer:
        name, out = target(what, everybody, call.as_json)
        with unlocked(call, answer) as store:
            people.chosen(store, name)  # before somebody thinks of a passphrase in vain
            lock = (
                None
                if plain
                else document.new_lock(
                    lambda prompt: export_passphrase(f"{prompt}, for the export")
                )
            )
            copies, text = people.export(store, name, lock)
            if store.read_only:
                answer.notes.append("the store is read-only: this export is not in its log")
        if out is None:
            answer.lines.append(text)
        else:
            write_new(out, text.encode())
            answer.lines.append(summary("exported", copies))
        answer.verdict, answer.person = "exported", copies[0].name.text if name else None
        answer.more["people"] = numbers(copies)
        if plain:
            answer.notes.append(
                "the file is not encrypted: anybody who can read it has these faces"
            )
        answer.notes.append(UNREACHED)


def target(
    what: Sequence[str], everybody: bool, as_json: bool
) -> tuple[PersonName | None, Path | None]:
    """Whom to export (None: everybody), and where to (None: stdout).

    Raises UsageProblem for what cannot be meant or written.
    """
    *names, out = what
    if len(names) != (0 if everybody else 1):
        raise UsageProblem(Reason("usage", "export takes NAME OUT, or --all OUT", "name both"))
    if out == STREAM:
        if as_json:
            raise UsageProblem(Reason("usage", "--json and - both write to stdout", "name a file"))
        path = None
    else:
        path = named(out)
        require_new(path)
    return None if everybody else PersonName.parse(names[0]), path


def require_new(path: Path) -> None:
    """Raises UsageProblem unless a file can be made there."""
    try:
        path.lstat()
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise unwritable(path, "it is in no folder that can be written") from None
    except (OSError, ValueError) as error:
        raise unwritable(path, getattr(error, "strerror", None) or "not a path") from error
    else:
        raise exists(path)


def exists(path: Path) -> UsageProblem:
    """Nothing is written over."""
    return UsageProblem(Reason("export.exists", f"{shown(path)} exists already", "name a new file"))


def unwritable(path: Path, why: str) -> UsageProblem:
    """The export went nowhere."""
    reason = Reason("export.unwritable", f"{shown(path)} cannot be written: {why}", "name another")
    return UsageProblem(reason)


def write_new(path: Path, content: bytes) -> None:
    """A file of mode 0600 that is there whole or not at all; raises UsageProblem.

    What is killed meanwhile may leave a hidden `.facauth-export-…` of the same mode beside it.
    """
    from tempfile import mkstemp

    from facauth.records.files import sync_folder

    try:
        descriptor, part = mkstemp(prefix=".facauth-export-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            place(Path(part), path)
        finally:
            with suppress(FileNotFoundError):
                Path(part).unlink()
        sync_folder(path)
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from error


def place(part: Path, path: Path) -> None:
    """Give a file its name, unless something else has it: FileExistsError."""
    try:
        path.hardlink_to(part)  # a rename would go over what was made there since we looked
    except FileExistsError:
        raise
    except OSError:  # FAT has no links
        if os.path.lexists(path):
            raise FileExistsError from None
        part.rename(path)
