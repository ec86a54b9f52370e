"""Pictures of the pages for docs/how-to/server.md: tests/web/screenshots/*.png.

    python tests/screenshots.py

They are of the real pages in Chromium, with sample photos before its camera.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from actor import PHOTO, PLACE
from browsing import WITH_RECORDS, path
from chromium import Browser, Camera, chromium, scene
from PIL import Image
from serving import BARACK, BARACK_AGAIN, EILEEN, JOE, Served, serving

FOLDER = Path(__file__).parent / "web" / "screenshots"


def main() -> None:
    """A camera at a desk, a prompt and a result on a phone, and the operator's page."""
    with tempfile.TemporaryDirectory() as folder:
        camera = Camera(Path(folder) / "camera.y4m")
        with (
            serving(Path(folder)) as served,
            chromium(Path(folder) / "chromium", *camera.flags) as driver,
        ):
            served.register("Barack", BARACK)
            browser = Browser(driver, served.url)
            browser.cdp("Emulation.setScrollbarsHidden", hidden=True)
            browser.allow_camera(True)
            at_a_desk(browser, camera)
            on_a_phone(browser, camera)
            signed_in(browser)
            operator(browser, served)


def at_a_desk(browser: Browser, camera: Camera) -> None:
    """A face in the oval."""
    camera.show(scene(EILEEN, (224, 119), 238))
    browser.look(800, 680)
    browser.open()
    browser.press(".go")
    browser.until("count")
    browser.press(".stop")
    save(browser, "page_light.png")


def on_a_phone(browser: Browser, camera: Camera) -> None:
    """A movement that is asked for."""
    camera.show(scene(PHOTO, *PLACE))
    browser.look(390, 700)
    browser.open()
    browser.run(WITH_RECORDS)
    while browser.asked != "look_left":
        browser.press(".go")
        browser.until("record")
        (*_, challenge) = browser.run("return window.challenges")
        if challenge["prompts"][0]["action"] == "look_left":
            browser.wait(lambda: browser.asked == "look_left")
            break
        browser.press(".stop")
    turned = "return document.querySelector('.done').offsetWidth / innerWidth > .25"
    browser.wait(lambda: browser.run(turned))
    save(browser, "page_prompt.png")


def signed_in(browser: Browser) -> None:
    """In the dark."""
    browser.look(390, 700, "dark")
    browser.open()
    browser.send(BARACK_AGAIN)
    save(browser, "page_phone.png")


def operator(browser: Browser, served: Served) -> None:
    """Two photos that are to be registered, people, and the log."""
    served.register("Eileen Collins", EILEEN, consent="door 3, until June")
    served.sign_in(JOE)
    browser.look(1200, 900)
    browser.become_operator(served)
    browser.find("#register-name").send_keys("Joe")
    browser.find("#register-file").send_keys(path(JOE))
    browser.wait(lambda: browser.all(".photos canvas"))
    save(browser, "page_operator.png")


def save(browser: Browser, name: str) -> None:
    """In 256 colours, which nobody misses here."""
    FOLDER.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())) as image:
        image.convert("RGB").quantize(256).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
