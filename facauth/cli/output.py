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

from facauth.envelope import Answer, envelope
from facauth.errors import ExitCode, FacauthError, Reason, Unwritten, UsageProblem

if TYPE_CHECKING:
    from facauth.cli.options import Call

STDOUT, STDERR = 1, 2
# The new form of what was in 0.1: the command, the start of the fault, and what to say.
MOVED = (
    ("", "No such option: --strict", "--strict is now --policy strict"),
    ("", "No such option: --lenient", "--lenient is now --policy lenient"),
    ("", "No such command 'token'", "facauth token is now facauth serve --token"),
    ("", "No such command 'config'", "facauth config show is now part of facauth doctor"),
    ("log", "Got unexpected extra argument(s) (verify", "log verify is now log --verify"),
    *(
        ("log", fault, "log prune is now log --prune-older-than PERIOD")
        for fault in ("No such option: --older-than", "Got unexpected extra argument(s) (prune")
    ),
)


@contextmanager
def answering(call: Call, *fields: str) -> Iterator[Answer]:
    """Write the command's answer, or why it refuses, and exit with the code for it.

    fields: of its JSON object, beside those of every command; null until they are filled in.
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
        _say_what_was_done(answer, failure)
    for text in [*([] if quiet else [*answer.notes, *answer.how_seen]), *map(str, answer.reasons)]:
        complain(text)


def _say_what_was_done(answer: Answer, failure: Unwritten) -> None:
    """On stderr, for stdout does not take it."""
    if answer.exit_code is not ExitCode.UNWRITTEN:  # or else that is what it says already
        done = " ".join(filter(None, (answer.verdict, answer.person))).replace("_", " ")
        (why,) = failure.reasons
        told = Reason(why.code, f"{done}, but {why.message}", why.advice)
        answer.reasons, answer.exit_code = (*answer.reasons, told), failure.exit_code


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
    moved = [now for of, fault, now in MOVED if of in (command, "") and text.startswith(fault)]
    text = moved[0] if moved else text[:1].lower() + text[1:]
    reason = Reason("usage", text, "see facauth --help")
    answer = Answer(command, verdict="usage", exit_code=ExitCode.USAGE, reasons=(reason,))
    _fail(answer, arguments)
    return answer.exit_code


def refuse(command: str | None, arguments: list[str], refusal: FacauthError) -> ExitCode:
    """What no command answers for: the help or the version could not be written."""
    answer = Answer(command)
    answer.refuse(refusal)
    _fail(answer, arguments)
    return answer.exit_code


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
    _fail(answer, arguments)
    return ExitCode.INTERNAL


def _fail(answer: Answer, arguments: list[str]) -> None:
    """Write an answer for which no command ran to its end."""
    quiet = "--quiet" in arguments or "-q" in arguments
    _write(answer, as_json="--json" in arguments, quiet=quiet)


class _Results(io.TextIOWrapper):
    """stdout: what it does not take is never taken for written. Raises Unwritten."""

    def write(self, text: str, /) -> int:
        with _or_unwritten():
            return super().write(text)

    def flush(self) -> None:
        with _or_unwritten():
            super().flush()


class _Notes(io.TextIOWrapper):
    """stderr: what it does not take is lost, and changes no answer."""

    def write(self, text: str, /) -> int:
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
        advice = "have stdout lead to where there is room"
        raise Unwritten(Reason("output.unwritten", message, advice)) from error


def prepare_streams() -> None:
    """A closed pipe ends the program as it does any other; odd characters are escaped."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for number in range(3):  # a closed one would be the number of the next file that is opened
        try:
            os.fstat(number)
        except OSError:  # stdout for reading only, so that writing fails as it must
            os.open(os.devnull, os.O_WRONLY if number == STDERR else os.O_RDONLY)
    # Python has None for a stream that was closed by the caller.
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        _stream(_Results, sys.stdout, STDOUT),
        _stream(_Notes, sys.stderr, STDERR),
    )


def _stream(kind: type[io.TextIOWrapper], given: Any, number: int) -> io.TextIOWrapper:
    return kind(
        given.buffer if given else open(number, "wb"),
        encoding=given.encoding if given else "utf-8",
        errors="backslashreplace",
        line_buffering=number == STDERR or os.isatty(number),
    )


def flush_streams() -> None:
    """What could not be written was found out, and answered, when it was written."""
    with suppress(Unwritten):
        sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def progress(total: int, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; gives a function to call after each of `total` things."""
    if not (wanted and total > 1 and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("photos", total=total)
        yield lambda: bar.advance(task)


def confirm(question: str, command: str) -> None:
    """Raises UsageProblem unless somebody at a terminal says yes."""
    if not sys.stdin.isatty():
        reason = Reason(f"{command}.unconfirmed", "confirmation needs a terminal", "add --yes")
        raise UsageProblem(reason)
    if not typer.confirm(question, err=True):
        raise UsageProblem(Reason(f"{command}.declined", "nothing was deleted", "as you said"))
