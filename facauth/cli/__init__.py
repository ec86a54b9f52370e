"""The command line: parse, call the pipeline, hand the answer to output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from facauth import __version__
from facauth.cli import evaluate, key, output, secrecy
from facauth.cli.backup import backup
from facauth.cli.bound import binding
from facauth.cli.calibrate import calibrate
from facauth.cli.challenge import challenge
from facauth.cli.compare import compare
from facauth.cli.completion import completion
from facauth.cli.copy_ import copy
from facauth.cli.demo import demo
from facauth.cli.doctor import doctor
from facauth.cli.enrol import enrol
from facauth.cli.export import export
from facauth.cli.identify import identify
from facauth.cli.import_ import import_people
from facauth.cli.list_ import list_people
from facauth.cli.log import log
from facauth.cli.migrate import migrate
from facauth.cli.options import (
    Command,
    Debug,
    Group,
    Json,
    KeyCommand,
    KeyFile,
    Quiet,
    StoreCommand,
    StorePlace,
)
from facauth.cli.purge import purge
from facauth.cli.register import register
from facauth.cli.remove import remove
from facauth.cli.rename import rename
from facauth.cli.restore import restore
from facauth.cli.serve import serve
from facauth.cli.show import show
from facauth.cli.sign_in import sign_in
from facauth.cli.spoof_check import spoof_check
from facauth.cli.unlock import unlock
from facauth.errors import ExitCode, Unwritten

if TYPE_CHECKING:
    from facauth.system import Stages

# Section of the help -> command -> its function, and the class for its shared options.
COMMANDS: dict[str, dict[str, tuple[Callable[..., None], type[Command]]]] = {
    "Sign in": {
        "sign-in": (sign_in, KeyCommand),
        "challenge": (challenge, KeyCommand),
        "spoof-check": (spoof_check, KeyCommand),
    },
    "Search": {"identify": (identify, KeyCommand), "compare": (compare, Command)},
    "People": {
        "register": (register, KeyCommand),
        "enrol": (enrol, KeyCommand),
        "list": (list_people, StoreCommand),
        "show": (show, StoreCommand),
        "rename": (rename, KeyCommand),
        "remove": (remove, KeyCommand),
        "purge": (purge, KeyCommand),
        "unlock": (unlock, KeyCommand),
        "export": (export, KeyCommand),
        "import": (import_people, KeyCommand),
    },
    "Store": {
        "log": (log, KeyCommand),
        "key init": (key.init, KeyCommand),
        "key rotate": (key.rotate, KeyCommand),
        "key export": (key.export, KeyCommand),
        "backup": (backup, StoreCommand),
        "restore": (restore, StoreCommand),
        "migrate": (migrate, KeyCommand),
        "store copy": (copy, Command),
    },
    "Measure": {
        "evaluate spoof": (evaluate.spoof, KeyCommand),
        "evaluate replay": (evaluate.replay, Command),
        "evaluate match": (evaluate.match, Command),
        "calibrate": (calibrate, Command),
        "doctor": (doctor, KeyCommand),
        "demo": (demo, Command),
    },
    "Shell": {"completion": (completion, Command)},
    "Server": {"serve": (serve, KeyCommand)},
}
GROUPS = {
    "key": "Encrypt the store, change its key, copy its key.",
    "store": "Move a store between a file and a database.",
    "evaluate": "Measure facauth's error rates on your own photos.",
}


def program() -> typer.Typer:
    """The command line with every command in its section."""
    command_line = typer.Typer(
        name="facauth",
        cls=Group,
        epilog="Exit code 0 means: authenticated, or done. Any other code: not authenticated.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    )
    command_line.callback()(root)
    groups: dict[str, typer.Typer] = {}
    for section, commands in COMMANDS.items():
        for words, (function, kind) in commands.items():
            group, _, name = words.rpartition(" ")
            if group and group not in groups:
                groups[group] = typer.Typer(cls=Group, help=GROUPS[group], rich_markup_mode=None)
                command_line.add_typer(groups[group], name=group, rich_help_panel=section)
            if group:
                groups[group].command(name, cls=kind)(function)
            else:
                command_line.command(name, cls=kind, rich_help_panel=section)(function)
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
    commands = typer.main.get_group(app).commands
    return next((word for word in arguments if word in commands), None)
