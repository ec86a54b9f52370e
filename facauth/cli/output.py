"""Answers on stdout, everything else on stderr; the JSON envelope; errors to exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from facauth.errors import ExitCode, FacauthError, LockedOut, Reason
from facauth.structs import Liveness, Match, Quality, Replay, Sighting
from facauth.trace import Trace

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "facauth/1"


@dataclass(slots=True)
class Answer:
    """What a command found, as it is filled in by the command and written by `answering`."""

    command: str | None
    trace: Trace = field(default_factory=Trace)
    verdict: str | None = None
    person: str | None = None
    exit_code: ExitCode = ExitCode.OK
    lines: list[str] = field(default_factory=list)  # stdout, for people and simple scripts
    notes: list[str] = field(default_factory=list)  # stderr, unless --quiet
    reasons: Sequence[Reason] = ()
    more: dict[str, Any] = field(default_factory=dict)  # further fields of the envelope


@contextmanager
def answering(command: str, *, as_json: bool, quiet: bool) -> Iterator[Answer]:
    """Write what the command answers, or why it refuses, and exit with the code for it."""
    answer = Answer(command)
    try:
        yield answer
    except FacauthError as refusal:
        answer.verdict, answer.exit_code = refusal.verdict, refusal.exit_code
        answer.reasons, answer.lines, answer.person = refusal.reasons, [], None
        if isinstance(refusal, LockedOut):
            answer.more["retry_after_s"] = refusal.retry_after_s
    answer.notes += turned(answer.trace)
    _write(answer, as_json=as_json, quiet=quiet)
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)


def turned(trace: Trace) -> list[str]:
    """A note for each photo that was not upright."""
    return [
        f"the photo was turned by {sighting.turned_deg} degrees to find the face"
        for sighting in trace.all(Sighting)
        if sighting.turned_deg
    ]


def _write(answer: Answer, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        say_json(envelope(answer))
        return
    for line in answer.lines:
        say(line)
    if not quiet:
        for text in [*answer.notes, *map(str, answer.reasons)]:
            complain(text)


def envelope(answer: Answer) -> dict[str, Any]:
    """The documented JSON object of one answer; fields that do not apply are null."""
    trace = answer.trace
    return {
        "schema": SCHEMA,
        "command": answer.command,
        "ok": answer.exit_code == ExitCode.OK,
        "exit_code": int(answer.exit_code),
        "verdict": answer.verdict,
        "person": answer.person,
        "match": match_fields(trace.last(Match)),
        "liveness": liveness_fields(trace.last(Liveness)),
        "replay": replay_fields(trace.last(Replay)),
        "quality": quality_fields(trace.last(Quality)),
        "reasons": [asdict(reason) for reason in answer.reasons],
        "notes": answer.notes,
        "elapsed_ms": {stage: round(ms, 1) for stage, ms in trace.elapsed_ms.items()},
        **answer.more,
    }


def match_fields(match: Match | None) -> dict[str, Any] | None:
    """Without the person: who is only nearly matched is nobody's business."""
    if match is None:
        return None
    return {
        "similarity": _number(match.similarity),
        "threshold": _number(match.min_similarity),
        "fmr": match.fmr,
        "margin": _number(match.margin),
        "compared": match.compared,
    }


def liveness_fields(liveness: Liveness | None) -> dict[str, Any] | None:
    """The verdict and the numbers behind it."""
    if liveness is None:
        return None
    return {
        "verdict": str(liveness.verdict),
        "live_score": _number(liveness.live_score),
        "threshold": liveness.min_live_score,
        "sure_threshold": liveness.sure_live_score,
        "conditions": {
            condition.name: {
                "value": _number(condition.value),
                "min" if condition.at_least else "max": condition.limit,
                "met": condition.met,
            }
            for condition in liveness.conditions
        },
    }


def replay_fields(replay: Replay | None) -> dict[str, Any] | None:
    """The verdict and the comparison it rests on."""
    if replay is None:
        return None
    return {
        "verdict": str(replay.verdict),
        "compared": replay.compared,
        "part": replay.part,
        "pairs": replay.pairs,
        "inliers": replay.inliers,
        "displacement": _number(replay.displacement),
        "correlation": _number(replay.correlation),
        "mirrored": replay.mirrored,
    }


def quality_fields(quality: Quality | None) -> dict[str, Any] | None:
    """Every measure."""
    if quality is None:
        return None
    return {name: _number(value) for name, value in asdict(quality).items()}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)


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
