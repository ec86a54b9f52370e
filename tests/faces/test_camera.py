"""A camera's frames at their pace, and each thing that can be wrong with a device."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filming import Time

from facauth.errors import FacauthError, SetupProblem, UnusableImage
from facauth.faces import camera
from facauth.faces.camera import Camera, captures, is_black, open_device, scaled

if TYPE_CHECKING:
    from facauth.structs import Pixels

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2")
CAMERA_NODE = struct.pack("=84xII12x", 0x85200001, 0x04200001)
METADATA_NODE = struct.pack("=84xII12x", 0x85200001, 0x04A00000)
OLD_DRIVER = struct.pack("=84xII12x", 0x05000001, 0)


class Steady:
    """A picture every so many seconds, each with its number; none where `lost` says so."""

    def __init__(
        self, time: Time, every_s: float, lost: Callable[[int], bool] | None = None
    ) -> None:
        self.time, self.every_s, self.lost, self.read_so_far = time, every_s, lost, 0
        self.closed = False

    def read(self) -> Pixels | None:
        self.time.wait(self.every_s)
        self.read_so_far += 1
        lost = self.lost is not None and self.lost(self.read_so_far)
        return None if lost else np.full((4, 6, 3), self.read_so_far % 256, np.uint8)

    def close(self) -> None:
        self.closed = True


def codes_of(error: pytest.ExceptionInfo[FacauthError]) -> list[str]:
    return [reason.code for reason in error.value.reasons]


def refused(name: str, code: str) -> str:
    """The refusal to open this, in words."""
    with pytest.raises(SetupProblem) as error:
        open_device(name)
    assert codes_of(error) == [code]
    return str(error.value)


# --- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_s", [1 / 60, 1 / 30, 1 / 25, 1 / 15, 1 / 10])
def test_there_are_ten_frames_a_second(every_s: float) -> None:
    time = Time()
    with Camera(Steady(time, every_s), time.clock) as opened:
        times = [opened.frame().at_s for _ in range(51)]
    assert (times[-1] - times[0]) == pytest.approx(5, abs=0.11)
    assert times == sorted(set(times))


def test_a_slow_caller_gets_the_picture_of_now_and_no_second_one_for_it() -> None:
    time = Time()
    with Camera(Steady(time, 1 / 30), time.clock) as opened:
        opened.frame()
        time.wait(2)
        late, next_one = opened.frame(), opened.frame()
    assert late.at_s == pytest.approx(time.now_s - 0.1, abs=0.04)
    assert next_one.at_s - late.at_s >= 0.09


def test_large_frames_are_made_smaller_and_small_ones_left_alone() -> None:
    large, small = np.zeros((1080, 1920, 3), np.uint8), np.zeros((480, 640, 3), np.uint8)
    assert scaled(large).shape == (540, 960, 3)
    assert scaled(large.transpose(1, 0, 2)).shape == (960, 540, 3)
    assert scaled(small) is small


def test_a_few_lost_frames_are_no_trouble() -> None:
    time = Time()
    device = Steady(time, 0.1, lambda number: number % 3 > 0)
    with Camera(device, time.clock) as opened:
        assert [opened.frame().pixels[0, 0, 0] for _ in range(3)] == [3, 6, 9]


def test_a_camera_that_falls_silent_is_given_up() -> None:
    time = Time()
    device = Steady(time, 0.0, lambda number: number > 2)
    with Camera(device, time.clock) as opened:
        opened.frame()
        begun = time.now_s
        with pytest.raises(UnusableImage) as error:
            while True:
                opened.frame()
    assert codes_of(error) == ["camera.silent"]
    assert 5 <= time.now_s - begun < 6
    assert device.closed


def test_black_is_a_covered_lens_and_not_a_face_in_the_dark() -> None:
    noise = np.random.default_rng(0).integers(0, 20, (720, 960, 3)).astype(np.uint8)
    assert is_black(noise)
    noise[200:400, 300:450] = 90
    assert not is_black(noise)


# --- devices --------------------------------------------------------------------------------------


@linux
def test_a_camera_that_is_not_there() -> None:
    for name in ("63", "/dev/video63", "/dev/nothing\n"):
        assert "there is no camera /dev/" in refused(name, "camera.absent")
    for odd in ("\0", "9" * 5000, "x" * 5000, "rtsp://127.0.0.1/1"):
        refused(odd, "camera.absent")


@linux
@pytest.mark.parametrize("name", ["/dev/null", "/dev/tty", "/dev", __file__])
def test_what_is_no_camera_is_not_even_opened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", None)
    assert f"{name} is not a camera; name another with --device (" in refused(
        name, "camera.wrong_device"
    )


@linux
def test_a_clip_is_no_camera(tmp_path: Path) -> None:
    from filming import clip

    made = clip(tmp_path / "clip.avi", ("collins.png", 2))
    refused(str(made), "camera.wrong_device")
    (tmp_path / "0").symlink_to(made)
    refused(str(tmp_path / "0"), "camera.wrong_device")


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
def test_a_device_without_a_driver(tmp_path: Path) -> None:
    os.mknod(tmp_path / "video", 0o20600, os.makedev(81, 63))
    refused(str(tmp_path / "video"), "camera.absent")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | int], str]:
    """The path of what looks like a video device that answers so, or fails with that number."""

    def made(answer: bytes | int) -> str:
        path = tmp_path / "video0"
        path.touch()
        real = Path.stat

        def stat(self: Path, **more: Any) -> os.stat_result:
            found = list(real(self, **more))
            found[0] = 0o20660
            return os.stat_result(found, {"st_rdev": os.makedev(81, 0)})

        def ioctl(*_: object) -> bytes:
            if isinstance(answer, int):
                raise OSError(answer, os.strerror(answer))
            return answer

        monkeypatch.setattr(Path, "stat", stat)
        monkeypatch.setattr("fcntl.ioctl", ioctl)
        return str(path)

    return made


@linux
@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (errno.EACCES, "camera.denied", "you may not use the camera"),
        (errno.EPERM, "camera.denied", "add yourself to the group of the device"),
        (errno.EBUSY, "camera.busy", "close other programs"),
        (errno.ENODEV, "camera.absent", "connect one"),
        (errno.ENOTTY, "camera.wrong_device", "is not a camera"),
        (METADATA_NODE, "camera.wrong_device", "is not a camera"),
    ],
)
def test_what_a_device_answers(
    node: Callable[[bytes | int], str], answer: bytes | int, code: str, words: str
) -> None:
    assert words in refused(node(answer), code)


def test_a_webcam_has_nodes_that_are_none() -> None:
    assert captures(CAMERA_NODE)
    assert captures(OLD_DRIVER)
    assert not captures(METADATA_NODE)


class Stream:
    """As cv2.VideoCapture, of a camera that another program may have."""

    def __init__(self, opened: bool, pictures: list[Any]) -> None:
        self._opened, self._pictures, self.released = opened, pictures, False

    def __call__(self, *asked: object) -> Stream:
        self.asked = asked
        return self

    def isOpened(self) -> bool:  # noqa: N802
        return self._opened

    def set(self, *_: object) -> bool:
        return True

    def grab(self) -> bool:
        return bool(self._pictures)

    def retrieve(self) -> tuple[bool, Any]:
        return True, self._pictures[0]

    def release(self) -> None:
        self.released = True


@linux
@pytest.mark.parametrize("opened", [False, True])
def test_a_busy_camera_is_let_go(
    node: Callable[[bytes | int], str], monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    stream = Stream(opened, [])
    monkeypatch.setattr("cv2.VideoCapture", stream)
    assert "is busy or does not start; close other programs" in refused(
        node(CAMERA_NODE), "camera.busy"
    )
    assert stream.released


@linux
def test_a_camera_gives_red_green_and_blue(
    node: Callable[[bytes | int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    path, blue = node(CAMERA_NODE), np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 255
    stream = Stream(True, [blue])
    monkeypatch.setattr("cv2.VideoCapture", stream)
    device = open_device(path)
    assert stream.asked == (path, cv2.CAP_V4L2)  # which reads no files
    picture = device.read()
    assert picture is not None
    assert picture[0, 0].tolist() == [0, 0, 255]
    device.close()
    assert stream.released


@linux
def test_a_camera_of_another_kind_of_picture_gives_none(
    node: Callable[[bytes | int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Stream(True, [np.zeros((2, 2), np.uint8)]))
    assert open_device(node(CAMERA_NODE)).read() is None


def test_an_opencv_without_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2.videoio_registry, "getCameraBackends", list)
    assert "this OpenCV cannot read cameras; pip install" in refused("0", "camera.backend")


def test_elsewhere_a_camera_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    stream = Stream(False, [])
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("cv2.VideoCapture", stream)
    monkeypatch.setattr(cv2.videoio_registry, "getCameraBackends", lambda: [cv2.CAP_AVFOUNDATION])
    refused("/dev/video0", "camera.wrong_device")
    refused("1", "camera.absent")
    assert stream.asked == (1, cv2.CAP_AVFOUNDATION)


def test_opencv_writes_nothing_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    camera._backend()
    with pytest.raises(SetupProblem):
        camera._Captured("/dev/null", camera._backend())
    assert capfd.readouterr() == ("", "")
