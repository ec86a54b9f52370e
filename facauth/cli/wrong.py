"""Wrong calls: why, what was probably meant, and the usage of the command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from facauth.errors import shown
from facauth.names import near

if TYPE_CHECKING:
    import typer

    from facauth.records import PersonRow

# Commands and options of facauth 0.1: command, start of Typer's message, advice.
MOVED = (
    ("", "No such option: --strict", "use --policy strict"),
    ("", "No such option: --lenient", "use --policy lenient"),
    ("", "No such command 'token'", "use facauth serve --token"),
    ("", "No such command 'config'", "use facauth doctor"),
    ("log", "Got unexpected extra argument(s) (verify", "use log --verify"),
    *(
        ("log", fault, "use log --prune-older-than PERIOD")
        for fault in ("No such option: --older-than", "Got unexpected extra argument(s) (prune")
    ),
)
# What other programs call these commands.
MEANT = {
    "add": "register",
    "authenticate": "sign-in",
    "check": "spoof-check",
    "delete": "remove",
    "edit": "rename",
    "find": "identify",
    "help": "--help",
    "info": "show",
    "init": "key init",
    "liveness": "spoof-check",
    "login": "sign-in",
    "logs": "log",
    "ls": "list",
    "match": "compare",
    "people": "list",
    "recognize": "identify",
    "rm": "remove",
    "search": "identify",
    "server": "serve",
    "status": "doctor",
    "upgrade": "migrate",
    "users": "list",
    "verify": "sign-in --as NAME",
    "version": "--version",
}


def explained(error: typer.TyperException, command: str | None) -> tuple[str, str, str | None]:
    """Message, advice and usage line of a call that Typer cannot parse.

    None instead of the usage if only the value of an option is wrong, which the message explains.
    """
    text, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    path = context.command_path if context else "facauth"
    usage = context.get_usage() if context and not text.startswith("Invalid value") else None
    advice = next(_moved(text, command), None) or _meant(text) or f"see {path} --help"
    message = re.split(r"\. Did you mean| \(Possible options:", text)[0]
    return message[:1].lower() + message[1:], advice, usage


def _moved(text: str, command: str | None) -> Iterator[str]:
    for old_command, fault, replacement in MOVED:
        if old_command in (command, "") and text.startswith(fault):
            yield replacement


def _meant(text: str) -> str | None:
    """The command or options that a mistyped word is near to."""
    unknown = re.match(r"No such command '(.+?)'", text)
    if unknown and unknown[1].lower() in MEANT:
        return _question([MEANT[unknown[1].lower()]])
    near = re.search(r"Did you mean (.+)\?$|\(Possible options: (.+)\)$", text)
    words = re.findall(r"[\w-]+", (near[1] or near[2]) if near else "")
    return _question(words) if words else None


def _question(words: Sequence[str]) -> str:
    return f"did you mean {' or '.join(words)}?"


def near_names(asked: str, people: Sequence[PersonRow]) -> str | None:
    """A question about the enrolled people whose names are near to the asked one."""
    found = near(asked, [row.name for row in people])
    return _question([shown(name) for name in found]) if found else None
