"""Commands that measure facauth on somebody's own photos: evaluate spoof, replay, match."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from facauth.cli import measured
from facauth.cli.arguments import (
    ENCODERS,
    LIVENESS,
    Jobs,
    Json,
    KeyFile,
    Largest,
    Lenient,
    Quiet,
    Strict,
    key_access,
    policy_of,
    require_picture,
    stages,
)
from facauth.cli.batch import in_order, jobs_for
from facauth.cli.output import Answer, answering, progress
from facauth.errors import ExitCode, Reason
from facauth.settings import RATES
from facauth.trace import NoTrace

if TYPE_CHECKING:
    from facauth.measure.encoded import Encodings
    from facauth.measure.folders import Pair, Portrait, Presentation
    from facauth.stages import Stages

Photo = TypeVar("Photo", "Presentation", "Pair", "Portrait")
Found = TypeVar("Found")

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="live/ and attack*/, or several SOURCE/live/ and SOURCE/attack*/.",
        show_default=False,
    ),
]
Pairs = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|PAIRS.csv",
        help="original/NAME, MEDIUM/NAME for each medium, other/NAME/; or a list.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Call live what scores T or more, from 0 to 1.",
        show_default=False,
    ),
]
Entered = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="PATH",
        help="Have each attack try to sign in to a copy of this store, too.",
        show_default=False,
    ),
]
MaxApcer = Annotated[
    float | None,
    typer.Option(
        metavar="R", help="Fail if more of the worst species are called live.", show_default=False
    ),
]
MaxBpcer = Annotated[
    float | None,
    typer.Option(
        metavar="R", help="Fail if more of all live photos are called attacks.", show_default=False
    ),
]
MaxMissed = Annotated[
    float | None,
    typer.Option(
        "--max-apcer",
        metavar="R",
        help="Fail if more recaptures by the worst medium are not found.",
        show_default=False,
    ),
]
MaxAlarms = Annotated[
    float | None,
    typer.Option(
        "--max-bpcer",
        metavar="R",
        help="Fail if more of all other photos are taken for the original.",
        show_default=False,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="OUT.png", help="Draw a DET curve and the scores.", show_default=False),
]
People = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="PERSON/IMAGE, and if wanted groups.csv.",
        show_default=False,
    ),
]
Photos = Annotated[
    int,
    typer.Option(
        "--photos",
        min=1,
        max=100,
        metavar="K",
        help="Enrolment photos that limit, gallery and groups are about.",
    ),
]
GallerySize = Annotated[
    int | None,
    typer.Option(
        "--gallery",
        min=1,
        metavar="N",
        help="Sign in to random galleries of N people, too.",
        show_default=False,
    ),
]
AtFmr = Annotated[
    float,
    typer.Option(metavar="R", help="The false match rate that limit and groups are about."),
]
MaxFnmr = Annotated[
    float | None,
    typer.Option(
        metavar="R", help="Fail if more are missed at facauth's threshold.", show_default=False
    ),
]
CacheFile = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FILE",
        help="Keep the encodings, biometric data, for the next run; only you can read it.",
        show_default=False,
    ),
]
SUMMARY = "Measure on your own photos how often facauth is right."


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    group = typer.Typer(help=SUMMARY, rich_markup_mode=None)
    group.command("spoof", short_help="How often attacks pass, and live faces do not.")(spoof)
    group.command("replay", short_help="How surely an enrolled picture is found.")(replay)
    group.command("match", short_help="How surely people are told apart.")(match)
    app.add_typer(group, name="evaluate", short_help=SUMMARY)


def spoof(
    folder: Folder,
    threshold: Threshold = None,
    store: Entered = None,
    key_file: KeyFile = None,
    max_apcer: MaxApcer = None,
    max_bpcer: MaxBpcer = None,
    plot: Plot = None,
    largest: Largest = False,
    strict: Strict = False,
    lenient: Lenient = False,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how often photos of photos are called live, and live faces attacks.

    Each attack* folder is one species of attack; the folders in it, and in live, are persons or
    set-ups. APCER and BPCER are shares of the photos that were judged; those that could not be
    are counted apart, and so are the judged ones of which it is not sure. R is a share from 0 to
    1; a missed limit is exit code 1, and otherwise files that are no images 8.
    """
    with answering("evaluate spoof", as_json=as_json, quiet=quiet) as answer:
        answer.more["evaluation"] = None
        from facauth.measure import folders, gates, plots
        from facauth.measure import spoof as pad

        gates.require_shares(threshold=threshold, max_apcer=max_apcer, max_bpcer=max_bpcer)
        if plot:
            plots.require_extra()
        keys = key_access(key_file)
        if store:
            pad.require_enrolled(store, keys)
        photos = folders.presentations(folder)
        require_picture(plot, [photo.path for photo in photos])
        policy = pad.at_threshold(policy_of(answer, strict, lenient), threshold)
        made = stages_of(LIVENESS + ENCODERS * bool(store))
        look = partial(pad.Look, made, policy, store, keys, largest)
        trials = list(zip(photos, run(look, photos, jobs, quiet=as_json or quiet), strict=True))
        found = pad.evaluate(trials)
        answer.more["evaluation"] = measured.spoof_fields(found, policy)
        answer.lines += measured.spoof_lines(found, policy)
        if plot:
            plots.draw(trials, policy.min_live_score, plot)
        conclude(answer, pad.missed(found, max_apcer, max_bpcer), len(found.unreadable))


def replay(
    source: Pairs,
    max_missed: MaxMissed = None,
    max_alarms: MaxAlarms = None,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how surely the enrolled picture is found again, and other photos are not.

    MEDIUM/NAME shows original/NAME again, and the photos in other/NAME/ do not. PAIRS.csv has the
    columns original and recapture, paths beside it, and if wanted medium and kind: replay or
    other. R is a share from 0 to 1; a missed limit is exit code 1, and otherwise files that are
    no images 8.
    """
    with answering("evaluate replay", as_json=as_json, quiet=quiet) as answer:
        answer.more["evaluation"] = None
        from facauth.measure import folders, gates
        from facauth.measure import replay as again

        gates.require_shares(max_apcer=max_missed, max_bpcer=max_alarms)
        pairs = folders.pairs(source)
        compared = run(partial(again.Look, stages_of(())), pairs, jobs, quiet=as_json or quiet)
        found = again.evaluate(zip(pairs, compared, strict=True))
        answer.more["evaluation"] = measured.replay_fields(found)
        answer.lines += measured.replay_lines(found)
        conclude(answer, again.missed(found, max_missed, max_alarms), len(found.unreadable))


def match(
    folder: People,
    photos: Photos = 1,
    gallery: GallerySize = None,
    at_fmr: AtFmr = RATES.verify_fmr,
    max_fnmr: MaxFnmr = None,
    cache: CacheFile = None,
    plot: Plot = None,
    largest: Largest = False,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how often strangers match and people miss themselves.

    Once at thresholds set on these photos, which shows what the encodings are worth, and once at
    those that facauth uses. Every person weighs the same. groups.csv has the columns group and
    person, or group and image (PERSON/IMAGE). R is a share from 0 to 1; a missed limit is exit
    code 1, and otherwise files that are no images 8.
    """
    with answering("evaluate match", as_json=as_json, quiet=quiet) as answer:
        answer.more["evaluation"] = None
        from facauth.cli import measured_match
        from facauth.decision.calibration import calibration
        from facauth.measure import folders, gates, groups, identification, plots, recognition

        gates.require_shares(max_fnmr=max_fnmr)
        calibration().require_supported(at_fmr)
        if plot:
            plots.require_extra()
        portraits = folders.portraits(folder)
        identification.require_gallery(gallery, len({each.person for each in portraits}))
        require_picture(plot, [each.path for each in portraits])
        group_of = groups.read_groups(folder, portraits)
        quietly = as_json or quiet
        made = encoded_photos(folder, portraits, cache, largest=largest, jobs=jobs, quiet=quietly)
        found = recognition.evaluate(
            made, at_fmr=at_fmr, photos=photos, gallery=gallery, group_of=group_of
        )
        answer.more["evaluation"] = measured_match.fields(found)
        answer.lines += measured_match.lines(found)
        answer.notes += measured_match.unknown(found, gallery)
        if plot:
            plots.draw_match(found.rows, photos, plot)
        conclude(answer, recognition.missed(found, max_fnmr), len(found.unreadable))


def encoded_photos(
    folder: Path,
    photos: Sequence[Portrait],
    cache: Path | None,
    *,
    largest: bool,
    jobs: int | None,
    quiet: bool,
) -> Encodings:
    """The encodings of a folder's portraits, made by several processes or kept in a cache.

    Raises UsageProblem for a cache that cannot be kept, before any photo is looked at.
    """
    from facauth.measure import encoded

    made = stages_of(ENCODERS)
    contract = stages_of(())().contract()
    kept = encoded.Cache(cache, folder, contract, largest=largest) if cache else None
    look = partial(found_on, partial(encoded.Look, made, largest), jobs=jobs, quiet=quiet)
    return encoded.encodings(photos, kept, lambda ahead: look(ahead) if ahead else [])


def stages_of(networks: tuple[str, ...]) -> partial[Stages]:
    """What makes the stages, in this process or in others."""
    return partial(stages, NoTrace(), *networks)


def run(
    make: Callable[[], Callable[[Photo], Found]],
    photos: Sequence[Photo],
    jobs: int | None,
    *,
    quiet: bool,
) -> list[Found]:
    """What was found on each photo; a bar shows how far it is."""
    return list(found_on(make, photos, jobs, quiet=quiet))


def found_on(
    make: Callable[[], Callable[[Photo], Found]],
    photos: Sequence[Photo],
    jobs: int | None,
    *,
    quiet: bool,
) -> Iterator[Found]:
    """As run, one after the other."""
    processes = jobs_for([photo.path for photo in photos], jobs)
    with progress(len(photos), wanted=not quiet) as advance:
        for one in in_order(make, photos, processes):
            yield one
            advance()


def conclude(answer: Answer, missed: list[Reason], unreadable: int) -> None:
    """Verdict and exit code; a missed limit weighs more than files that are no images."""
    answer.verdict = "evaluated"
    if unreadable:
        answer.verdict, answer.exit_code = "partial", ExitCode.PARTIAL
        answer.notes.append(f"{unreadable} of the files cannot be read as images; see --json")
    if missed:
        answer.verdict, answer.exit_code = "gate_missed", ExitCode.NO_MATCH
        answer.reasons = missed
