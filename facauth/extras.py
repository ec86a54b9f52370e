"""The packages that facauth needs, those of its extras, and how to install them."""

from __future__ import annotations

import re
from dataclasses import dataclass

PACKAGES = (
    "typer",
    "rich",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "platformdirs",
    "cryptography",
)


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional extra."""

    name: str
    modules: tuple[str, ...]  # to import; the packages have the same names
    purpose: str


SERVER = ("fastapi", "uvicorn", "jinja2", "python_multipart", "prometheus_client")
EXTRAS = (
    Extra("heic", ("pi_heif",), "to read HEIC"),
    Extra("keyring", ("keyring",), "to keep a store's key in the system's keyring"),
    Extra("plot", ("matplotlib",), "for evaluate --plot"),
    Extra("web", SERVER, "for serve"),
)


def pip_install(extra: str) -> str:
    """The command that installs the packages of an extra.

    It names the packages, because facauth itself is in no package index.
    """
    from importlib import metadata

    try:
        required = metadata.requires("facauth") or []
    except metadata.PackageNotFoundError:  # run from a folder, installed nowhere
        required = []
    marker = re.compile(rf"""\s*;\s*extra == ["']{extra}["']""")
    packages = [f"'{marker.sub('', each)}'" for each in required if marker.search(each)]
    return " ".join(["pip install", *packages]) if packages else f"pip install '.[{extra}]'"
