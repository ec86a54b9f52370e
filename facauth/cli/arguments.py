"""The arguments and options that several commands share, and the files they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.settings import default_store, weight_memory

if TYPE_CHECKING:
    from facauth.pipeline import Stages
    from facauth.trace import Trace

Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.", show_default=False)]
Image = Annotated[
    str, typer.Argument(metavar="IMAGE", help="A photo, or - for stdin.", show_default=False)
]
Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="One or more photos.", show_default=False),
]
StorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="PATH",
        envvar="FACAUTH_STORE",
        help="The store file; without it, one in the platform's folder for user data.",
        show_default=False,
    ),
]
Largest = Annotated[
    bool, typer.Option("--largest", help="Of several faces take the largest, if it dominates.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no messages.")]


def store_path(given: Path | None) -> Path:
    """The store that a command works on."""
    return given or default_store()


def stages(trace: Trace, *, encodes: bool = True) -> Stages:
    """The pipeline's stages on the weights that came with the package.

    encodes: whether the command will need the encoders.
    """
    from facauth.networks import Checked, Networks
    from facauth.pipeline import bind

    networks = Networks(Checked(weight_memory()))
    if encodes:
        networks.load_encoders_ahead()
    return bind(networks, trace)
