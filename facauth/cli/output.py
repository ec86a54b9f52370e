"""Answers on stdout, everything else on stderr; the JSON envelope; errors to exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from facauth.envelope import Answer as Answer  # the commands take it from here
from facauth.envelope import envelope
from facauth.errors import ExitCode, FacauthError, Reason

if TYPE_CHECKING:
    from rich.table import Table


@contextmanager
def answering(command: str, *, as_json: bool, quiet: bool) -> Iterator[Answer]:
    """Write what the command answers, or why it refuses, and exit with the code for it."""
    answer = Answer(command)
    try:
        yield answer
    except FacauthError as refusal:
        answer.refuse(refusal)
    _write(answer, as_json=as_json, quiet=quiet)
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)


def _write(answer: Answer, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        say_json(envelope(answer))
        return
    for line in answer.lines:
        say(line)
    if not quiet:
        for text in [*answer.notes, *map(str, answer.reasons)]:
            complain(text)


def say(text: str) -> None:
    """One line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: dict[str, Any]) -> None:
    """One line of the result, as JSON."""
    utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"  # else escapes are no JSON
    say(json.dumps(value, ensure_ascii=not utf8, allow_nan=False))


def complain(text: str) -> None:
    """One line about what happened and what to do."""
    sys.stderr.write(f"facauth: {text}\n")


def refuse_usage(
    command: str | None, arguments: list[str], error: typer.TyperException
) -> ExitCode:
    """What Typer could not parse, in facauth's words and, if asked for, in JSON."""
    text = error.format_message().rstrip(".")
    if not arguments:  # Typer's message is the help
        sys.stderr.write(f"{error.format_message()}\n")
        return ExitCode.USAGE
    reason = Reason("usage", text[:1].lower() + text[1:], "see facauth --help")
    _fail(Answer(command, verdict="usage", exit_code=ExitCode.USAGE, reasons=(reason,)), arguments)
    return ExitCode.USAGE


def report_bug(
    command: str | None, arguments: list[str], error: Exception | SystemExit
) -> ExitCode:
    """An internal error names its type and nothing that might hold biometric data."""
    reason = Reason(
        "internal",
        f"internal error ({type(error).__name__})",
        "run facauth --debug … and report it",
    )
    answer = Answer(
        command, verdict="internal_error", exit_code=ExitCode.INTERNAL, reasons=(reason,)
    )
    if "--debug" in arguments:
        traceback.print_exception(error)
    with suppress(OSError, AttributeError):  # it may be stdout itself that failed
        _fail(answer, arguments)
    return ExitCode.INTERNAL


def _fail(answer: Answer, arguments: list[str]) -> None:
    """Write an answer for which no command ran to its end."""
    quiet = "--quiet" in arguments or "-q" in arguments
    _write(answer, as_json="--json" in arguments, quiet=quiet)


def prepare_streams() -> None:
    """A closed pipe ends the program as it does any other; odd characters are escaped."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # Python has None for a stream that was closed by the caller.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """What could not be written was found out, and answered, when it was written."""
    with suppress(OSError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.flush()


def on_terminal() -> bool:
    """Whether somebody looks at stdout as it is written."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: coloured there unless NO_COLOR."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*map(_plain, row))
    return _drawn(Console(), drawn)


@contextmanager
def progress(total: int, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """Gives what to call after each of several things, and shows on a terminal how far it is."""
    if not (wanted and total > 1 and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("photos", total=total)
        yield lambda: bar.advance(task)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # a name like "[red]" is a name and no markup


def _drawn(console: Any, drawn: Table) -> str:
    with console.capture() as capture:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
