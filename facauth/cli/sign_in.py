"""sign-in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import ENCODERS, LIVENESS, bound, policy_of, rate_of
from facauth.cli.options import (
    CAMERA,
    Call,
    Device,
    Explain,
    Fmr,
    Images,
    Policy,
    UseCamera,
    device_of,
)
from facauth.cli.output import answering
from facauth.cli.wording import counted, not_compared, rests_on
from facauth.errors import FacauthError, Reason, UsageProblem
from facauth.evidence import Evidence, evidence_of
from facauth.explain import explain, require_picture
from facauth.records import PersonName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facauth.admin import Store
    from facauth.envelope import Answer
    from facauth.structs import Terms
    from facauth.system import System

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


Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Sign in one person after the other, with a line for each, until Ctrl-C. Means"
        " --camera.",
    ),
]


def sign_in(
    call: Call,
    images: Images = None,
    camera: UseCamera = False,
    device: Device = None,
    watch: Watch = False,
    claimed: Claimed = None,
    fmr: Fmr = None,
    policy: Policy = None,
    learn: Learn = False,
    challenge: ChallengeId = None,
    explanation: Explain = None,
) -> None:
    """Print the name of the person in IMAGE or at the camera, or refuse.

    IMAGE is a photo, a clip (MP4, MOV, WebM) or a folder with the frames of a clip, ten a second.
    If you give several photos, all of them must pass and show the same person.

    If --fmr is stricter than facauth can guarantee for this many people, it exits with code 2.
    A photo does not show who took it: another real photo of the person passes. At the camera,
    facauth asks for two movements that nobody can know before.

    Example: facauth sign-in photo.jpg --as "Ada Lovelace"
    """
    from facauth.settings import asked_rate
    from facauth.structs import Terms

    with answering(call, "error_rate", "basis", "retry_after_s", "learned") as answer:
        rate = asked_rate(rate_of(fmr), claimed=claimed is not None)
        answer.more["error_rate"] = rate
        asked = Terms.of(rate, claimed, policy_of(policy), learn=learn, challenge=challenge)
        filming = device_of(images, camera=camera or watch, device=device)
        require_unasked(filming, challenge)
        require_explainable(explanation, images, watch=watch)
        with bound(call, answer, *LIVENESS, *ENCODERS) as system:
            if filming is None:
                judge(answer, system, images or [], asked, explanation)
            elif watch:
                from facauth.cli.watch import watch as watch_door

                watch_door(call, system, filming, asked, at_door, answer)
            else:
                from facauth.cli.camera import challenged

                with challenged(call, system, filming, asked) as (filmed, answering_it):
                    judge(answer, filmed, CAMERA, answering_it, explanation)


def require_unasked(device: str | None, challenge: str | None) -> None:
    """Raises UsageProblem for a challenge of a clip: at the camera facauth draws its own."""
    if device is not None and challenge is not None:
        raise UsageProblem(Reason("usage", "--challenge is for a clip", "leave out --challenge"))


def require_explainable(target: Path | None, images: Sequence[str] | None, *, watch: bool) -> None:
    """Raises UsageProblem unless there is one comparison to draw, and a file to draw it in."""
    if target is not None and watch:
        reason = Reason("usage", "--explain draws one comparison", "leave out --watch")
        raise UsageProblem(reason)
    require_picture(target, images or [])


def at_door(answer: Answer, system: System, asked: Terms) -> None:
    """One sign-in of --watch."""
    judge(answer, system, CAMERA, asked, None)


def judge(
    answer: Answer,
    system: System,
    source: str | Sequence[str],
    asked: Terms,
    explanation: Path | None,
) -> None:
    """Sign in, and let the answer say who it is."""
    from facauth import pipeline
    from facauth.structs import NOTHING_COMPARED

    with explaining_match(explanation, answer, system.store):
        done = pipeline.sign_in(system, source, asked)
        answer.show(done.evidence)
        replay = done.evidence.replay or NOTHING_COMPARED
        unsigned = system.store.person(done.person).unsigned()
        answer.notes += not_compared(done.person, unsigned, replay.compared, replay.older)
        answer.more["basis"] = done.evidence.basis
        answer.notes.append(f"matched at a false match rate of 1 in {round(1 / asked.rate):,}")
        answer.notes += rests_on(done.evidence.basis)
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
