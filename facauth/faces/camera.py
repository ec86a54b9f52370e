"""A camera: about ten frames a second, each with its time, or the reason why there are none.

Frames are held in memory only.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from facauth.errors import Reason, SetupProblem, UnusableImage, shown
from facauth.faces.footage import Frame

if TYPE_CHECKING:
    from facauth.structs import Pixels

FRAMES_PER_S = 10
STEP_S = 1 / FRAMES_PER_S
SLACK_S = STEP_S / 4  # a camera of 10 frames a second is not always in time
MAX_SIDE_PX = 960
ASKED_PX = 1280, 720  # of the camera, which may give another size
SILENT_S = 5  # without a frame
MAX_WAITING = 8  # frames that a driver may hold back; OpenCV asks for 4 buffers at most
WAITED_S = 0.003  # a frame that takes less to come was held back
MAX_BLACK, BLACK_SHARE = 25, 0.99  # so much of the picture is in the darkest tenth
MAX_DIGITS = 4  # of a camera's number
VIDEO_MAJOR = 81  # of Linux's video devices
QUERYCAP, CAPABILITY_BYTES = 0x80685600, 104  # VIDIOC_QUERYCAP of linux/videodev2.h
VIDEO_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, _MPLANE
DEVICE_CAPS = 0x80000000  # V4L2_CAP_DEVICE_CAPS: the node's own follow those of the hardware


class Device(Protocol):
    """What gives pictures."""

    def read(self) -> Pixels | None:
        """The picture of now; None if there is none."""

    def close(self) -> None:
        """Let go of the camera."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only grow, and a way to let some pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Camera:
    """An open camera; closed at the end of its `with`."""

    def __init__(self, device: Device, clock: Clock) -> None:
        self._device, self._clock = device, clock
        self._due_s = self._last_s = clock.now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.close()

    @property
    def now_s(self) -> float:
        """The clock's time."""
        return self._clock.now()

    def frame(self) -> Frame:
        """The next frame, with the clock's time. Raises UnusableImage if none comes."""
        while True:
            pixels, now_s = self._device.read(), self._clock.now()
            if pixels is None:
                self._require_life(now_s)
                continue
            self._last_s = now_s
            if now_s >= self._due_s - SLACK_S:
                on_time = now_s - self._due_s < STEP_S  # otherwise the caller was slow
                self._due_s = (self._due_s if on_time else now_s) + STEP_S
                return Frame(scaled(pixels), now_s)

    def _require_life(self, now_s: float) -> None:
        if now_s - self._last_s >= SILENT_S:
            raise UnusableImage(SILENT)
        self._clock.sleep(0.05)


def scaled(pixels: Pixels) -> Pixels:
    """At most 960 pixels on the long side."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = MAX_SIDE_PX / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def is_black(pixels: Pixels) -> bool:
    """Whether nothing is seen: the lens is covered, or there is no light."""
    return float((pixels[::8, ::8].max(axis=2) <= MAX_BLACK).mean()) >= BLACK_SHARE


SILENT = Reason(
    "camera.silent",
    f"the camera gave no picture for {SILENT_S} s",
    "check its cable, or close other programs that use it",
)
BLACK = Reason(
    "camera.black", "the camera's picture is black", "open its shutter, uncover it, get light"
)


def open_device(name: str) -> Device:
    """The camera of this number, or of this path on Linux. Raises SetupProblem."""
    backend = _backend()
    number = int(name) if name.isdecimal() and len(name) <= MAX_DIGITS else None
    if not sys.platform.startswith("linux"):
        if number is None:
            message = f"{shown(name)} is not the number of a camera"
            _refuse("camera.wrong_device", message, "give 0 or 1")
        return _Captured(number, backend)
    path = name if number is None else f"/dev/video{number}"
    if number is None and "/" not in name and not os.path.lexists(name):
        message = f"{shown(name)} is neither the number nor the path of a camera"
        _refuse("camera.absent", message, _others())
    _require_camera(path)
    return _Captured(path, backend)


# Commands open this; tests set another function.
opening: ContextVar[Callable[[str], Device]] = ContextVar("opening", default=open_device)
ticking: ContextVar[Clock] = ContextVar("ticking", default=Clock())  # noqa: B039  it is frozen


def opened(name: str) -> Camera:
    """The camera, for a `with`. Raises SetupProblem."""
    return Camera(opening.get()(name), ticking.get())


def _backend() -> int:
    """OpenCV's way to cameras; it cannot read a file. Raises SetupProblem if it is lacking."""
    import cv2

    wanted = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_AVFOUNDATION
    if wanted not in cv2.videoio_registry.getCameraBackends():
        advice = "pip install --force-reinstall opencv-python-headless"
        _refuse("camera.backend", "this OpenCV cannot read cameras", advice)
    return wanted


def _require_camera(path: str) -> None:
    """Raises SetupProblem unless a Linux video device that captures pictures is at the path.

    Only video devices are opened: to open another device can change what it does.
    """
    import fcntl

    try:
        found = Path(path).stat()
        if not stat.S_ISCHR(found.st_mode) or os.major(found.st_rdev) != VIDEO_MAJOR:
            _refuse_other(path)
        number = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(number, QUERYCAP, bytes(CAPABILITY_BYTES))
        finally:
            os.close(number)
    except (OSError, ValueError) as error:
        _refuse_unopened(path, error)
    if not captures(answer):
        _refuse_other(path)


def captures(capability: bytes) -> bool:
    """Whether a struct v4l2_capability is that of a camera; a webcam has nodes that are none."""
    hardware, node = struct.unpack_from("=II", capability, 84)
    return bool((node if hardware & DEVICE_CAPS else hardware) & VIDEO_CAPTURE)


def _refuse_unopened(path: str, error: OSError | ValueError) -> NoReturn:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        advice = "add yourself to the group of the device, mostly video, and log in again"
        _refuse("camera.denied", f"you may not use the camera {shown(path)}", advice)
    if number == errno.EBUSY:
        _refuse_busy(path)
    if number in (errno.ENOTTY, errno.EINVAL):
        _refuse_other(path)
    _refuse("camera.absent", f"there is no camera {shown(path)}", f"connect one, or {_others()}")


def _refuse_other(path: str) -> NoReturn:
    _refuse("camera.wrong_device", f"{shown(path)} is not a camera", _others())


def _refuse_busy(name: object) -> NoReturn:
    message = f"the camera {shown(name)} is busy or does not start"
    _refuse("camera.busy", message, "close other programs that use it, or plug it in again")


def _others() -> str:
    """Advice that names the video devices of this machine."""
    found = sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    listed = ", ".join(map(str, found[:8])) or "this system shows no video device"
    return f"name another with --device ({listed})"


def _refuse(code: str, message: str, advice: str) -> NoReturn:
    raise SetupProblem(Reason(code, message, advice))


class _Captured:
    """A camera through OpenCV, whose warnings would stand among the prompts."""

    def __init__(self, name: int | str, backend: int) -> None:
        import cv2

        # Read once by OpenCV; without it a read waits for 10 s.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SILENT_S))
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._stream: Any = cv2.VideoCapture(name, backend)
        try:
            self._begin(name)
        except BaseException:
            self.close()
            raise

    def _begin(self, name: int | str) -> None:
        import cv2

        if not self._stream.isOpened():
            if isinstance(name, str):
                _refuse_busy(name)
            advice = "connect one, close other programs that use it, and let this terminal use it"
            _refuse("camera.absent", f"the camera {name} cannot be opened", advice)
        width, height = ASKED_PX
        self._stream.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._stream.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._stream.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        begun = time.monotonic()
        if not self._stream.grab():
            if time.monotonic() - begun > 1:
                raise UnusableImage(SILENT)
            _refuse_busy(name)  # another program has the stream

    def read(self) -> Pixels | None:
        """The picture of now: those that waited since the last one are left out."""
        import numpy as np

        for _ in range(MAX_WAITING):
            begun = time.monotonic()
            if not self._stream.grab():
                return None
            if time.monotonic() - begun > WAITED_S:
                break
        came, picture = self._stream.retrieve()
        if not came or picture.ndim != 3 or picture.shape[2] != 3:
            return None
        return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)

    def close(self) -> None:
        """Let go of the camera."""
        self._stream.release()
