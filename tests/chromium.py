"""Debian's Chromium, headless, and the camera it sees: a file of raw video that tests fill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import Page
from conftest import SAMPLES
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PROGRAMS = ("chromium", "chromedriver")
WIDTH, HEIGHT = 640, 480
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Camera:
    """What it shows can change while it is looked at: the file always has the same length."""

    SHAKE_PX = ((0, 0), (1, 0), (2, 1), (1, 2), (0, 1))  # one a frame: it is held by hand

    def __init__(self, file: Path) -> None:
        self.file = file
        self.flags = (
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={file}",
        )
        self.show(Image.new("RGB", (WIDTH, HEIGHT)))

    def show(self, picture: Image.Image) -> None:
        """From the next frame on."""
        wider = picture.resize((WIDTH + 2, HEIGHT + 2), Image.Resampling.LANCZOS)
        video = b"YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420mpeg2\n" % (WIDTH, HEIGHT)
        for left, top in self.SHAKE_PX:
            frame = np.asarray(wider.crop((left, top, left + WIDTH, top + HEIGHT)))
            video += b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes()
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(video)


def scene(photo: str, middle_px: tuple[int, int], height_px: int) -> Image.Image:
    """A part of a sample photo, as a camera has it in its frame."""
    width_px = height_px * WIDTH // HEIGHT
    left, top = middle_px[0] - width_px // 2, middle_px[1] - height_px // 2
    with Image.open(SAMPLES / photo) as image:
        return image.convert("RGB").crop((left, top, left + width_px, top + height_px))


@dataclass(frozen=True, slots=True)
class Browser(Page):
    """Chromium at a page of one server."""

    driver: Chrome

    def cdp(self, command: str, **values: Any) -> Any:
        """A command of the developer tools."""
        return self.driver.execute_cdp_cmd(command, values)

    def look(self, width_px: int = 1280, height_px: int = 900, scheme: str = "light") -> None:
        """The size of its window, and whether it is light or dark."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1}
        self.cdp("Emulation.setDeviceMetricsOverride", **size, mobile=width_px < 600)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.cdp("Emulation.setEmulatedMedia", features=[feature])

    def allow_camera(self, allowed: bool) -> None:
        """What somebody answers the browser that asks for it."""
        setting = "granted" if allowed else "denied"
        permission = {"name": "camera"}
        self.cdp("Browser.setPermission", permission=permission, setting=setting, origin=self.url)

    def allow_script(self, allowed: bool) -> None:
        """From the next page on."""
        self.cdp("Emulation.setScriptExecutionDisabled", value=not allowed)

    def complaints(self) -> list[str]:
        """Of its console since the last time; that a request was refused is none."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] in ("WARNING", "SEVERE") and entry["source"] != "network"
        ]


def missing() -> str:
    """Why there is no browser here, or nothing."""
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


@contextmanager
def chromium(
    folder: Path, *flags: str, preferences: dict[str, Any] | None = None
) -> Iterator[Chrome]:
    """A browser that knows nothing yet and asks nobody but who it is sent to."""
    program, driver = (shutil.which(each) for each in PROGRAMS)
    assert program and driver
    options = ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", preferences or {})
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    for flag in (*FLAGS, *root, f"--user-data-dir={folder / 'profile'}", *flags):
        options.add_argument(flag)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost")  # where the driver listens
        browser = Chrome(options, Service(driver, env=env))
    try:
        yield browser
    finally:
        browser.quit()
