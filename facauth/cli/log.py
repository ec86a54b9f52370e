"""Commands for whoever answers for a store: log, log verify, log prune, unlock."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from datetime import time as clock
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from facauth.cli.arguments import Json, KeyFile, Quiet, StorePath, opened, store_path, unlocked
from facauth.cli.operator import lines
from facauth.cli.output import answering, complain, say, say_json
from facauth.cli.people import ask
from facauth.errors import Reason, UsageProblem, shown
from facauth.structs import PersonName

if TYPE_CHECKING:
    from facauth.store.log import Event
    from facauth.store.store import Store

Whose = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The person's name; without it, sign-ins that name nobody.",
        show_default=False,
    ),
]
Person = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only what concerns this person.", show_default=False),
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only from then on.", show_default=False)
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only until then, a whole day included.", show_default=False),
]
Verdict = Annotated[
    str | None,
    typer.Option(metavar="V", help="Only this verdict, say no_match.", show_default=False),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Go on with what happens; with --json one object per line."
    ),
]
SUMMARY = "Show who was let in, refused, enrolled or removed."
COLUMNS = ("#", "Time", "Command", "Verdict", "Person", "Reasons", "Error rate")
POLL_MS = 300


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    group = typer.Typer(
        rich_markup_mode=None, invoke_without_command=True, subcommand_metavar="[verify|prune]"
    )
    group.callback()(log)
    group.command("verify", short_help="Check that no entry was changed or dropped.")(verify)
    group.command("prune", short_help="Delete the oldest entries.")(prune)
    app.add_typer(group, name="log", short_help=SUMMARY)
    app.command("unlock", short_help="Allow sign-ins again after too many failures.")(unlock)


def log(
    context: typer.Context,
    person: Person = None,
    since: Since = None,
    until: Until = None,
    verdict: Verdict = None,
    follow: Follow = False,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show who was let in, refused, enrolled or removed; oldest first, times in UTC.

    TIME is a date or a time, as 2026-11-22 or 2026-11-22T09:30, local unless it names a zone. Of
    somebody who was removed no name is shown. No key is needed.
    """
    if context.invoked_subcommand and not _misplaced(context):
        return
    with answering("log", as_json=as_json, quiet=quiet) as answer:
        answer.more["events"] = None
        if context.invoked_subcommand:
            reason = f"{_misplaced(context)} is before {context.invoked_subcommand}"
            raise UsageProblem(Reason("usage", reason, "give its options after it"))
        asked = Asked(moment("--since", since), moment("--until", until, end=True), verdict)
        with opened(answer, store) as records:
            if person is not None:
                asked = replace(asked, person=shown(records.person(person).name))
            if follow:
                for note in [] if quiet else answer.notes:
                    complain(note)
                tell(records, asked, as_json=as_json)
            found = [event for event in records.events() if asked.holds(event)]
        answer.verdict, answer.person = "listed", asked.person
        answer.more["events"] = [asdict(event) for event in found]
        answer.lines += lines(COLUMNS, [row(event) for event in found]) if found else []
        if not found:
            answer.notes.append(f"there are no such entries in {shown(store_path(store))}")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries to show; times as the log has them."""

    since: str | None
    until: str | None
    verdict: str | None
    person: str | None = None

    def holds(self, event: Event) -> bool:
        """Whether it is one of them."""
        return (
            self.person in (None, event.person)
            and self.verdict in (None, event.verdict)
            and (self.since is None or event.at >= self.since)
            and (self.until is None or event.at <= self.until)
        )


def _misplaced(context: typer.Context) -> str:
    """An option that was given to `log` where its subcommand was meant; empty if there is none."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is not None and source.name == "COMMANDLINE":
            return option.opts[0]
    return ""


def row(event: Event) -> tuple[str, ...]:
    """One line of the log."""
    rate = "" if event.error_rate is None else f"{event.error_rate:g}"
    reasons = " ".join(event.reasons)
    return (
        *(str(event.id), event.at, event.command, event.verdict),
        *(event.person or "", reasons, rate),
    )


def moment(option: str, text: str | None, *, end: bool = False) -> str | None:
    """A time as the log has it; the end of a day, or its beginning. Raises UsageProblem."""
    if text is None:
        return None
    try:
        return _parsed(text, end=end).astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # no such day; or none that this machine can name
        advice = "write it as 2026-11-22 or 2026-11-22T09:30"
        reason = Reason("time.impossible", f"{option} {shown(text)} is no time", advice)
        raise UsageProblem(reason) from None


def _parsed(text: str, *, end: bool) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
    return datetime.combine(day, clock.max if end else clock.min)


def tell(records: Store, asked: Asked, *, as_json: bool) -> NoReturn:
    """Print each event as it comes, until somebody ends the program."""
    last = 0
    while True:
        for event in records.events(last):
            last = event.id
            if asked.holds(event):
                if as_json:
                    say_json(asdict(event))
                else:
                    say("\t".join(row(event)))
        pause()


def pause() -> None:
    """Wait for a moment. A reader that left ends the program, as if something had been written."""
    import select
    import signal
    import sys

    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    if reader.poll(POLL_MS):
        signal.raise_signal(signal.SIGPIPE)


def verify(
    store: StorePath = None, key_file: KeyFile = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Check that no entry of the log was changed, dropped or added by something else.

    Keep the last hash elsewhere: a store that was put back to an earlier state is sound, but
    log --json does not show that hash any more.
    """
    from facauth.store.log import broken_log

    with answering("log verify", as_json=as_json, quiet=quiet) as answer:
        answer.more |= {"entries": None, "head": None, "broken": None}
        with unlocked(answer, store, key_file) as records:
            entries, broken = records.verify_log()
            if broken:
                answer.more["broken"] = asdict(broken)
                raise broken_log(broken)
            head = next((event.hash for event in records.events(entries - 1)), None)
            if records.lock() is None:
                answer.notes.append(
                    "without encryption, who can write the store can make such a log anew"
                )
        answer.verdict = "sound"
        answer.more |= {"entries": entries, "head": head}
        answer.lines += lines(
            ("Log", "Entries", "Last hash"), [("sound", str(entries), head or "")]
        )


OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than",
        metavar="PERIOD",
        help="How old: 30d, 12w, 6m (of 30 days), 3y (of 365).",
        show_default=False,
    ),
]


def prune(
    older_than: OlderThan,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete the oldest entries of the log. What is left can still be verified.

    A log that is broken is not pruned. Last sign-ins stay known.
    """
    from facauth.admin import parse_period

    with answering("log prune", as_json=as_json, quiet=quiet) as answer:
        answer.more["entries"] = None
        before = (datetime.now(UTC) - parse_period(older_than)).isoformat(timespec="seconds")
        with unlocked(answer, store, key_file) as records:
            if not yes:
                ask(f"Delete the entries of the log before {before} for good?", "log")
            with records.transaction() as change:
                pruned = change.prune_log(before)
        answer.verdict, answer.more["entries"] = "pruned", pruned
        answer.lines.append(f"deleted {pruned} entr{'y' if pruned == 1 else 'ies'} of the log")


def unlock(
    name: Whose = None,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Forget failed sign-ins, so that nobody has to wait any longer."""
    with answering("unlock", as_json=as_json, quiet=quiet) as answer:
        answer.more["failures"] = None
        asked = None if name is None else PersonName.parse(name)
        with unlocked(answer, store, key_file) as records, records.transaction() as change:
            person = records.person(asked) if asked else None
            known_as = person.name if person else None
            forgotten = change.unlock(person.uid if person else None)
        known_as = shown(known_as) if known_as else None
        answer.verdict, answer.person = "unlocked", known_as
        answer.more["failures"] = forgotten
        count = "an impossible number of" if forgotten is None else str(forgotten)
        plural = "" if forgotten == 1 else "s"
        whose = known_as or "sign-ins that name nobody"
        answer.lines.append(f"unlocked {whose} ({count} failure{plural} forgotten)")
