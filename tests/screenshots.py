"""Pictures of the page for docs/how-to/server.md: tests/web/screenshots/*.png.

    python tests/screenshots.py

They are of the real page in Chromium, with sample photos before its camera.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from chromium import Browser, Camera, chromium, scene
from conftest import SAMPLES
from PIL import Image
from serving import BARACK, EILEEN, serving

FOLDER = Path(__file__).parent / "web" / "screenshots"


def main() -> None:
    """A camera at a desk, and a refusal on a phone."""
    with tempfile.TemporaryDirectory() as folder:
        camera = Camera(Path(folder) / "camera.y4m")
        camera.show(scene(EILEEN, (224, 119), 238))
        with (
            serving(Path(folder)) as served,
            chromium(Path(folder) / "chromium", *camera.flags) as driver,
        ):
            served.register("Barack", BARACK)
            browser = Browser(driver, served.url)
            browser.cdp("Emulation.setScrollbarsHidden", hidden=True)
            at_a_desk(browser)
            on_a_phone(browser)


def at_a_desk(browser: Browser) -> None:
    """A face that is fit for a photo."""
    browser.look(960, 720)
    browser.open()
    browser.allow_camera(True)
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "Good" in browser.find("#sign-in-form .camera-advice").text)
    save(browser, "page_light.png")


def on_a_phone(browser: Browser) -> None:
    """The enrolled photo once more, in the dark."""
    browser.look(390, 844, "dark")
    browser.open()
    browser.find("#sign-in-file").send_keys(str(SAMPLES / BARACK))
    browser.find("#sign-in-form button[type=submit]").click()
    browser.wait(lambda: browser.all("#answer h2"))
    save(browser, "page_phone.png")


def save(browser: Browser, name: str) -> None:
    """In 256 colours, which nobody misses here."""
    FOLDER.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())) as image:
        image.convert("RGB").quantize(256).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
