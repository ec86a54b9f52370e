"""The command line: parse, call the pipeline, hand the answer to output."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from facauth import __version__
from facauth.cli import (
    calibrate,
    checks,
    config,
    evaluate,
    keys,
    log,
    operator,
    output,
    people,
    secrecy,
    serve,
    spoof_check,
    transfer,
    upkeep,
)
from facauth.cli.arguments import binding
from facauth.errors import ExitCode, Unwritten

if TYPE_CHECKING:
    from collections.abc import Callable

    from facauth.system import Stages

app = typer.Typer(
    name="facauth",
    help="Sign people in by a photo of their face; refuse photos of photos.",
    epilog="Anything but exit code 0 means: not authenticated.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
for commands in (
    people,
    transfer,
    checks,
    spoof_check,
    evaluate,
    calibrate,
    log,
    keys,
    upkeep,
    config,
    operator,
    serve,
):
    commands.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"facauth {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an internal error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sign people in by a photo of their face; refuse photos of photos."""


def main() -> NoReturn:
    """Run the command line; every way out of the program leads through here."""
    secrecy.keep_secrets(long="serve" in sys.argv[1:])
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
    """The exit code of one command; whatever was not foreseen is code 70, never 0.

    bind: gives the stages that commands run with; without it the real ones.
    """
    if bind is not None:
        binding.set(bind)
    try:
        # complete_var: Typer would answer a shell that completes commands, which facauth does not.
        code = app(arguments, prog_name="facauth", complete_var="", standalone_mode=False)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except typer.TyperException as error:
        return output.refuse_usage(command_of(arguments), arguments, error)
    except Unwritten as refusal:
        return output.refuse(command_of(arguments), arguments, refusal)
    # The last resort: code 70, never 0; nor 0 because something else calls sys.exit().
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return output.report_bug(command_of(arguments), arguments, error)
    return int(code or ExitCode.OK)


def command_of(arguments: list[str]) -> str | None:
    """The command that is called; None if the call names none that exists."""
    commands = typer.main.get_group(app).commands
    return next((word for word in arguments if word in commands), None)
