"""evaluate spoof, evaluate replay, evaluate match."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import ENCODERS, LIVENESS, key_access, policy_of, stages
from facauth.cli.measuring import encoded_photos, found_on
from facauth.cli.options import CacheFile, Call, Groups, Jobs, Plot, Policy, named
from facauth.cli.output import answering
from facauth.errors import ExitCode, Reason
from facauth.explain import require_picture

if TYPE_CHECKING:
    from facauth.envelope import Answer

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folders live/ and attack*/, or SOURCE/ folders that hold them.",
        show_default=False,
        parser=named,
    ),
]
Pairs = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|PAIRS.csv",
        help="Folders original/NAME, MEDIUM/NAME, other/NAME/; or a list of pairs.",
        show_default=False,
        parser=named,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Live score from which a face counts as live, from 0 to 1.",
        show_default=False,
    ),
]
MaxApcer = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Highest APCER of the worst species; exit code 1 above it.",
        show_default=False,
    ),
]
MaxBpcer = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Highest BPCER of all live photos; exit code 1 above it.",
        show_default=False,
    ),
]
MaxMissed = Annotated[
    float | None,
    typer.Option(
        "--max-apcer",
        metavar="R",
        help="Highest share of missed recaptures of the worst medium; exit code 1 above it.",
        show_default=False,
    ),
]
MaxAlarms = Annotated[
    float | None,
    typer.Option(
        "--max-bpcer",
        metavar="R",
        help="Highest share of other photos called recaptures; exit code 1 above it.",
        show_default=False,
    ),
]
People = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Photos as PERSON/IMAGE; groups.csv is optional.",
        show_default=False,
        parser=named,
    ),
]
Photos = Annotated[
    int,
    typer.Option(
        "--photos",
        min=1,
        max=100,
        metavar="K",
        help="Enrolment photos per person, for --max-fnmr, --gallery and groups.",
    ),
]
GallerySize = Annotated[
    int | None,
    typer.Option(
        "--gallery",
        min=1,
        metavar="N",
        help="Also measure sign-ins to random galleries of N people.",
        show_default=False,
    ),
]
AtFmr = Annotated[
    float,
    typer.Option(metavar="R", help="False match rate for --max-fnmr and groups."),
]
CountFta = Annotated[
    bool,
    typer.Option("--count-fta", help="Count photos that a sign-in refuses as missed."),
]
MaxFnmr = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Highest FNMR at facauth's threshold; exit code 1 above it.",
        show_default=False,
    ),
]


def spoof(
    call: Call,
    folder: Folder,
    threshold: Threshold = None,
    max_apcer: MaxApcer = None,
    max_bpcer: MaxBpcer = None,
    plot: Plot = None,
    policy: Policy = None,
    jobs: Jobs = None,
) -> None:
    """Measure how often attacks pass as live, and how often live faces are refused.

    Each attack* folder is one species of attack; the folders in it, and in live/, are persons or
    set-ups. APCER and BPCER are shares of the photos that were judged. Photos that could not be
    judged are counted separately, and so are judged photos that are unsure. With --store, each
    attack also tries to sign in to a copy of that store. R is a share from 0 to 1. Exit code 1 if a
    limit is exceeded, 8 if some files are not images.

    Example: facauth evaluate spoof photos/ --max-apcer 0.05
    """
    with answering(call, "evaluation") as answer:
        from facauth.cli import measured
        from facauth.measure import folders, gates, plots
        from facauth.measure import spoof as pad

        gates.require_shares(threshold=threshold, max_apcer=max_apcer, max_bpcer=max_bpcer)
        if plot:
            plots.require_extra()
        store, keys = call.named_store, key_access(call)
        if store:
            pad.require_enrolled(store, keys)
        photos = folders.presentations(folder)
        require_picture(plot, [photo.path for photo in photos])
        used = pad.at_threshold(policy_of(policy), threshold)
        make = partial(stages, *LIVENESS, *ENCODERS * bool(store))
        look = partial(pad.Look, make, used, store, keys)
        trials = list(zip(photos, found_on(call, look, photos, jobs), strict=True))
        found = pad.evaluate(trials)
        answer.more["evaluation"] = measured.spoof_fields(found, used)
        answer.lines += measured.spoof_lines(found, used)
        if plot:
            plots.draw(trials, used.min_live_score, plot)
        conclude(answer, pad.missed(found, max_apcer, max_bpcer), len(found.unreadable))


def replay(
    call: Call,
    source: Pairs,
    max_missed: MaxMissed = None,
    max_alarms: MaxAlarms = None,
    jobs: Jobs = None,
) -> None:
    """Measure how often reuse of an enrolled photo is detected, and how often wrongly.

    MEDIUM/NAME is a picture of original/NAME; other/NAME/ holds other photos of the same person.
    PAIRS.csv has the columns original and recapture (paths relative to it), and optionally medium
    and kind (replay or other). R is a share from 0 to 1. Exit code 1 if a limit is exceeded, 8 if
    some files are not images.

    Example: facauth evaluate replay recaptures/ --max-apcer 0.1
    """
    with answering(call, "evaluation") as answer:
        from facauth.cli import measured
        from facauth.measure import folders, gates
        from facauth.measure import replay as again

        gates.require_shares(max_apcer=max_missed, max_bpcer=max_alarms)
        pairs = folders.pairs(source)
        compared = list(found_on(call, partial(again.Look, stages), pairs, jobs))
        found = again.evaluate(zip(pairs, compared, strict=True))
        answer.more["evaluation"] = measured.replay_fields(found)
        answer.lines += measured.replay_lines(found)
        conclude(answer, again.missed(found, max_missed, max_alarms), len(found.unreadable))


def match(
    call: Call,
    folder: People,
    photos: Photos = 1,
    gallery: GallerySize = None,
    at_fmr: AtFmr = 1e-4,
    max_fnmr: MaxFnmr = None,
    groups: Groups = None,
    count_fta: CountFta = False,
    cache: CacheFile = None,
    plot: Plot = None,
    jobs: Jobs = None,
) -> None:
    """Measure how often strangers match, and how often people fail to match themselves.

    Two results: at thresholds set on these photos, which shows how well the encodings tell
    people apart, and at the thresholds that facauth uses. Every person has the same weight. A CSV
    file of groups has the columns group and person, or group and image (PERSON/IMAGE). Each group
    and the worst are then reported. R is a share from 0 to 1. Exit code 1 if a limit is exceeded,
    8 if some files are not images.

    Example: facauth evaluate match portraits/ --photos 3 --max-fnmr 0.02
    """
    with answering(call, "evaluation") as answer:
        from facauth.cli import measured_match
        from facauth.measure import gates, identification, plots, recognition
        from facauth.measure.groups import grouped

        gates.require_shares(max_fnmr=max_fnmr)
        calibration = stages().calibration()
        calibration.require_supported(at_fmr)
        if plot:
            plots.require_extra()
        portraits, group_of = grouped(folder, groups)
        people = len({portrait.person for portrait in portraits})
        identification.require_gallery(gallery, people, calibration)
        require_picture(plot, [portrait.path for portrait in portraits])
        make = partial(stages, *ENCODERS)
        encodings = encoded_photos(call, make, folder, portraits, cache, jobs=jobs)
        measure = partial(recognition.evaluate, encodings, calibration=calibration, gallery=gallery)
        found = measure(at_fmr=at_fmr, photos=photos, group_of=group_of, count_fta=count_fta)
        answer.more["evaluation"] = measured_match.fields(found)
        answer.lines += measured_match.lines(found)
        answer.notes += measured_match.unknown(found, gallery)
        if plot:
            plots.draw_match(found.rows, photos, plot)
        conclude(answer, recognition.missed(found, max_fnmr), len(found.unreadable))


def conclude(answer: Answer, missed: list[Reason], unreadable: int) -> None:
    """Verdict and exit code; an exceeded limit weighs more than files that are not images."""
    answer.verdict = "evaluated"
    if unreadable:
        answer.verdict, answer.exit_code = "partial", ExitCode.PARTIAL
        message = f"{unreadable} of the files cannot be read as images"
        answer.reasons = [Reason("evaluate.partial", message, "see --json")]
    if missed:
        answer.verdict, answer.exit_code = "gate_missed", ExitCode.NO_MATCH
        answer.reasons = [*answer.reasons, *missed]
