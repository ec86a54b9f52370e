"""enrol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.bound import ENCODERS, LIVENESS, policy_of, ready, stages, store_path, unlocked
from facauth.cli.enrolment_options import (
    AcceptSpoof,
    ConsentText,
    NoSignature,
    Purpose,
    note_unchecked,
)
from facauth.cli.options import AllowDuplicate, Call, Jobs, Policy, named
from facauth.cli.output import answering, progress
from facauth.cli.tables import lines
from facauth.cli.wording import counted, counted_people
from facauth.errors import ExitCode, FacauthError, Reason, image_name, shown
from facauth.records import Consent

if TYPE_CHECKING:
    from facauth.admin import Store
    from facauth.bulk import Arrivals, Candidate, Examined, Judged
    from facauth.envelope import Answer
    from facauth.roster import Roster, Unfit
    from facauth.structs import EnrolmentTerms
    from facauth.system import System

NAMED_DOUBTS = 5  # so many photos a note names

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|TABLE",
        help="A folder with NAME.jpg or NAME/*.jpg, or a CSV or TSV file.",
        show_default=False,
        parser=named,
    ),
]
Failed = Annotated[
    Path | None,
    typer.Option(
        "--failed",
        metavar="OUT.csv",
        help="Write the refused photos to a table that enrol takes again.",
        show_default=False,
        parser=named,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Examine everything, and write nothing to the store.")
]


def enrol(
    call: Call,
    source: Source,
    dry_run: DryRun = False,
    failed: Failed = None,
    allow_duplicate: AllowDuplicate = False,
    accept_spoof: AcceptSpoof = False,
    no_signature: NoSignature = False,
    consent: ConsentText = None,
    purpose: Purpose = None,
    policy: Policy = None,
    jobs: Jobs = None,
) -> None:
    """Enrol many people, from a folder or a table.

    In a folder, the person's name is the name of the photo or of the inner folder. A table has the
    columns name and file and, if wanted, consent and purpose; a path in it starts at the table's
    folder, and semicolons separate several files.

    The rules are those of register. A photo that cannot be used is reported and left out. Photos
    that are enrolled already are skipped, so the command can be repeated. It examines all photos
    before it writes to the store. Exit code 8 if something was not enrolled.

    Example: facauth enrol staff/ --failed failed.csv
    """
    from facauth import roster
    from facauth.structs import EnrolmentTerms

    with answering(call, "people", "photos", "results") as answer:
        note_unchecked(answer, policy, accept_spoof)
        asked = EnrolmentTerms(
            policy_of(policy),
            allow_duplicate=allow_duplicate,
            accept_spoof=accept_spoof,
            keep_signatures=not no_signature,
            consent=Consent.parse(consent, purpose),
        )
        if failed:
            roster.require_target(failed)
        read = roster.Roster.read(source)
        if not allow_duplicate:
            read.leave_out_copies()
        done = Done()
        with bound_store(call, answer, dry_run=dry_run) as system:
            run(call, system, read, asked, done, jobs=jobs, dry_run=dry_run)
            answer.notes += lookalikes(system.store, done)
        if failed:
            roster.write_failed(failed, done.refused(read))
        report(answer, done, read, failed, dry_run=dry_run)


@dataclass(slots=True)
class Done:
    """The result for each photo, in the order of the roster; bare values, to be counted."""

    results: list[Result] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)  # photos marked as not surely live

    def note(self, settled: Iterable[tuple[Candidate, Judged]]) -> None:
        """Add a result for each photo of these people."""
        for candidate, verdict in settled:
            name = candidate.entry.name.text
            for photo in candidate.photos:
                known = photo.file in verdict.known
                refusal = None if known else verdict.refusal
                self.results.append(Result(name, photo.file, refusal, known=known))
                if photo.accepted_spoof and not known and refusal is None:
                    self.doubtful.append(photo.file)

    def refused(self, read: Roster) -> list[Unfit]:
        """What `roster.write_failed` takes."""
        from facauth.roster import Unfit

        consents = {entry.name.text: entry.consent for entry in read.people}
        return [
            Unfit(each.name, each.file, each.refusal, consents.get(each.name, each.consent))
            for each in self.results
            if each.refusal
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one photo."""

    name: str
    file: str
    refusal: FacauthError | None = None
    known: bool = False  # it was enrolled before
    consent: Consent | None = None

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.refusal:
            return self.refusal.verdict
        return "enrolled_before" if self.known else "enrolled"

    def fields(self) -> dict[str, Any]:
        """As one of the JSON object's `results`."""
        return {
            "person": shown(self.name),
            "image": image_name(self.file),
            "verdict": self.verdict,
            "exit_code": int(self.refusal.exit_code if self.refusal else ExitCode.OK),
            "reasons": [asdict(reason) for reason in self.refusal.reasons] if self.refusal else [],
        }


@contextmanager
def bound_store(call: Call, answer: Answer, *, dry_run: bool) -> Iterator[System]:
    """The system that people are enrolled in; this process loads no networks.

    A dry run without a store uses an empty one that is deleted afterwards.
    """
    pipeline_stages, calibration = ready()
    from tempfile import TemporaryDirectory

    from facauth import admin
    from facauth.system import System

    if dry_run and not admin.exists(store_path(call)):
        with (
            TemporaryDirectory() as folder,
            admin.opened(Path(folder) / "store.sqlite3", create=True) as store,
        ):
            yield System(pipeline_stages, store, calibration)
        return
    with unlocked(call, answer, create=not dry_run) as store:
        yield System(pipeline_stages, store, calibration)


def run(
    call: Call,
    system: System,
    read: Roster,
    asked: EnrolmentTerms,
    done: Done,
    *,
    jobs: int | None,
    dry_run: bool,
) -> None:
    """Examine all photos, judge all people, then write."""
    from facauth.bulk import Arrivals, log_refused
    from facauth.store.spool import Spool

    done.results += [Result(u.name, u.file, u.refusal, consent=u.consent) for u in read.unfit]
    with Spool() as spool:
        arrivals = Arrivals(system, asked, spool)
        for found in examined(call, system.store, read, asked, jobs):
            arrivals.add(found)
            name = found.entry.name.text
            done.results += [Result(name, file, known=True) for file in found.known]
            done.results += [Result(name, file, refusal) for file, refusal in found.refused]
        fit = judged(arrivals, done)
        if dry_run:
            done.note(fit)
            return
        log_refused(system.store, [each.refusal for each in done.results if each.refusal])
        done.note(arrivals.write([candidate for candidate, _ in fit]))


def examined(
    call: Call, store: Store, read: Roster, asked: EnrolmentTerms, jobs: int | None
) -> Iterator[Examined]:
    """What several processes find on the photos, person by person."""
    from facauth.batch import in_order, jobs_for
    from facauth.bulk import Examine, tasks

    files = [file for entry in read.people for file in entry.files]
    if not files:
        return
    make = partial(Examine, partial(stages, *LIVENESS, *ENCODERS), asked)
    with progress(len(files), wanted=call.shows_progress) as advance:
        todo = list(tasks(store, read.people))
        for found in in_order(make, todo, jobs_for(files, jobs)):
            yield found
            for _ in found.entry.files:
                advance()


def judged(arrivals: Arrivals, done: Done) -> list[tuple[Candidate, Judged]]:
    """Judge everybody at once; those who may be enrolled."""
    fit = []
    for candidate, verdict in arrivals.judged():
        if verdict.refusal:
            done.note([(candidate, verdict)])
        else:
            fit.append((candidate, verdict))
    return fit


def report(answer: Answer, done: Done, read: Roster, failed: Path | None, *, dry_run: bool) -> None:
    """The summary, a row for each refused photo, and the exit code."""
    refused = [each for each in done.results if each.refusal]
    new = [each for each in done.results if each.verdict == "enrolled"]
    before = [each for each in done.results if each.known]
    people = len({each.name for each in new})
    answer.verdict = "partial" if refused else "examined" if dry_run else "enrolled"
    answer.more["photos"] = {
        "enrolled": len(new),
        "enrolled_before": len(before),
        "refused": len(refused),
    }
    answer.more["people"] = {
        "enrolled": people,
        "refused": len({each.name for each in refused} - {each.name for each in (*new, *before)}),
    }
    answer.more["dry_run"] = dry_run
    answer.more["results"] = [each.fields() for each in done.results]
    answer.lines += lines(("Name", "Photo", "Why it was refused"), rows_of(refused))
    answer.lines.append(summary(people, len(new), len(before), dry_run=dry_run))
    answer.notes += notes(done, read, dry_run=dry_run)
    if refused:
        message = f"{counted(len(refused))} of {len(done.results)} refused"
        advice = "replace them, or write them to a table with --failed OUT.csv"
        if failed:
            advice = f"correct the photos that {shown(failed)} names, and enrol that table"
        answer.exit_code = ExitCode.PARTIAL
        answer.reasons = (Reason("enrol.partial", message, advice),)


def lookalikes(store: Store, done: Done) -> list[str]:
    """Notes on new names that look like other enrolled names."""
    from facauth import admin

    new = dict.fromkeys(each.name for each in done.results if each.verdict == "enrolled")
    return admin.lookalikes(store, *new)


def rows_of(refused: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Name, photo, reason and advice."""
    return [
        (shown(each.name), image_name(each.file), "; ".join(map(str, each.refusal.reasons)))
        for each in refused
        if each.refusal
    ]


def summary(people: int, new: int, before: int, *, dry_run: bool) -> str:
    """One line."""
    verb = "would enrol" if dry_run else "enrolled"
    known = f"; {counted(before)} enrolled before" if before else ""
    return f"{verb} {counted_people(people)} ({counted(new)}){known}"


def notes(done: Done, read: Roster, *, dry_run: bool) -> list[str]:
    """What an operator should know."""
    found = []
    if read.others:
        files = counted(read.others, "file", "files")
        found.append(f"{files} left out: only names such as NAME.jpg are taken for photos")
    if done.doubtful:
        more = len(done.doubtful) - NAMED_DOUBTS
        named = ", ".join(map(image_name, done.doubtful[:NAMED_DOUBTS]))
        verb = "would be enrolled" if dry_run else "enrolled"
        found.append(
            f"{counted(len(done.doubtful))} {verb} in doubt: the face is not surely live"
            f" ({named}{f', and {more} more' if more > 0 else ''})"
        )
    return found
