"""The command line: parse, call the pipeline, hand the answer to output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from facauth import __version__
from facauth.cli import output, secrecy
from facauth.cli.bound import binding
from facauth.cli.commands import Command, Group, KeyCommand, Row, StoreCommand, group
from facauth.cli.options import Debug, Json, KeyFile, Quiet, StorePlace
from facauth.errors import ExitCode, Unwritten

if TYPE_CHECKING:
    from facauth.system import Stages

# Section of the help -> command -> the class for its shared options, and its function.
COMMANDS: dict[str, dict[str, Row]] = {
    "Sign in": {
        "sign-in": (KeyCommand, "sign_in.sign_in"),
        "challenge": (KeyCommand, "challenge.challenge"),
        "spoof-check": (KeyCommand, "spoof_check.spoof_check"),
    },
    "Search": {
        "identify": (KeyCommand, "identify.identify"),
        "compare": (Command, "compare.compare"),
    },
    "People": {
        "register": (KeyCommand, "register.register"),
        "enrol": (KeyCommand, "enrol.enrol"),
        "list": (StoreCommand, "list_.list_people"),
        "show": (StoreCommand, "show.show"),
        "rename": (KeyCommand, "rename.rename"),
        "remove": (KeyCommand, "remove.remove"),
        "purge": (KeyCommand, "purge.purge"),
        "unlock": (KeyCommand, "unlock.unlock"),
        "export": (KeyCommand, "export.export"),
        "import": (KeyCommand, "import_.import_people"),
    },
    "Store": {
        "log": (KeyCommand, "log.log"),
        "backup": (StoreCommand, "backup.backup"),
        "restore": (StoreCommand, "restore.restore"),
        "migrate": (KeyCommand, "migrate.migrate"),
    },
    "Measure": {
        "calibrate": (Command, "calibrate.calibrate"),
        "doctor": (KeyCommand, "doctor.doctor"),
        "demo": (Command, "demo.demo"),
    },
    "Shell": {"completion": (Command, "completion.completion")},
    "Server": {"serve": (KeyCommand, "serve.serve")},
}
KEY: dict[str, Row] = {
    "init": (KeyCommand, "key.init"),
    "rotate": (KeyCommand, "key.rotate"),
    "export": (KeyCommand, "key.export"),
}
STORE: dict[str, Row] = {"copy": (Command, "copy_.copy")}
EVALUATE: dict[str, Row] = {
    "spoof": (KeyCommand, "evaluate.spoof"),
    "replay": (Command, "evaluate.replay"),
    "match": (Command, "evaluate.match"),
}


def program() -> Group:
    """The command line, with every command in its section."""
    command_line = group(
        options=root,
        name="facauth",
        epilog="Exit code 0 means: authenticated, or done. Any other code: not authenticated.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    )
    for section, commands in COMMANDS.items():
        command_line.add(section, commands)
    key = group(name="key", help="Encrypt the store, change its key, copy its key.")
    key.add("Commands", KEY)
    command_line.add("Store", {"key": key})
    store = group(name="store", help="Move a store between a file and a database.")
    store.add("Commands", STORE)
    command_line.add("Store", {"store": store})
    evaluate = group(name="evaluate", help="Measure facauth's error rates on your own photos.")
    evaluate.add("Commands", EVALUATE)
    command_line.add("Measure", {"evaluate": evaluate})
    return command_line


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"facauth {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version."),
]


def root(
    store: StorePlace = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    version: Version = False,
) -> None:
    """Sign people in by a photo of their face; refuse photos of photos.

    These options may stand before the command or after it.
    """


app = program()


def main() -> NoReturn:
    """Run the command line; every way out of the program leads through here."""
    secrecy.keep_secrets(long=not {"serve", "--watch"}.isdisjoint(sys.argv[1:]))
    # numpy starts a thread per processor for BLAS, which a few dot products do not repay.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    output.prepare_streams()
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(sys.argv[1:])
        output.flush_streams()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    # Everything is closed and written by now. Taking the interpreter and the networks apart, or
    # waiting for one that is still being loaded, would add a tenth to every sign-in.
    os._exit(code)


def run(arguments: list[str], bind: Callable[..., Stages] | None = None) -> int:
    """Run one command and return its exit code; an unexpected error is code 70, never 0.

    bind: returns the stages that commands run with; default: the real stages.
    """
    if bind is not None:
        binding.set(bind)
    try:
        # An empty complete_var turns Typer's shell completion off.
        code = app(arguments, prog_name="facauth", complete_var="", standalone_mode=False)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except typer.TyperException as error:
        return output.refuse_usage(command_of(arguments), arguments, error)
    except Unwritten as refusal:
        return output.refuse(command_of(arguments), arguments, refusal)
    # The last resort is code 70, also when a library calls sys.exit(0).
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return output.report_bug(command_of(arguments), arguments, error)
    return int(code or ExitCode.OK)


def command_of(arguments: list[str]) -> str | None:
    """The first argument that is the name of a command, or None."""
    return next((word for word in arguments if word in app.commands), None)
