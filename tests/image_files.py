"""Image files made for tests: by Pillow, or by hand where Pillow cannot write them or would not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, GREY = (220, 30, 40), (30, 180, 60), (40, 60, 200), (130, 130, 130)


def scene(mode: str = "RGB") -> Image.Image:
    """48 x 32: red and green above blue and grey, so that every turn of it looks different."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for corner, colour in zip(
        ((0, 0), (WIDTH // 2, 0), (0, HEIGHT // 2), (WIDTH // 2, HEIGHT // 2)),
        (RED, GREEN, BLUE, GREY),
        strict=True,
    ):
        image.paste(colour, (*corner, corner[0] + WIDTH // 2, corner[1] + HEIGHT // 2))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]
) -> bytes:
    """A PNG made by hand, for what Pillow cannot write or would not."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def rows_of(array: NDArray[Any]) -> bytes:
    """PNG scan lines, each after its filter byte."""
    return b"".join(b"\0" + line.tobytes() for line in array)


def ifd(*entries: tuple[int, int, int, bytes], following: int = 0, tail: bytes = b"") -> bytes:
    """An EXIF directory by hand: (tag, type, count, four bytes) each."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return b"Exif\0\0" + head + body + struct.pack("<I", following) + tail


def short(value: int) -> bytes:
    return struct.pack("<HH", value, 0)


def long(value: int) -> bytes:
    return struct.pack("<I", value)


def tiff(
    width: int,
    height: int,
    body: bytes,
    *,
    bits: int = 8,
    compression: int = 1,
    tile: tuple[int, int] | None = None,
) -> bytes:
    """An RGB TIFF made by hand, of one strip or one tile of any size."""
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: 2, 277: 3, 284: 1}
    start = 8 + 2 + 12 * (len(tags) + (4 if tile else 3)) + 4
    if tile:
        tags |= {322: tile[0], 323: tile[1], 324: start, 325: len(body)}
    else:
        tags |= {273: start, 278: height, 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + body


def patched(data: bytes, marker: bytes, offset: int, values: bytes) -> bytes:
    """`data` with other bytes at a place counted from the marker."""
    at = data.index(marker) + offset
    return data[:at] + values + data[at + len(values) :]


def zeros(size: int) -> bytes:
    """So many zero bytes, deflated."""
    packer, block = zlib.compressobj(9), bytes(2**20)
    body = b"".join(packer.compress(block) for _ in range(size // len(block) + 1))
    return body + packer.flush()
