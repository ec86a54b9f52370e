"""calibrate."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.bound import ENCODERS, stages
from facauth.cli.measuring import encoded_photos
from facauth.cli.options import CacheFile, Call, Groups, Jobs, named
from facauth.cli.output import answering
from facauth.cli.tables import lines
from facauth.defaults import local_calibration
from facauth.errors import Reason, SetupProblem, UsageProblem, shown

if TYPE_CHECKING:
    from facauth.decision.calibration import InForce
    from facauth.envelope import Answer
    from facauth.measure.encoded import Encodings
    from facauth.measure.local import Local

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="Photos of at least 25 people, as FOLDER/PERSON/IMAGE.",
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
LISTED_FMRS = tuple(float(f"1e-{exponent}") for exponent in range(2, 9))


def calibrate(
    call: Call,
    folder: Folder = None,
    show: Show = False,
    out: Out = None,
    groups: Groups = None,
    cache: CacheFile = None,
    jobs: Jobs = None,
) -> None:
    """Set match thresholds from photos of your own people.

    The thresholds then fit your people and your camera. The shipped ones fit the photos that
    facauth was measured on. Take the photos as sign-in photos are taken. With few people the
    interval is wide, and the stricter threshold is used. With groups, each group of 25 people or
    more is measured, and the strictest threshold is used. Without groups, no threshold gets looser
    than the shipped one. The calibration holds numbers and the names of groups. It is in force
    until you delete it.

    Example: facauth calibrate portraits/
    """
    with answering(call, "calibration") as answer:
        from facauth.decision.calibration import in_force

        if (folder is None) != show or (show and (out or cache or groups)):
            message = "calibrate takes either a folder or --show"
            raise UsageProblem(Reason("usage", message, "give a folder, or --show alone"))
        if folder is None:
            show_calibration(answer, in_force())
        else:
            answer.more["suspects"] = answer.more["failures"] = None
            from facauth.measure.groups import grouped
            from facauth.measure.local import require_people

            target = target_of(out)
            photos, group_of = grouped(folder, groups)
            require_people(len({photo.person for photo in photos}))
            make_stages = partial(stages, *ENCODERS)
            encodings = encoded_photos(call, make_stages, folder, photos, cache, jobs=jobs)
            make(answer, encodings, target, group_of, in_force=out is None)


def make(
    answer: Answer,
    encodings: Encodings,
    target: Path,
    group_of: dict[str, str] | None,
    *,
    in_force: bool,
) -> None:
    """Calibrate and write the file; raises UsageProblem."""
    from facauth.decision.calibration import Calibration, InForce, fault_of, shipped
    from facauth.measure import local

    group = None if group_of is None else [group_of.get(file) for file in encodings.files]
    made = local.local_map(encodings.vectors, encodings.person, shipped(), group)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    document = local.as_document(made, shipped(), when)
    own = InForce(Calibration.of(document), document, target)
    fault = fault_of(own)
    if fault:
        message = f"no usable calibration can be made from these photos: it {fault}"
        raise UsageProblem(
            Reason("calibrate.unfit", message, "check that each folder shows one person")
        )
    local.keep(document, target)
    answer.verdict = "calibrated"
    answer.more["calibration"] = fields(own)
    answer.more["suspects"] = suspects_of(made, encodings)
    answer.more["failures"] = encodings.failures
    answer.lines += result_lines(own, in_force=in_force)
    answer.notes += [*few(own), *small(made.few)]
    answer.notes += doubts(answer.more["suspects"], len(encodings.failed))


def target_of(out: Path | None) -> Path:
    """The file to write; raises UsageProblem or SetupProblem if it cannot be written."""
    from facauth.measure.local import require_target

    if out is not None:
        require_target(out)
        return out
    target = local_calibration()
    if target is None:
        message = "this user has no folder for settings"
        raise SetupProblem(Reason("calibrate.no_home", message, "set HOME, or use --out"))
    return target


def suspects_of(local: Local, encodings: Encodings) -> list[dict[str, Any]]:
    """Pairs of folders that may show one person, the most alike first."""
    most_alike_first = sorted(local.suspects.items(), key=lambda pair: -pair[1])
    return [
        {
            "people": [shown(encodings.names[person]) for person in pair],
            "similarity": round(similarity, 4),
        }
        for pair, similarity in most_alike_first
    ]


def result_lines(own: InForce, *, in_force: bool) -> list[str]:
    """The new thresholds beside the shipped ones, with their intervals."""
    from facauth.decision.calibration import shipped
    from facauth.settings import RATES

    path = shown(own.path)
    state = f"in force from now on: {path}" if in_force else f"written to {path}, not in force"
    ours = {row["fmr"]: row["similarity"] for row in shipped().document["rows"][0]["points"]}
    rows = [
        (*cells(row, point)[1:3], f"{ours[point['fmr']]:.4f}", *cells(row, point)[3:])
        for row, point in listed_points(own, (1,))
    ]
    columns = ("Rate", "Similarity", "Shipped", "True rate (95 %)", "Basis")
    low, high = at_verify_fmr(own)["fmr_interval"]
    people, fmr = own.document["people"], RATES.verify_fmr
    return [
        f"calibrated on {people} people, {own.document['photos']} photos; {state}",
        *lines(columns, rows, header=True),
        f"with {people} people the true rate at {fmr:.0e} may be from {low:.1e} to {high:.1e}",
    ]


def few(own: InForce) -> list[str]:
    """A note if the shipped threshold lies in the interval of this calibration."""
    from facauth.decision.calibration import shipped

    low, high = at_verify_fmr(own)["interval"]
    if not low <= at_verify_fmr(shipped())["similarity"] <= high:
        return []
    doubt = "the shipped calibration may fit these people; this one is stricter only because they"
    return [f"{doubt} are few; add people, or delete this calibration"]


def small(groups: dict[str, int]) -> list[str]:
    """Groups that could not be measured by themselves."""
    return [
        f"the group {shown(name)} has {people} people with usable photos, too few to be measured; "
        "its error rate is not known"
        for name, people in groups.items()
    ]


def at_verify_fmr(calibration: InForce) -> dict[str, Any]:
    """The point of single photos at the default rate of sign-in --as."""
    from facauth.settings import RATES

    return next(
        point for _, point in listed_points(calibration, (1,)) if point["fmr"] == RATES.verify_fmr
    )


def doubts(suspects: list[dict[str, Any]], failed: int) -> list[str]:
    """Notes on photos to check."""
    pairs = [(" and ".join(pair["people"]), pair["similarity"]) for pair in suspects]
    notes = [
        f"{pair} may be one person ({similarity:.4f}); if so, put their photos into one folder and "
        "calibrate again; until then the calibration is too strict"
        for pair, similarity in pairs
    ]
    if failed:
        notes.append(
            f"{failed} photos were left out because a sign-in would refuse them; see --json"
        )
    return notes


# ---- the calibration in force


def show_calibration(answer: Answer, used: InForce) -> None:
    """Add the source, points, limits and file of a calibration."""
    from facauth.settings import RATES

    answer.verdict = "shown"
    answer.more["calibration"] = fields(used)
    document = used.document
    local = used.kind == "local"
    lowest, people = used.calibration.min_fmr, used.supported_people
    advice = (
        "delete it to use the shipped one again"
        if local
        else "facauth calibrate FOLDER makes your own"
    )
    made = f", {document['made'][:10]}, facauth {document['facauth']}" if local else ""
    answer.lines += [
        f"{used.kind} calibration: {used.source}{made}",
        f"encodings: {document['contract']}",
        f"file: {used.file}; {advice}",
        *lines(
            ("Photos", "Rate", "Similarity", "True rate (95 %)", "Basis"),
            [cells(row, point) for row, point in listed_points(used, (1, 2, 3, 5))],
            header=True,
        ),
        *group_lines(used),
        f"lowest false match rate of one comparison: {lowest:.0e}",
        f"a store may hold {people} people for sign-ins at {RATES.identify_fpir:.0e}",
    ]


def group_lines(used: InForce) -> list[str]:
    """The rates of each group that the calibration was measured on."""
    measured = used.document.get("groups", [])
    columns = ("Group", "Photos", "Rate", "FMR (95 %)", "Pairs", "FNMR (95 %)", "People")
    rows = [
        (
            each["group"],
            str(each["photos"]),
            f"{each['asked_fmr']:.0e}",
            "{:.1e} ({:.1e} to {:.1e})".format(each["fmr"], *each["fmr_interval"]),
            f"{each['matched']} of {each['pairs']}",
            "{:.2%} ({:.2%} to {:.2%})".format(each["fnmr"], *each["fnmr_interval"]),
            str(each["people"]),
        )
        for each in measured
    ]
    return lines(columns, rows, header=True) if rows else []


def fields(used: InForce) -> dict[str, Any]:
    """The documented `calibration` object."""
    return {
        "kind": used.kind,
        "file": used.file,
        "supported_people": used.supported_people,
        **used.document,
    }


def listed_points(
    used: InForce, photos: tuple[int, ...]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The points of rows that the text output lists: whole powers of ten."""
    return [
        (row, point)
        for row in used.document["rows"]
        for point in row["points"]
        if row["photos"] in photos
        and point["fmr"] in LISTED_FMRS
        and point["fmr"] >= used.calibration.min_fmr
    ]


def cells(row: dict[str, Any], point: dict[str, Any]) -> tuple[str, ...]:
    """One point of the map."""
    low, high = point["fmr_interval"]
    basis = point["basis"]
    if basis == "measured":
        basis += f", {point['pairs']} pairs of people"
    if "group" in point:
        basis += f" ({shown(point['group'])})"
    return (
        str(row["photos"]),
        f"{point['fmr']:.0e}",
        f"{point['similarity']:.4f}",
        f"{low:.1e} to {high:.1e}",
        basis,
    )
