"""Answers on stdout, everything else on stderr; the JSON envelope; errors to exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from facauth.cli import spinner
from facauth.cli.tables import console
from facauth.cli.wrong import explained
from facauth.envelope import Answer, envelope
from facauth.errors import ExitCode, FacauthError, Reason, Unwritten, UsageProblem

if TYPE_CHECKING:
    from facauth.cli.options import Call

STDOUT, STDERR = 1, 2


@contextmanager
def answering(call: Call, *fields: str) -> Iterator[Answer]:
    """Write the command's answer or refusal, and exit with its code.

    fields: further fields of the JSON object; null until the command sets them.
    """
    answer = Answer(call.name, more=dict.fromkeys(fields))
    try:
        yield answer
    except FacauthError as refusal:
        answer.refuse(refusal)
    _write(answer, as_json=call.as_json, quiet=call.quiet)
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)


def _write(answer: Answer, *, as_json: bool, quiet: bool) -> None:
    try:
        if as_json:
            say_json(envelope(answer))
            return
        for line in answer.lines:
            say(line)
    except Unwritten as failure:
        _report_unwritten(answer, failure)
    for text in [*([] if quiet else [*answer.notes, *answer.how_seen]), *map(str, answer.reasons)]:
        complain(text)


def _report_unwritten(answer: Answer, failure: Unwritten) -> None:
    """Say on stderr what was done: stdout failed."""
    if answer.exit_code is not ExitCode.UNWRITTEN:  # otherwise the answer says so already
        done = " ".join(filter(None, (answer.verdict, answer.person))).replace("_", " ")
        (why,) = failure.reasons
        reason = Reason(why.code, f"{done}, but {why.message}", why.advice)
        answer.reasons, answer.exit_code = (*answer.reasons, reason), failure.exit_code


def say(text: str) -> None:
    """Write one line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: dict[str, Any]) -> None:
    """Write one line of the result, as JSON."""
    utf8 = (
        sys.stdout.encoding.lower().replace("-", "") == "utf8"
    )  # otherwise stdout writes \x escapes, which JSON does not have
    say(json.dumps(value, ensure_ascii=not utf8, allow_nan=False))


def complain(text: str) -> None:
    """Write one line to stderr: a note, or an error with its advice."""
    sys.stderr.write(f"facauth: {text}\n")


def refuse_usage(
    command: str | None, arguments: list[str], error: typer.TyperException
) -> ExitCode:
    """Report a command line that Typer cannot parse, as text or as JSON."""
    if not arguments:  # Typer's message is the help
        sys.stderr.write(f"{error.format_message()}\n")
        return ExitCode.USAGE
    message, advice, usage = explained(error, command)
    reason = Reason("usage", message, advice)
    answer = Answer(command, verdict="usage", exit_code=ExitCode.USAGE, reasons=(reason,))
    _fail(answer, arguments)
    if usage and "--json" not in arguments:
        sys.stderr.write(f"{usage}\n")
    return answer.exit_code


def refuse(command: str | None, arguments: list[str], refusal: FacauthError) -> ExitCode:
    """Report that the help or the version could not be written."""
    answer = Answer(command)
    answer.refuse(refusal)
    _fail(answer, arguments)
    return answer.exit_code


def report_bug(
    command: str | None, arguments: list[str], error: Exception | SystemExit
) -> ExitCode:
    """Report an internal error by its type alone: its message may hold biometric data."""
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
    _fail(answer, arguments)
    return ExitCode.INTERNAL


def _fail(answer: Answer, arguments: list[str]) -> None:
    """Write the answer of a command that did not finish."""
    quiet = "--quiet" in arguments or "-q" in arguments
    _write(answer, as_json="--json" in arguments, quiet=quiet)


class _Results(io.TextIOWrapper):
    """stdout that raises Unwritten when a write fails."""

    def write(self, text: str, /) -> int:
        spinner.stop()
        with _or_unwritten():
            return super().write(text)

    def flush(self) -> None:
        with _or_unwritten():
            super().flush()


class _Notes(io.TextIOWrapper):
    """stderr that ignores failed writes: they change no answer."""

    def write(self, text: str, /) -> int:
        spinner.stop()
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


@contextmanager
def _or_unwritten() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the result could not be written ({error.strerror or type(error).__name__})"
        advice = "redirect stdout to a file that can be written"
        raise Unwritten(Reason("output.unwritten", message, advice)) from error


def prepare_streams() -> None:
    """Let a closed pipe end the program; escape characters that a stream cannot encode."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for number in range(3):  # the next opened file would take the number of a closed one
        try:
            os.fstat(number)
        except OSError:  # stdout read-only, so that writing fails
            os.open(os.devnull, os.O_WRONLY if number == STDERR else os.O_RDONLY)
    # Python has None for a stream that was closed by the caller.
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        _stream(_Results, sys.stdout, STDOUT),
        _stream(_Notes, sys.stderr, STDERR),
    )


def _stream(kind: type[io.TextIOWrapper], existing: Any, number: int) -> io.TextIOWrapper:
    return kind(
        existing.buffer if existing else open(number, "wb"),
        encoding=existing.encoding if existing else "utf-8",
        errors="backslashreplace",
        line_buffering=number == STDERR or os.isatty(number),
    )


def flush_streams() -> None:
    """Flush both streams; a failed write to stdout was reported when it failed."""
    with suppress(Unwritten):
        sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def progress(total: int, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; yields a function to call after each of `total` photos."""
    if not (wanted and total > 1 and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("photos", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("photos", total=total)
        yield lambda: bar.advance(task)


def confirm(question: str, command: str) -> None:
    """Raises UsageProblem unless the user at a terminal confirms."""
    if not sys.stdin.isatty():
        reason = Reason(f"{command}.unconfirmed", "confirmation needs a terminal", "add --yes")
        raise UsageProblem(reason)
    if not typer.confirm(question, err=True):
        raise UsageProblem(
            Reason(f"{command}.declined", "nothing was deleted", "the deletion was not confirmed")
        )
