"""Wrong calls (code 2): said in one line, on stderr, and nothing is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Facauth, tree

from facauth import __version__
from facauth.cli.wrong import MEANT

COMMANDS = (
    "sign-in",
    "challenge",
    "spoof-check",
    "identify",
    "compare",
    "register",
    "enrol",
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
    "store",
    "calibrate",
    "doctor",
    "demo",
    "evaluate",
    "completion",
    "serve",
)
SECTIONS = ("Sign in", "Search", "People", "Store", "Measure", "Shell", "Server")
INNER = (
    "evaluate spoof",
    "evaluate replay",
    "evaluate match",
    "key init",
    "key rotate",
    "key export",
    "store copy",
)
WRONG = (
    ("frobnicate",),
    ("--frobnicate",),
    ("register",),
    ("register", "Ada"),
    ("sign-in",),
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


HELP, NEAR = "see facauth( [a-z-]+)* --help", r"did you mean .*\?"
ADVICE = f"; ({HELP}|choose one|give a folder, or --show alone|{NEAR})$"


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_command_line_is_refused_in_one_line(
    facauth: Facauth, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    before = tree(tmp_path)
    result = facauth(*arguments, exit_code=2)
    assert result.stdout == ""
    line, *usage = result.stderr.splitlines()
    assert line.startswith("facauth: ")
    assert re.search(ADVICE, line)
    assert [text.split(" [")[0] for text in usage] in ([], [f"Usage: {usage_of(arguments)}"])
    assert tree(tmp_path) == before


def usage_of(arguments: tuple[str, ...]) -> str:
    """The command whose usage a wrong call is told."""
    words = " ".join(word for word in arguments if not word.startswith("-"))
    known = [each for each in (*INNER, *COMMANDS) if f"{words} ".startswith(f"{each} ")]
    return f"facauth {known[0]}" if known else "facauth"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("enroll", "x"), "did you mean enrol?"),
        (("regster", "x"), "did you mean register or restore?"),
        (("delete", "Joe"), "did you mean remove?"),
        (("verify", "a.jpg"), "did you mean sign-in --as NAME?"),
        (("LOGIN", "a.jpg"), "did you mean sign-in?"),
        (("key", "ini"), "did you mean init?"),
        (("sign-in", "--polcy", "strict", "a.jpg"), "did you mean --policy?"),
        (("list", "--formt", "csv"), "did you mean --format?"),
    ],
    ids=" ".join,
)
def test_a_mistyped_word_is_answered_by_the_nearest(
    facauth: Facauth, arguments: tuple[str, ...], advice: str
) -> None:
    (first, *_) = facauth(*arguments, exit_code=2).stderr.splitlines()
    assert first.endswith(f"; {advice}")
    assert facauth(*arguments, "--json", exit_code=2).json["reasons"][0]["advice"] == advice


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (("register",), "Usage: facauth register [OPTIONS] {NAME} [IMAGE]..."),
        (("key", "export"), "Usage: facauth key export [OPTIONS] {OUT}"),
        (("evaluate",), "Usage: facauth evaluate [OPTIONS] COMMAND [ARGS]..."),
        (("nonsense",), "Usage: facauth [OPTIONS] COMMAND [ARGS]..."),
        (("sign-in", "a.jpg", "--as"), "Usage: facauth sign-in [OPTIONS] [IMAGE]..."),
    ],
    ids=" ".join,
)
def test_a_wrong_call_shows_the_usage_of_its_command(
    facauth: Facauth, arguments: tuple[str, ...], usage: str
) -> None:
    assert facauth(*arguments, exit_code=2).stderr.splitlines()[1:] == [usage]


@pytest.mark.parametrize("command", sorted(set(MEANT.values())))
def test_what_other_programs_call_it_leads_to_a_command(command: str) -> None:
    first = command.split()[0]
    assert first.startswith("--") or first in COMMANDS


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_call_can_be_told_in_json(facauth: Facauth, arguments: tuple[str, ...]) -> None:
    result = facauth(arguments[0], "--json", *arguments[1:], exit_code=2)
    assert (result.json["ok"], result.json["verdict"], result.codes) == (False, "usage", ["usage"])
    assert result.json["command"] == (arguments[0] if arguments[0] in COMMANDS else None)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("sign-in", "a.jpg", "--strict"), "use --policy strict"),
        (("register", "Ada", "a.jpg", "--lenient"), "use --policy lenient"),
        (("token",), "use facauth serve --token"),
        (("config", "show"), "use facauth doctor"),
        (("log", "verify", "--json"), "use log --verify"),
        (
            ("log", "prune", "--older-than", "30d", "--yes"),
            "use log --prune-older-than PERIOD",
        ),
    ],
    ids=" ".join,
)
def test_options_and_commands_of_older_versions_name_their_replacement(
    facauth: Facauth, arguments: tuple[str, ...], advice: str
) -> None:
    plain = [argument for argument in arguments if argument != "--json"]
    assert facauth(*plain, exit_code=2).stderr.splitlines()[0].endswith(f"; {advice}")
    result = facauth(*plain, "--json", exit_code=2)
    assert (result.codes, result.json["reasons"][0]["advice"]) == (["usage"], advice)


def test_options_of_the_program_stand_before_or_after_the_command(
    facauth: Facauth, tmp_path: Path
) -> None:
    facauth.keeping.remove()
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
    "command", [*(each for each in COMMANDS if each not in ("evaluate", "key", "store")), *INNER]
)
def test_every_command_explains_itself(facauth: Facauth, command: str, option: str) -> None:
    result = facauth(*command.split(), option)
    assert result.stdout.startswith(f"Usage: facauth {command} ")
    assert re.search(
        r"^Also: .*--json, --quiet, --debug; see facauth --help\.$", result.stdout, re.MULTILINE
    )
    assert f"\n  Example: facauth {command}" in result.stdout
    assert result.stderr == ""
    assert facauth.keeping.is_untouched()


def test_the_help_names_every_command_in_its_section(facauth: Facauth) -> None:
    text = facauth("--help").stdout
    assert tuple(re.findall(r"^(\w.*):$", text, re.MULTILINE)) == ("Options", *SECTIONS)
    listed = text[text.index("Sign in:") :]
    assert tuple(re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE)) == COMMANDS


def test_the_help_of_sign_in_names_the_limit_of_a_photo(facauth: Facauth) -> None:
    text = " ".join(facauth("sign-in", "--help").stdout.split())
    assert "does not show who took it: another real photo of the person passes" in text


def test_the_version_is_shown(facauth: Facauth) -> None:
    assert facauth("--version").stdout == f"facauth {__version__}\n"
    assert facauth("-V").stdout == f"facauth {__version__}\n"
