"""The pages, from the templates of this package. Everything put into them is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from facauth.web.answers import Reply
from facauth.web.openapi import EXAMPLES, STATUS_TEXT
from facauth.web.site import Site

HTML = Path(__file__).parent / "html"
HEADINGS = {  # by reason code or verdict; the code goes before the verdict
    "signed_in": "Signed in as {person}",
    "registered": "Registered {person}",
    "removed": "Removed {person}",
    "unlocked": "Unlocked {person}",
    "drawn": "Please start again",
    "live": "A live face",
    "attack": "This is not a live face",
    "replay.enrolled_picture": "This is not a new photo",
    "replay.same_sitting": "This is not a new photo",
    "challenge.expired": "That took too long",
    "challenge.missing": "Please use the camera",
    "challenge.not_followed": "The movements did not match",
    "no_match": "Not signed in",
    "locked_out": "Please wait",
    "unusable_image": "Please try again",
    "forbidden": "Not allowed",
    "busy": "Please wait",
}
OTHER_HEADING = "That did not work"
WITHOUT_NAME = "sign-ins without a name"
# Reasons that end by themselves; the page counts down to it.
WAITS = {"limit.delay", "client.rate", "server.busy", "store.busy", "store.changed"}
SCRIPTS = ("answer.js", "camera.js", "sign-in.js", "operator.js")
FILES = (
    ("style.css", "text/css"),
    *((name, "text/javascript") for name in SCRIPTS),
    ("icon.svg", "image/svg+xml"),
)


class Pages:
    """The templates, all read at the start so that a missing one shows then."""

    def __init__(self, site: Site) -> None:
        environment = Environment(
            loader=FileSystemLoader(HTML),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"heading": _heading, "site": site, "limits": site.limits}
        environment.filters |= {"sentence": _sentence, "day": _day}
        templates = map(environment.get_template, ("sign-in.html", "operator.html", "docs.html"))
        self._sign_in, self._operator, self._docs = templates
        self.files = {f"/{name}": ((HTML / name).read_bytes(), kind) for name, kind in FILES}

    def sign_in(self, reply: Reply | None = None, state: str | None = None) -> str:
        """The page on which everybody signs in.

        reply: an answer to show. state: of the caller who sent the visitor.
        """
        return self._sign_in.render(answer=reply and reply.body, wait_s=_wait_s(reply), state=state)

    def operator(
        self,
        csrf: str | None,
        reply: Reply | None = None,
        overview: dict[str, Any] | None = None,
    ) -> str:
        """The page of the operator.

        csrf: the CSRF token of the operator's session; None: ask for the operator's token.
        reply: an answer to show. overview: people, lock-outs and log; None: only the answer.
        """
        answer, wait_s = reply and reply.body, _wait_s(reply)
        return self._operator.render(answer=answer, wait_s=wait_s, csrf=csrf, overview=overview)

    def docs(self, document: dict[str, Any], origin: str) -> str:
        """The OpenAPI document as a page. origin: the address of this server, for examples."""
        more = {"examples": EXAMPLES, "statuses": STATUS_TEXT}
        return self._docs.render(document=document, origin=origin, **more)


def _wait_s(reply: Reply | None) -> int | None:
    """After how many seconds the same request may succeed; None if nobody knows."""
    codes = {reason["code"] for reason in reply.body["reasons"]} if reply else set()
    return int(reply.headers["Retry-After"]) if reply and codes & WAITS else None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _day(moment: str | None) -> str:
    """A time of the store, UTC, ISO 8601, to the minute."""
    return moment[:16].replace("T", " ") if moment else "never"


def _heading(answer: dict[str, Any]) -> str:
    """The result in a few words."""
    keys = [*(reason["code"] for reason in answer["reasons"]), answer["verdict"]]
    heading = next((HEADINGS[key] for key in keys if key in HEADINGS), OTHER_HEADING)
    return heading.format(person=answer["person"] or WITHOUT_NAME)
