"""The pages, from the templates of this package. Everything put into them is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HTML = Path(__file__).parent / "html"
HEADINGS = {  # by reason code or verdict; the code goes before the verdict
    "signed_in": "Signed in as {person}",
    "registered": "Registered {person}",
    "removed": "Removed {person}",
    "listed": "Enrolled people",
    "live": "A live face",
    "attack": "This is not a live face",
    "replay.enrolled_picture": "This is not a new photo",
    "replay.same_sitting": "This is not a new photo",
    "no_match": "Not signed in",
    "locked_out": "Please wait",
    "unusable_image": "Please take another photo",
    "forbidden": "Not allowed",
    "busy": "Please wait",
}
FILES = (
    ("style.css", "text/css"),
    ("page.js", "text/javascript"),
    ("icon.svg", "image/svg+xml"),
)
OTHER_HEADING = "That did not work"


class Pages:
    """The templates, all read at the start so that a missing one shows then."""

    def __init__(self) -> None:
        loader = FileSystemLoader(HTML)
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        environment.globals["heading"] = _heading
        self._page, self._docs = (
            environment.get_template("page.html"),
            environment.get_template("docs.html"),
        )
        self.files = {f"/{name}": ((HTML / name).read_bytes(), kind) for name, kind in FILES}

    def page(self, csrf: str | None, answer: dict[str, Any] | None = None) -> str:
        """The page with its forms.

        csrf: the CSRF token of the operator's session; None for everybody else.
        answer: an envelope to show.
        """
        return self._page.render(csrf=csrf, answer=answer)

    def docs(self, document: dict[str, Any]) -> str:
        """The OpenAPI document as a page."""
        return self._docs.render(document=document)


def _heading(answer: dict[str, Any]) -> str:
    """The result in a few words."""
    keys = [*(reason["code"] for reason in answer["reasons"]), answer["verdict"]]
    heading = next((HEADINGS[key] for key in keys if key in HEADINGS), OTHER_HEADING)
    return heading.format(person=answer["person"])
