"""The site of docs/ (mkdocs.yml): it builds without a warning, and its pages fetch nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_has_its_page(site: Path) -> None:
    pages = {  # the README of a folder is its index
        str(path.relative_to(ROOT / "docs").with_suffix("")).replace("README", "index")
        for path in ROOT.glob("docs/**/*.md")
    }
    built = {str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")}
    assert pages <= built
    assert {"index", "security", "model-card"} <= built


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    """Links may lead there; what a browser loads by itself may not come from there."""
    loads = r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(\S+)|<link[^>]*\shref=["']?(\S+)"""
    loaded = {
        (path.name, target)
        for path in site.rglob("*.html")
        for found in re.findall(loads, path.read_text())
        for target in found
        if target.startswith(("http:", "https:", "//"))
    }
    assert loaded == set()
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\(['\"]?(?:https?:)?//", style) for style in styles)


def test_links_to_source_files_are_text(site: Path) -> None:
    """The site holds no program, so that a link to one would lead nowhere."""
    links = [
        link
        for path in site.rglob("*.html")
        for link in re.findall(r'href="?(\S+?)["\s>]', path.read_text())
    ]
    assert links
    assert not any(
        link.split("#")[0].endswith((".py", ".md", "LICENSE", "NOTICE"))
        for link in links
        if "://" not in link
    )
