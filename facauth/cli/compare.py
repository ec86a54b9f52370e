"""compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import ENCODERS, rate_of, stages
from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.cli.spinner import spinning
from facauth.envelope import match_fields
from facauth.errors import STDIN, ExitCode, Reason, UsageProblem

if TYPE_CHECKING:
    from facauth.search import Compared

One = Annotated[str, typer.Argument(metavar="A", help="A photo, or - for stdin.")]
Other = Annotated[str, typer.Argument(metavar="B", help="Another photo.")]


Rate = Annotated[
    float | None,
    typer.Option(
        "--fmr",
        metavar="R",
        envvar="FACAUTH_FMR",
        help="Highest share of pairs of strangers that may pass for one person; default: 1e-4.",
        show_default=False,
    ),
]


def compare(call: Call, one: One, other: Other, fmr: Rate = None) -> None:
    """Tell whether two photos show the same person. This authenticates nobody.

    Needs no store, stores nothing, and checks no liveness. Exit code 0: the same person; 1: not the
    same.

    Example: facauth compare passport.jpg visitor.jpg
    """
    from facauth.settings import asked_rate

    with answering(call, "error_rate", "same_person", "fmr_interval", "as_alike_fmr") as answer:
        rate = asked_rate(rate_of(fmr), claimed=True)
        answer.more["error_rate"] = rate
        if (one, other) == (STDIN, STDIN):
            reason = Reason("usage", "stdin can be read only once", "name a file for A or B")
            raise UsageProblem(reason)
        pipeline_stages = stages(*ENCODERS)
        from facauth import search

        with spinning("comparing", wanted=call.shows_progress):
            found = search.compare(pipeline_stages, (one, other), rate)
        answer.verdict = "compared"
        answer.exit_code = ExitCode.OK if found.same_person else ExitCode.NO_MATCH
        answer.more["same_person"] = found.same_person
        answer.more["fmr_interval"] = [float(f"{end:.3g}") for end in found.fmr_interval]
        answer.more["as_alike_fmr"] = float(f"{found.as_alike_fmr:.3g}")
        answer.more["match"] = match_fields(found.match)
        answer.lines.append("same person" if found.same_person else "not the same person")
        answer.notes += notes(found)


def notes(found: Compared) -> list[str]:
    """The similarity, and the rate it is judged at."""
    match, (low, high) = found.match, found.fmr_interval
    interval = f"95 % interval: {share(low)} to {share(high)}"
    told = [
        f"similarity {match.similarity:.3f}; the threshold is {match.min_similarity:.3f}",
        f"{share(match.fmr)} pairs of strangers pass this threshold ({interval})",
    ]
    if found.as_alike_fmr < 1:
        told.append(f"at most {share(found.as_alike_fmr)} pairs of strangers are this similar")
    return [*told, "liveness was not checked, and nobody is authenticated"]


def share(rate: float) -> str:
    """ "1 in 10,000"."""
    digits = 2 - len(str(round(1 / rate)))
    return f"1 in {round(1 / rate, min(0, digits)):,.0f}"
