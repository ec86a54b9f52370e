"""Commands that judge a photo: sign-in and spoof-check."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from facauth.cli.arguments import (
    ENCODERS,
    LIVENESS,
    Image,
    Images,
    Json,
    Largest,
    Quiet,
    StorePath,
    stages,
    store_path,
)
from facauth.cli.output import Answer, answering, liveness_fields, quality_fields
from facauth.errors import ExitCode, UnusableImage, UsageProblem
from facauth.records.store import Store
from facauth.structs import Liveness, LiveVerdict, Quality

VERDICT_CODES = {
    LiveVerdict.LIVE: ExitCode.OK,
    LiveVerdict.ATTACK: ExitCode.ATTACK,
    LiveVerdict.CANNOT_JUDGE: ExitCode.UNUSABLE_IMAGE,
}
# Of several images the worst decides: an attack weighs more than a path that does not exist,
# and that more than a photo that cannot be judged.
SEVERITY = (ExitCode.OK, ExitCode.UNUSABLE_IMAGE, ExitCode.USAGE, ExitCode.ATTACK)


def add_to(app: typer.Typer) -> None:
    """The commands of this module, in the order of `--help`."""
    app.command("sign-in", short_help="Say who is in a photo, or refuse.")(sign_in)
    app.command("spoof-check", short_help="Tell live faces from photos of photos.")(spoof_check)


def sign_in(
    image: Image,
    claimed: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="Compare with this person only.", show_default=False
        ),
    ] = None,
    largest: Largest = False,
    skip_liveness: Annotated[
        bool,
        typer.Option("--skip-liveness", help="For checking scans: accept photos of photos."),
    ] = False,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the name of the person in IMAGE, or refuse.

    A single photo cannot show whether it is a real photo of the person taken by somebody else.
    """
    with answering("sign-in", as_json=as_json, quiet=quiet) as answer:
        bound = stages(answer.trace, *LIVENESS, *ENCODERS)
        from facauth import pipeline

        if skip_liveness:
            answer.notes.append("liveness was not checked (--skip-liveness)")
        with Store.open(store_path(store)) as records:
            match = pipeline.sign_in(
                bound,
                records,
                image,
                claimed,
                largest=largest,
                skip_liveness=skip_liveness,
            )
        answer.verdict, answer.person = "signed_in", match.person
        answer.lines.append(match.person)


def spoof_check(
    images: Images,
    largest: Largest = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell whether each IMAGE shows a live face or a photo of a screen or print.

    The exit code is that of the worst image: 3 attack, 2 not a file, 4 cannot judge, 0 live.
    """
    with answering("spoof-check", as_json=as_json, quiet=quiet) as answer:
        answer.more["results"] = None
        bound = stages(answer.trace, *LIVENESS)
        results = [check_one(bound, answer, image, largest) for image in images]
        codes = [ExitCode(result["exit_code"]) for result in results]
        answer.exit_code = max(codes, key=SEVERITY.index)
        worst = results[codes.index(answer.exit_code)]
        answer.verdict = str(worst["verdict"])
        answer.more |= {field: worst[field] for field in ("liveness", "quality", "reasons")}
        answer.more["results"] = results


def check_one(bound: Any, answer: Answer, image: str, largest: bool) -> dict[str, Any]:
    """The result of one image; a photo without a face to speak of cannot be judged."""
    from facauth import pipeline
    from facauth.faces.image import image_name

    liveness: Liveness | None = None
    try:
        liveness = pipeline.check_liveness(bound, image, largest=largest)
        verdict, code = str(liveness.verdict), VERDICT_CODES[liveness.verdict]
        reasons = liveness.reasons
    except (UsageProblem, UnusableImage) as error:
        verdict, code, reasons = "cannot_judge", error.exit_code, error.reasons
    why = f" ({'; '.join(reason.message for reason in reasons)})" if reasons else ""
    answer.lines.append(f"{image_name(image)}: {verdict.replace('_', ' ')}{why}")
    return {
        "image": image_name(image),
        "verdict": verdict,
        "exit_code": int(code),
        "liveness": liveness_fields(liveness),
        "quality": quality_fields(answer.trace.last(Quality) if liveness else None),
        "reasons": [asdict(reason) for reason in reasons],
    }
