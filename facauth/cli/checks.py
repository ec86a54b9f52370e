"""The command sign-in."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.arguments import (
    ENCODERS,
    LIVENESS,
    Explain,
    Fmr,
    Image,
    Json,
    KeyFile,
    Largest,
    Lenient,
    Quiet,
    StorePath,
    Strict,
    policy_of,
    rate_of,
    require_picture,
    stages,
    unlocked,
)
from facauth.cli.explain import explain
from facauth.cli.output import Answer, answering
from facauth.cli.people import counted
from facauth.decision.match import asked_rate
from facauth.structs import Match, Replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facauth.records.store import Store
    from facauth.spoof.signature import CaptureSignature


def add_to(app: typer.Typer) -> None:
    """The command of this module."""
    app.command("sign-in", short_help="Say who is in a photo, or refuse.")(sign_in)


Claimed = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Compare with this person only.", show_default=False),
]
SkipLiveness = Annotated[
    bool,
    typer.Option(
        "--skip-liveness",
        help="For checking scans: accept photos of photos, though not of an enrolled one.",
    ),
]


def sign_in(
    image: Image,
    claimed: Claimed = None,
    fmr: Fmr = None,
    largest: Largest = False,
    strict: Strict = False,
    lenient: Lenient = False,
    skip_liveness: SkipLiveness = False,
    explanation: Explain = None,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the name of the person in IMAGE, or refuse.

    With an R that cannot be promised for so many people it refuses to decide (exit code 2).
    A single photo cannot show whether it is a real photo of the person taken by somebody else.
    """
    with answering("sign-in", as_json=as_json, quiet=quiet) as answer:
        answer.more |= {"error_rate": None, "retry_after_s": None}
        policy = policy_of(answer, strict, lenient, "--skip-liveness" if skip_liveness else None)
        rate = asked_rate(rate_of(fmr), claimed=claimed is not None)
        answer.more["error_rate"] = rate
        require_picture(explanation, [image])
        bound = stages(answer.trace, *LIVENESS, *ENCODERS)
        from facauth import pipeline

        with (
            unlocked(answer, store, key_file) as records,
            explaining_match(explanation, answer, records),
        ):
            match = pipeline.sign_in(
                bound,
                records,
                image,
                claimed,
                policy,
                rate,
                largest=largest,
                skip_liveness=skip_liveness,
            )
            replay = answer.trace.last(Replay)
            compared = replay.compared if replay else 0
            answer.notes += not_compared(records, match.person, compared)
            answer.notes.append(rests_on(rate, match, claimed=claimed is not None))
        answer.verdict, answer.person = "signed_in", match.person
        answer.lines.append(match.person)


def rests_on(rate: float, match: Match, *, claimed: bool) -> str:
    """What the decision is worth, in words."""
    whom = match.person if claimed else "somebody enrolled here"
    return f"1 in {round(1 / rate):,} strangers would pass as {whom}"


@contextmanager
def explaining_match(target: Path | None, answer: Answer, store: Store) -> Iterator[None]:
    """Afterwards, accepted or refused, draw the comparison with the matched person."""
    try:
        yield
    finally:
        if target is not None:
            match, replay = answer.trace.last(Match), answer.trace.last(Replay)
            enrolled = enrolled_as(store, match.person) if match and replay else []
            answer.notes.append(explain(target, answer.trace, enrolled))


def enrolled_as(store: Store, name: str) -> list[CaptureSignature]:
    """What a person's photos are found again by."""
    from facauth.spoof.signature import read_signatures

    return read_signatures(store.signatures(name))


def not_compared(store: Store, name: str, compared: int) -> list[str]:
    """A note where a replay of a person's photos, or some of them, cannot be found."""
    unsigned = store.unsigned(name)
    if not unsigned:
        return []
    whose = f"{counted(unsigned)} of {name}" if compared else name
    return [
        f"no signature of {whose} is stored, so a replay of an enrolled photo is not looked for"
    ]
