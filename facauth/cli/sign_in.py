"""sign-in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import ENCODERS, LIVENESS, bound, policy_of, rate_of
from facauth.cli.options import Call, Explain, Fmr, Image, Policy
from facauth.cli.output import answering
from facauth.cli.wording import counted, not_compared
from facauth.errors import FacauthError
from facauth.evidence import Evidence, evidence_of
from facauth.explain import explain, require_picture
from facauth.settings import asked_rate
from facauth.structs import NOTHING_COMPARED, PersonName, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facauth.admin import Store
    from facauth.envelope import Answer

Claimed = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Compare with this person only.", show_default=False),
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn", help="Add this photo to the person's photos if nothing about it is in doubt."
    ),
]

ChallengeId = Annotated[
    str | None,
    typer.Option(
        "--challenge",
        metavar="ID",
        help="The challenge that the clip answers; see facauth challenge.",
        show_default=False,
    ),
]


def sign_in(
    call: Call,
    image: Image,
    claimed: Claimed = None,
    fmr: Fmr = None,
    policy: Policy = None,
    learn: Learn = False,
    challenge: ChallengeId = None,
    explanation: Explain = None,
) -> None:
    """Print the name of the person in IMAGE, or refuse.

    IMAGE is a photo, a clip (MP4, MOV, WebM) or a folder of frames, ten a second.

    If --fmr is stricter than facauth can guarantee for this many people, it exits with code 2.
    A photo does not show who took it: another real photo of the person passes.

    Example: facauth sign-in photo.jpg --as "Ada Lovelace"
    """
    with answering(call, "error_rate", "basis", "retry_after_s", "learned") as answer:
        rate = asked_rate(rate_of(fmr), claimed=claimed is not None)
        answer.more["error_rate"] = rate
        asked = Terms.of(rate, claimed, policy_of(policy), learn=learn, challenge=challenge)
        require_picture(explanation, [image])
        with (
            bound(call, answer, *LIVENESS, *ENCODERS) as system,
            explaining_match(explanation, answer, system.store),
        ):
            from facauth import pipeline

            done = pipeline.sign_in(system, image, asked)
            answer.show(done.evidence)
            replay = done.evidence.replay or NOTHING_COMPARED
            unsigned = system.store.person(done.person).unsigned()
            answer.notes += not_compared(done.person, unsigned, replay.compared, replay.older)
            answer.more["basis"] = done.evidence.basis
            answer.notes.append(f"matched at a false match rate of 1 in {round(1 / asked.rate):,}")
        answer.verdict, answer.person = "signed_in", done.person
        answer.lines.append(done.person)
        note_learned(answer, done.person)


@contextmanager
def explaining_match(target: Path | None, answer: Answer, store: Store) -> Iterator[None]:
    """On exit, accepted or refused, draw the comparison with the matched person's photos."""
    try:
        yield
    except FacauthError as refusal:
        draw(target, answer, (*evidence_of(refusal), Evidence())[0], store)
        raise
    draw(target, answer, answer.evidence, store)


def draw(target: Path | None, answer: Answer, found: Evidence, store: Store) -> None:
    """Draw the comparison into `target`, if there is one."""
    from facauth import admin

    if target is not None:
        match, replay = found.match, found.replay
        enrolled = []
        if match and replay:
            enrolled = admin.signatures(store, PersonName.parse(match.person))
        answer.notes.append(explain(target, found, enrolled))


def note_learned(answer: Answer, name: str) -> None:
    """Add the result of --learn, if there is one."""
    learned = answer.evidence.learned
    if learned is None:
        return
    answer.more["learned"] = asdict(learned)
    answer.notes += [f"not learned: {reason}" for reason in learned.reasons]
    if learned.photos is not None:
        answer.notes.append(f"learned: {name} now has {counted(learned.photos)}")
