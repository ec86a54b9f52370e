"""The conversation at the camera: advice, a countdown, prompts; then the pipeline judges.

Frames are held in memory until they are judged, and never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from facauth.challenge import NOT_FOLLOWED, Action
from facauth.cli.options import CAMERA
from facauth.cli.screen import Cue, Screen, screen_for
from facauth.errors import Reason, SetupProblem, UnusableImage
from facauth.faces.camera import BLACK, Camera, is_black, opened
from facauth.faces.footage import Footage, Frame
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.cli.options import Call
    from facauth.settings import QualityLimits
    from facauth.structs import Terms
    from facauth.system import Stages, System

PATIENCE_S = 30  # for a usable face
STEADY = 3  # usable frames in a row before the countdown
HELD_S = 1  # an advice stays at least so long
IDLE_S = 0.25  # between looks where nobody is
COUNTDOWN_S = 3
BETWEEN_S = 2  # to move before the next photo
CHECK_S = 5.0  # of a recording without prompts; see settings.CLIP.min_length_s
# Eye distance over the frame's shorter side. Of eight clips of a head model (tests/moving.py) the
# prompts were found followed in 0 at .032, 2 at .043, 3 at .057, 5 at .071, and 3 to 5 above.
MIN_EYES = 0.05

AHEAD = Cue("prompt", "look at the camera", fields={"action": "look_ahead"})
CHECKING = Cue("checking", "checking")
PROMPTS = {
    Action.LOOK_LEFT: ("look left", ("<-", "←")),
    Action.LOOK_RIGHT: ("look right", ("->", "→")),
    Action.LOOK_UP: ("look up", ("^", "↑")),
    Action.COME_NEARER: ("come nearer", ("", "")),
}
POSES = ("look at the camera", "turn your head a little", "come a bit nearer")
NOBODY = "face.none"
TOO_FAR = Reason("camera.too_far", "the face is too far away for the prompts", "come closer")
# Where the words on a photo do not fit a camera: reason code -> message, advice.
AT_CAMERA = {
    NOBODY: ["no face is seen", "look at the camera"],
    "face.several": ["several faces are seen", "one person at a time"],
    "quality.noise": ["the picture is too noisy", "get more light"],
    "quality.face_inside": ["the face is cut off", "get your whole face into the picture"],
}


class Interrupted(SetupProblem):
    """Ctrl-C before the recording began: as if the attempt had not been made."""


@contextmanager
def uncounted() -> Iterator[None]:
    """Ctrl-C within costs no attempt: the person has seen no prompt, and nothing was judged."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(Reason("interrupted", "interrupted", "start again")) from stop


@contextmanager
def interruptible() -> Iterator[None]:
    """Give Ctrl-C back after the attempt has been closed."""
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt from None


def filmed(stages: Stages, film: Callable[[str], Footage]) -> Stages:
    """The stages on what the camera films, when they ask for it."""
    return replace(stages, film=lambda source: stages.follow(film(source)))


def pictured(stages: Stages, pictures: Mapping[str, Frame]) -> Stages:
    """The stages on these pictures, each as a photo of its own."""
    return replace(stages, film=lambda _: None, decode=lambda source: pictures[source].pixels)


def shown(call: Call) -> Screen:
    """The screen for this call, for a `with`."""
    return screen_for(as_json=call.as_json, quiet=call.quiet)


class Conversation:
    """What the camera and the person before it tell each other."""

    def __init__(self, camera: Camera, screen: Screen, stages: Stages) -> None:
        self._camera, self._screen, self._stages = camera, screen, stages
        self._advised_s = float("-inf")

    def wait_for_face(
        self,
        limits: QualityLimits,
        *,
        judged: bool = True,
        prompted: bool = False,
        patience_s: float = PATIENCE_S,
        idle: Cue | None = None,
    ) -> Frame:
        """Advise until the face is usable; the frame that is. Raises UnusableImage after a while.

        judged: whether liveness will be. prompted: whether movements will be asked for.
        idle: what to show while nobody is there.
        """
        begun, steady = self._camera.now_s, 0
        while True:
            frame = self._look()
            fault = self._fault(frame, limits, judged=judged, prompted=prompted)
            steady = steady + 1 if fault is None else 0
            if steady == STEADY:
                return frame
            if fault is None:
                continue
            self._advise(fault.reasons[0], frame.at_s, idle)
            if frame.at_s - begun >= patience_s:
                raise fault
            if fault.reasons[0].code == NOBODY:
                self.let_pass(IDLE_S)  # a door waits for hours

    def count_down(self) -> None:
        """Say that the recording is about to begin."""
        for left in range(COUNTDOWN_S, 0, -1):
            fields = {"seconds": left}
            self._screen.tell(Cue("countdown", f"look at the camera: {left}", fields=fields))
            self.let_pass(1)

    def let_pass(self, seconds: float) -> None:
        """Show the picture for a while."""
        begun = self._camera.now_s
        while self._look().at_s - begun < seconds:
            pass

    def let_leave(self, seconds: float) -> None:
        """Wait until nobody is seen, for so long at most."""
        begun, faces = self._camera.now_s, True
        while faces and self._camera.now_s - begun < seconds:
            faces = bool(self._stages.sight(self._look().pixels).faces)

    def record(
        self, length_s: float, cue_at: Callable[[float], tuple[Cue, float | None]]
    ) -> Footage:
        """Film for so long. cue_at: what to show at a time, and how much of that is over."""
        frames, first_s = list[Frame](), None
        self._screen.tell(cue_at(0)[0])
        while True:
            frame = self._camera.frame()
            first_s = frame.at_s if first_s is None else first_s
            at_s = frame.at_s - first_s
            if at_s > length_s:
                return Footage(tuple(frames))
            frames.append(Frame(frame.pixels, at_s))
            cue, share = cue_at(at_s)
            self._screen.tell(cue)
            self._screen.show(frame.pixels, share)

    def answer(self, challenge: Challenge) -> Footage:
        """Count down, and film while the person follows the prompts."""
        with uncounted():
            self.count_down()
        try:
            footage = self.record(challenge.length_s, lambda at_s: prompt_at(challenge, at_s))
        except UnusableImage as stopped:  # it counts, as if the person had left
            raise UnusableImage(*stopped.reasons, NOT_FOLLOWED) from stopped
        self._screen.tell(CHECKING)
        return footage

    def take(self, limits: QualityLimits, *, judged: bool) -> list[Frame]:
        """Three good photos, between which the person moves a little."""
        frames = list[Frame]()
        for number, pose in enumerate(POSES, 1):
            fields = {"photo": number, "of": len(POSES)}
            self._screen.tell(Cue("prompt", f"photo {number}: {pose}", fields=fields))
            self.let_pass(BETWEEN_S)
            frames.append(self.wait_for_face(limits, judged=judged))
        return frames

    def _look(self) -> Frame:
        frame = self._camera.frame()
        self._screen.show(frame.pixels)
        return frame

    def _fault(
        self, frame: Frame, limits: QualityLimits, *, judged: bool, prompted: bool
    ) -> UnusableImage | None:
        from facauth import pipeline

        if is_black(frame.pixels):
            return UnusableImage(BLACK)
        still = pictured(self._stages, {CAMERA: frame})
        try:
            found = pipeline.check_quality(still, CAMERA, limits, judged=judged)
        except UnusableImage as fault:
            return UnusableImage(*map(at_camera, fault.reasons))
        eyes_px = found.quality.inter_eye_distance_px if found.quality else 0.0
        near = eyes_px >= MIN_EYES * min(frame.pixels.shape[:2])
        return UnusableImage(TOO_FAR) if prompted and not near else None

    def _advise(self, reason: Reason, now_s: float, idle: Cue | None) -> None:
        if idle is not None and reason.code == NOBODY:
            self._screen.tell(idle)
        elif now_s - self._advised_s >= HELD_S:
            self._screen.tell(Cue("advice", str(reason), fields=asdict(reason)))
            self._advised_s = now_s


def at_camera(reason: Reason) -> Reason:
    """The reason in words that fit a camera."""
    return Reason(reason.code, *AT_CAMERA.get(reason.code, [reason.message, reason.advice]))


def prompt_at(challenge: Challenge, at_s: float) -> tuple[Cue, float | None]:
    """What to show at a time of the recording, and how much of it is over."""
    for prompt in challenge.prompts:
        if prompt.from_s <= at_s < prompt.to_s:
            words, arrows = PROMPTS[prompt.action]
            times = {"from_s": prompt.from_s, "to_s": prompt.to_s}
            cue = Cue("prompt", words, arrows, {"action": str(prompt.action), **times})
            return cue, (at_s - prompt.from_s) / (prompt.to_s - prompt.from_s)
    return AHEAD, None


@contextmanager
def challenged(
    call: Call, system: System, device: str, asked: Terms
) -> Iterator[tuple[System, Terms]]:
    """For one sign-in: a challenge, and stages that open the camera and film the answer.

    They open it when the attempt asks for the footage: a lock-out is told before.
    """
    with interruptible(), shown(call) as screen:
        challenge = system.store.draw_challenge(asked.claimed)

        def film(_: str) -> Footage:
            with uncounted():
                camera = opened(device)
            with camera:
                talk = Conversation(camera, screen, system.stages)
                with uncounted():
                    screen.tell(AHEAD)
                    talk.wait_for_face(SIGN_IN_QUALITY, prompted=True)
                return talk.answer(challenge)

        stages = filmed(system.stages, film)
        yield replace(system, stages=stages), replace(asked, challenge=challenge.id)


@contextmanager
def photographed(
    call: Call, stages: Stages, device: str, *, judged: bool
) -> Iterator[tuple[Stages, list[str]]]:
    """For an enrolment: stages that know three photos of the camera, and the photos' names."""
    with shown(call) as screen:
        with opened(device) as camera:
            frames = Conversation(camera, screen, stages).take(ENROLMENT_QUALITY, judged=judged)
        screen.tell(CHECKING)
        photos = {f"{CAMERA} photo {number}": frame for number, frame in enumerate(frames, 1)}
        yield pictured(stages, photos), list(photos)


@contextmanager
def recorded(call: Call, device: str | None) -> Iterator[Callable[[Stages], Stages] | None]:
    """For a spoof check: what makes stages film for five seconds without prompts.

    None without a camera.
    """
    if device is None:
        yield None
        return
    with shown(call) as screen:

        def seeing(stages: Stages) -> Stages:
            def film(_: str) -> Footage:
                with opened(device) as camera:
                    talk = Conversation(camera, screen, stages)
                    screen.tell(AHEAD)
                    talk.wait_for_face(SIGN_IN_QUALITY)
                    talk.count_down()
                    footage = talk.record(CHECK_S, lambda at_s: (AHEAD, at_s / CHECK_S))
                screen.tell(CHECKING)
                return footage

            return filmed(stages, film)

        yield seeing
