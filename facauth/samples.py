"""The sample pictures, in the installed package or in a checkout."""

from __future__ import annotations

from pathlib import Path

from facauth.errors import Reason, SetupProblem

PACKAGE = Path(__file__).parent


def sample(name: str) -> str:
    """The path of a sample picture; raises SetupProblem if it was not installed."""
    for folder in (PACKAGE / "sample_images", PACKAGE.parent / "sample_images"):
        if (folder / name).is_file():
            return str(folder / name)
    raise SetupProblem(
        Reason("samples.missing", f"the sample picture {name} is missing", "install facauth again")
    )
