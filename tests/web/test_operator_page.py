"""The operator's page in a real browser, with a camera, against the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from browsing import AXE, REACHABLE, path
from chromium import Browser, Camera, chromium, missing, scene
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, EILEEN, JOE, NOBODY, Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

SESSION = """
const form = new URLSearchParams({ token: arguments[0] });
return fetch("/session", { method: "POST", body: form }).then((reply) => reply.status);
"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Camera:
    return Camera(tmp_path_factory.mktemp("camera") / "camera.y4m")


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory, camera: Camera) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium"), *camera.flags) as driver:
        yield driver


@pytest.fixture
def browser(chrome: Chrome, server: Served) -> Iterator[Browser]:
    """With a session; nothing may go wrong in its console, nor be against the security policy."""
    browser = Browser(chrome, server.url)
    browser.cdp("Network.clearBrowserCookies")
    browser.look()
    browser.allow_camera(True)
    browser.become_operator(server)
    yield browser
    browser.open("/healthz")  # the camera is closed
    assert browser.complaints() == []
    for row in server.get("/people", headers=server.operator).json()["people"]:
        if row["name"] != "Barack":
            remove(server, row["name"])


def remove(server: Served, name: str) -> None:
    assert server.call("DELETE", f"/people/%20{name}", headers=server.operator).status_code == 200


def choose(browser: Browser, *photos: str) -> None:
    """Add photos to those that are chosen."""
    before = len(browser.all(".photos li"))
    browser.find("#register-file").send_keys(path(*photos))
    browser.wait(lambda: len(browser.all(".photos li")) == before + len(photos))


def register(browser: Browser, name: str) -> str:
    """The heading of the answer."""
    field = browser.find("#register-name")
    field.clear()
    field.send_keys(name)
    return after(browser, lambda: browser.press("#register-form > button"))


def after(browser: Browser, act: Callable[[], None]) -> str:
    """The heading of the answer to an act, once the lists are as they are then."""
    browser.run("document.getElementById('lists').dataset.old = 'yes'")
    act()
    heading = browser.answer().heading
    browser.wait(lambda: not browser.all("#lists[data-old]"))
    return heading


def people(browser: Browser) -> list[str | None]:
    return [line.get_attribute("data-name") for line in browser.all("[data-name]")]


def confirm(browser: Browser, css: str) -> None:
    """Press a button, and say yes."""
    browser.press(css)
    browser.driver.switch_to.alert.accept()


# --- a session -----------------------------------------------------------------------------------


def test_the_token_begins_a_session(browser: Browser, server: Served) -> None:
    browser.press("#session-form button")
    browser.wait(lambda: browser.all("#operator-token"))
    assert not browser.all("#register-form")
    browser.find("#operator-token").send_keys("x" * 43, Keys.ENTER)
    assert browser.answer().heading == "Not allowed"
    browser.find("#operator-token").send_keys(server.token, Keys.ENTER)
    browser.wait(lambda: browser.all("#register-form"))
    assert people(browser) == ["Barack"]


def test_a_session_that_began_in_another_tab(browser: Browser, server: Served) -> None:
    """The first try is refused, as what the page sends is of the other session; the next is not."""
    assert browser.run(SESSION, server.token) == 200
    choose(browser, EILEEN)
    assert register(browser, "Eileen") == "Not allowed"
    browser.wait(lambda: register(browser, "Eileen") == "Registered Eileen")


def test_a_session_that_ended_elsewhere(browser: Browser) -> None:
    browser.cdp("Network.clearBrowserCookies")
    choose(browser, EILEEN)
    assert register(browser, "Eileen") == "Not allowed"
    assert browser.all("#operator-token")
    assert not browser.all("#register-form")


# --- registering ---------------------------------------------------------------------------------


def test_several_photos_in_one_go(browser: Browser, server: Served) -> None:
    remove(server, "Barack")
    choose(browser, BARACK, BARACK_AGAIN)
    choose(browser, NOBODY, BARACK_LATER)
    browser.all(".photos button")[2].click()  # the one without a face
    assert len(browser.all(".photos canvas")) == 3
    browser.find("#register-consent").send_keys("door 3")
    assert register(browser, "Barack") == "Registered Barack"
    assert "3 photos so far" in browser.find("#answer").text
    assert not browser.all(".photos li")
    assert people(browser) == ["Barack"]
    assert "3 photos" in browser.find("[data-name=Barack]").text
    assert "consent: door 3" in browser.find("[data-name=Barack]").text
    remove(server, "Barack")
    assert server.register("Barack", BARACK).status_code == 200


def test_photos_that_are_refused_stay_chosen(browser: Browser) -> None:
    choose(browser, EILEEN, NOBODY)
    assert register(browser, "Eileen") == "Please try again"
    assert "Photo 2: no face was found" in browser.find("#answer").text
    assert len(browser.all(".photos li")) == 2
    browser.all(".photos button")[1].click()
    assert register(browser, "Eileen") == "Registered Eileen"


def test_no_more_photos_than_can_be_sent(browser: Browser) -> None:
    choose(browser, *[EILEEN] * 8)
    browser.find("#register-file").send_keys(path(JOE))
    browser.wait(lambda: "as many as can be sent" in browser.find("#register-form > .say").text)
    assert len(browser.all(".photos li")) == 8


def test_a_photo_is_required(browser: Browser, server: Served) -> None:
    browser.find("#register-name").send_keys("Nobody")
    browser.press("#register-form > button")
    assert browser.run("return document.querySelector('#register-file').validity.valueMissing")
    assert not browser.all("#answer")


def test_photos_by_the_camera(browser: Browser, camera: Camera) -> None:
    camera.show(scene(NOBODY, (300, 200), 400))
    browser.press(".go")
    browser.wait(lambda: browser.advice == "Put your face into the oval.")
    browser.find(".go").click()  # waits
    camera.show(scene(JOE, (485, 420), 700))
    browser.until("ready")
    assert not browser.all(".photos li")
    browser.press(".go")
    browser.wait(lambda: len(browser.all(".photos canvas")) == 1)
    assert register(browser, "Joe") == "Registered Joe"
    assert browser.state == "start"  # nobody is looked at any longer
    assert not browser.all("video")


# --- people, log and lock-outs -------------------------------------------------------------------


def test_the_operator_removes_somebody(browser: Browser, server: Served) -> None:
    server.register("..", EILEEN)
    browser.open("/operator/")
    assert people(browser) == ["..", "Barack"]
    browser.press('[data-name=".."] button')
    browser.driver.switch_to.alert.dismiss()
    assert after(browser, partial(confirm, browser, '[data-name=".."] button')) == "Removed .."
    assert people(browser) == ["Barack"]


def test_the_operator_searches(browser: Browser, server: Served) -> None:
    server.register("Eileen", EILEEN)
    browser.find("#search").send_keys("eil", Keys.ENTER)
    browser.wait(lambda: people(browser) == ["Eileen"])
    assert (
        after(browser, partial(confirm, browser, "[data-name=Eileen] button")) == "Removed Eileen"
    )
    assert "Nobody has such a name" in browser.find("#lists").text


def test_the_operator_unlocks(browser: Browser, server: Served) -> None:
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    browser.open("/operator/")
    left = browser.find(".hint b[data-seconds]")
    first = left.text
    browser.wait(lambda: left.text != first)
    assert "sign-in: attack" in browser.find(".log").text
    for who in ("sign-ins without a name", "Barack"):
        unlock = partial(browser.press, f"[aria-label='Unlock {who}']")
        assert after(browser, unlock) == f"Unlocked {who}"
    assert "Nobody is locked out" in browser.find("#lists").text
    assert server.sign_in(BARACK_AGAIN).status_code == 200


# --- without script, without a mouse, on a phone, without a server -------------------------------


def test_without_script(browser: Browser, server: Served) -> None:
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    browser.allow_script(False)
    try:
        browser.open("/operator/")
        assert not browser.all(".go")
        browser.find("#register-name").send_keys("Eileen")
        browser.find("#register-file").send_keys(path(EILEEN))
        browser.press("#register-form > button")
        assert browser.answer().heading == "Registered Eileen"
        browser.press(".back")
        assert people(browser) == ["Barack", "Eileen"]
        browser.press(".unlock button")
        assert browser.answer().heading == "Unlocked sign-ins without a name"
    finally:
        browser.allow_script(True)


def test_by_keyboard_alone(browser: Browser) -> None:
    browser.open("/operator/")
    reachable = browser.run(REACHABLE)
    assert len(reachable) > 8
    for element in reachable:
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        focused = browser.driver.switch_to.active_element
        assert focused == element, f"{focused.get_attribute('outerHTML')} is next"


def test_a_server_that_is_gone(chrome: Chrome, tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1") as served:
        served.register("Eileen", EILEEN)
        browser = Browser(chrome, served.url)
        browser.become_operator(served)
        choose(browser, EILEEN)
        served.stop()
    confirm(browser, "[data-name] button")
    said = browser.wait(partial(alert_is_present(), browser.driver))
    assert "server did not answer" in said.text
    said.accept()
    browser.find("#register-name").send_keys("x")
    browser.press("#register-form > button")
    browser.wait(lambda: "server did not answer" in browser.find("#register-form > .say").text)
    assert browser.complaints() == []


def states(browser: Browser, server: Served, camera: Camera) -> Iterator[str]:
    """The page in all its states, one after the other."""
    yield "session"
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    browser.open("/operator/")
    choose(browser, EILEEN)
    yield "locked"
    camera.show(scene(JOE, (485, 420), 700))
    browser.press(".go")
    browser.until("ready")
    yield "camera"
    register(browser, "Joe")
    yield "refused or registered"
    browser.open("/operator/?q=nobody")
    yield "nobody"
    browser.cdp("Network.clearBrowserCookies")
    browser.open("/operator/")
    yield "token"


def test_on_a_phone(browser: Browser, server: Served, camera: Camera) -> None:
    """Nothing is wider than it, and all that is touched is large enough."""
    for state in states(browser, server, camera):
        for scheme in ("light", "dark"):
            browser.look(360, 740, scheme)
            assert browser.run("return document.documentElement.scrollWidth") == 360, state
            for element in browser.run(REACHABLE):
                assert element.size["height"] >= 24, (
                    f"{state}: {element.get_attribute('outerHTML')}"
                )
        browser.look()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm ci in tests/web)")
def test_axe_finds_no_fault(browser: Browser, server: Served, camera: Camera) -> None:
    faults: dict[str, list[str]] = {}
    for state in states(browser, server, camera):
        for width_px in (360, 1280):
            for scheme in ("light", "dark"):
                browser.look(width_px, 800, scheme)
                found = browser.faults()
                faults |= {f"{state}, {width_px} px, {scheme}": found} if found else {}
        browser.look()
    assert faults == {}
