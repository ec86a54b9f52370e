"""The process that decodes a clip from stdin to stdout: it can be ended, and can do little else.

A file made to break FFmpeg breaks this process, which has no store, key or encoding in its memory,
and opens no file once the decoder is loaded.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from facauth.faces.clip import HEADER, TOO_MANY_PIXELS
from facauth.settings import CLIP

if TYPE_CHECKING:
    import cv2
    from cv2.typing import MatLike


DAMAGED = 4


def main() -> int:
    """Decode; returns the exit code."""
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    import cv2

    cv2.setNumThreads(1)
    data = sys.stdin.buffer.read(CLIP.max_bytes + 1)
    _confine()
    return decode(data, sys.stdout.buffer)


def _confine() -> None:
    """Bound memory, processor time and files, where the system can."""
    with suppress(ImportError):
        import resource

        address_space = CLIP.max_memory_mb * 2**20
        seconds = int(2 * CLIP.max_decode_s)
        for limit, most in (
            (resource.RLIMIT_AS, address_space),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, 3),  # stdin, stdout and stderr
            (resource.RLIMIT_CORE, 0),
        ):
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, (most, most))


def decode(data: bytes, stdout: BinaryIO) -> int:
    """Write the frames; returns the exit code."""
    import cv2

    try:
        stream: Any = io.BytesIO(data)  # what OpenCV takes for an IStreamReader
        clip = cv2.VideoCapture(stream, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not clip.isOpened():
            return DAMAGED
        size = clip.get(cv2.CAP_PROP_FRAME_WIDTH), clip.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not 0 < size[0] * size[1] <= CLIP.max_pixels:
            return TOO_MANY_PIXELS
        return _sample(clip, stdout)
    except (cv2.error, MemoryError):
        return DAMAGED


def _sample(clip: cv2.VideoCapture, stdout: BinaryIO) -> int:
    """Write `frames_a_second` of the frames until `max_s`. Times that do not grow are damage."""
    import cv2

    first_s, last_s, due_s = None, -1.0, 0.0
    while clip.grab():
        now_s = clip.get(cv2.CAP_PROP_POS_MSEC) / 1000
        first_s = now_s if first_s is None else first_s
        at_s = now_s - first_s
        if not last_s < at_s:
            return DAMAGED
        last_s = at_s
        if at_s > CLIP.max_s:
            return 0
        if at_s + 1e-3 < due_s:
            continue
        due_s = max(due_s, at_s - 0.5 / CLIP.frames_a_second) + 1 / CLIP.frames_a_second
        known, frame = clip.retrieve()
        if not known or frame.ndim != 3 or frame.shape[0] * frame.shape[1] > CLIP.max_pixels:
            return DAMAGED
        _write(frame, at_s, stdout)
    return 0


def _write(frame: MatLike, at_s: float, stdout: BinaryIO) -> None:
    import cv2

    height, width = frame.shape[:2]
    scale = min(1.0, CLIP.max_side_px / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    stdout.write(HEADER.pack(at_s, rgb.shape[1], rgb.shape[0]))
    stdout.write(rgb.tobytes())
    stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
