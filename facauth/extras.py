"""How to install what an extra is made of; importing this costs nothing."""

from __future__ import annotations

import re


def pip_install(extra: str) -> str:
    """The command, which works wherever there is an index.

    facauth itself is on none: what is asked for by its name can only be installed in a clone.
    """
    from importlib import metadata

    try:
        required = metadata.requires("facauth") or []
    except metadata.PackageNotFoundError:  # run from a folder, installed nowhere
        required = []
    marker = re.compile(rf"""\s*;\s*extra == ["']{extra}["']""")
    packages = [f"'{marker.sub('', each)}'" for each in required if marker.search(each)]
    return " ".join(["pip install", *packages]) if packages else f"pip install '.[{extra}]'"
