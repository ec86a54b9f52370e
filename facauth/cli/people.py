"""Commands about who is enrolled: register, list, show, remove, rename."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.arguments import (
    ENCODERS,
    LIVENESS,
    Images,
    Json,
    KeyFile,
    Largest,
    Lenient,
    Name,
    Quiet,
    StorePath,
    Strict,
    opened,
    policy_of,
    stages,
    store_path,
    unlocked,
)
from facauth.cli.operator import lines
from facauth.cli.output import answering, on_terminal, table
from facauth.envelope import doubted
from facauth.errors import Reason, UsageProblem, shown
from facauth.settings import FNMR_WITH_PHOTOS
from facauth.structs import PersonName

if TYPE_CHECKING:
    from facauth.records.roster import PersonRow


class ListFormat(StrEnum):
    """How `list` prints."""

    TABLE = "table"
    PLAIN = "plain"
    CSV = "csv"


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    app.command("register", short_help="Enrol a person with one or more photos.")(register)
    app.command("list", short_help="List who is enrolled.")(list_people)
    app.command("show", short_help="Show all that is kept of a person, but the photos' data.")(show)
    app.command("remove", short_help="Delete a person for good.")(remove)
    app.command("rename", short_help="Give a person another name.")(rename)


Replace = Annotated[bool, typer.Option("--replace", help="Forget the photos enrolled so far.")]
AllowDuplicate = Annotated[
    bool, typer.Option("--allow-duplicate", help="Accept a face enrolled under another name.")
]
AcceptSpoof = Annotated[
    bool,
    typer.Option(
        "--accept-spoof", help="Enrol scans: do not look at liveness; the store remembers it."
    ),
]
NoSignature = Annotated[
    bool,
    typer.Option("--no-signature", help="Store nothing by which these photos are found again."),
]
ConsentText = Annotated[
    str | None,
    typer.Option(
        "--consent", metavar="TEXT", help="What the person agreed to, kept with the time."
    ),
]
Purpose = Annotated[
    str | None, typer.Option("--purpose", metavar="TEXT", help="What the consent is for.")
]


def register(
    name: Name,
    images: Images,
    replace: Replace = False,
    allow_duplicate: AllowDuplicate = False,
    accept_spoof: AcceptSpoof = False,
    no_signature: NoSignature = False,
    consent: ConsentText = None,
    purpose: Purpose = None,
    largest: Largest = False,
    strict: Strict = False,
    lenient: Lenient = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Enrol a person with one or more photos; three from different days work best."""
    from facauth.records import people

    with answering("register", as_json=as_json, quiet=quiet) as answer:
        answer.more["photos"] = None
        policy = policy_of(answer, strict, lenient, "--accept-spoof" if accept_spoof else None)
        person, agreed = PersonName.parse(name), people.consent(consent, purpose)
        bound = stages(answer.trace, *LIVENESS, *ENCODERS)
        from facauth import pipeline

        with unlocked(answer, store, key_file, create=True) as records:
            known_as, photos = pipeline.register(
                bound,
                records,
                person,
                images,
                policy,
                largest=largest,
                replace=replace,
                allow_duplicate=allow_duplicate,
                accept_spoof=accept_spoof,
                keep_signatures=not no_signature,
                consent=agreed,
            )
        answer.verdict, answer.person = "registered", known_as
        answer.more["photos"] = photos
        answer.lines.append(f"registered {known_as} ({counted(photos)})")
        answer.notes += doubted(answer.trace) + more_photos(photos)


def more_photos(photos: int) -> list[str]:
    """A note on what it would bring to register more of them."""
    if photos not in (1, 2):
        return []
    now, then = (f"{FNMR_WITH_PHOTOS[count]:.2%}".replace("%", " %") for count in (photos, 3))
    return [f"with three photos of different days {then} of genuine tries fail instead of {now}"]


def counted(photos: int) -> str:
    """ "1 photo", "2 photos"."""
    return f"{photos} photo{'' if photos == 1 else 's'}"


def list_people(
    layout: Annotated[
        ListFormat | None,
        typer.Option(
            "--format",
            help="table (on a terminal), plain (tab-separated, when piped) or csv.",
            show_default=False,
        ),
    ] = None,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List who is enrolled, with how many photos, since when, and the last sign-in."""
    from facauth.networks import Checked, Networks

    with answering("list", as_json=as_json, quiet=quiet) as answer:
        answer.more["people"] = None
        with opened(answer, store) as records:
            rows = records.people(Networks(Checked(None)).contract)
        answer.verdict = "listed"
        answer.more["people"] = [asdict(row) for row in rows]
        if as_json:
            return
        answer.lines += listing(rows, layout or default_layout())
        if not rows:
            answer.notes.append(f"nobody is enrolled in {shown(store_path(store))}")


def default_layout() -> ListFormat:
    """A table for people, tabs for programs."""
    return ListFormat.TABLE if on_terminal() else ListFormat.PLAIN


COLUMNS = ("name", "photos", "enrolled_at", "last_sign_in_at", "remark")


def listing(people: Sequence[PersonRow], layout: ListFormat) -> list[str]:
    """The lines of the list."""
    rows = [
        (row.name, str(row.photos), row.enrolled_at, row.last_sign_in_at or "", remark(row))
        for row in people
    ]
    if layout is ListFormat.CSV:
        return csv_lines([COLUMNS, *rows])
    if layout is ListFormat.PLAIN:  # a fifth field only where there is something to say
        return ["\t".join(row if row[-1] else row[:-1]) for row in rows]
    marked = [
        (name, photos + unchecked(row), *rest)
        for row, (name, photos, *rest) in zip(people, rows, strict=True)
    ]
    return [table(("Name", "Photos", "Enrolled", "Last sign-in", ""), marked)] if rows else []


def remark(row: PersonRow) -> str:
    """What has to be done for somebody who cannot sign in: no photo can be compared."""
    return "needs a new photo" if row.needs_new_photo == row.photos else ""


def unchecked(row: PersonRow) -> str:
    """A mark for photos that may not show a live face: in doubt, or with --accept-spoof."""
    return f" ({row.accepted_spoof} unchecked)" if row.accepted_spoof else ""


def csv_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """RFC 4180 with a header."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().splitlines()


def show(name: Name, store: StorePath = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """Show how many photos a person has and of what kind, their use, consent and failures."""
    from facauth.networks import Checked, Networks
    from facauth.records import people

    with answering("show", as_json=as_json, quiet=quiet) as answer:
        answer.more["person_record"] = None
        with opened(answer, store) as records:
            row = people.record(records, PersonName.parse(name), Networks(Checked(None)).contract)
            failures, lock = records.failures(row.name), records.locked(row.name)
        answer.verdict, answer.person = "shown", row.name
        fields = answer.more["person_record"] = {
            **asdict(row),
            "failures": failures,
            "locked_out": lock is not None,
            "retry_after_s": lock.retry_after_s if lock else None,
        }
        answer.lines += lines(("Field", "Value"), [(key, said(fields[key])) for key in fields])


def said(value: object) -> str:
    """A field for people and simple scripts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else shown(value)


def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete a person and everything derived from their photos."""
    from facauth.records import people

    with answering("remove", as_json=as_json, quiet=quiet) as answer:
        person = PersonName.parse(name)
        with unlocked(answer, store, key_file) as records:
            known_as = records.known_as(person)
            if not yes:
                ask(f"Delete {known_as} for good?", "remove")
            people.remove(records, person)
        answer.verdict, answer.person = "removed", known_as
        answer.lines.append(f"removed {known_as}")


def ask(question: str, command: str) -> None:
    """Raises UsageProblem unless somebody at a terminal says yes."""
    import sys

    if not sys.stdin.isatty():
        raise UsageProblem(
            Reason(f"{command}.unconfirmed", "nobody is there to confirm it", "add --yes")
        )
    if not typer.confirm(question, err=True):
        raise UsageProblem(Reason(f"{command}.declined", "nothing was deleted", "as you said"))


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name now.", show_default=False)],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The name from now on.", show_default=False)
    ],
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give an enrolled person another name."""
    from facauth.records import people

    with answering("rename", as_json=as_json, quiet=quiet) as answer:
        before, after = PersonName.parse(old), PersonName.parse(new)
        with unlocked(answer, store, key_file) as records:
            known_as = records.known_as(before)
            people.rename(records, before, after)
        answer.verdict, answer.person = "renamed", after.text
        answer.lines.append(f"renamed {known_as} to {after.text}")
