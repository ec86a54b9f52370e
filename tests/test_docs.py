"""What README, SECURITY and docs/ show is what the program says, and every link leads somewhere."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT, TERMINAL_COLUMNS, Facauth

from facauth import settings
from facauth.cli import app
from facauth.errors import ExitCode
from facauth.faces.quality import judgements
from facauth.spoof.liveness import conditions
from facauth.structs import Quality

DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
TEXTS = {**{name: (ROOT / name).read_text() for name in ("README.md", "SECURITY.md")}, **PAGES}
CARD = "facauth/weights/README.md"
CLI, CODES, REASONS, SETTINGS = (
    PAGES[f"docs/reference/{name}.md"] for name in ("cli", "exit-codes", "reason-codes", "settings")
)
SOURCES = {
    path: path.read_text()
    for path in sorted((ROOT / "facauth").rglob("*.py"))
    if path.parent.name != "weights"
}
MAX_README_LINES, MAX_README_WORDS = 200, 2000
COMMANDS = app.commands
CALL = r"\s*(?:\$ )?(?:[A-Z_]+=\S* )*(?:python3? -m |\S*/)?facauth (.*)"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")

spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
assert spec
assert spec.loader
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)
HELP = ["", *map(" ".join, generate.commands(COMMANDS))]


def blocks(text: str) -> list[str]:
    """The contents of the fenced code blocks."""
    return re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", text)


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```", "", text)


def snippets(text: str) -> list[str]:
    """The inline code."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def calls(text: str) -> list[list[str]]:
    """Every call of facauth that a text shows, as arguments; comments and pipes cut off."""
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in [*lines, *snippets(text)]:
        for part in re.split(r"\s(?:#|\||\|\||&&|;|>|<)\s|;\s", line):
            shown = re.match(CALL, part)
            if shown and not re.match(r"\d|\[OPTIONS\]", shown[1]):
                found.append(shlex.split(shown[1]))
    return found


def flags_of(facauth: Facauth, command: str) -> set[str]:
    return flags(facauth(*command.split(), "--help").stdout)


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-z]\b", text))


# --- what is generated ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_current(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(TERMINAL_COLUMNS))
    assert generate.generated(PAGES[page]) == PAGES[page], "run python docs/generate.py"


@pytest.mark.parametrize("file", generate.FILES, ids=lambda path: path.name)
def test_generated_files_are_current(file: Path) -> None:
    assert file.read_text() == generate.FILES[file](), "run python docs/generate.py"


@pytest.mark.parametrize("command", HELP, ids=lambda command: command or "facauth")
def test_the_reference_shows_the_current_help(facauth: Facauth, command: str) -> None:
    shown = facauth(*command.split(), "--help").stdout.strip()
    missing = [line for line in shown.splitlines() if line not in CLI]
    assert shown in CLI, f"stale: run python docs/generate.py; lacking: {missing}"


@pytest.mark.parametrize("page", PAGES)
def test_a_long_page_has_a_table_of_contents(page: str) -> None:
    sections = [text for level, text in generate.headings(PAGES[page]) if level == 2]
    listed = "<!-- generated: contents -->" in PAGES[page]
    assert listed or len(sections) < 3 or page.endswith("/README.md")


# --- commands, options, codes --------------------------------------------------------------------


@pytest.mark.parametrize("text", [TEXTS["README.md"], CODES], ids=["README", "reference"])
def test_every_exit_code_is_listed(text: str) -> None:
    rows = re.findall(r"(?m)^\|\s*\**`?(\d+)`?\**\s*\|\s*\**`?([a-z_ ]+?)`?\**\s*\|", text)
    table = {int(code): name.replace("_", " ") for code, name in rows}
    assert sorted(table) == sorted(ExitCode)
    for code in ExitCode:
        assert table[code].startswith(code.name.lower().replace("_", " "))


@pytest.mark.parametrize("name", TEXTS)
def test_commands_that_are_called_exist(name: str) -> None:
    called = {
        next((word for word in call if not word.startswith("-")), None)
        for call in calls(TEXTS[name])
    }
    named = {word for word in called if word and re.fullmatch(r"[a-z][a-z-]*", word)}
    assert named - set(COMMANDS) == set()


def test_the_readme_calls_commands() -> None:
    assert {"register", "sign-in"} <= {word for call in calls(TEXTS["README.md"]) for word in call}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_commands_are_called_with_options_they_have(facauth: Facauth, name: str) -> None:
    for call in calls(TEXTS[name]):
        words = [word for word in call if not word.startswith("-")]
        starts = [" ".join(words[:count]) for count in range(len(words) + 1)]
        command = max((start for start in starts if start in HELP), key=len)
        used = {flag for word in call for flag in flags(word)}
        unknown = used - flags_of(facauth, command) - flags_of(facauth, "")
        assert unknown == set(), f"facauth {shlex.join(call)}"


def test_options_that_are_named_exist(facauth: Facauth) -> None:
    known = {"--require-hashes"}.union(*(flags_of(facauth, command) for command in HELP))  # pip's
    named = {
        (name, snippet.split("=")[0].split()[0])
        for name, text in TEXTS.items()
        for snippet in snippets(text)
        if snippet[:2] == "--"
    }
    assert {(name, option) for name, option in named if option not in known} == set()


def test_every_environment_variable_is_listed() -> None:
    own = re.compile(r"\bFACAUTH_[A-Z_]+\b")
    used = {each for source in SOURCES.values() for each in own.findall(source)}
    assert set(own.findall(SETTINGS)) == used
    assert {each for text in TEXTS.values() for each in own.findall(text)} <= used


# --- reason codes --------------------------------------------------------------------------------

# Dotted words of the source that are no reason codes.
NAMES = re.compile(
    r".*\.(csv|json|key|toml|sqlite3|css|js|svg|html|md|py|ended|request_id|number|problem|sealed)|uvicorn\..*"
)
COMPUTED = {"http.404", "http.405"} | {
    f"{command}.{how}"
    for command in ("remove", "purge", "log")
    for how in ("unconfirmed", "declined")
}
PLAIN = {"usage", "internal"}


def codes_in(source: str) -> Iterator[str]:
    """What looks like a code and begins a call or a tuple: Reason(code, message, advice)."""
    for node in ast.walk(ast.parse(source)):
        parts = getattr(node, "args", None) if isinstance(node, ast.Call) else None
        parts = node.elts if isinstance(node, ast.Tuple) else parts
        for first in (parts or [])[:1]:
            text = first.value if isinstance(first, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", text):
                yield text


@cache
def raised() -> set[str]:
    """Every reason code that the program can give."""
    nothing = Quality(*[float("nan")] * len(fields(Quality)))  # type: ignore[arg-type]
    judged = [reason.code for _, reason in judgements(nothing, settings.SIGN_IN_QUALITY)]
    judged += [each.unmet.code for each in conditions(float("nan"), nothing, settings.LIVENESS)]
    written = {code for source in SOURCES.values() for code in codes_in(source)}
    return {code for code in written if not NAMES.fullmatch(code)} | {*judged} | COMPUTED | PLAIN


def test_every_reason_code_is_listed() -> None:
    rows = re.findall(r"(?m)^\| (`[^|]*) \|", REASONS)
    listed = {code for row in rows for code in re.findall(r"`([^`]+)`", row)}
    assert listed - raised() == set(), "no longer raised: take it out of docs/reference"
    assert raised() - listed == set(), "give it a row in docs/reference/reason-codes.md"


def test_reason_codes_that_are_named_exist() -> None:
    families = {code.partition(".")[0] for code in raised() - PLAIN}
    named = {
        (name, snippet)
        for name, text in TEXTS.items()
        for snippet in snippets(text)
        if re.fullmatch(r"[a-z]+\.(?!py$)[a-z_]+", snippet)
        and snippet.partition(".")[0] in families
    }
    unknown = {each for each in named if each[1] not in raised() and not NAMES.fullmatch(each[1])}
    assert unknown == set()


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TEXTS, CARD, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    """As GitHub follows them: relative to the file, and to the anchor it makes of a heading."""
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose((ROOT / name).read_text())):
        path, _, part = target.partition("#")
        if "://" in path:
            continue
        to = Path(os.path.normpath((ROOT / name).parent / path)) if path else ROOT / name
        inside = to.exists() and to.is_relative_to(ROOT)
        if not inside or (part and part not in anchors(to.read_text())):
            wrong.append(target)
    assert wrong == []


def anchors(text: str) -> list[str]:
    return [generate.anchor(heading) for _, heading in generate.headings(text)]


# --- README and sessions -------------------------------------------------------------------------


def test_the_readme_is_read_to_its_end() -> None:
    text = TEXTS["README.md"]
    assert len(text.splitlines()) <= MAX_README_LINES
    assert len(text.split()) <= MAX_README_WORDS


@pytest.mark.parametrize("mark", ["main-command", "test-command"])
def test_the_readme_marks_its_commands(mark: str) -> None:
    """`.ci/run` runs the second to the letter."""
    (command,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*)\n```", TEXTS["README.md"])
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_sessions_say_what_they_show(facauth: Facauth, name: str) -> None:
    """Every call, in order, on the sample pictures, with what comes of it but for times."""
    session = "".join(re.findall(r"(?ms)^```console\n(.*?)^```", TEXTS[name]))
    for call, shown in re.findall(r"(?m)^\$ facauth (.*)\n((?:(?!\$ ).*\n)*)", session):
        done = subprocess.run(
            [sys.executable, "-m", "facauth", *shlex.split(call)],
            cwd=ROOT,
            env=facauth.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if shown:
            assert TIME.sub("TIME", done.stdout + done.stderr) == TIME.sub("TIME", shown), call
        else:
            assert done.returncode == 0, call
