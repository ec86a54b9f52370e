"""The paths that options, arguments, variables and the settings file name."""

from __future__ import annotations

from os.path import expanduser
from pathlib import Path

import typer


def named(text: str) -> Path:
    """`~` and `~user` are homes, also where no shell has seen them. Raises typer.BadParameter.

    What is really called so is ./~user. IMAGE arguments are the shell's alone.
    """
    path = expanduser(text)  # noqa: PTH111  pathlib takes ./~ for ~
    if path.startswith("~"):
        raise typer.BadParameter(f"there is no home {text.partition('/')[0]}")
    return Path(path)
