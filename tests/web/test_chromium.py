"""The page in a real browser, with a camera, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from chromium import Browser, Camera, chromium, missing, scene
from conftest import SAMPLES
from PIL import Image, ImageEnhance
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import alert_is_present
from serving import BARACK, BARACK_AGAIN, EILEEN, JOE, NOBODY, TWO, Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEADS = {  # middle and height of what a camera sees of each photo, in its pixels
    BARACK_AGAIN: ((777, 500), 1000),
    BARACK: ((313, 460), 760),
    JOE: ((485, 420), 700),
    NOBODY: ((300, 200), 400),
}
ANSWER = """
const answer = document.querySelector("#answer");
if (!answer || answer.hidden || answer.dataset.seen) return null;
answer.dataset.seen = "yes";
return [
  answer.getAttribute("role"),
  answer.querySelector("h2").innerText,
  [...answer.querySelectorAll("li")].map((line) => line.innerText).join(" "),
  answer.contains(document.activeElement),
];
"""
REACHABLE = """
return [...document.querySelectorAll("a[href], button, input:not([type=hidden])")]
  .filter((element) => element.checkVisibility())
"""
WITH_TRACKS = """
window.tracks = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => {
  const stream = await ask(wish);
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""
AXE_FAULTS = """
const done = arguments[arguments.length - 1];
const only = { type: "tag", values: arguments[0] };
axe.run(document, { runOnly: only, rules: { "target-size": { enabled: true } } }).then((found) =>
  done(found.violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`))));
"""


class Answer(NamedTuple):
    role: str
    heading: str
    reasons: str
    focused: bool


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Camera:
    return Camera(tmp_path_factory.mktemp("camera") / "camera.y4m")


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory, camera: Camera) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium"), *camera.flags) as driver:
        yield driver


@pytest.fixture(scope="module")
def without_camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser of a machine that has none, and knows the server by a name as well."""
    name = "--host-resolver-rules=MAP facauth.test 127.0.0.1"
    with chromium(tmp_path_factory.mktemp("bare"), name) as driver:
        yield driver


def opened(driver: Chrome, url: str) -> Browser:
    """A visitor who was never here, at a desk."""
    browser = Browser(driver, url)
    browser.cdp("Network.clearBrowserCookies")
    browser.look()
    browser.open()
    return browser


@pytest.fixture
def browser(chrome: Chrome, server: Served) -> Iterator[Browser]:
    """At the page; nothing may go wrong in its console, nor be against the security policy."""
    browser = opened(chrome, server.url)
    browser.allow_camera(True)
    yield browser
    browser.open("/healthz")  # the camera is closed
    assert browser.complaints() == []


def path(photo: str) -> str:
    return str(SAMPLES / photo)


def seen(photo: str) -> Image.Image:
    return scene(photo, *HEADS[photo])


def answer(browser: Browser) -> Answer:
    return Answer(*browser.wait(lambda: browser.run(ANSWER)))


def send(browser: Browser, photo: str, form: str = "sign-in") -> Answer:
    browser.find(f"#{form}-file").send_keys(path(photo))
    browser.find(f"#{form}-form button[type=submit]").click()
    return answer(browser)


def advice(browser: Browser, form: str = "sign-in") -> str:
    return str(browser.find(f"#{form}-form .camera-advice").text)


def take(browser: Browser, form: str = "sign-in") -> Answer:
    """A photo by the camera, as soon as it shows something."""
    browser.find(f"#{form}-form .camera-open").click()
    browser.wait(lambda: advice(browser, form))
    browser.wait(lambda: browser.all(f"#{form}-form .camera-take"))[0].click()
    return answer(browser)


def become_operator(browser: Browser, server: Served) -> None:
    browser.find("#operator-token").send_keys(server.token, Keys.ENTER)
    browser.wait(lambda: browser.all("#register-form"))


def remove(server: Served, name: str) -> None:
    assert server.call("DELETE", f"/people/{name}", headers=server.operator).status_code == 200


# --- signing in ----------------------------------------------------------------------------------


def test_by_a_file(browser: Browser) -> None:
    assert send(browser, BARACK_AGAIN) == ("status", "Signed in as Barack", "", True)
    assert browser.driver.current_url == browser.url + "/"
    assert "Signed in" in browser.driver.title


def test_by_the_camera(browser: Browser, camera: Camera) -> None:
    camera.show(seen(BARACK_AGAIN))
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "Good" in advice(browser))
    assert browser.all(".camera video")
    browser.find("#sign-in-form .camera-take").click()
    assert answer(browser) == ("status", "Signed in as Barack", "", True)
    assert not browser.all(".camera video")  # nobody is looked at any longer


@pytest.mark.parametrize(
    ("photo", "heading", "said"),
    [
        (JOE, "Not signed in", "matches nobody"),
        (BARACK, "This is not a new photo", "an enrolled photo"),
        (NOBODY, "Please take another photo", "no face was found"),
        (TWO, "Please take another photo", "several faces"),
    ],
)
def test_a_file_that_is_refused(browser: Browser, photo: str, heading: str, said: str) -> None:
    role, shown, reasons, focused = send(browser, photo)
    assert (role, shown, focused) == ("alert", heading, True)
    assert said in reasons.lower()


@pytest.mark.parametrize(
    ("photo", "heading", "said"),
    [
        (JOE, "Not signed in", "matches nobody"),
        (BARACK, "This is not a new photo", "an enrolled photo"),
        (NOBODY, "Please take another photo", "no face was found"),
    ],
)
def test_what_the_camera_shows_is_refused(
    browser: Browser, camera: Camera, photo: str, heading: str, said: str
) -> None:
    camera.show(seen(photo))
    role, shown, reasons, focused = take(browser)
    assert (role, shown, focused) == ("alert", heading, True)
    assert said in reasons.lower()


def test_two_presses_are_one_try(browser: Browser, server: Served) -> None:
    def tries() -> int:
        return sum(line.get("route") == "/sign-in/" for line in server.log())

    before = tries()
    browser.find("#sign-in-file").send_keys(path(JOE))
    button = browser.find("#sign-in-form button[type=submit]")
    browser.run("arguments[0].click(); arguments[0].click();", button)
    assert answer(browser).heading == "Not signed in"
    # Whatever was sent besides would be answered next, or was by now.
    assert send(browser, NOBODY).heading == "Please take another photo"
    assert tries() == before + 2


# --- the camera ----------------------------------------------------------------------------------


def test_advice_follows_what_the_camera_sees(browser: Browser, camera: Camera) -> None:
    good = seen(BARACK_AGAIN)
    camera.show(ImageEnhance.Brightness(good).enhance(0.08))
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "light" in advice(browser))
    far = Image.new("RGB", good.size, "gray")
    far.paste(good.resize((good.width // 8, good.height // 8)), (100, 100))
    camera.show(far)
    browser.wait(lambda: "come closer" in advice(browser).lower())
    camera.show(good)
    browser.wait(lambda: "Good" in advice(browser))
    browser.find("#sign-in-form .camera-close").click()
    assert not browser.all(".camera video")


def test_advice_never_moves_the_button_that_somebody_is_about_to_press(
    browser: Browser, camera: Camera
) -> None:
    """A press that lands beside it would do nothing, and nobody would be told."""
    camera.show(seen(BARACK_AGAIN))
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "Good" in advice(browser))
    tops_px = {
        browser.run(
            "arguments[0].textContent = arguments[1];"
            "return arguments[2].getBoundingClientRect().top",
            browser.find("#sign-in-form .camera-advice"),
            text,
            browser.find("#sign-in-form .camera-take"),
        )
        for text in ("", "Good.", "Much longer advice. " * 20)
    }
    assert len(tops_px) == 1


def test_a_camera_that_is_asked_for_again_is_open_once(browser: Browser, server: Served) -> None:
    become_operator(browser, server)
    browser.run(WITH_TRACKS)

    def live() -> list[bool]:
        states = browser.run("return window.tracks.map((track) => track.readyState)")
        return [state == "live" for state in states]

    first, second = browser.all(".camera-open")
    browser.run("for (const button of arguments[0]) button.click()", [first, first, second])
    browser.wait(lambda: len(live()) == 3 and browser.all(".camera-close"))
    assert (sum(live()), len(browser.all(".camera video"))) == (1, 1)
    browser.find("#register-form .camera-close").click()
    assert not any(live())


def test_a_camera_that_is_unplugged(browser: Browser) -> None:
    browser.run(WITH_TRACKS)
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: browser.all(".camera video"))
    browser.run(
        "const [track] = window.tracks; track.stop(); track.dispatchEvent(new Event('ended'))"
    )
    assert "disconnected" in advice(browser)
    assert not browser.all(".camera video")


def test_a_page_that_nobody_sees_has_no_camera(browser: Browser) -> None:
    browser.run(WITH_TRACKS)
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: browser.all(".camera video"))
    browser.run(
        "Object.defineProperty(document, 'hidden', { value: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert browser.run("return window.tracks.map((track) => track.readyState)") == ["ended"]
    assert not browser.all(".camera video")


def test_a_camera_that_is_not_allowed(browser: Browser) -> None:
    browser.allow_camera(False)
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "not allowed" in advice(browser))
    assert send(browser, BARACK_AGAIN).heading == "Signed in as Barack"


def test_no_camera(without_camera: Chrome, server: Served) -> None:
    browser = opened(without_camera, server.url)
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "no camera" in advice(browser))
    assert send(browser, BARACK_AGAIN).heading == "Signed in as Barack"
    assert browser.complaints() == []


def test_a_page_that_browsers_give_no_camera(without_camera: Chrome, server: Served) -> None:
    """Neither by https nor on this machine."""
    browser = opened(without_camera, f"http://facauth.test:{server.port}")
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "https" in advice(browser))


# --- the operator --------------------------------------------------------------------------------


def test_the_operator_registers_by_file(browser: Browser, server: Served) -> None:
    become_operator(browser, server)
    browser.find("#register-name").send_keys("Eileen")
    browser.find("#register-consent").send_keys("signing in here")
    assert send(browser, EILEEN, "register").heading == "Registered Eileen"
    remove(server, "Eileen")


def test_the_operator_registers_by_camera(browser: Browser, server: Served, camera: Camera) -> None:
    become_operator(browser, server)
    camera.show(seen(JOE))
    browser.find("#register-name").send_keys("Joe")
    assert take(browser, "register").heading == "Registered Joe"
    assert send(browser, JOE).heading == "This is not a new photo"  # it is Joe's picture again
    remove(server, "Joe")


def test_a_session_that_began_in_another_tab(browser: Browser, server: Served) -> None:
    """The first try is refused, as what the page sends is of the other session; the next is not."""
    become_operator(browser, server)
    again = "const form = new FormData(); form.set('token', arguments[0]); return fetch('/session',"
    again += "{ method: 'POST', body: new URLSearchParams(form) }).then((reply) => reply.status)"
    assert browser.run(again, server.token) == 200
    browser.find("#register-name").send_keys("Eileen")
    assert send(browser, EILEEN, "register").heading == "Not allowed"
    browser.find("#register-form button[type=submit]").click()
    browser.wait(lambda: answer(browser).heading == "Registered Eileen")
    remove(server, "Eileen")


def test_the_operator_removes_somebody(browser: Browser, server: Served) -> None:
    server.register("..", EILEEN)
    become_operator(browser, server)
    browser.open("/people/")
    lines = browser.all("#answer [data-name]")
    assert [line.get_attribute("data-name") for line in lines] == ["..", "Barack"]
    answer(browser)
    browser.find('[data-name=".."] button').click()
    browser.driver.switch_to.alert.dismiss()
    browser.find('[data-name=".."] button').click()
    browser.driver.switch_to.alert.accept()
    assert answer(browser).heading == "Removed .."
    browser.open("/people/")
    assert len(browser.all("#answer [data-name]")) == 1


# --- without script, without a mouse, on a phone, without a server -------------------------------


def test_without_script(browser: Browser, server: Served) -> None:
    browser.allow_script(False)
    try:
        browser.open()
        assert browser.all("#sign-in-form") and not browser.all(".camera-open")
        assert send(browser, BARACK_AGAIN).heading == "Signed in as Barack"
        assert browser.driver.current_url == browser.url + "/sign-in/"
        assert send(browser, JOE)[:2] == ("alert", "Not signed in")
        become_operator(browser, server)
        browser.find("#register-name").send_keys("Eileen")
        assert send(browser, EILEEN, "register").heading == "Registered Eileen"
        remove(server, "Eileen")
    finally:
        browser.allow_script(True)


def test_by_keyboard_alone(browser: Browser, server: Served) -> None:
    become_operator(browser, server)
    browser.open()
    reachable = browser.run(REACHABLE)
    assert len(reachable) > 10
    for element in reachable:
        focused = press(browser, Keys.TAB)
        assert focused == element, f"{focused.get_attribute('outerHTML')} is next"
    browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
    browser.find("#sign-in-name").send_keys("Barack", Keys.ENTER)
    assert answer(browser) == ("status", "Signed in as Barack", "", True)


def test_the_camera_by_keyboard_alone(browser: Browser, camera: Camera) -> None:
    camera.show(seen(BARACK_AGAIN))
    while "camera-open" not in str(press(browser, Keys.TAB).get_attribute("class")):
        pass
    press(browser, Keys.ENTER)
    taker = browser.wait(lambda: browser.all("#sign-in-form .camera-take"))[0]
    browser.wait(lambda: browser.driver.switch_to.active_element == taker)
    press(browser, Keys.ENTER)
    assert answer(browser) == ("status", "Signed in as Barack", "", True)


def press(browser: Browser, key: str) -> WebElement:
    """What has the focus then."""
    ActionChains(browser.driver).send_keys(key).perform()
    return browser.driver.switch_to.active_element


def test_a_server_that_is_gone(chrome: Chrome, tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1") as served:
        served.register("Eileen", EILEEN)
        browser = opened(chrome, served.url)
        become_operator(browser, served)
        browser.open("/people/")
        served.stop()
    browser.find("[data-name] button").click()
    browser.driver.switch_to.alert.accept()
    said = browser.wait(partial(alert_is_present(), browser.driver))
    assert "server did not answer" in said.text
    said.accept()
    browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
    browser.find("#sign-in-form button[type=submit]").click()
    browser.wait(lambda: "server did not answer" in advice(browser))
    assert browser.complaints() == []


def states(browser: Browser, server: Served, camera: Camera) -> Iterator[str]:
    """The page in all its states, one after the other."""
    yield "visitor"
    send(browser, BARACK_AGAIN)
    yield "signed in"
    send(browser, JOE)
    yield "refused"
    camera.show(seen(BARACK_AGAIN))
    browser.find("#sign-in-form .camera-open").click()
    browser.wait(lambda: "Good" in advice(browser))
    yield "camera"
    browser.open()
    become_operator(browser, server)
    yield "operator"
    for page in ("/people/", "/docs"):
        browser.open(page)
        yield page


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
        browser.run(AXE.read_text())
        for width_px in (360, 1280):
            for scheme in ("light", "dark"):
                browser.look(width_px, 800, scheme)
                found = browser.driver.execute_async_script(AXE_FAULTS, RULES)
                faults |= {f"{state}, {width_px} px, {scheme}": found} if found else {}
        browser.look()
    assert faults == {}
