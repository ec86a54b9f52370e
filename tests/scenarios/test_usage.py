"""Wrong calls (code 2): said in one line, on stderr, and nothing is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Facauth, tree

from facauth import __version__

COMMANDS = (
    "sign-in",
    "spoof-check",
    "register",
    "list",
    "show",
    "rename",
    "remove",
    "purge",
    "unlock",
    "export",
    "import",
    "log",
    "backup",
    "restore",
    "migrate",
    "key",
    "calibrate",
    "doctor",
    "demo",
    "evaluate",
    "serve",
)
SECTIONS = ("Sign in", "People", "Store", "Measure", "Server")
INNER = (
    "evaluate spoof",
    "evaluate replay",
    "evaluate match",
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
    ("log", "--verify", "x"),
    ("log", "--verify", "--follow"),
    ("log", "--prune-older-than", "30d", "--person", "Ada"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sign-in", "a.jpg", "--strict"), "--strict is now --policy strict"),
        (("register", "Ada", "a.jpg", "--lenient"), "--lenient is now --policy lenient"),
        (("token",), "facauth token is now facauth serve --token"),
        (("config", "show"), "facauth config show is now part of facauth doctor"),
        (("log", "verify", "--json"), "log verify is now log --verify"),
        (
            ("log", "prune", "--older-than", "30d", "--yes"),
            "log prune is now log --prune-older-than PERIOD",
        ),
    ],
    ids=" ".join,
)
def test_what_was_called_otherwise_before_is_told_its_new_name(
    facauth: Facauth, arguments: tuple[str, ...], said: str
) -> None:
    plain = [argument for argument in arguments if argument != "--json"]
    assert facauth(*plain, exit_code=2).stderr == f"facauth: {said}; see facauth --help\n"
    result = facauth(*plain, "--json", exit_code=2)
    assert (result.codes, result.json["reasons"][0]["message"]) == (["usage"], said)


def test_options_of_the_program_stand_before_or_after_the_command(
    facauth: Facauth, tmp_path: Path
) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        found = facauth("--store", one, "list", "--store", other, "--json", exit_code=7)
        assert found.json["command"] == "list"
        assert f"at {other};" in str(found.json["reasons"][0]["message"]) + ";"  # the last counts
        assert facauth("--json", "--store", other, "list", exit_code=7).json == found.json
    assert facauth("--quiet", "list", exit_code=7) == facauth("list", "-q", exit_code=7)
    facauth("--store", "x", "evaluate", "match", str(tmp_path), exit_code=2)
    assert not list(facauth.here.iterdir())


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
    "command", [*(each for each in COMMANDS if each not in ("evaluate", "key")), *INNER]
)
def test_every_command_explains_itself(facauth: Facauth, command: str, option: str) -> None:
    result = facauth(*command.split(), option)
    assert result.stdout.startswith(f"Usage: facauth {command} ")
    assert re.search(
        r"^Also: .*--json, --quiet, --debug; see facauth --help\.$", result.stdout, re.MULTILINE
    )
    assert f"\n  Example: facauth {command}" in result.stdout
    assert result.stderr == ""
    assert not facauth.store.parent.exists()


def test_the_help_names_every_command_in_its_section(facauth: Facauth) -> None:
    text = facauth("--help").stdout
    assert tuple(re.findall(r"^(\w.*):$", text, re.MULTILINE)) == ("Options", *SECTIONS)
    listed = text[text.index("Sign in:") :]
    assert tuple(re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE)) == COMMANDS


def test_the_help_of_sign_in_says_what_a_photo_cannot_show(facauth: Facauth) -> None:
    text = " ".join(facauth("sign-in", "--help").stdout.split())
    assert "cannot show whether it is a real photo of the person taken by somebody else" in text


def test_the_version_is_shown(facauth: Facauth) -> None:
    assert facauth("--version").stdout == f"facauth {__version__}\n"
