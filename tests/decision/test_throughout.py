"""One face throughout a clip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.decision.space import AS_STORED
from facauth.decision.throughout import require_one_face, weakest_link
from facauth.errors import UnusableImage
from facauth.structs import Encoding


def encoding(*parts: float) -> Encoding:
    vector = np.zeros(256, np.float32)
    vector[: len(parts)] = parts
    return Encoding("test/1", vector / np.linalg.norm(vector))


def test_one_photo_is_one_face() -> None:
    require_one_face([encoding(1)], AS_STORED)


def test_a_head_that_turns_is_one_face() -> None:
    """Its last frame has nothing in common with the first, but much with the one before."""
    angles = np.linspace(0, np.pi / 2, 5)
    frames = [encoding(float(np.cos(a)), float(np.sin(a))) for a in angles]
    assert abs(float(frames[0].vector @ frames[-1].vector)) < 1e-6
    require_one_face(frames, AS_STORED)


def test_two_people_are_not() -> None:
    for mixed in ([encoding(1)] * 11 + [encoding(0, 1)], [encoding(1), encoding(0, 1)] * 6):
        with pytest.raises(UnusableImage) as refusal:
            require_one_face(mixed, AS_STORED)
        assert refusal.value.reasons[0].code == "clip.face_changes"


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_link_is_that_of_the_best_tree(faces: int, seed: int) -> None:
    """All faces hang together at the link, and do not at anything above it."""
    dice = np.random.default_rng(seed)
    alike = dice.uniform(-1, 1, (faces, faces)).astype(np.float32)
    alike = np.maximum(alike, alike.T)
    link = weakest_link(alike)
    assert joined(alike >= link)
    if faces > 1:
        assert not joined(alike > link)


def joined(linked: NDArray[np.bool_]) -> bool:
    reached = {0}
    while more := {b for a in reached for b in np.flatnonzero(linked[a]).tolist()} - reached:
        reached |= more
    return len(reached) == len(linked)


def test_nan_is_no_link() -> None:
    alike = np.ones((4, 4), np.float32)
    alike[1, 2] = np.nan
    assert np.isnan(weakest_link(alike))
