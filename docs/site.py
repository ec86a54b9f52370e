"""What mkdocs.yml adds to MkDocs: documents that lie outside docs/, and links that leave it.

Pages link to other files of the repository as GitHub wants it. On the site a link to a document
below leads to its page there, and a link to anything else becomes the text of the link.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {  # of the repository -> of the site
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "facauth/weights/README.md": "model-card.md",
    "benchmarks/templates.md": "measurements/templates.md",
    "sample_images/CREDITS.md": "credits.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add the documents from outside, and the pictures that pages show."""
    for path, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_text()))
    for picture in sorted((ROOT / "tests" / "web" / "screenshots").glob("*.png")):
        files.append(
            File.generated(config, f"screenshots/{picture.name}", abs_src_path=str(picture))
        )
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have every link lead to where its target is on the site."""
    uri = page.file.src_uri
    source = {of_site: path for path, of_site in OUTSIDE.items()}.get(uri, f"docs/{uri}")

    def link(found: re.Match[str]) -> str:
        sign, text, target, part = found.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = of_site(path)
        if there is None:
            return text
        return (
            f"{sign}[{text}]({os.path.relpath(there, posixpath.dirname(uri) or '.')}{part or ''})"
        )

    return LINK.sub(link, markdown)


def of_site(path: str) -> str | None:
    """Where a file of the repository is on the site; None if it is not there."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path.startswith("tests/web/screenshots/"):
        return path.removeprefix("tests/web/")
    return path.removeprefix("docs/") if path.startswith("docs/") else None
