"""Images made to hurt: the command line refuses them in one line, in little memory and time.

`register` stands for all commands, which read images in the same way; it answers on stderr alone.
"""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE_S, ROOT, SAMPLES, Facauth
from image_files import chunk, ifd, long, patched, png, saved, scene, short, tiff, zeros
from PIL import Image, ImageCms

from facauth.settings import IMAGE

WIDEST = struct.pack("<HH", 65535, 65535)
MAX_MB = 800.0  # of the whole program, whatever it is given; 130 MB with a usual photo
MAX_S = 20.0  # of processor time on a busy machine; the largest pictures take a third of it
REFUSED, NO_FACE, DAMAGED = "image.", "face.none", "image.damaged"
LARGE, PARTS, FORMAT = "image.too_many_pixels", "image.too_many_parts", "image.format"

HEIC = ROOT / "tests" / "faces" / "scene.heic"

Made = tuple[Callable[[], bytes], str]


def small(kind: str, **options: Any) -> bytes:
    return saved(scene(), kind, **options)


def with_exif(said: bytes) -> bytes:
    jpeg = small("JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(said) + 2) + said + jpeg[2:]


def turned_by(value: bytes, kind: int = 3) -> bytes:
    return with_exif(ifd((0x0112, kind, 1, value)))


def bombs() -> dict[str, Made]:
    """A few kilobytes that claim to be, or become, a lot."""
    rows = zeros(300 * 2**20)
    text, profile = chunk(b"iTXt", b"k\0\1\0\0\0" + rows), chunk(b"iCCP", b"k\0\0" + rows)
    plain, gif = small("PNG"), small("GIF")
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    webp, wide = small("WEBP"), struct.pack(">II", 60_000, 60_000)
    scans = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    again = scans[scans.rindex(b"\xff\xc4") : -2] * 5000
    return {
        "png of zeros": (lambda: png(60_000, 60_000, 8, 2, bytes(2**24)), LARGE),
        "png text": (lambda: plain[:33] + text + plain[33:], REFUSED),
        "png profile": (lambda: plain[:33] + profile + plain[33:], REFUSED),
        "gif screen": (lambda: gif[:6] + WIDEST + gif[10:], LARGE),
        "gif frame": (lambda: patched(gif, b",\0\0\0\0", 5, WIDEST), LARGE),
        "jpeg header": (lambda: patched(small("JPEG"), b"\xff\xc0", 5, WIDEST), LARGE),
        "jpeg of 5,000 scans": (lambda: scans[:-2] + again + b"\xff\xd9", PARTS),
        "tiff strip": (lambda: tiff(60_000, 60_000, rows, compression=8), LARGE),
        "tiff tile": (lambda: tiff(64, 64, rows, compression=8, tile=(9008, 9008)), LARGE),
        "webp canvas": (lambda: webp[:12] + canvas + webp[12:], REFUSED),
        "avif size": (lambda: patched(small("AVIF"), b"ispe", 8, wide), REFUSED),
        "bmp header": (lambda: patched(small("BMP"), b"BM", 18, wide[::-1]), LARGE),
    }


def metadata() -> dict[str, Made]:
    """Absurd EXIF, TIFF directories and colour profiles: no reason to refuse the picture."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    first = 132  # of the table of a profile: name, place, size of each part
    cyclic = srgb[: first + 4] + struct.pack(">II", 0, len(srgb)) + srgb[first + 12 :]
    loop = tiff(64, 64, bytes(64 * 64 * 3))
    pages = saved(scene(), "TIFF", save_all=True, append_images=[scene().resize((1, 1))] * 1000)
    end = struct.unpack_from("<H", loop, 8)[0] * 12 + 10
    return {
        "exif in a circle": (
            lambda: with_exif(ifd((0x8769, 4, 1, long(8)), (0x0112, 3, 1, short(6)), following=8)),
            NO_FACE,
        ),
        "exif of 4 billion": (lambda: with_exif(ifd((0x0112, 3, 2**32 - 1, long(8)))), NO_FACE),
        "turn 255": (lambda: turned_by(short(255)), NO_FACE),
        "turn -1": (lambda: turned_by(struct.pack("<i", -1), kind=9), NO_FACE),
        "turn as text": (lambda: turned_by(b"six\0", kind=2), NO_FACE),
        "profile of megabytes": (lambda: small("JPEG", icc_profile=srgb + bytes(2**23)), NO_FACE),
        "half a profile": (lambda: small("JPEG", icc_profile=srgb[: len(srgb) // 2]), NO_FACE),
        "profile in itself": (lambda: small("JPEG", icc_profile=cyclic), NO_FACE),
        "tiff page in itself": (
            lambda: loop[:end] + long(8) + loop[end + 4 :],
            "image.several_frames",
        ),
        "tiff of 1,001 pages": (lambda: pages, "image.several_frames"),
    }


def disguises() -> dict[str, Made]:
    """Something else, or two things at once; only the outermost picture counts."""
    jpeg, archive = small("JPEG"), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.html", "<script>" * 100)
    nested = small("TIFF", compression="jpeg")
    other: dict[str, Made] = {
        f"{kind.lower()} as jpg": (lambda kind=kind: small(kind), FORMAT)  # type: ignore[misc]
        for kind in ("ICO", "EPS", "PPM", "TGA", "JPEG2000", "PDF", "SGI", "PCX")
    }
    return other | {
        "svg as jpg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", FORMAT),
        "jpeg in pdf": (lambda: b"%PDF-1.7\n1 0 obj<<>>stream\n" + jpeg, FORMAT),
        "jpeg and zip": (lambda: jpeg + archive.getvalue(), NO_FACE),
        "zip and jpeg": (lambda: archive.getvalue() + jpeg, FORMAT),
        "gif and script": (lambda: b"GIF89a/*" + b"*/=1;alert(1)//" * 9, REFUSED),
        "jpeg in tiff in jpeg": (lambda: jpeg[:-2] + nested + jpeg[-2:], REFUSED),
        "jpeg in tiff": (lambda: nested, NO_FACE),
        "mpo": (lambda: small("MPO", save_all=True, append_images=[scene()] * 50), NO_FACE),
        "damaged tiff": (lambda: tiff(64, 64, b"\x78\x9c" + b"\xff" * 90, compression=8), DAMAGED),
    }


HOSTILE = {**bombs(), **metadata(), **disguises()}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images(facauth: Facauth, name: str) -> None:
    make, reason = HOSTILE[name]
    Path("photo.jpg").write_bytes(make())
    answer = facauth("register", "Eve", "photo.jpg", "--json", exit_code=4)
    assert [code[: len(reason)] for code in answer.codes] == [reason]
    said = facauth("register", "Eve", "photo.jpg", exit_code=4)
    require_one_line(said.stdout, said.stderr)


def require_one_line(stdout: str, stderr: str) -> None:
    assert stdout == ""
    assert stderr.startswith("facauth: ")
    assert stderr.endswith("\n")
    assert stderr[:-1].isprintable()


# --- what is no regular file ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "exit_code"),
    [
        ("fifo", 2),
        (".", 2),
        ("/dev/zero", 2),
        ("/dev/random", 2),
        ("/dev/null", 2),
        ("/dev/full", 2),
        ("/proc/self/mem", 2),
        ("/proc/self/environ", 4),
        ("/proc/self/fd", 2),
        ("/dev/fd/99", 2),
    ],
)
def test_what_is_no_image_file(facauth: Facauth, source: str, exit_code: int) -> None:
    os.mkfifo("fifo")
    said = facauth("register", "Eve", source, exit_code=exit_code)
    require_one_line(said.stdout, said.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ('yes | "$@" register Eve -', 4),
        ('"$@" register Eve - </dev/zero', 4),
        ('"$@" register Eve - </dev/null', 4),
        ('"$@" register Eve - <&-', 4),
        ('"$@" register Eve - >/dev/null 0>/dev/null', 2),
        ('echo x | "$@" register Eve /dev/stdin', 2),
        ('yes | "$@" register Eve /dev/stdin', 2),
        ('"$@" register Eve /dev/stdin <photo.png', 4),
    ],
)
def test_odd_uses_of_stdin(facauth: Facauth, script: str, exit_code: int) -> None:
    (facauth.here / "photo.png").write_bytes(small("PNG"))
    said = facauth.shell(script, exit_code=exit_code)
    require_one_line(said.stdout, said.stderr)


# --- memory and time of the real program ---------------------------------------------------------

SIDE, HALF = 8000, 5656  # squared, the most pixels that are allowed, and half of them


def turned() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


NOBODY = "no face was found"


def montage(side_px: int, face_px: int) -> bytes:
    """The same face in rows and columns, side by side, with an eighth of it between them."""
    with Image.open(SAMPLES / "obama_2009.jpg") as photo:
        face = photo.convert("RGB").resize((face_px, round(face_px * photo.height / photo.width)))
    tile = Image.new("RGB", (face.width * 9 // 8, face.height * 9 // 8), "gray")
    tile.paste(face)
    columns, rows = side_px // tile.width, side_px // tile.height
    return saved(Image.fromarray(np.tile(np.asarray(tile), (rows, columns, 1))), "JPEG")


def largest() -> dict[str, Made]:
    """The costliest pictures within the limits, and those that ask for more."""
    full, half = (SIDE, SIDE), (HALF, HALF)
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = other.replace(b"s\0R\0G\0B", b"m\0i\0n\0e")
    clear = {"exif": turned(), "icc_profile": other, "compress_level": 1}
    return {
        "png, transparent": (lambda: saved(Image.new("RGBA", full), "PNG", **clear), NOBODY),
        "jpeg, progressive": (
            lambda: saved(Image.new("RGB", full), "JPEG", progressive=True, subsampling=0),
            NOBODY,
        ),
        "webp, transparent": (
            lambda: saved(Image.new("RGBA", half), "WEBP", lossless=True, method=0, exif=turned()),
            NOBODY,
        ),
        "tiff of 16 bits": (wide_tiff, NOBODY),
        "100,000 faces": (lambda: montage(SIDE, 22), NOBODY),
        "several hundred faces": (lambda: montage(800, 36), "faces of similar size were found"),
        "64 MB of fill": (lambda: b"\xff\xd8" + b"\xff" * (IMAGE.max_bytes - 2), "too many parts"),
        "png of zeros": (bombs()["png of zeros"][0], "64 megapixels"),
        "tiff tile": (bombs()["tiff tile"][0], "64 megapixels"),
        "damaged tiff": (disguises()["damaged tiff"][0], "damaged"),
    }


def wide_tiff() -> bytes:
    """Four channels of 16 bits in one strip, which is unpacked at once."""
    tags = {256: HALF, 257: HALF, 259: 8, 262: 2, 277: 4, 278: HALF, 284: 1, 338: 2}
    after = 8 + 2 + 12 * (len(tags) + 3) + 4
    body = zeros(HALF * HALF * 8)
    entries = {tag: (4, 1, value) for tag, value in tags.items()}
    entries |= {258: (3, 4, after), 273: (4, 1, after + 8), 279: (4, 1, len(body))}
    directory = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return head + directory + bytes(4) + struct.pack("<4H", *[16] * 4) + body


@dataclass(frozen=True, slots=True)
class Run:
    """What the real program did with one image."""

    exit_code: int
    stdout: str
    stderr: str
    peak_mb: float
    spent_s: float


# From a small process, as ru_maxrss begins with what the starting process has.
MEASURE = """
import json, os, subprocess, sys
for path in sys.argv[1:]:
    command = [sys.executable, "-m", "facauth", "register", "Eve", path]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        stdout, stderr = process.stdout.read(), process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
    print(json.dumps([code, stdout, stderr, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime]))
"""


@pytest.fixture
def runs(facauth: Facauth) -> Callable[..., Iterator[Run]]:
    def measured(*paths: str) -> Iterator[Run]:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *paths],
            cwd=facauth.here,
            env=facauth.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * len(paths),
            check=True,
        )
        return (Run(*json.loads(line)) for line in done.stdout.splitlines())

    return measured


@pytest.mark.slow
def test_the_largest_images_in_the_real_program(
    facauth: Facauth, runs: Callable[..., Iterator[Run]]
) -> None:
    made = largest()
    for name, (make, _) in made.items():
        (facauth.here / name).write_bytes(make())
    for (name, (_, why)), run in zip(made.items(), runs(*made), strict=True):
        print(f"{name}: {run.peak_mb:.0f} MB, {run.spent_s:.1f} s")  # noqa: T201  shown by pytest -s
        assert run.exit_code == 4, (name, run)
        assert why in run.stderr, (name, run)
        require_one_line(run.stdout, run.stderr)
        assert run.peak_mb < MAX_MB, (name, run)
        assert run.spent_s < MAX_S, (name, run)


# --- what reaches the terminal -------------------------------------------------------------------

ODD = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\u2066\u2028\x9b31m\udcff.jpg"


@pytest.mark.parametrize("layout", ["plain", "json"])
def test_no_file_name_steers_the_terminal(facauth: Facauth, layout: str) -> None:
    """Of a file that is damaged, empty, too large, no image, HEIC, a FIFO, a folder, or none."""
    heic = patched(HEIC.read_bytes(), b"mdat", 8, b"x")
    made = {"d": small("PNG")[:-60], "e": b"", "f": b"text", "h": heic, "l": bytes(2**26 + 1)}
    for letter, data in made.items():
        Path(letter + ODD).write_bytes(data)
    os.mkfifo("p" + ODD)
    Path("o" + ODD).mkdir()
    for letter in (*made, "p", "o", "absent"):
        as_json = ["--json"] if layout == "json" else []
        code = 4 if letter in made else 2
        for command in (["register", "Eve"], ["sign-in"], ["spoof-check"]):
            if letter == "o" and command == ["spoof-check"]:
                continue  # which looks for the photos in it
            said = facauth(*command, letter + ODD, *as_json, exit_code=code)
            for line in (said.stdout + said.stderr).splitlines():
                assert line.isprintable()
                assert "\\u202e" in line or as_json


def test_no_file_name_in_a_folder_steers_the_terminal(facauth: Facauth) -> None:
    Path("folder" + ODD).mkdir()
    (Path("folder" + ODD) / ("x" + ODD)).write_bytes(b"text")
    said = facauth("spoof-check", "folder" + ODD, exit_code=4)
    assert said.stdout.splitlines()[0].isprintable()
    assert len(said.stdout.splitlines()) == 1


@pytest.mark.slow
def test_no_text_within_an_image_reaches_the_terminal(facauth: Facauth) -> None:
    """Neither EXIF nor a PNG's texts nor the name of a profile is ever shown."""
    said = b"\x1b[31mOWNED\x07"
    tags = Image.Exif()
    tags[0x010E] = said.decode()
    plain = small("PNG", exif=tags)
    texts = chunk(b"tEXt", b"Comment\0" + said) + chunk(b"zTXt", b"k\0\0" + zlib.compress(said))
    Path("photo.png").write_bytes(plain[:33] + texts + plain[33:])
    for layout in ([], ["--json"]):
        result = facauth("register", "Eve", "photo.png", *layout, exit_code=4)
        assert "OWNED" not in result.stdout + result.stderr


def test_a_thousand_folders_in_each_other(facauth: Facauth) -> None:
    top = Path("deep")
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    photo = os.open("photo.png", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(photo, small("PNG"))
    os.close(photo)
    os.close(here)
    said = facauth("spoof-check", "deep", exit_code=4)
    subprocess.run(["rm", "-r", "deep"], check=True)  # pytest could not
    assert said.stdout.endswith("photo.png: cannot judge (no face was found)\n")
