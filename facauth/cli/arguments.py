"""The arguments and options that several commands share, and the files they stand for."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.configuration import configuration
from facauth.cli.paths import named
from facauth.errors import Reason, UsageProblem, shown
from facauth.faces.folder import is_folder
from facauth.settings import (
    DEFAULT,
    LENIENT,
    STRICT,
    default_key_file,
    default_store,
    weight_memory,
)

if TYPE_CHECKING:
    from facauth.cli.output import Answer
    from facauth.records.keys import KeyAccess
    from facauth.records.store import Store
    from facauth.settings import SpoofPolicy
    from facauth.system import Stages

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
        parser=named,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="PATH",
        envvar="FACAUTH_KEY_FILE",
        help="The key of an encrypted store, if it is not where key init left it.",
        show_default=False,
        parser=named,
    ),
]
Fmr = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        envvar="FACAUTH_FMR",
        help="Let this share of strangers pass: 1e-4 with --as, 1e-3 without, unless given.",
        show_default=False,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse whatever leaves a doubt: fewer screens pass, and live faces."
    ),
]
Lenient = Annotated[
    bool,
    typer.Option("--lenient", help="Refuse few live faces; twice as many photos of screens pass."),
]
Explain = Annotated[
    Path | None,
    typer.Option(
        "--explain",
        metavar="OUT.png",
        help="Draw what the photo has in common with an enrolled one.",
        show_default=False,
        parser=named,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=64,  # each holds networks of its own
        metavar="N",
        help="Processes; without it, one for a few photos and up to 8 for many.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors, no notes.")]


def store_path(given: Path | None) -> Path:
    """The store that a command works on."""
    return given or configuration().store or default_store()


@contextmanager
def opened(answer: Answer, store: Path | None) -> Iterator[Store]:
    """The store of a command that needs no key, with a note if others may change or read it."""
    from facauth.records.store import Store

    with Store.open(store_path(store)) as records:
        answer.notes += records.warnings
        yield records


@contextmanager
def unlocked(
    answer: Answer, store: Path | None, key_file: Path | None, *, create: bool = False
) -> Iterator[Store]:
    """As `opened`, for all other commands: without the key of an encrypted store nothing is done.

    Raises SetupProblem.
    """
    from facauth.records.store import Store  # while networks are loaded, if there are any

    with Store.open(store_path(store), key_access(key_file), create=create) as records:
        answer.notes += records.warnings
        records.vault()
        yield records


def key_access(key_file: Path | None) -> KeyAccess:
    """Where the key of an encrypted store may come from."""
    from facauth.records.keys import KeyAccess

    return KeyAccess(named_key_file(key_file), default_key_file(), Passphrase())


def named_key_file(given: Path | None) -> Path | None:
    """The key file that somebody named, on the command line or in the settings."""
    return given or configuration().key_file


def rate_of(given: float | None) -> float | None:
    """Which share of strangers may pass, if somebody said so."""
    return configuration().fmr if given is None else given


PASSPHRASE = "FACAUTH_PASSPHRASE"  # noqa: S105 - its variable


class Passphrase:
    """Asked for once, also for processes that are started later; None where there is nobody."""

    def __init__(self) -> None:
        self._answer = os.environ.get(PASSPHRASE)  # which those processes do not inherit

    def __call__(self, prompt: str) -> str | None:
        """The answer to a prompt."""
        if self._answer is None:
            self._answer = asked_passphrase(prompt)
        return self._answer


def asked_passphrase(prompt: str, variable: str = PASSPHRASE) -> str | None:
    """From the environment, or from whoever sits at the terminal; None if nobody does."""
    given = os.environ.get(variable)
    if given is not None:
        return given
    try:
        with Path("/dev/tty").open("r+b", buffering=0):
            pass
    except OSError:
        return None
    from getpass import getpass

    return getpass(f"{prompt}: ")


def policy_of(
    answer: Answer, strict: bool, lenient: bool, unchecked: str | None = None
) -> SpoofPolicy:
    """The spoof policy that was asked for; raises UsageProblem for two that contradict each other.

    unchecked: the option that has liveness skipped, if it was given; the answer will say so.
    """
    other = "--lenient" if lenient else unchecked
    if strict and other:
        raise UsageProblem(
            Reason("usage", f"--strict and {other} contradict each other", "choose one")
        )
    if unchecked:
        answer.notes.append(f"liveness was not checked ({unchecked})")
    return STRICT if strict else LENIENT if lenient else configuration().spoof_policy or DEFAULT


def require_picture(target: Path | None, photos: Sequence[str]) -> None:
    """Raises UsageProblem unless a PNG can be written there; asked before anything is done.

    photos: none of them is written over.
    """
    fault = None if target is None else _fault(target, photos)
    if fault:
        reason = Reason(
            "picture.unfit", f"{shown(target)} cannot be written: {fault}", "name another .png file"
        )
        raise UsageProblem(reason)


def _fault(target: Path, photos: Sequence[str]) -> str | None:
    if target.suffix.lower() != ".png":
        return "it is not called .png"
    try:
        if not stat.S_ISREG(target.lstat().st_mode):
            return "it is no regular file"
    except (OSError, ValueError):  # to be made
        folder = target.parent
        fit = is_folder(folder) and os.access(folder, os.W_OK)
        return None if fit else "it is in no folder that can be written"
    if any(_is_file(photo, target) for photo in photos):
        return "it is one of the photos"
    return None if os.access(target, os.W_OK) else "it may not be changed"


def _is_file(photo: str, target: Path) -> bool:
    try:
        return target.samefile(photo)
    except (OSError, ValueError):
        return False


LIVENESS = ("live_2_7", "live_4_0")
ENCODERS = ("encode_dlib", "encode_sface")


def real_stages(*needs: str) -> Stages:
    """The pipeline's stages on the weights that came with the package.

    needs: the networks that the command will need if the photo is good, in this order.
    """
    from facauth.networks import Checked, Networks

    networks = Networks(Checked(weight_memory()))
    networks.load_ahead(*needs)
    from facauth.system import bind  # while the encoders load

    return bind(networks)


# What binds the stages of this program's commands; tests bind others.
binding: ContextVar[Callable[..., Stages]] = ContextVar("binding", default=real_stages)


def stages(*needs: str) -> Stages:
    """The stages that commands run with; needs: as for real_stages."""
    return binding.get()(*needs)
