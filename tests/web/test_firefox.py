"""The pages in Firefox: the same paths as in Chromium, where Firefox could go another way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from actor import can_follow, poses
from browsing import ANSWER, AXE, REACHABLE, WITH_RECORDS, WITH_TRACKS, Answer, Page, path
from firefox import CANVAS_CAMERA, as_text, firefox, missing
from selenium.webdriver import Firefox
from selenium.webdriver.common.keys import Keys
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, JOE, Served

from facauth.networks import Networks

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("firefox")) as driver:
        yield driver


@pytest.fixture
def page(driver: Firefox, server: Served) -> Iterator[Page]:
    """A visitor who was never here."""
    page = Page(driver, server.url)
    driver.set_window_size(1280, 900)
    page.open()
    driver.delete_all_cookies()
    page.run(WITH_RECORDS)
    yield page
    page.open("/healthz")  # the camera is closed


@pytest.fixture(scope="module")
def actor(networks: Networks) -> dict[str, str]:
    return {action: as_text(picture) for action, picture in poses(networks).items()}


def test_who_follows_the_prompts_is_signed_in(page: Page, actor: dict[str, str]) -> None:
    page.run(CANVAS_CAMERA)
    page.run("return window.show(arguments[0])", actor[""])
    while True:
        page.press(".go")
        page.until("record")
        (*_, challenge) = page.run("return window.challenges")
        if can_follow({prompt["action"] for prompt in challenge["prompts"]}):
            break
        page.press(".stop")
    shown = ""

    def over() -> Any:
        nonlocal shown
        if page.asked != shown:
            shown = page.asked
            page.run("return window.show(arguments[0])", actor.get(shown, actor[""]))
        return page.run(ANSWER)

    assert Answer(*page.wait(over)) == ("status", "Signed in as Barack", "", True)
    assert not page.all("video")
    page.again()
    assert page.state == "start"


def test_firefoxs_own_camera_shows_no_face(page: Page) -> None:
    """The button waits for one, and the camera is closed on demand."""
    page.run(WITH_TRACKS)
    page.press(".go")
    page.wait(lambda: page.advice == "Put your face into the oval.")
    assert (page.state, page.waits) == ("aim", True)
    page.find(".go").click()
    assert page.state == "aim"
    page.press(".stop")
    assert page.state == "start"
    assert page.run("return window.tracks.map((track) => track.readyState)") == ["ended"]


def test_by_a_file(page: Page) -> None:
    assert page.send(BARACK_AGAIN) == ("status", "Signed in as Barack", "", True)
    page.again()
    assert page.send(JOE)[:2] == ("alert", "Not signed in")
    page.again()
    assert page.all("#sign-in-file")


def test_enter_in_the_name_opens_the_camera(page: Page) -> None:
    page.find("#sign-in-name").send_keys("Barack", Keys.ENTER)
    page.until("aim")


def test_the_operator_registers_and_removes(page: Page, server: Served) -> None:
    assert server.call("DELETE", "/people/Barack", headers=server.operator).status_code == 200
    page.become_operator(server)
    page.find("#register-name").send_keys("Barack")
    page.find("#register-file").send_keys(path(BARACK, BARACK_LATER))
    page.wait(lambda: len(page.all(".photos canvas")) == 2)
    page.press("#register-form > button")
    assert page.answer().heading == "Registered Barack"
    page.press("[data-name=Barack] button")
    page.driver.switch_to.alert.accept()
    assert page.answer().heading == "Removed Barack"
    assert server.register("Barack", BARACK).status_code == 200


def states(page: Page, server: Served, actor: dict[str, str]) -> Iterator[str]:
    """The pages in their states, one after the other."""
    yield "start"
    page.send(JOE)
    yield "refused"
    page.open()
    page.run(CANVAS_CAMERA)
    page.run("return window.show(arguments[0])", actor[""])
    page.press(".go")
    page.until("count")
    page.press(".stop")
    yield "ready"
    page.become_operator(server)
    yield "operator"
    page.open("/docs")
    yield "docs"


def test_narrow_and_wide(page: Page, server: Served, actor: dict[str, str]) -> None:
    """Nothing is wider than the window, and all that is touched is large enough."""
    for state in states(page, server, actor):
        for width_px in (500, 1280):  # Firefox makes no narrower window
            page.driver.set_window_size(width_px, 900)
            assert page.run("return document.documentElement.scrollWidth <= innerWidth"), state
            for element in page.run(REACHABLE):
                assert element.size["height"] >= 24, (
                    f"{state}: {element.get_attribute('outerHTML')}"
                )


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm ci in tests/web)")
def test_axe_finds_no_fault(page: Page, server: Served, actor: dict[str, str]) -> None:
    found = {state: page.faults() for state in states(page, server, actor)}
    assert {state: faults for state, faults in found.items() if faults} == {}
