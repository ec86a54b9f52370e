"""sign-in --watch: one person after the other, a line for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from facauth.cli.camera import Conversation, filmed, interruptible, shown
from facauth.cli.output import say, say_json
from facauth.cli.screen import Cue
from facauth.envelope import Answer, envelope
from facauth.errors import Attack, Conflict, ExitCode, LockedOut, NoMatch, UnusableImage
from facauth.faces.camera import opened
from facauth.settings import SIGN_IN_QUALITY

if TYPE_CHECKING:
    from facauth.cli.options import Call
    from facauth.faces.footage import Footage
    from facauth.structs import Terms
    from facauth.system import System

REST_S = 3  # at most, until the person has left
UNTIL_UNLOCKED_S = 30  # before the next try where only an operator can unlock
FOREVER = float("inf")
WAITING = Cue("waiting", "look at the camera to sign in")

SignIn = Callable[[Answer, "System", "Terms"], None]


def watch(
    call: Call, system: System, device: str, asked: Terms, sign_in: SignIn, template: Answer
) -> NoReturn:
    """Sign in whoever comes, until Ctrl-C.

    Raises SetupProblem, UsageProblem and UnusableImage where going on would not help.
    """
    with interruptible(), opened(device) as camera, shown(call) as screen:
        talk = Conversation(camera, screen, system.stages)
        while True:
            screen.tell(WAITING)
            talk.wait_for_face(SIGN_IN_QUALITY, prompted=True, patience_s=FOREVER, idle=WAITING)
            answer = Answer(template.command, more=dict(template.more))
            locked_s = attempt(talk, system, asked, sign_in, answer)
            line = line_of(answer)
            with screen.aside():
                if call.as_json:
                    say_json(envelope(answer))
                else:
                    say(line)
            screen.tell(Cue("result", line, fields={"verdict": answer.verdict}))
            if locked_s:
                talk.let_pass(locked_s)
            talk.let_leave(REST_S)


def attempt(
    talk: Conversation, system: System, asked: Terms, sign_in: SignIn, answer: Answer
) -> float:
    """One sign-in, told by the answer; for how many seconds nobody can sign in now."""
    begun = False

    def film(_: str) -> Footage:
        nonlocal begun
        begun = True
        return talk.answer(challenge)

    try:
        challenge = system.store.draw_challenge(asked.claimed)
        at_door = replace(system, stages=filmed(system.stages, film))
        sign_in(answer, at_door, replace(asked, challenge=challenge.id))
    except (NoMatch, Attack, UnusableImage, LockedOut, Conflict) as refusal:
        if isinstance(refusal, Conflict) and asked.claimed is not None:
            raise  # the person that everybody is compared with is not enrolled
        answer.refuse(refusal)
        # A lock-out after the filming is of one person; others may go on.
        if isinstance(refusal, LockedOut) and not begun:
            return refusal.retry_after_s or UNTIL_UNLOCKED_S
    return 0.0


def line_of(answer: Answer) -> str:
    """The result, for people and simple scripts."""
    if answer.exit_code is ExitCode.OK:
        return f"signed in: {answer.person}"
    return f"refused: {'; '.join(reason.message for reason in answer.reasons)}"
