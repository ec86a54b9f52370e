"""The pages as a browser shows them, whichever browser it is, and what people do there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from conftest import SAMPLES
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from serving import Served

WAIT_S = 30  # on a busy machine; nothing takes a third of it
AXE = Path(__file__).parent / "web/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE_FAULTS = """
const done = arguments[arguments.length - 1];
const only = { type: "tag", values: arguments[0] };
axe.run(document, { runOnly: only, rules: { "target-size": { enabled: true } } }).then((found) =>
  done(found.violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`))));
"""
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
const kinds = "a[href], button, summary, input:not([type=hidden]), [tabindex='0']";
return [...document.querySelectorAll(kinds)]
  .filter((element) => element.checkVisibility())
"""
# What was asked of the server, so that a test knows which challenge was drawn and what was sent.
WITH_RECORDS = """
window.challenges = [];
window.sent = [];
const ask = window.fetch;
window.fetch = async (url, request) => {
  if (String(url).endsWith("/sign-in/")) window.sent.push(request.body);
  const reply = await ask(url, request);
  if (url === "/challenge/" && reply.ok) {
    window.challenges.push((await reply.clone().json()).challenge);
  }
  return reply;
};
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


class Answer(NamedTuple):
    role: str
    heading: str
    reasons: str
    focused: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of one server, as somebody sees and uses it."""

    driver: WebDriver
    url: str

    def open(self, path: str = "/") -> None:
        self.driver.get(self.url + path)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        """Those that can be seen."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [each for each in found if each.is_displayed()]

    def wait(self, condition: Any) -> Any:
        """For what a function of the browser, or of nothing, gives once it is true."""
        ignored = [StaleElementReferenceException]  # the page puts new parts in place of old ones
        waiting = WebDriverWait(self.driver, WAIT_S, 0.05, ignored_exceptions=ignored)
        return waiting.until(lambda _: condition())

    def run(self, script: str, *values: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *values)

    def press(self, css: str) -> None:
        """Once it can be seen."""

        def pressed() -> bool:
            seen = self.all(css)
            if seen:
                seen[0].click()
            return bool(seen)

        self.wait(pressed)

    def answer(self) -> Answer:
        """The next one."""
        return Answer(*self.wait(lambda: self.run(ANSWER)))

    # --- the camera ------------------------------------------------------------------------------

    @property
    def state(self) -> str | None:
        """How far the camera is."""
        return self.find(".camera").get_attribute("data-state")

    @property
    def asked(self) -> str:
        """The movement that the page asks for now."""
        return self.find(".camera").get_attribute("data-move") or ""

    @property
    def advice(self) -> str:
        """What the page says over the picture."""
        return str(self.find(".camera .say").text)

    @property
    def waits(self) -> bool:
        """Whether the button does."""
        return self.find(".go").get_attribute("aria-disabled") == "true"

    def until(self, *states: str) -> None:
        """Wait for one of these."""
        self.wait(lambda: self.state in states)

    # --- files and tokens ------------------------------------------------------------------------

    def send(self, photo: str) -> Answer:
        """Sign in with a file."""
        if not self.all("#sign-in-file"):
            self.press("summary")
        self.find("#sign-in-file").send_keys(path(photo))
        self.press(".file button")
        return self.answer()

    def again(self) -> None:
        """From an answer back to the start."""
        self.press("[data-again]")
        self.wait(lambda: self.all("#sign-in-form"))

    def become_operator(self, server: Served) -> None:
        """On the page of the operator."""
        self.open("/operator/")
        self.find("#operator-token").send_keys(server.token, Keys.ENTER)
        self.wait(lambda: self.all("#register-form"))

    def faults(self) -> list[str]:
        """What axe-core finds."""
        self.run(AXE.read_text())
        found: list[str] = self.driver.execute_async_script(AXE_FAULTS, RULES)
        return found


def path(*photos: str) -> str:
    """As somebody chooses files."""
    return "\n".join(str(SAMPLES / photo) for photo in photos)
