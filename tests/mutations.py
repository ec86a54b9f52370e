"""Whole images of every kind, and what damages them; for tests and for benchmarks/fuzz.py."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from image_files import saved
from PIL import Image, ImageCms

FACES = Path(__file__).parent / "faces"
SAMPLES = FACES.parents[1] / "sample_images"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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
        "heic": (FACES / "scene.heic").read_bytes(),
        "heic transparent": (FACES / "scene_transparent.heic").read_bytes(),
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
