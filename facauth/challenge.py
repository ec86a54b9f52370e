"""The challenge: movements that nobody could prepare, drawn at random for one sign-in.

A movement shows that the pictures were made after the challenge was drawn. It does not show depth:
a bent print makes as much of a turn as a head does (measurements, Challenge). What the pictures
show is for liveness and replay to judge, on every frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from secrets import SystemRandom, token_urlsafe
from statistics import median
from typing import TYPE_CHECKING, Self

from facauth.errors import Reason, UnusableImage
from facauth.settings import CHALLENGE
from facauth.structs import Basis

if TYPE_CHECKING:
    from facauth.settings import ChallengeRules, SpoofPolicy
    from facauth.structs import Pose


class Action(StrEnum):
    """A prompt. Left and right are the person's own; the camera's picture is not mirrored."""

    LOOK_LEFT = "look_left"
    LOOK_RIGHT = "look_right"
    LOOK_UP = "look_up"
    COME_NEARER = "come_nearer"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One movement and its window, in seconds since the first frame."""

    action: Action
    from_s: float  # until then the face looks into the camera
    to_s: float


@dataclass(frozen=True, slots=True)
class Challenge:
    """The prompts of one sign-in."""

    id: str
    prompts: tuple[Prompt, ...]
    length_s: float  # of the clip that answers it
    expires_s: float  # how long it may be answered

    def to_json(self) -> str:
        """The prompts, for the store."""
        return json.dumps([asdict(prompt) for prompt in self.prompts])

    @classmethod
    def of(cls, identifier: str, stored: str, rules: ChallengeRules = CHALLENGE) -> Self:
        """From `to_json`."""
        prompts = tuple(
            Prompt(Action(each["action"]), float(each["from_s"]), float(each["to_s"]))
            for each in json.loads(stored)
        )
        length_s = round(prompts[-1].to_s + rules.end_s, 2)
        return cls(identifier, prompts, length_s, rules.lifetime_s)


def draw(rules: ChallengeRules = CHALLENGE) -> Challenge:
    """Two different prompts, each in a window of its own, by the system's random numbers."""
    dice = SystemRandom()
    prompts = list[dict[str, object]]()
    start_s = dice.uniform(*rules.start_s)
    for action in dice.sample(list(Action), rules.prompts):
        end_s = start_s + rules.window_s
        prompts.append({"action": action, "from_s": round(start_s, 2), "to_s": round(end_s, 2)})
        start_s = end_s + dice.uniform(*rules.pause_s)
    return Challenge.of(token_urlsafe(16), json.dumps(prompts), rules)


MISSING = Reason(
    "challenge.missing",
    "a photo or clip without a challenge is not enough here",
    "sign in with the camera",
)
EXPIRED = Reason(
    "challenge.expired",
    "the challenge is used up, too old, or was drawn for another name or store",
    "start again",
)
NOT_FOLLOWED = Reason(
    "challenge.not_followed",
    "the face did not move as asked",
    "start again, look into the camera, and do each movement when it is asked for",
)


def require_taken(challenge: Challenge | None) -> Challenge:
    """Raises UnusableImage for a challenge that the store does not have, or not any more."""
    if challenge is None:
        raise UnusableImage(EXPIRED)
    return challenge


def basis_of(poses: Sequence[Pose], asked: Challenge | None) -> Basis:
    """On what a sign-in rests. Raises UnusableImage unless a challenge that was given is met."""
    if asked is None:
        return Basis.CLIP if len(poses) > 1 else Basis.STILL
    if not followed(poses, asked):
        raise UnusableImage(NOT_FOLLOWED)
    return Basis.CHALLENGE


def require_basis(basis: Basis, policy: SpoofPolicy) -> None:
    """Raises UnusableImage if the policy asks for a challenge and there was none."""
    if policy.challenge_required and basis is not Basis.CHALLENGE:
        raise UnusableImage(MISSING)


def followed(poses: Sequence[Pose], asked: Challenge, rules: ChallengeRules = CHALLENGE) -> bool:
    """Whether each movement happens in its window, and none happens outside of it.

    Poses are compared with the face's own pose before the first prompt. NaN follows nothing.
    """
    start = [pose for pose in poses if pose.at_s <= asked.prompts[0].from_s]
    if len(start) < rules.min_start_poses or poses[-1].at_s < asked.prompts[-1].to_s - rules.end_s:
        return False
    rest = _Rest.of(start)
    if not _gapless(poses, rules) or not all(rest.holds(pose, rules) for pose in start):
        return False
    return all(_answered(poses, prompt, rest, rules) for prompt in asked.prompts)


def _answered(poses: Sequence[Pose], prompt: Prompt, rest: _Rest, rules: ChallengeRules) -> bool:
    """Whether the face is at rest when the prompt comes, and then makes this movement alone."""
    before = [pose for pose in poses if abs(pose.at_s - prompt.from_s) <= rules.reaction_s / 2]
    within = [pose for pose in poses if prompt.from_s < pose.at_s <= prompt.to_s]
    made = {action: max(map(rest.size(action), within), default=math.nan) for action in Action}
    asked = made.pop(prompt.action)
    return (
        any(rest.holds(pose, rules) for pose in before)
        and asked >= 1
        and all(size < 1 for size in made.values())
    )


def _gapless(poses: Sequence[Pose], rules: ChallengeRules) -> bool:
    times = [0.0, *(pose.at_s for pose in poses)]
    return all(0 <= b - a <= rules.max_gap_s for a, b in pairwise(times))


@dataclass(frozen=True, slots=True)
class _Rest:
    """The face's pose before the first prompt."""

    yaw_deg: float
    pitch_deg: float
    size_px: float

    @classmethod
    def of(cls, poses: Sequence[Pose]) -> Self:
        """The median of each number."""
        return cls(
            median(pose.yaw_deg for pose in poses),
            median(pose.pitch_deg for pose in poses),
            median(pose.size_px for pose in poses),
        )

    def size(self, action: Action, rules: ChallengeRules = CHALLENGE) -> Callable[[Pose], float]:
        """How large a movement a pose is; from 1 on it counts as made."""
        return {
            Action.LOOK_LEFT: lambda pose: (pose.yaw_deg - self.yaw_deg) / rules.min_turn_deg,
            Action.LOOK_RIGHT: lambda pose: (self.yaw_deg - pose.yaw_deg) / rules.min_turn_deg,
            Action.LOOK_UP: lambda pose: (pose.pitch_deg - self.pitch_deg) / rules.min_up_deg,
            Action.COME_NEARER: lambda pose: (
                math.log(pose.size_px / self.size_px) / math.log(rules.min_nearer)
            ),
        }[action]

    def holds(self, pose: Pose, rules: ChallengeRules) -> bool:
        """Whether a pose is still this one."""
        return all(self.size(action)(pose) < rules.max_rest for action in Action)
