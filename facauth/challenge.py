"""The challenge: movements that nobody could prepare, drawn at random for one sign-in.

A movement shows that the pictures were made after the challenge was drawn. It does not show depth:
a bent print makes as much of a turn as a head does (measurements, Challenge). What the pictures
show is for liveness and replay to judge, on every frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise, permutations
from secrets import SystemRandom, token_urlsafe
from typing import TYPE_CHECKING, Self

from facauth.errors import Reason, UnusableImage
from facauth.settings import CHALLENGE

if TYPE_CHECKING:
    from facauth.settings import ChallengeRules, SpoofPolicy
    from facauth.structs import Basis, Pose


class Action(StrEnum):
    """A prompt. Left and right are the person's own; the camera's picture is not mirrored."""

    LOOK_LEFT = "look_left"
    LOOK_RIGHT = "look_right"
    LOOK_UP = "look_up"
    COME_NEARER = "come_nearer"


TURNS = {Action.LOOK_LEFT, Action.LOOK_RIGHT}
AMBIGUOUS = (Action.LOOK_UP, Action.COME_NEARER)


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
    def of(
        cls, identifier: str, prompts: tuple[Prompt, ...], rules: ChallengeRules = CHALLENGE
    ) -> Self:
        """With its length and lifetime."""
        length_s = round(prompts[-1].to_s + rules.end_s, 2)
        return cls(identifier, prompts, length_s, rules.lifetime_s)

    @classmethod
    def of_json(cls, identifier: str, stored: str) -> Self:
        """From `to_json`."""
        prompts = (
            Prompt(Action(each["action"]), float(each["from_s"]), float(each["to_s"]))
            for each in json.loads(stored)
        )
        return cls.of(identifier, tuple(prompts))


def draw(rules: ChallengeRules = CHALLENGE) -> Challenge:
    """Two different prompts, each in a window of its own, by the system's random numbers.

    One of them is a turn: a photo that is moved nearer is the cheapest imitation. The face seems
    larger after it looked up, so that coming nearer never follows directly.
    """
    dice = SystemRandom()
    pairs = [pair for pair in permutations(Action, 2) if set(pair) & TURNS and pair != AMBIGUOUS]
    prompts, start_s = list[Prompt](), dice.uniform(*rules.start_s)
    for action in dice.choice(pairs):
        end_s = start_s + rules.window_s
        prompts.append(Prompt(action, round(start_s, 2), round(end_s, 2)))
        start_s = end_s + dice.uniform(*rules.pause_s)
    return Challenge.of(token_urlsafe(16), tuple(prompts), rules)


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


NO_CLIP = Reason(
    NOT_FOLLOWED.code, "a photo cannot answer a challenge", "give the clip of the movements"
)


def basis_of(poses: Sequence[Pose], asked: Challenge | None) -> Basis:
    """On what a sign-in rests. Raises UnusableImage unless a challenge that was given is met."""
    from facauth.structs import Basis

    if asked is None:
        return Basis.CLIP if len(poses) > 1 else Basis.STILL
    if not followed(poses, asked):
        raise UnusableImage(NOT_FOLLOWED)
    return Basis.CHALLENGE


def require_basis(basis: Basis, policy: SpoofPolicy) -> None:
    """Raises UnusableImage if the policy asks for a challenge and there was none."""
    from facauth.structs import Basis

    if policy.challenge_required and basis is not Basis.CHALLENGE:
        raise UnusableImage(MISSING)


def followed(poses: Sequence[Pose], asked: Challenge, rules: ChallengeRules = CHALLENGE) -> bool:
    """Whether the face makes each movement in its window, and no other one at any time.

    Poses are compared with the face's own before the first prompt. NaN follows nothing.
    """
    first_s, last_s = asked.prompts[0].from_s, asked.prompts[-1].to_s
    start = [pose for pose in poses if pose.at_s <= first_s]
    whole = bool(poses) and poses[-1].at_s >= last_s - rules.max_gap_s and _gapless(poses, rules)
    if not whole or len(start) < rules.min_start_poses:
        return False
    rest, idle_from_s = _Rest.of(start), 0.0
    for prompt in asked.prompts:
        idle = [pose for pose in poses if idle_from_s <= pose.at_s <= prompt.from_s]
        within = [pose for pose in poses if prompt.from_s < pose.at_s <= prompt.to_s]
        ready = bool(idle) and rest.holds(idle[-1], rules)
        if not ready or rest.made(idle, rules) or rest.made(within, rules) != {prompt.action}:
            return False
        idle_from_s = prompt.to_s + rules.grace_s
    return True


def _gapless(poses: Sequence[Pose], rules: ChallengeRules) -> bool:
    times_s = [0.0, *(pose.at_s for pose in poses)]
    return all(0 <= b - a <= rules.max_gap_s for a, b in pairwise(times_s))


@dataclass(frozen=True, slots=True)
class _Rest:
    """The face's pose before the first prompt."""

    yaw_deg: float
    nose_drop: float
    size_px: float

    @classmethod
    def of(cls, poses: Sequence[Pose]) -> Self:
        """The median of each number."""
        from statistics import median

        return cls(
            median(pose.yaw_deg for pose in poses),
            median(pose.nose_drop for pose in poses),
            median(pose.size_px for pose in poses),
        )

    def holds(self, pose: Pose, rules: ChallengeRules) -> bool:
        """Whether a pose is still this one."""
        return (
            abs(pose.yaw_deg - self.yaw_deg) <= rules.max_rest_deg
            and pose.nose_drop / self.nose_drop >= rules.min_rest_nose_drop
            and pose.size_px / self.size_px <= rules.max_rest_nearer
        )

    def made(self, poses: Sequence[Pose], rules: ChallengeRules) -> set[Action]:
        """The movements that are made, each held for a while."""
        return {
            action
            for action in Action
            if _held_s([pose.at_s for pose in poses], [self._is(action, p, rules) for p in poses])
            >= rules.held_s
        }

    def _is(self, action: Action, pose: Pose, rules: ChallengeRules) -> bool:
        turn_deg = pose.yaw_deg - self.yaw_deg
        if action is Action.LOOK_LEFT:
            return turn_deg >= rules.min_turn_deg
        if action is Action.LOOK_RIGHT:
            return turn_deg <= -rules.min_turn_deg
        if not abs(turn_deg) <= rules.min_turn_deg:
            return False
        if action is Action.LOOK_UP:
            return pose.nose_drop / self.nose_drop <= rules.max_up_nose_drop
        return pose.size_px / self.size_px >= rules.min_nearer


def _held_s(times_s: Sequence[float], made: Sequence[bool]) -> float:
    """The longest time for which a movement is made in each frame."""
    longest_s, since_s = 0.0, None
    for at_s, is_made in zip(times_s, made, strict=True):
        since_s = None if not is_made else at_s if since_s is None else since_s
        longest_s = max(longest_s, 0.0 if since_s is None else at_s - since_s)
    return longest_s
