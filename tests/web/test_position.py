"""Where a face is in the oval, in a word."""

from __future__ import annotations

import math

import pytest

from facauth.web.position import position


@pytest.mark.parametrize(
    ("across", "down", "tall", "said"),
    [
        (0.5, 0.5, 0.45, "inside"),
        (0.5, 0.45, 0.3, "inside"),
        (0.5, 0.5, 0.1, "far"),
        (0.1, 0.1, 0.1, "far"),  # nearer first: what is far off moves much by a small step
        (0.5, 0.5, 0.9, "near"),
        (0.3, 0.5, 0.45, "left"),
        (0.7, 0.5, 0.45, "right"),
        (0.5, 0.3, 0.45, "high"),
        (0.5, 0.7, 0.45, "low"),
    ],
)
def test_what_is_wrong_with_the_place(across: float, down: float, tall: float, said: str) -> None:
    assert position(across, down, tall) == said


@pytest.mark.parametrize("at", [(math.nan, 0.5, 0.45), (0.5, math.nan, 0.45), (0.5, 0.5, math.nan)])
def test_no_number_is_not_inside(at: tuple[float, float, float]) -> None:
    assert position(*at) != "inside"
