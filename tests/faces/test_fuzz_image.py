"""Damaged images: decoding gives pixels or refuses, and does nothing else."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from facauth.errors import FacauthError, SetupProblem, UnusableImage
from facauth.faces.image import decode
from facauth.settings import IMAGE

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "sample_images"
MUTATIONS = 400  # of each seed
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module", autouse=True)
def small_limit() -> Iterator[None]:
    """A mutated header may ask for the largest image allowed, which would take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facauth.faces.image.IMAGE", replace(IMAGE, max_pixels=250_000))
        patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # decode sets it
        yield


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def seeds() -> dict[str, bytes]:
    """Whole images of every kind, small enough that a byte more or less matters."""
    with Image.open(SAMPLES / "hopper_1984.jpg") as photo:
        face = photo.convert("RGB").resize((24, 28))
    other, clear = face.transpose(Image.Transpose.ROTATE_180), face.convert("RGBA")
    clear.putalpha(100)
    tags = Image.Exif()
    tags[0x0112] = 6
    tags.get_ifd(0x8769)[0x9003] = "2026:11:22 12:00:00"
    both: dict[str, Any] = {"save_all": True, "append_images": [other]}
    lzw = saved(face, "TIFF", compression="tiff_lzw", **both)  # first: JPEG leaves settings behind
    full: dict[str, Any] = {"exif": tags, "icc_profile": SRGB}
    return {
        "jpeg": saved(face, "JPEG"),
        "jpeg with everything": saved(face, "JPEG", progressive=True, **full),
        "jpeg cmyk": saved(face.convert("CMYK"), "JPEG"),
        "mpo": saved(face, "MPO", **both),
        "png": saved(face, "PNG"),
        "png with everything": saved(clear, "PNG", **full),
        "png palette": saved(face.quantize(8), "PNG", transparency=3),
        "png film": saved(face, "PNG", **both),
        "gif": saved(face, "GIF", **both, transparency=3),
        "webp": saved(clear, "WEBP", lossless=True, **full),
        "webp film": saved(face, "WEBP", **both),
        "avif": saved(clear, "AVIF", **full),
        "tiff": saved(face, "TIFF", **full),
        "tiff lzw": lzw,
        "tiff jpeg": saved(face, "TIFF", compression="jpeg"),
        "tiff fax": saved(face.convert("1"), "TIFF", compression="group4"),
        "tiff 16": saved(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)), "TIFF"),
        "bmp": saved(face, "BMP"),
        "bmp palette": saved(face.quantize(8), "BMP"),
        "heic": (HERE / "scene.heic").read_bytes(),
        "heic transparent": (HERE / "scene_transparent.heic").read_bytes(),
    }


SEEDS = seeds()
ODD_BYTES = b"\x00\x01\x7f\x80\xff"
ODD_WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01", b"\x80\0\0\0")


def flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def overwrite(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + 1] = dice.choice(ODD_BYTES).to_bytes()


def overwrite_word(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    data[at : at + 4] = dice.choice(ODD_WORDS)[:: dice.choice((1, -1))]


def delete(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 1, 4, 16, 64))]


def double(data: bytearray, dice: random.Random) -> None:
    at, to = dice.randrange(len(data)), dice.randrange(len(data))
    data[to:to] = data[at : at + dice.choice((1, 4, 16, 64))]


def splice(data: bytearray, dice: random.Random) -> None:
    other = SEEDS[dice.choice(sorted(SEEDS))]
    at = dice.randrange(len(other))
    to = dice.randrange(len(data))
    data[to : to + 32] = other[at : at + 32]


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


MUTATORS = (flip, flip, overwrite, overwrite_word, delete, double, splice, cut)


def mutated(seed: bytes, dice: random.Random) -> bytes:
    """Half of the mutations hit the head of the file, where sizes and offsets are."""
    split = dice.choice((min(256, len(seed)), len(seed)))
    head, tail = bytearray(seed[:split]), seed[split:]
    for _ in range(dice.choice((1, 1, 2, 4))):
        if head:
            dice.choice(MUTATORS)(head, dice)
    return bytes(head) + tail


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


@pytest.mark.parametrize("name", SEEDS)
def test_a_whole_seed_is_an_image(name: str) -> None:
    if name.startswith("heic"):
        pytest.importorskip("pi_heif")
    assert require_sane(SEEDS[name])


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
