"""calibrate."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.bound import ENCODERS, stages
from facauth.cli.measuring import encoded_photos
from facauth.cli.options import CacheFile, Call, Jobs, named
from facauth.cli.output import answering
from facauth.cli.tables import lines
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.settings import RATES, local_calibration

if TYPE_CHECKING:
    from facauth.decision.calibration import InForce
    from facauth.envelope import Answer
    from facauth.measure.calibrating import Local
    from facauth.measure.encoded import Encodings

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="Photos as FOLDER/PERSON/IMAGE, of 25 people or more.",
        show_default=False,
        parser=named,
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Show the calibration in force.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Write the calibration to this file and do not use it.",
        show_default=False,
        parser=named,
    ),
]
SHOWN_FMRS = tuple(float(f"1e-{exponent}") for exponent in range(2, 9))


def calibrate(
    call: Call,
    folder: Folder = None,
    show: Show = False,
    out: Out = None,
    cache: CacheFile = None,
    jobs: Jobs = None,
) -> None:
    """Set match thresholds from photos of your own people.

    Error rates are then those of your people and camera, not of the photos that facauth was
    released with. Take the photos as those of a sign-in are taken. Few people prove little: where
    they leave a doubt, the stricter threshold is used. The calibration holds numbers only. It is in
    force until you delete it.

    Example: facauth calibrate portraits/
    """
    with answering(call, "calibration") as answer:
        from facauth.decision.calibration import in_force

        if (folder is None) != show or (show and (out or cache)):
            message = "calibrate takes either a folder or --show"
            raise UsageProblem(Reason("usage", message, "see facauth --help"))
        if folder is None:
            explain(answer, in_force())
        else:
            answer.more["suspects"] = answer.more["failures"] = None
            from facauth.measure.calibrating import require_people
            from facauth.measure.folders import portraits

            target, photos = target_of(out), portraits(folder)
            require_people(len({photo.person for photo in photos}))
            made = partial(stages, *ENCODERS)
            found = encoded_photos(call, made, folder, photos, cache, jobs=jobs)
            make(answer, found, target, in_force=out is None)


def make(answer: Answer, found: Encodings, target: Path, *, in_force: bool) -> None:
    """Calibrate and write the file; raises UsageProblem."""
    from facauth.decision.calibration import Calibration, InForce, fault_of, shipped
    from facauth.measure import calibrating

    made = calibrating.local_map(found.vectors, found.person, shipped())
    when = datetime.now(UTC).isoformat(timespec="seconds")
    document = calibrating.as_document(made, shipped(), when)
    own = InForce(Calibration.of(document), document, target)
    fault = fault_of(own)
    if fault:
        message = f"these photos make no calibration: it {fault}"
        raise UsageProblem(Reason("calibrate.unfit", message, "see whether each shows its person"))
    calibrating.keep(document, target)
    answer.verdict = "calibrated"
    answer.more["calibration"] = fields(own)
    answer.more["suspects"] = suspects_of(made, found)
    answer.more["failures"] = found.failures
    answer.lines += made_lines(own, in_force=in_force)
    answer.notes += [*few(own), *doubts(answer.more["suspects"], len(found.failed))]


def target_of(out: Path | None) -> Path:
    """Where the file is to be; raises UsageProblem or SetupProblem where it cannot be."""
    from facauth.measure.calibrating import require_target

    if out is not None:
        require_target(out)
        return out
    target = local_calibration()
    if target is None:
        message = "this user has no folder for settings"
        raise SetupProblem(Reason("calibrate.no_home", message, "set HOME, or name a file"))
    return target


def suspects_of(made: Local, found: Encodings) -> list[dict[str, Any]]:
    """Pairs of people who may be one, by the names of their folders, the most alike first."""
    falling = sorted(made.suspects.items(), key=lambda pair: -pair[1])
    return [
        {"people": [shown(found.names[each]) for each in pair], "similarity": round(similarity, 4)}
        for pair, similarity in falling
    ]


def made_lines(own: InForce, *, in_force: bool) -> list[str]:
    """What was made, what it changes, and how sure it is."""
    from facauth.decision.calibration import shipped

    path = shown(own.path)
    state = f"in force from now on: {path}" if in_force else f"written to {path}, not in force"
    ours = {row["fmr"]: row["similarity"] for row in shipped().document["rows"][0]["points"]}
    rows = [
        (*cells(row, point)[1:3], f"{ours[point['fmr']]:.4f}", *cells(row, point)[3:])
        for row, point in shown_points(own, (1,))
    ]
    columns = ("Rate", "Similarity", "Shipped", "True rate (95 %)", "Basis")
    low, high = at_verify_fmr(own)["fmr_interval"]
    people, fmr = own.document["people"], RATES.verify_fmr
    return [
        f"calibrated on {people} people, {own.document['photos']} photos; {state}",
        *lines(columns, rows, header=True),
        f"{people} people: at {fmr:.0e} the true rate may be from {low:.1e} to {high:.1e}",
    ]


def few(own: InForce) -> list[str]:
    """Whether the people may as well be as the shipped map has them."""
    from facauth.decision.calibration import shipped

    low, high = at_verify_fmr(own)["interval"]
    if not low <= at_verify_fmr(shipped())["similarity"] <= high:
        return []
    doubt = "the shipped calibration may be right for these people, and this one is stricter only"
    return [f"{doubt} because they are few; add more, or delete it"]


def at_verify_fmr(of: InForce) -> dict[str, Any]:
    """The point of single photos at the default rate of sign-in --as."""
    return next(p for _, p in shown_points(of, (1,)) if p["fmr"] == RATES.verify_fmr)


def doubts(suspects: list[dict[str, Any]], failed: int) -> list[str]:
    """What to look at again."""
    names = [(" and ".join(each["people"]), each["similarity"]) for each in suspects]
    notes = [
        f"{pair} may be one person ({similarity:.4f}); if so, put their photos into one folder and "
        "calibrate again: until then it is too strict"
        for pair, similarity in names
    ]
    if failed:
        notes.append(f"{failed} photos were left out, a sign-in would refuse them; see --json")
    return notes


# ---- the one in force


def explain(answer: Answer, used: InForce) -> None:
    """Source, points, limits and place of a calibration."""
    answer.verdict = "shown"
    answer.more["calibration"] = fields(used)
    of = used.document
    local = used.kind == "local"
    lowest, people = used.calibration.min_fmr, used.supported_people
    advice = (
        "delete it to use the shipped one again"
        if local
        else "facauth calibrate FOLDER makes your own"
    )
    made = f", {of['made'][:10]}, facauth {of['facauth']}" if local else ""
    answer.lines += [
        f"{used.kind} calibration: {used.source}{made}",
        f"encodings: {of['contract']}",
        f"file: {used.file}; {advice}",
        *lines(
            ("Photos", "Rate", "Similarity", "True rate (95 %)", "Basis"),
            [cells(row, point) for row, point in shown_points(used, (1, 2, 3, 5))],
            header=True,
        ),
        f"lowest rate of a comparison: {lowest:.0e}",
        f"at {RATES.identify_fpir:.0e} for a sign-in: enough for {people} people in a store",
    ]


def fields(used: InForce) -> dict[str, Any]:
    """The documented `calibration` object."""
    return {
        "kind": used.kind,
        "file": used.file,
        "supported_people": used.supported_people,
        **used.document,
    }


def shown_points(
    used: InForce, photos: tuple[int, ...]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows with each of their points that text shows: whole powers of ten."""
    return [
        (row, point)
        for row in used.document["rows"]
        for point in row["points"]
        if row["photos"] in photos
        and point["fmr"] in SHOWN_FMRS
        and point["fmr"] >= used.calibration.min_fmr
    ]


def cells(row: dict[str, Any], point: dict[str, Any]) -> tuple[str, ...]:
    """One point of the map."""
    low, high = point["fmr_interval"]
    basis = point["basis"]
    if basis == "measured":
        basis += f", {point['pairs']} pairs of people"
    return (
        str(row["photos"]),
        f"{point['fmr']:.0e}",
        f"{point['similarity']:.4f}",
        f"{low:.1e} to {high:.1e}",
        basis,
    )
