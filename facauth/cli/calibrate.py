"""The command that makes thresholds of somebody's own photos, or explains those in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.arguments import Jobs, Json, Quiet
from facauth.cli.evaluate import CacheFile, encoded_photos
from facauth.cli.output import Answer, answering, on_terminal, table
from facauth.cli.paths import named
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.settings import RATES, local_calibration

if TYPE_CHECKING:
    from facauth.decision.calibration import InForce
    from facauth.measure.calibrating import Local
    from facauth.measure.encoded import Encodings

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="FOLDER/PERSON/IMAGE, of many people.",
        show_default=False,
        parser=named,
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Explain the calibration in force.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Write it to this file; it is not in force.",
        show_default=False,
        parser=named,
    ),
]
SHOWN_FMRS = tuple(float(f"1e-{exponent}") for exponent in range(2, 9))


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    short = "Make thresholds of photos of your own people."
    app.command("calibrate", short_help=short)(calibrate)


def calibrate(
    folder: Folder = None,
    show: Show = False,
    out: Out = None,
    cache: CacheFile = None,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how alike the people in FOLDER are to your camera, and sign in by that.

    Error rates are then kept for your people, not for those that facauth was released with. It
    takes photos of 25 people or more, taken as those of a sign-in are. Few people show little:
    where that leaves a doubt, the stricter is taken. What is written holds numbers alone, and is
    in force until you delete it.
    """
    with answering("calibrate", as_json=as_json, quiet=quiet) as answer:
        answer.more["calibration"] = None
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

            target, photos, quietly = target_of(out), portraits(folder), as_json or quiet
            require_people(len({photo.person for photo in photos}))
            made = encoded_photos(folder, photos, cache, jobs=jobs, quiet=quietly)
            make(answer, made, target, in_force=out is None)


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
        *lines(columns, rows),
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
    local = kind_of(used) == "local"
    lowest, people = used.calibration.min_fmr, supported_people(used)
    advice = (
        "delete it to go back to the one shipped"
        if local
        else "facauth calibrate FOLDER makes one of your own"
    )
    made = f", {of['made'][:10]}, facauth {of['facauth']}" if local else ""
    answer.lines += [
        f"{kind_of(used)} calibration: {rests_on(used)}{made}",
        f"encodings: {of['contract']}",
        f"file: {place(used)}; {advice}",
        *lines(
            ("Photos", "Rate", "Similarity", "True rate (95 %)", "Basis"),
            [cells(row, point) for row, point in shown_points(used, (1, 2, 3, 5))],
        ),
        f"lowest rate of a comparison: {lowest:.0e}",
        f"at {RATES.identify_fpir:.0e} for a sign-in: enough for {people} people in a store",
    ]


def kind_of(used: InForce) -> str:
    """Whose it is."""
    return "shipped" if used.path is None else "local"


def rests_on(used: InForce) -> str:
    """The photos it was made of."""
    of = used.document
    return f"{of['source']}, {of['people']} people, {of['photos']} photos"


def fields(used: InForce) -> dict[str, Any]:
    """The documented `calibration` object."""
    return {
        "kind": kind_of(used),
        "file": place(used),
        "supported_people": supported_people(used),
        **used.document,
    }


def place(used: InForce) -> str:
    """Where the file is."""
    from facauth.decision.calibration import FILE

    return shown(used.path or FILE)


def supported_people(used: InForce) -> int:
    """How many a store may hold at the default rate of a sign-in without --as."""
    return int(RATES.identify_fpir / used.calibration.min_fmr * (1 + 1e-9))


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


def lines(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A table on a terminal, tab-separated elsewhere."""
    if on_terminal():
        return [table(columns, rows)]
    return ["\t".join(row) for row in (columns, *rows)]
