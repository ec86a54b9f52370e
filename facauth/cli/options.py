"""Options that several commands share, and the call that holds their values."""

from __future__ import annotations

from enum import StrEnum
from os.path import expanduser
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from facauth.errors import Reason, UsageProblem
from facauth.places import Place, place_of


class Call(typer.Context):
    """One call of a command, with the options that every command takes."""

    @property
    def name(self) -> str:
        """The command, as "list" or "key init"."""
        return self.command_path.partition(" ")[2]

    @property
    def store(self) -> Place | None:
        """From the flag or the environment, not from the settings file."""
        return cast("Place | None", self._shared("store"))

    @property
    def named_store(self) -> Place | None:
        """From the flag only."""
        return self.store if self.origin("store") == "COMMANDLINE" else None

    @property
    def key_file(self) -> Path | None:
        """From the flag or the environment, not from the settings file."""
        return cast("Path | None", self._shared("key_file"))

    @property
    def as_json(self) -> bool:
        """Whether the result is one JSON object."""
        return bool(self._shared("as_json"))

    @property
    def quiet(self) -> bool:
        """Whether notes are left out."""
        return bool(self._shared("quiet"))

    @property
    def shows_progress(self) -> bool:
        """Whether a bar may be drawn on stderr."""
        return not (self.as_json or self.quiet)

    def origin(self, option: str) -> str:
        """COMMANDLINE, ENVIRONMENT or DEFAULT."""
        source = self.find_root().get_parameter_source(option) or self.get_parameter_source(option)
        return source.name if source else "DEFAULT"

    def _shared(self, option: str) -> Any:
        return self.find_root().params[option]


def named(text: str) -> Path:
    """Expand `~` and `~user` to home folders, also without a shell. Raises typer.BadParameter.

    A file whose name begins with ~ is written as ./~name. IMAGE arguments are not expanded here.
    """
    path = expanduser(text)  # noqa: PTH111  pathlib takes ./~ for ~
    if path.startswith("~"):
        raise typer.BadParameter(f"there is no home {text.partition('/')[0]}")
    return Path(path)


def placed(text: str) -> Place:
    """A path as `named`, or the address of a database. Raises typer.BadParameter."""
    try:
        place = place_of(text)
    except UsageProblem as refusal:
        (reason,) = refusal.reasons
        raise typer.BadParameter(f"{reason.message}; {reason.advice}") from None
    return named(text) if isinstance(place, Path) else place


def device_of(given: object, *, camera: bool, device: str | None) -> str | None:
    """The camera to open; None if images are given. Raises UsageProblem for both or neither."""
    filming = camera or device is not None
    if filming and given:
        raise UsageProblem(Reason("usage", "an image and the camera are named", "choose one"))
    if not filming and not given:
        raise UsageProblem(Reason("usage", "neither an image nor --camera is given", "choose one"))
    return (device or "0") if filming else None


# ---- options of every command, declared at the root

StorePlace = Annotated[
    object | None,  # typer makes a path of whatever is annotated as one
    typer.Option(
        "--store",
        metavar="PATH",
        envvar="FACAUTH_STORE",
        help="The store: a file, or postgresql://USER@HOST/DATABASE; default: a file in the"
        " platform's folder for user data.",
        show_default=False,
        parser=placed,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="PATH",
        envvar="FACAUTH_KEY_FILE",
        help="The key file of an encrypted store; default: the file that key init writes.",
        show_default=False,
        parser=named,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")]

# ---- options of several commands


class PolicyName(StrEnum):
    """The spoof policies of settings.py by name: a wrong option is told without that module."""

    STRICT = "strict"
    DEFAULT = "default"
    LENIENT = "lenient"
    CAMERA = "camera"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.", show_default=False)]
Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGE]...", help="Photos or clips, or - for stdin.", show_default=False
    ),
]
CAMERA = "camera"  # its name in messages and results
UseCamera = Annotated[
    bool, typer.Option("--camera", help="Look through the camera in place of IMAGE.")
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="The camera, as a number or a path such as /dev/video2; default: 0. Means --camera.",
        show_default=False,
    ),
]
Fmr = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        envvar="FACAUTH_FMR",
        help="Highest share of strangers that may pass; default: 1e-4 with --as, 1e-3 without.",
        show_default=False,
    ),
]
Policy = Annotated[
    PolicyName | None,
    typer.Option(
        "--policy",
        help="How doubts about liveness count: strict refuses every doubt; lenient refuses fewer "
        "live faces, and twice as many photos of screens pass. camera refuses to sign anybody in "
        "by a photo, or by a clip without a challenge.",
        show_default=False,
    ),
]
Explain = Annotated[
    Path | None,
    typer.Option(
        "--explain",
        metavar="OUT.png",
        help="Draw the points that the photo shares with an enrolled photo.",
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
        help="Number of processes; default: 1 for up to 16 photos, up to 8 for more.",
        show_default=False,
    ),
]
AllowDuplicate = Annotated[
    bool,
    typer.Option("--allow-duplicate", help="Accept a face that is enrolled under another name."),
]
CacheFile = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FILE",
        help="Keep the encodings for the next run. The file is biometric data; only you can read"
        " it.",
        show_default=False,
        parser=named,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups",
        metavar="CSV|folders",
        help="Who is in which group: a CSV file, or folders for FOLDER/GROUP/PERSON/IMAGE;"
        " default: groups.csv in FOLDER, if it is there.",
        show_default=False,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT.png", help="Draw a DET curve and the scores.", show_default=False, parser=named
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
