"""The challenge: what is drawn, and which poses answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth.challenge import (
    AMBIGUOUS,
    TURNS,
    Action,
    Challenge,
    Prompt,
    basis_of,
    draw,
    followed,
    require_basis,
)
from facauth.errors import UnusableImage
from facauth.settings import CAMERA, CHALLENGE, DEFAULT
from facauth.structs import Basis, Pose

LEFT, RIGHT, UP, NEARER = Action
REST = Pose(0.0, 5.0, 0.6, 100.0)
# A face that does it well, against REST.
DONE: dict[Action, Pose] = {
    LEFT: replace(REST, yaw_deg=40.0, nose_drop=0.7),
    RIGHT: replace(REST, yaw_deg=-30.0),
    UP: replace(REST, nose_drop=0.46),
    NEARER: replace(REST, size_px=140.0),
}
ASKED = Challenge.of("id", (Prompt(LEFT, 1.0, 3.0), Prompt(NEARER, 4.0, 6.0)))
Script = Callable[[float], Pose]


def filmed(script: Script, until_s: float = 6.2, every_s: float = 0.1) -> list[Pose]:
    times = [number * every_s for number in range(round(until_s / every_s) + 1)]
    return [replace(script(at_s), at_s=at_s) for at_s in times]


def doing(*deeds: tuple[Action, float, float]) -> Script:
    """At rest but for these movements, each from one time to another."""

    def script(at_s: float) -> Pose:
        return next((DONE[action] for action, a, b in deeds if a <= at_s < b), REST)

    return script


GOOD = doing((LEFT, 1.5, 2.5), (NEARER, 4.5, 5.5))


def test_who_does_as_asked() -> None:
    assert followed(filmed(GOOD), ASKED)
    assert followed(filmed(GOOD, every_s=0.05), ASKED)


@pytest.mark.parametrize(
    "script",
    {
        "nothing": doing(),
        "the first alone": doing((LEFT, 1.5, 2.5)),
        "the second alone": doing((NEARER, 4.5, 5.5)),
        "the other order": doing((NEARER, 1.5, 2.5), (LEFT, 4.5, 5.5)),
        "the other side": doing((RIGHT, 1.5, 2.5), (NEARER, 4.5, 5.5)),
        "both at once": doing((LEFT, 1.5, 2.0), (NEARER, 2.0, 2.5), (NEARER, 4.5, 5.5)),
        "one too many": doing((LEFT, 1.3, 1.9), (UP, 2.2, 2.8), (NEARER, 4.5, 5.5)),
        "before the prompt": doing((LEFT, 0.3, 0.9), (NEARER, 4.5, 5.5)),
        "too late": doing((LEFT, 3.1, 3.6), (NEARER, 4.5, 5.5)),
        "from before the prompt on": doing((LEFT, 0.8, 2.5), (NEARER, 4.5, 5.5)),
        "not back in time": doing((LEFT, 1.5, 4.2), (NEARER, 4.5, 5.5)),
        "unasked in between": doing((LEFT, 1.5, 2.5), (RIGHT, 3.5, 3.9), (NEARER, 4.5, 5.5)),
        "too short": doing((LEFT, 1.5, 1.6), (NEARER, 4.5, 5.5)),
    }.items(),
    ids=lambda named: named[0],
)
def test_who_does_something_else(script: tuple[str, Script]) -> None:
    assert not followed(filmed(script[1]), ASKED)


@pytest.mark.parametrize("action", Action)
def test_each_movement_is_told_from_the_others(action: Action) -> None:
    for other in Action:
        if other is action:
            continue
        asked = Challenge.of("id", (Prompt(action, 1.0, 3.0), Prompt(other, 4.0, 6.0)))
        assert followed(filmed(doing((action, 1.5, 2.5), (other, 4.5, 5.5))), asked)
        assert not followed(filmed(doing((other, 1.5, 2.5), (action, 4.5, 5.5))), asked)


def test_a_face_that_is_not_there_all_the_time() -> None:
    poses = filmed(GOOD)
    assert not followed([], ASKED)
    assert not followed(poses[:1], ASKED)
    assert not followed([pose for pose in poses if pose.at_s < 5.4], ASKED)  # ends too early
    assert not followed([pose for pose in poses if not 3.0 < pose.at_s < 3.7], ASKED)
    assert not followed([pose for pose in poses if pose.at_s > 0.7], ASKED)
    assert followed([pose for pose in poses if not 3.1 < pose.at_s < 3.5], ASKED)


@pytest.mark.parametrize("name", ["at_s", "yaw_deg", "nose_drop", "size_px"])
def test_nan_follows_nothing(name: str) -> None:
    poses = [replace(pose, **{name: float("nan")}) for pose in filmed(GOOD)]
    assert not followed(poses, ASKED)


@given(st.data())
def test_noise_follows_nothing(data: st.DataObject) -> None:
    """A face that is thrown about at random is never at rest when it should be."""
    seed = data.draw(st.randoms(use_true_random=False))
    poses = filmed(lambda _: Pose(0, seed.uniform(-60, 60), seed.uniform(0.3, 0.9), 100.0))
    assert not followed(poses, ASKED)


def test_what_is_drawn() -> None:
    """Two different movements, one of them a turn, in windows of their own; all pairs come up."""
    seen, starts = set(), set()
    for challenge in (draw() for _ in range(600)):
        first, second = challenge.prompts
        pair = (first.action, second.action)
        seen.add(pair)
        starts.add(first.from_s)
        assert first.action is not second.action
        assert set(pair) & TURNS
        assert pair != AMBIGUOUS
        assert CHALLENGE.start_s[0] - 0.01 <= first.from_s <= CHALLENGE.start_s[1] + 0.01
        assert second.from_s - first.to_s >= CHALLENGE.pause_s[0] - 0.02
        assert challenge.length_s <= 7
        assert Challenge.of_json(challenge.id, challenge.to_json()) == challenge
    assert len(seen) == 10
    assert len(starts) > 20
    assert len({draw().id for _ in range(100)}) == 100


def test_on_what_a_sign_in_rests() -> None:
    assert basis_of([], None) is Basis.STILL
    assert basis_of(filmed(GOOD), None) is Basis.CLIP
    assert basis_of(filmed(GOOD), ASKED) is Basis.CHALLENGE
    for poses in ([], filmed(doing())):
        with pytest.raises(UnusableImage) as refusal:
            basis_of(poses, ASKED)
        assert refusal.value.reasons[0].code == "challenge.not_followed"


def test_what_a_policy_asks_for() -> None:
    for basis in Basis:
        require_basis(basis, DEFAULT)
    require_basis(Basis.CHALLENGE, CAMERA)
    for basis in (Basis.STILL, Basis.CLIP):
        with pytest.raises(UnusableImage):
            require_basis(basis, CAMERA)
