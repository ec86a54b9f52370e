"""The pages, from templates that are part of the package; all that is put in is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HTML = Path(__file__).parent / "html"
HEADINGS = {  # of each verdict that a page shows
    "signed_in": "Signed in as {person}",
    "registered": "Registered {person}",
    "removed": "Removed {person}",
    "listed": "Who is enrolled",
    "live": "A live face",
    "attack": "This is not a live face",
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
OTHERWISE = "That did not work"


class Pages:
    """Reads every template at the start, so that later nothing is missing."""

    def __init__(self) -> None:
        loader = FileSystemLoader(HTML)
        made = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        made.globals["heading"] = _heading
        self._page, self._docs = made.get_template("page.html"), made.get_template("docs.html")
        self.files = {f"/{name}": ((HTML / name).read_bytes(), kind) for name, kind in FILES}

    def page(self, csrf: str | None, answer: dict[str, Any] | None = None) -> str:
        """The page.

        csrf: of the operator's session, None for everybody else. answer: the envelope to show.
        """
        return self._page.render(csrf=csrf, answer=answer)

    def docs(self, document: dict[str, Any]) -> str:
        """The OpenAPI document, to be read."""
        return self._docs.render(document=document)


def _heading(answer: dict[str, Any]) -> str:
    """What happened, in a few words."""
    return HEADINGS.get(answer["verdict"], OTHERWISE).format(person=answer["person"])
