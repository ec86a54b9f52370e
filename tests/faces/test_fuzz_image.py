"""Damaged images: decoding gives pixels or refuses, and does nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import SEEDS, mutated
from PIL import Image

from facauth.errors import FacauthError, SetupProblem, UnusableImage
from facauth.faces.image import decode
from facauth.settings import IMAGE

MUTATIONS = 400  # of each seed


@pytest.fixture(scope="module", autouse=True)
def small_limit() -> Iterator[None]:
    """A mutated header may ask for the largest image allowed, which would take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facauth.faces.image.IMAGE", IMAGE._replace(max_pixels=250_000))
        patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # decode sets it
        yield


def require_sane(data: bytes) -> bool:
    """Whether the bytes were decoded; fails on anything but pixels and refusals."""
    try:
        pixels = decode(data, "photo")
    except FacauthError as error:
        assert isinstance(error, UnusableImage | SetupProblem)
        return False
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert 0 < pixels.size <= 3 * 250_000
    return True


SEVERAL_FRAMES = ("png film", "gif", "webp film", "tiff lzw")


@pytest.mark.parametrize("name", SEVERAL_FRAMES)
def test_a_whole_seed_of_several_frames_is_refused_as_such(name: str) -> None:
    with pytest.raises(UnusableImage) as error:
        decode(SEEDS[name], "photo")
    assert [reason.code for reason in error.value.reasons] == ["image.several_frames"]


@pytest.mark.parametrize("name", [name for name in SEEDS if name not in SEVERAL_FRAMES])
def test_a_whole_seed_is_an_image(name: str) -> None:
    if name.startswith("heic"):
        pytest.importorskip("pi_heif")
    whole = name not in ("png film", "gif", "webp film", "tiff lzw")  # of several frames
    assert require_sane(SEEDS[name]) is whole


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_mutations(name: str) -> None:
    dice = random.Random(f"{name} 2026")
    decoded = [require_sane(mutated(SEEDS[name], dice)) for _ in range(MUTATIONS)]
    assert not all(decoded)


def test_two_files_in_one() -> None:
    for first in SEEDS.values():
        for second in SEEDS.values():
            require_sane(first[: len(first) // 2] + second[len(second) // 2 :])
            require_sane(first + second)


MAGIC = sorted({seed[:16] for seed in SEEDS.values()} | {seed[:4] for seed in SEEDS.values()})


@settings(derandomize=True, deadline=None, max_examples=400, database=None)
@given(st.sampled_from([b"", *MAGIC]), st.binary(max_size=400))
def test_any_bytes(magic: bytes, rest: bytes) -> None:
    require_sane(magic + rest)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(st.sampled_from(sorted(SEEDS)), st.data())
def test_any_bytes_in_the_middle(name: str, data: st.DataObject) -> None:
    seed = SEEDS[name]
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 64)))
    require_sane(seed[:start] + data.draw(st.binary(max_size=64)) + seed[end:])
