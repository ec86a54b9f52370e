"""What README.md shows is what the program says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from conftest import TERMINAL_COLUMNS, Facauth

from facauth.cli import app
from facauth.errors import ExitCode

README = Path(__file__).parents[1] / "README.md"
COMMANDS = typer.main.get_group(app).commands
CALL = r"\s*(?:\$ )?(?:[A-Z_]+=\S* )*(?:python3? -m |\S*/)?facauth (.*)"


def words_of(commands: Mapping[str, Any], *outer: str) -> Iterator[str]:
    """Every command, commands of a command included: "list", "evaluate", "evaluate spoof"."""
    for name, command in commands.items():
        yield " ".join([*outer, name])
        yield from words_of(getattr(command, "commands", {}), *outer, name)


HELP = ["", *words_of(COMMANDS)]


@pytest.fixture(scope="module")
def readme() -> str:
    assert README.is_file(), "README.md is missing"
    return README.read_text()


def blocks(readme: str) -> list[str]:
    """The contents of the fenced code blocks."""
    return re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", readme)


def snippets(readme: str) -> list[str]:
    """The inline code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", readme))


def calls(readme: str) -> list[list[str]]:
    """Every call of facauth that the README shows, as arguments; comments and pipes cut off."""
    lines = [line for block in blocks(readme) for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in [*lines, *snippets(readme)]:
        for part in re.split(r"\s(?:#|\||\|\||&&|;|>|<)\s|;\s", line):
            shown = re.match(CALL, part)
            if shown and not re.match(r"\d|\[OPTIONS\]", shown[1]):
                found.append(shlex.split(shown[1]))
    return found


def flags_of(facauth: Facauth, command: str) -> set[str]:
    return flags(facauth(*command.split(), "--help").stdout)


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-z]\b", text))


@pytest.mark.parametrize("command", HELP, ids=lambda command: command or "facauth")
def test_the_readme_shows_the_current_help(facauth: Facauth, readme: str, command: str) -> None:
    shown = facauth(*command.split(), "--help").stdout.strip()
    missing = [line for line in shown.splitlines() if line not in readme]
    call = f"COLUMNS={TERMINAL_COLUMNS} facauth {command} --help".replace("  ", " ")
    assert shown in readme, f"stale: put what `{call}` prints into README.md; lacking: {missing}"


def test_the_readme_has_every_exit_code(readme: str) -> None:
    rows = re.findall(r"(?m)^\|\s*\**`?(\d+)`?\**\s*\|\s*\**`?([a-z_ ]+?)`?\**\s*\|", readme)
    table = {int(code): name.replace("_", " ") for code, name in rows}
    assert sorted(table) == sorted(ExitCode)
    for code in ExitCode:
        assert table[code].startswith(code.name.lower().replace("_", " "))


def test_the_readme_calls_commands_that_exist(readme: str) -> None:
    called = {
        next((word for word in call if not word.startswith("-")), None) for call in calls(readme)
    }
    named = {word for word in called if word and re.fullmatch(r"[a-z][a-z-]*", word)}
    assert named
    assert named - set(COMMANDS) == set()


@pytest.mark.slow
def test_the_readme_calls_commands_with_options_they_have(facauth: Facauth, readme: str) -> None:
    for call in calls(readme):
        words = [word for word in call if not word.startswith("-")]
        starts = [" ".join(words[:count]) for count in range(len(words) + 1)]
        command = max((start for start in starts if start in HELP), key=len)
        used = {flag for word in call for flag in flags(word)}
        unknown = used - flags_of(facauth, command) - flags_of(facauth, "")
        assert unknown == set(), f"facauth {shlex.join(call)}"


def test_the_readme_names_options_that_exist(facauth: Facauth, readme: str) -> None:
    known = set().union(*(flags_of(facauth, command) for command in HELP))
    named = {
        snippet.split("=")[0].split()[0] for snippet in snippets(readme) if snippet[:2] == "--"
    }
    assert named - known == set()


def test_the_readme_names_reason_codes_that_exist(readme: str) -> None:
    words = (
        "face image name photos match quality liveness replay enrolment explain store weights"
        " key limit log consent period purge export import time calibrate calibration config learn"
    )
    families = rf"(?:{'|'.join(words.split())}|remove|samples|evaluate)"
    named = {each for each in snippets(readme) if re.fullmatch(families + r"\.[a-z_]+", each)}
    sources = "".join(path.read_text() for path in (README.parent / "facauth").rglob("*.py"))
    known = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)?)"', sources))
    assert {each for each in named if not {each, each.split(".")[1]} & known} == set()
