"""The command sign-in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
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
from facauth.errors import FacauthError
from facauth.evidence import Evidence, evidence_of
from facauth.settings import asked_rate
from facauth.structs import NOTHING_COMPARED, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facauth.spoof.signature import CaptureSignature
    from facauth.store.store import Store


def add_to(app: typer.Typer) -> None:
    """The command of this module."""
    app.command("sign-in", short_help="Say who is in a photo, or refuse.")(sign_in)


Claimed = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Compare with this person only.", show_default=False),
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn", help="Compare with this photo as well from now on, if nothing is in doubt."
    ),
]


def sign_in(
    image: Image,
    claimed: Claimed = None,
    fmr: Fmr = None,
    strict: Strict = False,
    lenient: Lenient = False,
    learn: Learn = False,
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
        answer.more |= {"error_rate": None, "retry_after_s": None, "learned": None}
        policy = policy_of(answer, strict, lenient)
        rate = asked_rate(rate_of(fmr), claimed=claimed is not None)
        answer.more["error_rate"] = rate
        asked = Terms.of(rate, claimed, policy, learn=learn)
        require_picture(explanation, [image])
        bound = stages(*LIVENESS, *ENCODERS)
        from facauth import pipeline
        from facauth.system import System

        with (
            unlocked(answer, store, key_file) as records,
            explaining_match(explanation, answer, records),
        ):
            done = pipeline.sign_in(System.of(bound, records), image, asked)
            answer.show(done.evidence)
            replay = done.evidence.replay or NOTHING_COMPARED
            answer.notes += not_compared(records, done.person, replay.compared, replay.older)
            answer.notes.append(rests_on(asked, done.person))
        answer.verdict, answer.person = "signed_in", done.person
        answer.lines.append(done.person)
        tell_learned(answer, done.person)


def rests_on(asked: Terms, person: str) -> str:
    """What the decision is worth, in words."""
    whom = "somebody enrolled here" if asked.claimed is None else person
    return f"1 in {round(1 / asked.rate):,} strangers would pass as {whom}"


@contextmanager
def explaining_match(target: Path | None, answer: Answer, store: Store) -> Iterator[None]:
    """Afterwards, accepted or refused, draw the comparison with the matched person."""
    try:
        yield
    except FacauthError as refusal:
        draw(target, answer, (*evidence_of(refusal), Evidence())[0], store)
        raise
    draw(target, answer, answer.evidence, store)


def draw(target: Path | None, answer: Answer, found: Evidence, store: Store) -> None:
    """The comparison, if it is wanted."""
    if target is not None:
        match, replay = found.match, found.replay
        enrolled = enrolled_as(store, match.person) if match and replay else []
        answer.notes.append(explain(target, found, enrolled))


def enrolled_as(store: Store, name: str) -> list[CaptureSignature]:
    """What a person's photos are found again by."""
    from facauth.spoof.signature import read_signatures

    return read_signatures(store.person(name).signatures())


def tell_learned(answer: Answer, name: str) -> None:
    """What came of --learn, if it was asked for."""
    came = answer.evidence.learned
    if came is None:
        return
    answer.more["learned"] = asdict(came)
    answer.notes += [f"not learned: {reason}" for reason in came.reasons]
    if came.photos is not None:
        answer.notes.append(f"learned: {name} now has {counted(came.photos)}")


def not_compared(store: Store, name: str, compared: int, older: int) -> list[str]:
    """Notes where a replay of a person's photos, or some of them, is not found, or less surely.

    compared: stored signatures; older: those of them without an aligned face.
    """
    notes, unsigned = [], store.person(name).unsigned()
    if unsigned:
        whose = f"{counted(unsigned)} of {name}" if compared else name
        notes.append(
            f"no signature of {whose} is stored, so a replay of an enrolled photo is not looked for"
        )
    if older:
        notes.append(
            f"the signature of {counted(older)} of {name} is of an older version, so an edited "
            "copy is found less surely; register again with --replace"
        )
    return notes
