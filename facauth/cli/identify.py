"""identify."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facauth.cli.bound import ENCODERS, bound, rate_of, stages
from facauth.cli.options import Call, Jobs, named
from facauth.cli.output import answering, progress
from facauth.cli.tables import csv_lines, on_terminal, table
from facauth.cli.wording import counted
from facauth.envelope import match_fields
from facauth.errors import ExitCode, Reason, UsageProblem, image_name, shown
from facauth.explain import png, write_privately

if TYPE_CHECKING:
    from facauth.envelope import Answer
    from facauth.search import Found, Seen
    from facauth.system import Stages, System


class SearchFormat(StrEnum):
    """Formats of `identify`."""

    TABLE = "table"
    PLAIN = "plain"
    CSV = "csv"
    JSONL = "jsonl"


Pictures = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Pictures, or folders of them.", show_default=False),
]
Format = Annotated[
    SearchFormat | None,
    typer.Option(
        "--format",
        help="Default: table on a terminal, plain (tab-separated) in a pipe; jsonl: one JSON object"
        " for each picture.",
        show_default=False,
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        metavar="OUT",
        help="Write each picture with its boxes and names into this folder.",
        show_default=False,
        parser=named,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--fmr",
        metavar="R",
        envvar="FACAUTH_FMR",
        help="Highest share of strangers' faces that may be taken for somebody; default: 1e-3.",
        show_default=False,
    ),
]
COLUMNS = ("image", "face", "person", "similarity", "left", "top", "width", "height", "remark")
WARNING = "faces were only compared: liveness was not checked, and nobody is authenticated"


def identify(
    call: Call,
    images: Pictures,
    fmr: Rate = None,
    layout: Format = None,
    draw: Draw = None,
    jobs: Jobs = None,
) -> None:
    """Search pictures for enrolled people. This authenticates nobody.

    It compares every face of every picture with everybody enrolled. It checks no liveness and
    counts no attempt, and it finds the person in a photo of a photo, too. To let somebody in, use
    sign-in.

    Exit code 0 means that the search is done, whether or not somebody was found; 8 that some files
    are not images.

    Example: facauth identify holiday/ --format csv > found.csv
    """
    from facauth.batch import photos_in
    from facauth.settings import asked_rate

    with answering(call, "error_rate", "results") as answer:
        rate = asked_rate(rate_of(fmr), claimed=False)
        answer.more["error_rate"] = rate
        pictures = photos_in(images)
        if draw:
            require_folder(draw)
        with bound(call, answer) as system:
            results = list(searched(call, system, pictures, rate, jobs))
            if draw:
                draw_all(system.stages, results, draw)
        report(call, answer, results, layout)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was found in one picture."""

    seen: Seen
    faces: Sequence[Found]

    @property
    def image(self) -> str:
        """For display."""
        return image_name(self.seen.image)

    @property
    def reasons(self) -> Sequence[Reason]:
        """Why the picture was not searched."""
        return self.seen.refusal.reasons if self.seen.refusal else ()

    def fields(self) -> dict[str, Any]:
        """As one of the JSON object's `results`."""
        return {
            "image": self.image,
            "turned_deg": self.seen.turned_deg,
            "faces": [
                {
                    "person": face.person,
                    "box_px": [round(each, 1) for each in face.box_px],
                    "match": match_fields(face.match),
                    "reasons": [asdict(reason) for reason in face.reasons],
                }
                for face in self.faces
            ],
            "reasons": [asdict(reason) for reason in self.reasons],
        }

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each face; one for a picture without faces."""
        if not self.faces:
            why = "; ".join(reason.message for reason in self.reasons) or "no face was found"
            yield (self.image, *[""] * (len(COLUMNS) - 2), why)
        for number, face in enumerate(self.faces, start=1):
            alike = f"{face.match.similarity:.3f}" if face.match else ""
            box = [str(round(each)) for each in face.box_px]
            why = "; ".join(reason.message for reason in face.reasons)
            yield (self.image, str(number), shown(face.person or ""), alike, *box, why)


def searched(
    call: Call, system: System, pictures: Sequence[str], rate: float, jobs: int | None
) -> Iterator[Result]:
    """The result for each picture, in order; several processes find the faces."""
    from facauth.batch import in_order, jobs_for
    from facauth.search import Known, See

    known = Known(system, rate)
    make = partial(See, partial(stages, *ENCODERS))
    with progress(len(pictures), wanted=call.shows_progress) as advance:
        for seen in in_order(make, pictures, jobs_for(pictures, jobs)):
            yield Result(seen, [known.who(face) for face in seen.faces])
            advance()


def report(
    call: Call, answer: Answer, results: Sequence[Result], layout: SearchFormat | None
) -> None:
    """The findings in the wanted form; files that are not images give exit code 8."""
    unread = [result for result in results if result.seen.refusal]
    answer.verdict = "searched"
    answer.notes.append(WARNING)
    if unread:
        message = f"{counted(len(unread), 'file', 'files')} of {len(results)} not searched"
        reason = Reason("search.partial", message, "see why in the list, or use --format jsonl")
        answer.exit_code, answer.reasons = ExitCode.PARTIAL, (reason,)
        answer.verdict = "partial"
    if call.as_json:
        answer.more["results"] = [result.fields() for result in results]
    else:
        answer.lines += listing(results, layout or default_layout())


def default_layout() -> SearchFormat:
    """A table on a terminal, tabs elsewhere."""
    return SearchFormat.TABLE if on_terminal() else SearchFormat.PLAIN


def listing(results: Sequence[Result], layout: SearchFormat) -> list[str]:
    """The lines of the answer."""
    if layout is SearchFormat.JSONL:
        import json

        return [json.dumps(result.fields(), allow_nan=False) for result in results]
    rows = [row for result in results for row in result.rows()]
    if layout is SearchFormat.CSV:
        return csv_lines([COLUMNS, *rows])
    if layout is SearchFormat.PLAIN:
        return ["\t".join(row) for row in rows]
    short = [(image, number, who, alike, why) for image, number, who, alike, *_, why in rows]
    return [table(("Image", "Face", "Person", "Similarity", "Remark"), short)]


# --- pictures ------------------------------------------------------------------------------------


def require_folder(folder: Path) -> None:
    """Make the folder. Raises UsageProblem if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise unwritten(folder, error) from error


def draw_all(pipeline_stages: Stages, results: Sequence[Result], folder: Path) -> None:
    """Write OUT/NAME.png for each picture with faces; pictures of one name get numbers."""
    from facauth.search import redrawn

    used = dict[str, int]()
    for result in results:
        if not result.faces:
            continue
        stem = "stdin" if result.seen.image == "-" else Path(result.seen.image).stem
        used[stem] = used.get(stem, 0) + 1
        target = folder / f"{stem}{f'_{used[stem]}' if used[stem] > 1 else ''}.png"
        try:
            picture = redrawn(pipeline_stages, result.seen.image, result.faces)
            write_privately(target, png(picture))
        except OSError as error:
            raise unwritten(target, error) from error


def unwritten(path: Path, error: OSError) -> UsageProblem:
    """The refusal of a folder that cannot be written."""
    message = f"{shown(path)} cannot be written ({error.strerror})"
    return UsageProblem(Reason("search.unwritable", message, "name another folder with --draw"))
