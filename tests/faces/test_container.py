"""Files within every limit of bytes and pixels that would keep a decoder busy for minutes.

Each is made no longer than it must be to be refused; the times in comments are of 64 MB of the
same, before it was refused.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from image_files import chunk, ifd, long, saved, scene, short
from PIL import Image, ImageCms

from facauth.errors import UnusableImage
from facauth.faces.container import TooManyParts, WatchedFile, require_few_scans, scans, values
from facauth.faces.image import decode
from facauth.settings import IMAGE

JPEG, GIF, PNG = (saved(scene(), name) for name in ("JPEG", "GIF", "PNG"))
MANY = IMAGE.max_reads


def refusal(data: bytes) -> str:
    """The reason code with which the bytes are refused."""
    with pytest.raises(UnusableImage) as error:
        decode(data, "photo")
    return error.value.reasons[0].code


def after_start(jpeg: bytes, segments: bytes) -> bytes:
    return jpeg[:2] + segments + jpeg[2:]


def segment(body: bytes, name: int = 0xE1) -> bytes:
    return bytes([0xFF, name]) + struct.pack(">H", len(body) + 2) + body


def after_header(png: bytes, chunks: bytes) -> bytes:
    return png[:33] + chunks + png[33:]


def before_image(gif: bytes, blocks: bytes) -> bytes:
    at = gif.index(b",\0\0\0\0")
    return gif[:at] + blocks + gif[at:]


def tiff_of(tags: dict[int, tuple[int, bytes]], order: str = "<") -> bytes:
    """A TIFF directory by hand: tag -> (size of a value, values), and nothing else."""
    kinds, at, entries, body = {1: 1, 2: 3, 4: 4, 8: 5}, 14 + 12 * len(tags), b"", b""
    for tag, (size, content) in sorted(tags.items()):
        where = struct.pack(order + "I", at + len(body)) if len(content) > 4 else content[:4]
        entries += struct.pack(order + "HHI", tag, kinds[size], len(content) // size)
        entries += where.ljust(4, b"\0")
        body += content if len(content) > 4 else b""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + entries + bytes(4) + body


def strips(count: int) -> bytes:
    """A grey TIFF, 16 pixels wide, in strips of one row, all of which are at the same place."""
    size = {256: 16, 257: count, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    tags = {tag: (4, long(value)) for tag, value in size.items()}
    return tiff_of(tags | {273: (4, long(8) * count), 279: (4, long(16) * count)})


def rle_bmp(body: bytes) -> bytes:
    start = 14 + 40 + 1024
    head = struct.pack("<IHHI", start + len(body), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + head + info + bytes(1024) + body


def crowds() -> dict[str, Callable[[], bytes]]:
    deflated = b"k\0\0" + zlib.compress(bytes(10**6), 9)
    return {
        "jpeg of segments": lambda: after_start(JPEG, segment(b"", 0xE4) * MANY),  # over 60 s
        "jpeg of comments": lambda: after_start(JPEG, segment(b"", 0xFE) * MANY),  # 28 s, 1.1 GB
        "jpeg of fill": lambda: after_start(JPEG, b"\xff" * 2 * MANY),  # over 60 s
        "jpeg of exif": lambda: after_start(JPEG, segment(b"Exif\0\0x") * 65),  # over 60 s
        "jpeg of resources": lambda: after_start(JPEG, segment(b"Photoshop 3.0\0") * 65),  # 5 s
        "png of chunks": lambda: after_header(PNG, chunk(b"aaAa", b"") * MANY),  # over 60 s
        "png of data": lambda: after_header(PNG, chunk(b"IDAT", b"") * MANY),  # 27 s
        "png of profiles": lambda: after_header(PNG, chunk(b"iCCP", deflated) * 65),  # 60 s
        "gif of blocks": lambda: before_image(GIF, b"!\x01" + b"\1x" * MANY + b"\0"),  # 8 s
        "gif of comments": lambda: before_image(GIF, b"!\xfe\1x\0" * MANY),  # 17 s, 2.3 GB
        "gif of nothing": lambda: before_image(GIF, b"\0" * MANY),  # 8 s
        "bmp of runs": lambda: rle_bmp(b"\1\1" * MANY),  # 29 s
        "bmp of steps": lambda: rle_bmp(b"\0\2\0\0" * MANY),  # 18 s
        "tiff of strips": lambda: strips(2**16),  # 43 s, 1.3 GB
        "tiff of fractions": lambda: tiff_of({282: (8, bytes(2**20 + 8))}),  # 21 s, 1 GB
        "tiff of samples": lambda: tiff_of({258: (2, bytes(2**18 + 2))}),
        "tiff of bytes": lambda: tiff_of({273: (1, bytes(2**17 + 1))}),
        "tiff, large": lambda: b"II+\0" + tiff_of({})[4:],
    }


@pytest.mark.parametrize("name", crowds())
def test_too_many_parts(name: str) -> None:
    data = crowds()[name]()
    assert len(data) < IMAGE.max_bytes
    start = time.process_time()
    assert refusal(data) == "image.too_many_parts"
    assert time.process_time() - start < 5


def test_as_many_parts_as_are_allowed() -> None:
    for data in (
        after_start(JPEG, segment(b"", 0xE4) * 50_000),
        after_start(JPEG, segment(b"Exif\0\0") * 64),
        after_header(PNG, chunk(b"aaAa", b"") * 50_000),
        before_image(GIF, b"!\xfe\1x\0" * 50_000),
        strips(30_000),
    ):
        assert decode(data, "photo").ndim == 3


def test_the_watch_counts_reads_and_not_bytes() -> None:
    file = WatchedFile(bytes(2 * MANY))
    assert len(file.read()) == 2 * MANY
    file.seek(0)
    with pytest.raises(TooManyParts):
        for _ in range(MANY):
            file.read(1)
    assert file.tell() == MANY - 1


# --- scans of a JPEG -----------------------------------------------------------------------------


def progressive(mode: str, side: int) -> bytes:
    return saved(Image.new(mode, (side, side)), "JPEG", progressive=True)


def with_scans(jpeg: bytes, more: int) -> bytes:
    """Its last scan, with the tables before it, again and again."""
    last = jpeg[jpeg.rindex(b"\xff\xc4") : -2]
    return jpeg[:-2] + last * more + b"\xff\xd9"


@pytest.mark.parametrize(("mode", "count"), [("L", 6), ("RGB", 10), ("CMYK", 18)])
def test_scans_are_counted(mode: str, count: int) -> None:
    plain = progressive(mode, 64)
    assert scans(plain) == count
    assert scans(with_scans(plain, 100)) == count + 100
    assert scans(plain + b"\xff\xda" * 50) == count  # behind the end
    hidden = after_start(plain, segment(b"\xff\xda" * 50))
    assert scans(hidden) == count  # within metadata
    ended = plain[:-2] + segment(b"\xff\xd9") + plain[plain.rindex(b"\xff\xc4") :]
    assert scans(ended) == count + 1  # an end within metadata is none
    require_few_scans(hidden, IMAGE.max_pixels)


def test_scans_over_a_large_picture() -> None:
    """Each goes over all of it: 10,000 scans (1.4 MB) of 64 megapixels are 12 minutes."""
    large = progressive("L", 4000)
    assert refusal(with_scans(large, 100)) == "image.too_many_parts"
    assert decode(with_scans(large, 20), "photo").shape == (4000, 4000, 3)
    assert decode(with_scans(progressive("L", 16), 10_000), "photo").shape == (16, 16, 3)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff"])
def test_scans_of_next_to_nothing(data: bytes) -> None:
    assert scans(data) <= 1


# --- directories ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_are_counted(order: str) -> None:
    many = struct.pack(order + "I", 7) * 1000
    assert values(tiff_of({273: (4, many), 282: (8, bytes(80))}, order)) == 1010
    assert values(tiff_of({700: (1, bytes(5000)), 34675: (1, bytes(5000))}, order)) == 0


def test_values_of_further_directories_count() -> None:
    within = tiff_of({40000: (8, bytes(8000))})[8:]
    outer = tiff_of({34665: (4, long(26))})
    assert values(outer[:26] + within) == 1000
    assert refusal(tiff_of({34665: (4, long(26))})[:26] + within.replace(long(1000), long(2**31)))


def test_directories_in_a_circle() -> None:
    circle = ifd((0x8769, 4, 1, long(8)), (0x8825, 4, 1, long(8)), (0x0112, 3, 1, short(6)))
    assert values(circle.removeprefix(b"Exif\0\0")) == 1


def test_many_directories_are_not_all_looked_at() -> None:
    """Each of 65,535 entries leads to another directory of as many."""
    head = struct.pack("<2sHI", b"II", 42, 8)
    entries = b"".join(struct.pack("<HHII", 34665, 4, 1, at) for at in range(8, 8 + 65_535))
    start = time.process_time()
    values(head + b"\xff\xff" + entries)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("size", range(14))
def test_values_of_next_to_nothing(size: int) -> None:
    assert values(tiff_of({273: (4, long(8) * 9)})[:size]) == 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_exif_with_too_many_values_is_no_reason_to_refuse(name: str) -> None:
    """A turn that is given as 150,000 fractions (of which Pillow makes objects) is none."""
    count, at = 2**17 + 1, 26
    said = ifd((0x0112, 5, count, long(at)), tail=bytes(8 * count if name != "JPEG" else 0))
    options: dict[str, Any] = {"lossless": True} if name == "WEBP" else {}
    assert decode(saved(scene(), name, exif=said, **options), "photo").shape == (32, 48, 3)


def test_exif_of_avif_is_limited_by_its_size() -> None:
    """Pillow looks into it before anybody could say no: 3 s for 8 MB."""
    count = IMAGE.max_avif_bytes // 8
    said = ifd((0x9999, 5, count, long(26)), tail=bytes(8 * count))
    data = saved(scene(), "AVIF", exif=said).replace(b"\x99\x99\5\0", b"\x12\1\5\0")
    assert refusal(data) == "image.too_large"


# --- colour profiles -----------------------------------------------------------------------------


def profile_of_elements(count: int) -> bytes:
    """sRGB with one step of a calculation, written once and to be done `count` times."""
    grid = bytes([2, 2, 2, *[0] * 13])
    step = b"clut" + bytes(4) + struct.pack(">HH", 3, 3) + grid + struct.pack(">24f", *[0.5] * 24)
    head = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count)
    place = struct.pack(">II", len(head) + 8 * count, len(step))
    base = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (number,) = struct.unpack_from(">I", base, 128)
    table = [struct.unpack_from(">4sII", base, 132 + 12 * each) for each in range(number)]
    tags = [(name, base[at : at + size]) for name, at, size in table if name != b"desc"]
    tags.append((b"D2B0", head + place * count + step))
    index, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags:
        index += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = struct.pack(">I", start + len(body))
    return size + base[4:128] + struct.pack(">I", len(tags)) + index + body


def test_a_profile_that_is_a_long_calculation_is_ignored() -> None:
    """80 KB of it took 19 s, however small the image."""
    data = saved(scene(), "PNG", icc_profile=profile_of_elements(10_000))
    start = time.process_time()
    np.testing.assert_array_equal(decode(data, "photo"), decode(PNG, "photo"))
    assert time.process_time() - start < 2


def test_a_profile_of_megabytes_is_ignored() -> None:
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(scene(), "TIFF", icc_profile=usual + bytes(IMAGE.max_profile_bytes))
    np.testing.assert_array_equal(decode(data, "photo"), decode(PNG, "photo"))


# --- memory --------------------------------------------------------------------------------------


def test_a_side_that_nothing_can_warp() -> None:
    for size in ((40_000, 1), (1, 40_000)):
        assert refusal(saved(Image.new("L", size), "PNG")) == "image.too_many_pixels"
    edge = saved(Image.new("L", (IMAGE.max_side_px, 1)), "PNG")
    assert decode(edge, "photo").shape == (1, IMAGE.max_side_px, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "F", "I;16", "1"])
def test_bands_do_not_show(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is converted in bands of one row is what is converted at once, turned too."""
    grey = np.random.default_rng(7).integers(0, 65536, (23, 31))
    image = (
        Image.fromarray(grey.astype(np.float32 if mode == "F" else np.uint16))
        if mode in ("F", "I;16")
        else Image.fromarray(np.dstack([grey, grey >> 4, grey >> 8]).astype(np.uint8)).convert(mode)
    )
    tags = Image.Exif()
    tags[0x0112] = 6
    data = saved(image, "TIFF" if mode in ("CMYK", "F") else "PNG", exif=tags)
    whole = decode(data, "photo")
    monkeypatch.setattr("facauth.faces.image.BAND_PX", 1)
    np.testing.assert_array_equal(decode(data, "photo"), whole)
    assert whole.shape == (31, 23, 3)
    assert np.ptp(whole) > 200
