"""A camera that is a file: a clip of pictures, and a clock that its frames move.

`python -m filming CLIP ARGUMENTS...` runs the real program with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facauth.faces import camera
from facauth.faces.camera import FRAMES_PER_S, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facauth.structs import Pixels

SIZE = 960, 720
BLACK, NOTHING = "black", "nothing"  # a covered lens; a camera that gives no picture
FAR = "far "  # before the name of a picture, which is then half as large
SAMPLES = Path(__file__).resolve().parents[1] / "sample_images"
Scene = tuple[str, int]  # a sample picture and how many frames show it; the last one stays


def clip(path: Path, *scenes: Scene) -> Path:
    """A clip of these scenes, as Motion JPEG."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FRAMES_PER_S, SIZE)
    assert writer.isOpened()
    for name, frames in scenes:
        picture = canvas(name)
        for _ in range(frames):
            writer.write(picture)
    writer.release()
    return path


def canvas(name: str) -> Pixels:
    """A sample picture as large as it fits a frame, in OpenCV's order of colours."""
    import cv2

    frame = np.full((SIZE[1], SIZE[0], 3), 0 if name == BLACK else 110, np.uint8)
    if name == BLACK:
        return frame
    picture = cv2.imread(str(SAMPLES / name.removeprefix(FAR)))
    assert picture is not None
    scale = (0.5 if name.startswith(FAR) else 1) * min(
        SIZE[0] / picture.shape[1], SIZE[1] / picture.shape[0]
    )
    size = int(picture.shape[1] * scale), int(picture.shape[0] * scale)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (SIZE[0] - size[0]) // 2, (SIZE[1] - size[1]) // 2
    frame[top : top + size[1], left : left + size[0]] = small
    return frame


@dataclass
class Time:
    """A clock that is moved by frames and by sleeping."""

    now_s: float = 1000.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.wait)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class FileDevice:
    """Plays a clip; its last frame stays until it is closed."""

    path: Path
    pace: Callable[[float], None]
    interrupted_at: int | None = None  # the frame at which Ctrl-C comes
    silent: bool = False  # no picture after the last one
    meanwhile: dict[int, Callable[[], object]] = field(default_factory=dict)  # at a frame
    looks: Callable[[], Pixels] | None = None  # in the place of the clip
    frames: int = 0
    closed: bool = False
    _last: Pixels | None = field(default=None, repr=False)
    _stream: object = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import cv2

        self._stream = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)

    def read(self) -> Pixels | None:
        assert not self.closed
        self.pace(1 / FRAMES_PER_S)
        self.frames += 1
        self.meanwhile.get(self.frames, lambda: None)()
        if self.frames == self.interrupted_at:
            raise KeyboardInterrupt
        if self.looks is not None:
            return self.looks()
        came, picture = self._stream.read()  # type: ignore[attr-defined]
        if came:
            self._last = np.ascontiguousarray(picture[:, :, ::-1])
        return None if self.silent and not came else self._last

    def close(self) -> None:
        self.closed = True


class Set:
    """What commands look at, and what they opened, by the name that was asked for."""

    def __init__(self, folder: Path) -> None:
        self.time = Time()
        self.opened: list[tuple[str, FileDevice]] = []
        self.path = folder / "clip.avi"
        self._interrupted_at: int | None = None
        self._silent = False
        self.meanwhile: dict[int, Callable[[], object]] = {}
        self.looks: Callable[[], Pixels] | None = None  # in the place of a clip

    @property
    def device(self) -> FileDevice:
        """The only one."""
        ((_, device),) = self.opened
        return device

    def shows(self, *scenes: Scene, interrupted_at: int | None = None) -> None:
        """From now on cameras show this."""
        self._interrupted_at, self._silent = interrupted_at, scenes[-1][0] == NOTHING
        clip(self.path, *[scene for scene in scenes if scene[0] != NOTHING])

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Commands open this, and have this clock."""

        def opening(name: str) -> FileDevice:
            how = self._interrupted_at, self._silent, self.meanwhile
            device = FileDevice(self.path, self.time.wait, *how, looks=self.looks)
            self.opened.append((name, device))
            return device

        opener, ticker = camera.opening.set(opening), camera.ticking.set(self.time.clock)
        yield
        camera.opening.reset(opener)
        camera.ticking.reset(ticker)


def main(arguments: Sequence[str]) -> None:
    """The real program, with a camera that is a clip, and that is in a hurry."""
    from facauth.cli import main

    path, now = Path(arguments[0]), Time()

    def pace(seconds: float) -> None:
        now.wait(seconds)
        time.sleep(seconds / 10)

    camera.opening.set(lambda _: FileDevice(path, pace))
    camera.ticking.set(now.clock)
    sys.argv[1:] = arguments[1:]
    main()


if __name__ == "__main__":
    main(sys.argv[1:])
