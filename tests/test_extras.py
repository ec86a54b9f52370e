"""What is advised where an extra is missing can be done: every package is on an index."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest
from conftest import ROOT

from facauth.extras import pip_install

EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_an_extra_are_named(extra: str) -> None:
    advised = pip_install(extra).removeprefix("pip install ").split(" ")
    assert sorted(advised) == sorted(f"'{package}'" for package in EXTRAS[extra])


def test_of_no_installation_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert pip_install("web") == "pip install '.[web]'"


def test_nothing_advises_to_install_facauth_from_an_index() -> None:
    for source in (ROOT / "facauth").rglob("*.py"):
        assert "facauth[" not in source.read_text(), source
