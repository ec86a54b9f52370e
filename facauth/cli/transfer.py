"""Commands that take people out of a store and into one: export, import."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.arguments import (
    Json,
    KeyFile,
    Quiet,
    StorePath,
    asked_passphrase,
    unlocked,
)
from facauth.cli.output import answering, progress
from facauth.cli.paths import named
from facauth.cli.people import AllowDuplicate, counted
from facauth.errors import Reason, UsageProblem, shown
from facauth.structs import PersonName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facauth.transfer.document import PersonCopy

STREAM = "-"
VARIABLE = "FACAUTH_EXPORT_PASSPHRASE"
PURPOSE = "for the export"


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    app.command("export", short_help="Copy people into a file.")(export)
    app.command("import", short_help="Enrol people from such a file.")(import_people)


def export(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] OUT",
            help="Whom (or --all), and a file that does not exist yet; - for stdout.",
            show_default=False,
        ),
    ],
    everybody: Annotated[bool, typer.Option("--all", help="Everybody in the store.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt the file.")] = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy people into a file, to keep it or to import it into another store.

    The file holds encodings, signatures, times and consent. It is encrypted with a passphrase: that
    of FACAUTH_EXPORT_PASSPHRASE, or one that is asked for.
    """
    from facauth import admin
    from facauth.transfer import document

    with answering("export", as_json=as_json, quiet=quiet) as answer:
        answer.more["people"] = None
        name, out = target(what, everybody, as_json)
        with unlocked(answer, store, key_file) as records:
            admin.chosen(records, name)  # before somebody thinks of a passphrase in vain
            lock = None if plain else document.new_lock(lambda prompt: ask(f"{prompt}, {PURPOSE}"))
            copies, text = admin.export(records, name, lock)
            if records.read_only:
                answer.notes.append("the store cannot be written: its log does not tell of this")
        if out is None:
            answer.lines.append(text)
        else:
            write_new(out, text.encode())
            answer.lines.append(summary("exported", copies))
        answer.verdict, answer.person = "exported", copies[0].name.text if name else None
        answer.more["people"] = numbers(copies)
        if plain:
            answer.notes.append("the file is not encrypted: whoever can read it has these faces")
        answer.notes.append("facauth remove does not reach this file: delete it when it has served")


def import_people(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="An exported file, or - for stdin.", show_default=False),
    ],
    allow_duplicate: AllowDuplicate = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Enrol everybody in an exported file, or nobody if anything in it does not fit.

    Who is in the file signs in from then on: import only what you trust.
    """
    from facauth import admin
    from facauth.networks import Checked, Networks
    from facauth.system import System, bind
    from facauth.transfer import document

    with answering("import", as_json=as_json, quiet=quiet) as answer:
        answer.more["people"] = None
        stages = bind(Networks(Checked(None)))
        contract, calibration = stages.contract(), stages.calibration()
        content = read_stdin() if source == STREAM else read_file(str(named(source)))
        copies = document.read(content, source, lambda _: ask(f"passphrase {PURPOSE}"))
        with (
            unlocked(answer, store, key_file, create=True) as records,
            progress(len(copies), wanted=not (as_json or quiet)) as advance,
        ):
            system = System(stages, records, calibration)
            admin.import_(system, copies, allow_duplicate=allow_duplicate, advance=advance)
            answer.notes += admin.lookalikes(records, *(copy.name.text for copy in copies))
        answer.verdict = "imported"
        answer.lines.append(summary("imported", copies))
        answer.more["people"] = numbers(copies)
        if any(photo.contract != contract for copy in copies for photo in copy.photos):
            answer.notes.append("some need a new photo: theirs were made by other networks")


def summary(done: str, copies: Sequence[PersonCopy]) -> str:
    """Who, if it is one, and how many photos."""
    whom = copies[0].name.text if len(copies) == 1 else f"{len(copies):,} people"
    return f"{done} {whom} ({counted(sum(len(copy.photos) for copy in copies))})"


def numbers(copies: Sequence[PersonCopy]) -> list[dict[str, object]]:
    """The same for --json."""
    return [{"name": copy.name.text, "photos": len(copy.photos)} for copy in copies]


def ask(prompt: str) -> str:
    """A passphrase; raises UsageProblem where there is nobody to ask."""
    answer = asked_passphrase(prompt, VARIABLE)
    if answer is None:
        message = f"a passphrase {PURPOSE} is needed, and there is nobody to ask"
        raise UsageProblem(Reason("export.passphrase", message, f"set {VARIABLE}"))
    return answer


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

    from facauth.store.files import sync_folder

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
