"""Clips: files and folders of frames. A process that can be ended decodes them (clip_decoder.py).

FFmpeg reads many formats, some of which name other files or addresses. Only those that hold their
own pictures are let near it, told by their first bytes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from struct import Struct
from threading import Thread, Timer
from typing import IO, TYPE_CHECKING

from facauth.errors import STDIN, Reason, UnusableImage, UsageProblem, shown
from facauth.faces.folder import is_folder, photos_below
from facauth.faces.footage import Footage, Frame
from facauth.settings import CLIP

if TYPE_CHECKING:
    from facauth.structs import Pixels

HEAD_BYTES = 64
MOVIE_BRANDS = (
    *(b"qt  ", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"mp71"),
    *(b"avc1", b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"M4V ", b"MSNV", b"dash"),
)
MATROSKA = b"\x1aE\xdf\xa3"
HEADER = Struct("<dII")  # at_s, width, height of a frame; its pixels follow as RGB
TOO_MANY_PIXELS = 3  # exit code of the decoder


def is_clip(head: bytes) -> bool:
    """Whether a file that begins so is a clip: MP4, MOV, 3GP, WebM, Matroska or AVI."""
    movie = head[4:8] == b"ftyp" and head[8:12] in MOVIE_BRANDS
    bare = head[4:8] in (b"moov", b"mdat", b"wide")  # QuickTime without a brand
    return movie or bare or head[:4] == MATROSKA or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def film(
    source: str,
    read: Callable[[str], bytes],
    decode: Callable[[str], Pixels],
    folders: Callable[[str], bool] = is_folder,
) -> Footage | None:
    """The footage in a file or folder; None for anything else, which may be a still.

    read: returns the bytes of a named file; decode: the pixels of a photo; folders: whether a name
    is that of a folder.
    Raises UsageProblem and UnusableImage, the second also while the footage is read.
    """
    if source != STDIN and folders(source):
        return folder(source, decode)
    data = read(source)
    return Footage(frames_in(data, source)) if is_clip(data[:HEAD_BYTES]) else None


def folder(path: str, decode: Callable[[str], Pixels]) -> Footage:
    """The photos in a folder as frames, by name, `frames_a_second`."""
    photos = photos_below(path)
    if not photos:
        reason = Reason(
            "image.no_photos", f"there are no photos in {shown(path)}", "check the path"
        )
        raise UsageProblem(reason)
    times_s = [number / CLIP.frames_a_second for number in range(len(photos))]
    if times_s[-1] < CLIP.min_length_s:  # perhaps somebody's photos
        message = f"{shown(path)} is read as a clip, ten frames a second, and has {len(photos)}"
        advice = "name photos one by one, or give 50 frames or more"
        raise UnusableImage(Reason("clip.too_short", message, advice))
    return pictures(photos, times_s, decode)


def pictures(
    sources: Sequence[str], times_s: Sequence[float], decode: Callable[[str], Pixels]
) -> Footage:
    """Photos as frames, each at its time. Those after `max_s` are left out."""
    timed = zip(sources, times_s, strict=True)
    return Footage(Frame(_small(decode(each)), at_s) for each, at_s in timed if at_s <= CLIP.max_s)


def _small(pixels: Pixels) -> Pixels:
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = CLIP.max_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def frames_in(data: bytes, source: str) -> Iterator[Frame]:
    """The frames of a clip, decoded while they are read.

    source only names the clip in messages. Raises UnusableImage for a damaged clip, and for one
    that takes too long to decode.
    """
    command = [sys.executable, "-P", "-m", "facauth.faces.clip_decoder"]
    pipe, frames = subprocess.PIPE, 0
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    late = Timer(CLIP.max_decode_s, process.kill)
    late.daemon = True
    late.start()
    try:
        Thread(target=_feed, args=(process.stdin, data), daemon=True).start()
        while frame := _next(process.stdout):
            frames += 1
            yield frame
        code = process.wait()
    finally:  # also when the caller reads no further
        late.cancel()
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None
    if code or not frames:
        raise _refusal(code, source)


def _feed(stdin: IO[bytes] | None, data: bytes) -> None:
    with suppress(OSError):  # the decoder may end before it has read all
        if stdin:
            stdin.write(data)
            stdin.close()


def _next(stdout: IO[bytes] | None) -> Frame | None:
    """The next frame; None at the end, and where the decoder was ended within a frame."""
    import numpy as np

    header = stdout.read(HEADER.size) if stdout else b""
    if not stdout or len(header) < HEADER.size:
        return None
    at_s, width, height = HEADER.unpack(header)
    sound = 0 <= at_s <= CLIP.max_s and min(width, height) > 0
    if not (sound and max(width, height) <= CLIP.max_side_px):
        return None  # a clip may have broken the decoder, which then says anything
    pixels = stdout.read(width * height * 3)
    if len(pixels) < width * height * 3:
        return None
    return Frame(np.frombuffer(pixels, np.uint8).reshape(height, width, 3), at_s)


def _refusal(code: int, source: str) -> UnusableImage:
    if code == TOO_MANY_PIXELS:
        message = f"the clip has over {CLIP.max_pixels // 1_000_000} megapixels a frame"
        advice = "record it in a lower resolution"
        return UnusableImage(Reason("clip.too_many_pixels", f"{message} ({shown(source)})", advice))
    message = f"the clip is damaged, cut off or takes too long to decode ({shown(source)})"
    return UnusableImage(Reason("clip.damaged", message, "record a new clip, as MP4 or WebM"))
