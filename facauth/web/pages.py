"""The pages, from templates that are part of the package; all that is put in is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HTML = Path(__file__).parent / "html"


class Pages:
    """Reads every template at the start, so that later nothing is missing."""

    def __init__(self) -> None:
        loader = FileSystemLoader(HTML)
        made = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        self._page, self._docs = made.get_template("page.html"), made.get_template("docs.html")
        self.style = (HTML / "style.css").read_bytes()

    def page(self, csrf: str | None, answer: dict[str, Any] | None = None) -> str:
        """The page.

        csrf: of the operator's session, None for everybody else. answer: the envelope to show.
        """
        return self._page.render(csrf=csrf, answer=answer)

    def docs(self, document: dict[str, Any]) -> str:
        """The OpenAPI document, to be read."""
        return self._docs.render(document=document)
