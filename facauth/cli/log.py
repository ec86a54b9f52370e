"""log."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from facauth.cli.bound import opened, store_path, unlocked
from facauth.cli.options import Call, Yes
from facauth.cli.output import answering, complain, confirm, say, say_json
from facauth.cli.tables import lines, on_terminal
from facauth.cli.wording import counted, local_time
from facauth.errors import Reason, UsageProblem, shown
from facauth.records import PersonName

if TYPE_CHECKING:
    from facauth.admin import Event, Store
    from facauth.envelope import Answer

Person = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only entries about this person.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only entries from this time on.", show_default=False),
]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only entries up to this time; a date includes the whole day.",
        show_default=False,
    ),
]
Verdict = Annotated[
    str | None,
    typer.Option(
        metavar="V", help="Only entries with this verdict, such as no_match.", show_default=False
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Wait for new entries; with --json print one object per line."
    ),
]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Check that no entry was changed, removed or inserted."),
]
PruneOlderThan = Annotated[
    str | None,
    typer.Option(
        "--prune-older-than",
        metavar="PERIOD",
        help="Delete older entries: 30d, 12w, 6m (of 30 days), 3y (of 365).",
        show_default=False,
    ),
]
COLUMNS = ("#", "Time", "Command", "Verdict", "Person", "Reasons", "Error rate")
POLL_MS = 300
UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
DAYS_AGO = {"today": 0, "yesterday": 1}


def log(
    call: Call,
    person: Person = None,
    since: Since = None,
    until: Until = None,
    verdict: Verdict = None,
    follow: Follow = False,
    verify: Verify = False,
    prune_older_than: PruneOlderThan = None,
    yes: Yes = False,
) -> None:
    """Show sign-ins, refusals, enrolments and removals, the oldest first.

    TIME is a date or a time, such as 2026-11-22 or 2026-11-22T09:30, local unless it names a zone;
    or today, yesterday, or how long ago: 30min, 1h, 2d, 3w. Times are shown local on a terminal,
    and in UTC elsewhere.

    Entries about a person who was removed show no name. Only --verify and --prune-older-than need
    the key of an encrypted store.

    Keep the last hash that --verify prints in another place. If it is missing from log --json, the
    store was replaced by an older copy. After --prune-older-than the log can still be verified; a
    broken log is not pruned.

    Example: facauth log --since today --verdict no_match
    """
    with answering(call) as answer:
        purposes = {
            "--verify": verify,
            "--prune-older-than": prune_older_than,
            "--person": person,
            "--since": since,
            "--until": until,
            "--verdict": verdict,
            "--follow": follow,
        }
        require_one_purpose(
            [option for option, value in purposes.items() if value not in (None, False)]
        )
        if verify:
            verify_log(call, answer)
        elif prune_older_than is not None:
            prune_log(call, answer, prune_older_than, yes=yes)
        else:
            answer.more["events"] = None
            asked = Filter(moment("--since", since), moment("--until", until, end=True), verdict)
            show_log(call, answer, asked, person, follow=follow)


def require_one_purpose(options: Sequence[str]) -> None:
    """Raises UsageProblem for --verify or --prune-older-than with another option."""
    first = options[0] if options else ""
    if first in ("--verify", "--prune-older-than") and len(options) > 1:
        message = f"{first} and {options[1]} contradict each other"
        raise UsageProblem(Reason("usage", message, "choose one"))


def show_log(
    call: Call, answer: Answer, asked: Filter, person: str | None, *, follow: bool
) -> None:
    """Print the entries that match."""
    from facauth import admin

    with opened(call, answer) as store:
        if person is not None:
            asked = replace(asked, person=shown(admin.known_as(store, PersonName.parse(person))))
        if follow:
            for note in [] if call.quiet else answer.notes:
                complain(note)
            print_forever(store, asked, as_json=call.as_json)
        found, there = chosen(admin.events(store), asked)
    answer.verdict, answer.person = "listed", asked.person
    answer.more["events"] = [asdict(event) for event in found]
    answer.lines += lines(COLUMNS, [row(event) for event in found]) if found else []
    if not found:
        answer.notes.append(f"the log of {shown(store_path(call))} has no matching entries")
        if there and asked.verdict not in (None, *there):  # perhaps misspelt
            answer.notes.append(f"the verdicts in this log: {', '.join(sorted(there))}")


def chosen(events: Iterable[Event], asked: Filter) -> tuple[list[Event], set[str]]:
    """The entries to show, and the verdicts of all entries."""
    found, verdicts = [], set()
    for event in events:
        verdicts.add(event.verdict)
        if asked.matches(event):
            found.append(event)
    return found, verdicts


def verify_log(call: Call, answer: Answer) -> None:
    """Check the log; raises SetupProblem if it is broken."""
    from facauth import admin

    answer.more |= {"entries": None, "head": None, "broken": None}
    with unlocked(call, answer) as store:
        found = admin.verify_log(store)
    if found.broken:
        answer.more["broken"] = asdict(found.broken)
        raise admin.broken_log(found.broken)
    if not found.sealed:
        answer.notes.append(
            "the store is not encrypted: anybody who can write it can also forge its log"
        )
    answer.verdict = "sound"
    answer.more |= {"entries": found.entries, "head": found.head}
    result = ("sound", str(found.entries), found.head or "")
    answer.lines += lines(("Log", "Entries", "Last hash"), [result])


def prune_log(call: Call, answer: Answer, period: str, *, yes: bool) -> None:
    """Delete the entries that are older than a period."""
    from facauth import admin

    answer.more["entries"] = None
    before = admin.ago(admin.parse_period(period))
    with unlocked(call, answer) as store:
        if not yes:
            confirm(f"Permanently delete the log entries before {before}?", "log")
        pruned = admin.prune_log(store, before)
    answer.verdict, answer.more["entries"] = "pruned", pruned
    answer.lines.append(f"deleted {counted(pruned, 'entry', 'entries')} of the log")


@dataclass(frozen=True, slots=True)
class Filter:
    """The entries to show; times are in the log's format."""

    since: str | None
    until: str | None
    verdict: str | None
    person: str | None = None

    def matches(self, event: Event) -> bool:
        """Whether an entry is to be shown."""
        return (
            self.person in (None, event.person)
            and self.verdict in (None, event.verdict)
            and (self.since is None or event.at >= self.since)
            and (self.until is None or event.at <= self.until)
        )


def row(event: Event) -> tuple[str, ...]:
    """One line of the log."""
    rate = "" if event.error_rate is None else f"{event.error_rate:g}"
    reasons = " ".join(event.reasons)
    at = local_time(event.at) if on_terminal() else event.at
    return (
        *(str(event.id), at, event.command, event.verdict),
        *(event.person or "", reasons, rate),
    )


def moment(option: str, text: str | None, *, end: bool = False) -> str | None:
    """A time in the log's format; a date is its first moment, or its last with `end`.

    Raises UsageProblem.
    """
    if text is None:
        return None
    try:
        return _parsed(text, end=end).astimezone(UTC).isoformat()
    except (
        ValueError,
        OverflowError,
        OSError,
    ):  # not a date, or one that this machine cannot represent
        advice = "write it as 2026-11-22, 2026-11-22T09:30, today, 30min, 1h, 2d or 3w"
        reason = Reason("time.impossible", f"{option} {shown(text)} is not a time", advice)
        raise UsageProblem(reason) from None


def _parsed(text: str, *, end: bool) -> datetime:
    if ago := re.fullmatch(r"([0-9]{1,6})(min|h|d|w)", text):
        return datetime.now(UTC) - int(ago[1]) * UNITS[ago[2]]
    if text in DAYS_AGO:
        day = date.today() - timedelta(days=DAYS_AGO[text])
        return datetime.combine(day, clock.max if end else clock.min)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
    return datetime.combine(day, clock.max if end else clock.min)


def print_forever(store: Store, asked: Filter, *, as_json: bool) -> NoReturn:
    """Print each entry as it comes, until the program ends."""
    from facauth import admin

    last = 0
    while True:
        for event in admin.events(store, last):
            last = event.id
            if asked.matches(event):
                if as_json:
                    say_json(asdict(event))
                else:
                    say("\t".join(row(event)))
        pause()


def pause() -> None:
    """Wait a moment. If the reader of stdout is gone, end as a write would."""
    import select
    import signal

    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    if reader.poll(POLL_MS):
        signal.raise_signal(signal.SIGPIPE)
