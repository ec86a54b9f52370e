"""Debian's Firefox, headless. Its camera is Firefox's own fake one, or a picture.

Firefox takes no file for its fake camera. Where a face is needed, a script in the page makes the
stream from a canvas, and the page's own code does all the rest.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Firefox, FirefoxOptions
from selenium.webdriver.firefox.service import Service

BROWSERS, DRIVER = ("firefox-esr", "firefox"), "geckodriver"
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "network.proxy.type": 0,
    "app.update.enabled": False,
}
# Once a script has put a picture before the canvas, the stream has it ten times a second.
CANVAS_CAMERA = """
const canvas = document.createElement("canvas");
canvas.width = 640;
canvas.height = 480;
const pen = canvas.getContext("2d");
let at = 0;
window.show = async (jpeg) => {
  const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  clearInterval(window.showing);
  window.showing = setInterval(() => {
    at += 1;
    pen.drawImage(picture, (at % 3) - 2, (at % 2) - 1, 643, 482); // held by hand
  }, 100);
};
const stream = canvas.captureStream(10);
navigator.mediaDevices.getUserMedia = async () => stream.clone();
"""


def missing() -> str:
    """Why there is no browser here, or nothing."""
    lacking = [] if _program() else ["firefox-esr"]
    lacking += [] if shutil.which(DRIVER) else [DRIVER]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


def _program() -> str | None:
    return next((found for each in BROWSERS if (found := shutil.which(each))), None)


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """A browser that knows nothing yet."""
    program, driver = _program(), shutil.which(DRIVER)
    assert program
    assert driver
    options = FirefoxOptions()
    options.binary_location = program
    options.add_argument("-headless")
    for name, value in PREFERENCES.items():
        options.set_preference(name, value)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    service = Service(driver, env=env, log_output=os.devnull)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost")  # where the driver listens
        browser = Firefox(options, service)
    try:
        yield browser
    finally:
        browser.quit()


def as_text(picture: Image.Image) -> str:
    """For `window.show`."""
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=95)
    return base64.b64encode(made.getvalue()).decode()
