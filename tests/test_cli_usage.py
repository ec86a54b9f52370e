"""Wrong calls (code 2): said in one line, on stderr, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Facauth, tree

from facauth import __version__

COMMANDS = (
    "register",
    "list",
    "show",
    "remove",
    "rename",
    "export",
    "import",
    "sign-in",
    "spoof-check",
    "calibrate",
    "unlock",
    "purge",
    "backup",
    "restore",
    "migrate",
    "demo",
    "doctor",
    "serve",
    "token",
    "evaluate",
    "log",
    "key",
    "config",
)
INNER = (
    "evaluate spoof",
    "evaluate replay",
    "evaluate match",
    "log verify",
    "config show",
    "key init",
    "key rotate",
    "key export",
)
WRONG = (
    ("frobnicate",),
    ("--frobnicate",),
    ("register",),
    ("register", "Ada"),
    ("sign-in",),
    ("sign-in", "a.jpg", "b.jpg"),
    ("sign-in", "a.jpg", "--as"),
    ("spoof-check",),
    ("evaluate",),
    ("evaluate", "spoof"),
    ("evaluate", "frobnicate"),
    ("evaluate", "replay", "a", "b"),
    ("calibrate",),
    ("calibrate", "a", "b"),
    ("remove",),
    ("rename", "Ada"),
    ("list", "Ada"),
    ("list", "--format", "xml"),
    ("demo", "--store", "x"),
    ("doctor", "x"),
    ("list", "--frobnicate"),
    ("show",),
    ("purge",),
    ("migrate", "x"),
    ("unlock", "Ada", "Bob"),
    ("import",),
    ("log", "frobnicate"),
    ("log", "verify", "x"),
    ("key",),
    ("key", "frobnicate"),
    ("key", "export"),
)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_call_is_said_in_one_line(
    facauth: Facauth, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    before = tree(tmp_path)
    result = facauth(*arguments, exit_code=2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("facauth: ")
    assert line.endswith("; see facauth --help")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_call_can_be_told_in_json(facauth: Facauth, arguments: tuple[str, ...]) -> None:
    result = facauth(arguments[0], "--json", *arguments[1:], exit_code=2)
    assert (result.json["ok"], result.json["verdict"], result.codes) == (False, "usage", ["usage"])
    assert result.json["command"] == (arguments[0] if arguments[0] in COMMANDS else None)
    assert result.stderr == ""


def test_an_option_before_the_command_is_not_taken_for_it(facauth: Facauth) -> None:
    assert facauth("--store", "x", "list", "--json", exit_code=2).json["command"] == "list"


@pytest.mark.parametrize("arguments", [("list", "-x"), ("frobnicate",)], ids=" ".join)
def test_a_quiet_wrong_call_says_why(facauth: Facauth, arguments: tuple[str, ...]) -> None:
    result = facauth(*arguments, "--quiet", exit_code=2)
    assert (result.stdout, result.stderr) == ("", facauth(*arguments, exit_code=2).stderr)


def test_without_arguments_the_help_is_shown_as_it_is(facauth: Facauth) -> None:
    result = facauth(exit_code=2)
    assert result.stdout == ""
    assert result.stderr.strip() == facauth("--help").stdout.strip()


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize(
    "command", [*(each for each in COMMANDS if each not in ("evaluate", "key", "config")), *INNER]
)
def test_every_command_explains_itself(facauth: Facauth, command: str, option: str) -> None:
    result = facauth(*command.split(), option)
    assert result.stdout.startswith(f"Usage: facauth {command} ")
    assert all(f"  {flag}" in result.stdout for flag in ("--json", "-q, --quiet"))
    assert result.stderr == ""
    assert not facauth.store.parent.exists()


def test_the_help_names_every_command(facauth: Facauth) -> None:
    listed = facauth("--help").stdout.split("Commands:\n")[1]
    assert tuple(line.split()[0] for line in listed.splitlines()[: len(COMMANDS)]) == COMMANDS


def test_the_help_of_sign_in_says_what_a_photo_cannot_show(facauth: Facauth) -> None:
    text = " ".join(facauth("sign-in", "--help").stdout.split())
    assert "cannot show whether it is a real photo of the person taken by somebody else" in text


def test_the_version_is_shown(facauth: Facauth) -> None:
    assert facauth("--version").stdout == f"facauth {__version__}\n"
