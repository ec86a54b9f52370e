"""completion."""

from __future__ import annotations

import os
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.options import Call
from facauth.cli.output import answering
from facauth.defaults import default_store
from facauth.errors import Reason, SetupProblem, UsageProblem, shown


class Shell(StrEnum):
    """Shells with completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ShellName = Annotated[
    Shell | None,
    typer.Argument(metavar="[SHELL]", help="bash, zsh or fish; default: your shell."),
]
Install = Annotated[
    bool, typer.Option("--install", help="Install the script for this user, and say where.")
]


def completion(call: Call, shell: ShellName = None, install: Install = False) -> None:
    """Print or install the script that lets a shell complete facauth.

    The tab key then completes commands, options, files, and the names in a store that is not
    encrypted.

    Example: facauth completion --install
    """
    from facauth.completing import SCRIPTS

    with answering(call, "shell", "files") as answer:
        chosen = shell or own_shell()
        answer.verdict, answer.more["shell"] = "printed", str(chosen)
        script = SCRIPTS[chosen]
        if not install:
            answer.lines += script.splitlines()
            return
        files = installed(chosen, script)
        answer.verdict, answer.more["files"] = "installed", [shown(file) for file in files]
        answer.lines += [f"wrote {shown(file)}" for file in files]
        answer.notes.append(f"open a new {chosen} to use it")
        if shutil.which("facauth") is None:  # the script asks the program of this name
            answer.notes.append("it works once the folder of the program facauth is on your PATH")


def own_shell() -> Shell:
    """The shell of this user. Raises UsageProblem for another one."""
    name = Path(os.environ.get("SHELL", "")).name
    try:
        return Shell(name)
    except ValueError:
        message = f"the shell {shown(name)} is not known" if name else "SHELL is not set"
        raise UsageProblem(Reason("usage", message, "name bash, zsh or fish")) from None


def installed(shell: Shell, script: str) -> list[Path]:
    """Write the script, and a line in the shell's own file that loads it; the changed files.

    Raises SetupProblem.
    """
    if shell is Shell.FISH:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        target, start = home / "fish" / "completions" / "facauth.fish", None
    else:
        target = default_store().parent / f"completion.{shell}"
        folder = os.environ.get("ZDOTDIR") if shell is Shell.ZSH else None
        start = Path(folder or Path.home()) / f".{shell}rc"
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.write_text(script, encoding="utf-8")
        return [target, *([start] if start and loaded_by(start, target) else [])]
    except OSError as error:
        message = f"{shown(error.filename)} cannot be written ({error.strerror})"
        advice = "print the script, and load it from another file"
        raise SetupProblem(Reason("completion.unwritable", message, advice)) from error


def loaded_by(start: Path, script: Path) -> bool:
    """Add a line that loads the script; False if it is there already."""
    import shlex

    line = f"[ -r {shlex.quote(str(script))} ] && . {shlex.quote(str(script))}  # facauth"
    there = start.read_text(encoding="utf-8", errors="surrogateescape") if start.exists() else ""
    if line in there.splitlines():
        return False
    before = "" if not there or there.endswith("\n") else "\n"
    with start.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{before}{line}\n")
    return True
