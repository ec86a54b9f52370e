"""Signing in, in a real browser with a camera, against the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from actor import can_follow, poses
from browsing import ANSWER, AXE, REACHABLE, WITH_RECORDS, WITH_TRACKS, Answer, path
from chromium import Browser, Camera, chromium, missing, scene
from PIL import Image, ImageEnhance
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from serving import BARACK, BARACK_AGAIN, JOE, NOBODY, TWO, Served, serving
from signed import checked

from facauth.networks import Networks

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

Poses = dict[str, Image.Image]
SAYS = {
    "look_left": "Turn your head to the left.",
    "look_right": "Turn your head to the right.",
    "look_up": "Raise your chin and look up.",
    "come_nearer": "Come nearer.",
}
SENT = """
const [form] = window.sent, frames = form.getAll("frame");
const sizes = await Promise.all(frames.map(async (frame) => {
  const { width, height } = await createImageBitmap(frame);
  return [width, height];
}));
return {
  bytes: frames.map((frame) => frame.size), sizes, times: form.get("times_ms"),
  challenge: form.get("challenge"), name: form.get("name"), files: form.getAll("file").length,
};
"""


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


@pytest.fixture(scope="module")
def actor(networks: Networks) -> Poses:
    return poses(networks)


def opened(driver: Chrome, url: str) -> Browser:
    """A visitor who was never here, at a desk."""
    browser = Browser(driver, url)
    browser.cdp("Network.clearBrowserCookies")
    browser.look()
    browser.open()
    browser.run(WITH_RECORDS)
    return browser


@pytest.fixture
def browser(chrome: Chrome, server: Served) -> Iterator[Browser]:
    """At the page; nothing may go wrong in its console, nor be against the security policy."""
    browser = opened(chrome, server.url)
    browser.allow_camera(True)
    yield browser
    browser.open("/healthz")  # the camera is closed
    assert browser.complaints() == []


def follow(browser: Browser, camera: Camera, actor: Poses) -> Answer:
    """Do as the page says, until there is an answer."""
    shown = ""

    def over() -> Any:
        nonlocal shown
        asked = browser.asked
        if asked != shown:
            camera.show(actor[asked])
            shown = asked
        return browser.run(ANSWER)

    return Answer(*browser.wait(over))


def record(browser: Browser, camera: Camera, actor: Poses) -> set[str]:
    """Begin recordings until the movements are such as the actor can make; these."""
    camera.show(actor[""])
    while True:
        browser.press(".go")
        browser.until("record")
        (*_, challenge) = browser.run("return window.challenges")
        movements = {prompt["action"] for prompt in challenge["prompts"]}
        if can_follow(movements):
            return movements
        browser.press(".stop")


def sign_ins(server: Served, route: str = "/sign-in/") -> int:
    return sum(line.get("route") == route for line in server.log())


# --- by the camera -------------------------------------------------------------------------------


def test_the_page_opens_on_the_camera(browser: Browser) -> None:
    buttons = [button.text for button in browser.all("button")]
    assert buttons == ["Sign in with the camera"]
    assert not browser.all("#sign-in-file")
    assert browser.all("#sign-in-name")


def test_who_follows_the_prompts_is_signed_in(
    browser: Browser, camera: Camera, actor: Poses
) -> None:
    record(browser, camera, actor)
    assert follow(browser, camera, actor) == ("status", "Signed in as Barack", "", True)
    assert browser.driver.current_url == browser.url + "/"
    assert "Signed in" in browser.driver.title
    assert not browser.all("video")  # nobody is looked at any longer
    browser.again()
    assert browser.state == "start"
    assert "Sign in" in browser.driver.title


def test_what_is_sent_keeps_the_limits(browser: Browser, camera: Camera, actor: Poses) -> None:
    browser.find("#sign-in-name").send_keys("Barack")
    record(browser, camera, actor)
    assert follow(browser, camera, actor).heading == "Signed in as Barack"
    sent = browser.run(f"return (async () => {{ {SENT} }})()")
    times = [int(time) for time in sent["times"].split(",")]
    challenge = browser.run("return window.challenges.at(-1)")
    assert 5 * challenge["length_s"] < len(times) == len(sent["bytes"]) <= 80
    assert times[0] == 0
    assert times == sorted(set(times))
    assert abs(times[-1] / 1000 - challenge["length_s"]) < 0.5
    assert max(sent["bytes"]) <= 300 * 1024
    assert sent["sizes"] == [[640, 480]] * len(times)
    assert (sent["challenge"], sent["name"], sent["files"]) == (challenge["id"], "Barack", 0)


def test_who_sits_still_is_not(browser: Browser, camera: Camera, actor: Poses) -> None:
    movements = record(browser, camera, actor)
    said = set()
    while browser.state == "record":
        said |= {browser.advice}
        assert browser.find(".camera .say").get_attribute("aria-live") == "assertive"
    assert said >= {SAYS[movement] for movement in movements} | {"Look at the camera."}
    role, heading, reasons, focused = browser.answer()
    assert (role, heading, focused) == ("alert", "The movements did not match", True)
    assert "did not move as asked" in reasons
    browser.press("[data-again]")  # the camera opens by itself again
    browser.until("count")


def test_somebody_else_is_told_so(browser: Browser, camera: Camera, server: Served) -> None:
    """And a face that is not there at all never gets as far as a try."""
    before = sign_ins(server)
    camera.show(scene(JOE, (485, 420), 700))
    browser.press(".go")
    browser.until("record")
    assert browser.answer().role == "alert"
    camera.show(scene(NOBODY, (300, 200), 400))
    browser.press("[data-again]")
    browser.wait(lambda: browser.advice == "Put your face into the oval.")
    assert browser.waits
    assert sign_ins(server) == before + 1


def test_the_button_waits_until_the_face_is_in_the_oval(
    browser: Browser, camera: Camera, server: Served, actor: Poses
) -> None:
    before = sign_ins(server, "/challenge/")
    good = actor[""]
    for picture, advice in outside(good):
        camera.show(picture)
        if browser.state == "start":
            browser.press(".go")
        browser.wait(lambda advice=advice: advice in browser.advice)
        assert (browser.state, browser.waits) == ("aim", True)
        browser.find(".go").click()
        assert browser.state == "aim"
    assert sign_ins(server, "/challenge/") == before
    camera.show(good)
    browser.until("count")
    assert not browser.waits
    browser.press(".stop")
    assert browser.state == "ready"
    browser.press(".stop")
    assert browser.state == "start"
    assert not browser.all("video")


def outside(good: Image.Image) -> Iterator[tuple[Image.Image, str]]:
    """What is wrong with a picture, and what the page says then; the picture is a mirror."""
    yield ImageEnhance.Brightness(good).enhance(0.08), "light"
    far = Image.new("RGB", good.size, "gray")
    far.paste(good.resize((good.width // 3, good.height // 3)), (213, 160))
    yield far, "Come nearer."
    yield good.transform(good.size, Image.Transform.AFFINE, (1, 0, 150, 0, 1, 0)), "to your left"
    yield good.transform(good.size, Image.Transform.AFFINE, (1, 0, -150, 0, 1, 0)), "to your right"
    yield Image.new("RGB", good.size, "gray"), "Put your face into the oval."


def test_a_countdown_can_be_stopped(
    browser: Browser, camera: Camera, server: Served, actor: Poses
) -> None:
    before = sign_ins(server, "/challenge/")
    camera.show(actor[""])
    browser.press(".go")
    browser.until("count")
    assert browser.find(".count").text in ("1", "2", "3")
    assert browser.find(".stop").text == "Not yet"
    browser.press(".stop")
    looks = sign_ins(server, "/quality/")
    browser.wait(lambda: sign_ins(server, "/quality/") >= looks + 4)  # by when it had started
    assert (browser.state, browser.waits, browser.find(".count").text) == ("ready", False, "")
    assert sign_ins(server, "/challenge/") == before
    browser.press(".go")
    browser.until("record")


def test_a_face_that_leaves_stops_the_countdown(
    browser: Browser, camera: Camera, server: Served, actor: Poses
) -> None:
    before = sign_ins(server, "/challenge/")
    camera.show(actor[""])
    browser.press(".go")
    browser.until("count")  # of three seconds, in which advice comes several times
    camera.show(scene(NOBODY, (300, 200), 400))
    browser.until("aim")
    assert browser.waits
    assert sign_ins(server, "/challenge/") == before


def test_a_recording_that_is_cancelled_is_not_sent(
    browser: Browser, camera: Camera, server: Served, actor: Poses
) -> None:
    before = sign_ins(server)
    camera.show(actor[""])
    browser.press(".go")
    browser.until("record")
    browser.press(".stop")
    assert browser.state == "start"
    assert not browser.all("video")
    assert browser.driver.switch_to.active_element == browser.find(".go")
    assert browser.send(NOBODY).heading == "Please try again"
    assert sign_ins(server) == before + 1


def test_advice_never_moves_the_button_that_somebody_is_about_to_press(
    browser: Browser, camera: Camera, actor: Poses
) -> None:
    """A press that lands beside it would do nothing, and nobody would be told."""
    camera.show(Image.new("RGB", (640, 480), "gray"))
    browser.press(".go")
    browser.until("aim")
    tops_px = {
        browser.run(
            "arguments[0].textContent = arguments[1];"
            "return arguments[2].getBoundingClientRect().top",
            browser.find(".camera .say"),
            text,
            browser.find(".go"),
        )
        for text in ("", "Good.", "Much longer advice. " * 20)
    }
    assert len(tops_px) == 1


# --- a camera that is none -----------------------------------------------------------------------


def test_a_camera_that_is_asked_for_again_is_open_once(browser: Browser) -> None:
    browser.run(WITH_TRACKS)
    go, stop = browser.find(".go"), browser.find(".stop")
    browser.run("arguments[0].click(); arguments[1].click(); arguments[0].click();", go, stop)
    browser.wait(lambda: browser.run("return window.tracks.length") == 2)
    live = "return window.tracks.filter((track) => track.readyState === 'live').length"
    browser.until("aim", "ready", "count")
    assert browser.run(live) == 1
    browser.run("arguments[0].click()", stop)
    browser.run("if (arguments[0].checkVisibility()) arguments[0].click()", stop)
    browser.wait(lambda: browser.run(live) == 0)


def test_a_camera_that_is_unplugged(browser: Browser) -> None:
    browser.run(WITH_TRACKS)
    browser.press(".go")
    browser.wait(lambda: browser.all("video"))
    browser.wait(lambda: browser.run("return window.tracks.length"))
    browser.run(
        "const [track] = window.tracks; track.stop(); track.dispatchEvent(new Event('ended'))"
    )
    browser.until("start")
    assert "disconnected" in browser.advice
    assert not browser.all("video")


def test_a_page_that_nobody_sees_has_no_camera(browser: Browser) -> None:
    browser.run(WITH_TRACKS)
    browser.press(".go")
    browser.wait(lambda: browser.run("return window.tracks.length"))
    browser.run(
        "Object.defineProperty(document, 'hidden', { value: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert browser.run("return window.tracks.map((track) => track.readyState)") == ["ended"]
    assert browser.state == "start"


def test_a_camera_that_is_not_allowed(browser: Browser) -> None:
    browser.allow_camera(False)
    browser.press(".go")
    browser.wait(lambda: "not allowed" in browser.advice)
    assert browser.all("#sign-in-file")  # the way that is left
    assert browser.send(BARACK_AGAIN).heading == "Signed in as Barack"


def test_no_camera(without_camera: Chrome, server: Served) -> None:
    browser = opened(without_camera, server.url)
    browser.press(".go")
    browser.wait(lambda: "no camera" in browser.advice)
    assert browser.send(BARACK_AGAIN).heading == "Signed in as Barack"
    assert browser.complaints() == []


def test_a_page_that_browsers_give_no_camera(without_camera: Chrome, server: Served) -> None:
    """Neither by https nor on this machine."""
    browser = opened(without_camera, f"http://facauth.test:{server.port}")
    browser.press(".go")
    browser.wait(lambda: "https" in browser.advice)


# --- by a file -----------------------------------------------------------------------------------


def test_by_a_file(browser: Browser) -> None:
    assert browser.send(BARACK_AGAIN) == ("status", "Signed in as Barack", "", True)
    browser.again()
    assert browser.find("#sign-in-file").get_attribute("value") == ""


@pytest.mark.parametrize(
    ("photo", "heading", "said"),
    [
        (JOE, "Not signed in", "matches nobody"),
        (BARACK, "This is not a new photo", "an enrolled photo"),
        (NOBODY, "Please try again", "no face was found"),
        (TWO, "Please try again", "several faces"),
    ],
)
def test_a_file_that_is_refused(browser: Browser, photo: str, heading: str, said: str) -> None:
    role, shown, reasons, focused = browser.send(photo)
    assert (role, shown, focused) == ("alert", heading, True)
    assert said in reasons.lower()
    browser.again()
    assert browser.all("#sign-in-file")  # the same way again


def test_two_presses_are_one_try(browser: Browser, server: Served) -> None:
    before = sign_ins(server)
    browser.press("summary")
    browser.find("#sign-in-file").send_keys(path(JOE))
    button = browser.find(".file button")
    browser.run("arguments[0].click(); arguments[0].click();", button)
    assert browser.answer().heading == "Not signed in"
    browser.again()
    # Whatever was sent besides would be answered next, or was by now.
    assert browser.send(NOBODY).heading == "Please try again"
    assert sign_ins(server) == before + 2


# --- waiting -------------------------------------------------------------------------------------


def test_a_lock_out_counts_down(browser: Browser, server: Served) -> None:
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    assert browser.send(BARACK_AGAIN).heading == "Please wait"
    left = browser.find(".wait b")
    first = left.text
    browser.wait(lambda: left.text != first)
    assert int(left.text.split()[0]) < int(first.split()[0]) <= 30
    browser.press("[data-again]")  # waits as well
    assert browser.all("#answer")
    assert browser.find("[data-again]").get_attribute("aria-disabled") == "true"


def test_a_lock_out_is_told_before_anybody_is_recorded(
    browser: Browser, camera: Camera, server: Served, actor: Poses
) -> None:
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    before = sign_ins(server)
    camera.show(actor[""])
    browser.press(".go")
    assert browser.answer()[:2] == ("alert", "Please wait")
    assert "You can try again in" in browser.find(".wait").text
    assert not browser.all("video")
    assert sign_ins(server) == before


def test_the_end_of_a_wait(chrome: Chrome, tmp_path: Path) -> None:
    # One more try every 15 s: long enough to be refused, short enough to be waited for.
    with serving(tmp_path, "--workers", "1", "--per-minute", "4") as served:
        assert served.register("Barack", BARACK).status_code == 200
        browser = opened(chrome, served.url)
        while served.call("POST", "/challenge/", data={"name": ""}).status_code == 200:
            pass
        assert browser.send(BARACK_AGAIN).heading == "Please wait"
        browser.wait(lambda: browser.find(".wait").text == "You can try again now.")
        browser.again()
        assert browser.send(BARACK_AGAIN).heading == "Signed in as Barack"
        assert browser.complaints() == []


def test_a_server_that_gives_no_advice_is_no_obstacle(
    chrome: Chrome, tmp_path: Path, camera: Camera, actor: Poses
) -> None:
    """Nothing starts by itself then, but somebody can start it."""
    with serving(tmp_path, "--workers", "1", "--per-minute", "1") as served:
        browser = opened(chrome, served.url)
        browser.allow_camera(True)
        for _ in range(2):
            served.call("POST", "/quality/", files={"file": ("x", b"x")})
        camera.show(actor[""])
        browser.press(".go")
        browser.wait(lambda: browser.advice == "Start when your face fills the oval.")
        assert (browser.state, browser.waits) == ("ready", False)
        browser.press(".go")
        browser.until("record")
        browser.press(".stop")


# --- the way on ----------------------------------------------------------------------------------


@pytest.fixture
def caller() -> Iterator[tuple[str, list[str]]]:
    """The address of a caller's page, and what was asked of it."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>caller</title>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/done", asked
        server.shutdown()
        thread.join()


def test_the_page_goes_on_with_a_signed_result(
    chrome: Chrome, tmp_path: Path, caller: tuple[str, list[str]]
) -> None:
    address, asked = caller
    with serving(tmp_path, "--workers", "1", "--on-success", address) as served:
        assert served.register("Barack", BARACK).status_code == 200
        browser = opened(chrome, served.url)
        browser.open("/?state=abc-1")
        assert browser.send(JOE).heading == "Not signed in"
        browser.again()
        browser.send(BARACK_AGAIN)
        browser.press(".stay")
        assert browser.find("#continue").text == "Continue"
        assert not [each for each in asked if each.startswith("/done")]
        browser.open("/?state=abc-2")
        assert browser.send(BARACK_AGAIN).heading == "Signed in as Barack"
        browser.wait(lambda: browser.driver.title == "caller")
        (gone,) = [parse_qs(urlsplit(each).query) for each in asked if each.startswith("/done")]
        assert gone["state"] == ["abc-2"]
        claims = checked(gone["facauth_result"][0], served.get("/.well-known/jwks.json").json())
        assert (claims["sub"], claims["nonce"]) == ("Barack", "abc-2")
        assert address.startswith(claims["aud"])
        without_script(browser, lambda: browser.open("/?state=abc-3"))
        browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
        without_script(browser, lambda: browser.press(".file button"))
        browser.press("#continue")
        browser.wait(lambda: len([each for each in asked if "abc-3" in each]) == 1)


def without_script(browser: Browser, act: Callable[[], None]) -> None:
    browser.allow_script(False)
    try:
        act()
    finally:
        browser.allow_script(True)


def test_a_kiosk_goes_back_to_its_start(chrome: Chrome, tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1", "--kiosk") as served:
        assert served.register("Barack", BARACK).status_code == 200
        browser = opened(chrome, served.url)
        browser.find("#sign-in-name").send_keys("Barack")
        assert browser.send(BARACK_AGAIN).heading == "Signed in as Barack"
        assert "Back to the start" in browser.find("#answer").text
        browser.wait(lambda: browser.state == "start" and browser.all("#sign-in-form"))
        assert browser.find("#sign-in-name").get_attribute("value") == ""  # nothing of who was here
        assert not browser.all("#answer")
        assert browser.send(JOE).heading == "Not signed in"
        browser.press(".stay")
        assert "Back to the start" not in browser.find("#answer").text
        assert browser.complaints() == []


def test_a_server_that_takes_no_files(chrome: Chrome, tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1", "--policy", "camera") as served:
        browser = opened(chrome, served.url)
        browser.allow_camera(False)
        assert not browser.all("summary")
        browser.press(".go")
        browser.wait(lambda: "not allowed" in browser.advice)
        assert "photo" not in browser.advice
        without_script(browser, browser.open)
        assert "needs JavaScript" in browser.find("noscript").text
        assert not browser.all("button")
        browser.allow_camera(True)


# --- without script, without a mouse, on a phone, without a server -------------------------------


def test_without_script(browser: Browser) -> None:
    browser.allow_script(False)
    try:
        browser.open()
        assert not browser.all(".go")
        browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
        browser.press(".file button")
        assert browser.answer()[:2] == ("status", "Signed in as Barack")
        assert browser.driver.current_url == browser.url + "/sign-in/"
        browser.press("[data-again]")
        browser.find("#sign-in-file").send_keys(path(JOE))
        browser.press(".file button")
        assert browser.answer()[:2] == ("alert", "Not signed in")
    finally:
        browser.allow_script(True)


def test_by_keyboard_alone(browser: Browser) -> None:
    browser.press("summary")
    browser.open()
    reachable = browser.run(REACHABLE)
    assert len(reachable) == 3
    for element in reachable:
        focused = press(browser, Keys.TAB)
        assert focused == element, f"{focused.get_attribute('outerHTML')} is next"
    press(browser, Keys.ENTER)  # the photo file
    browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
    browser.find("#sign-in-name").send_keys("Barack", Keys.ENTER)
    assert browser.answer() == ("status", "Signed in as Barack", "", True)
    assert press(browser, Keys.TAB) == browser.find("[data-again]")
    press(browser, Keys.ENTER)
    assert browser.driver.switch_to.active_element == browser.find(".go")


def test_the_camera_by_keyboard_alone(browser: Browser, camera: Camera, actor: Poses) -> None:
    camera.show(actor[""])
    browser.find("#sign-in-name").send_keys("Barack", Keys.ENTER)  # the first thing to do
    browser.until("count")
    browser.open()
    browser.run(WITH_RECORDS)
    while press(browser, Keys.TAB) != browser.find(".go"):
        pass
    press(browser, Keys.ENTER)
    browser.until("count")
    press(browser, Keys.ENTER)  # at once
    browser.until("record")
    browser.wait(lambda: browser.driver.switch_to.active_element == browser.find(".stop"))
    press(browser, Keys.ENTER)
    browser.until("start")


def press(browser: Browser, key: str) -> WebElement:
    """What has the focus then."""
    ActionChains(browser.driver).send_keys(key).perform()
    return browser.driver.switch_to.active_element


def test_a_server_that_is_gone(
    chrome: Chrome, tmp_path: Path, camera: Camera, actor: Poses
) -> None:
    with serving(tmp_path, "--workers", "1") as served:
        browser = opened(chrome, served.url)
        browser.allow_camera(True)
        camera.show(actor[""])
        browser.press(".go")
        browser.until("record")
        served.stop()
    browser.wait(lambda: "server did not answer" in browser.advice)
    assert browser.state == "start"
    browser.press("summary")
    browser.find("#sign-in-file").send_keys(path(BARACK_AGAIN))
    browser.press(".file button")
    browser.wait(lambda: "server did not answer" in browser.find(".file .say").text)
    assert browser.complaints() == []


def states(browser: Browser, camera: Camera, actor: Poses) -> Iterator[str]:
    """The page in all its states, one after the other."""
    yield "start"
    browser.press("summary")
    yield "file"
    browser.send(BARACK_AGAIN)
    yield "signed in"
    browser.again()
    browser.send(JOE)
    yield "refused"
    browser.open()
    camera.show(Image.new("RGB", (640, 480), "gray"))
    browser.press(".go")
    browser.wait(lambda: browser.advice == "Put your face into the oval.")
    yield "aim"
    camera.show(actor[""])
    browser.until("count")
    browser.press(".stop")
    yield "ready"
    browser.press(".go")
    browser.until("record")
    browser.run(FROZEN)
    for movement in SAYS:
        browser.run(SHOWN, movement)
        yield movement
    browser.open("/docs")
    yield "docs"


FROZEN = """
document.querySelector('.stop').click();
document.querySelector('.camera').dataset.state = 'record';
"""
SHOWN = """
document.querySelector('.camera').dataset.move = arguments[0];
document.querySelector('.camera .say').textContent = 'Turn your head to the right.';
"""


def test_on_a_phone(browser: Browser, camera: Camera, actor: Poses) -> None:
    """Nothing is wider than it, and all that is touched is large enough."""
    for state in states(browser, camera, actor):
        for scheme in ("light", "dark"):
            browser.look(360, 740, scheme)
            assert browser.run("return document.documentElement.scrollWidth") == 360, state
            for element in browser.run(REACHABLE):
                assert element.size["height"] >= 24, (
                    f"{state}: {element.get_attribute('outerHTML')}"
                )
        browser.look()


def test_nothing_moves_for_who_wants_that(browser: Browser) -> None:
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    moves = "return document.getAnimations().length"
    for state, reduced in (("look_left", False), ("look_left", True), ("come_nearer", True)):
        browser.cdp("Emulation.setEmulatedMedia", features=[feature] if reduced else [])
        browser.run("document.querySelector('.camera').dataset.state = 'record';")
        browser.run(SHOWN, state)
        assert (browser.run(moves) == 0) == reduced
    browser.run("document.querySelector('.camera').dataset.state = 'send';")
    assert browser.run(moves) == 0


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm ci in tests/web)")
def test_axe_finds_no_fault(browser: Browser, camera: Camera, actor: Poses) -> None:
    faults: dict[str, list[str]] = {}
    for state in states(browser, camera, actor):
        for width_px in (360, 1280):
            for scheme in ("light", "dark"):
                browser.look(width_px, 800, scheme)
                found = browser.faults()
                faults |= {f"{state}, {width_px} px, {scheme}": found} if found else {}
        browser.look()
    assert faults == {}
