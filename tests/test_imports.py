"""Importing costs nothing: what needs no photo loads no library for photos."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Facauth

from facauth.cli import COMMANDS, EVALUATE, KEY, app
from facauth.cli.evaluate import match
from facauth.cli.options import PolicyName
from facauth.settings import POLICIES, RATES

SAMPLES = Path(__file__).parents[1] / "sample_images"
HEAVY = {"cv2", "dlib", "numpy", "PIL", "pi_heif", "pillow_heif", "face_recognition", "matplotlib"}
STORING = {"sqlite3", "cryptography"}
# What a call that is wrong, or asks for help, can be answered without.
NEEDLESS = {*HEAVY, *STORING, "rich", "multiprocessing", "statistics", "platformdirs", "tomllib"}
NEEDLESS |= {f"facauth.{room}" for room in ("settings", "structs", "stages", "networks", "admin")}
CALLS = [
    *(name for rows in COMMANDS.values() for name in rows),
    *(f"key {name}" for name in KEY),
    *(f"evaluate {name}" for name in EVALUATE),
]
# Runs a command as `facauth` does, then says on stderr what was loaded.
RUN = """
import sys
from facauth.cli import run
code = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


def loaded(facauth: Facauth, code: str, *arguments: str) -> set[str]:
    """The modules and top-level packages that a fresh interpreter has after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=facauth.here,
        env=facauth.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = done.stderr.splitlines()[-1].split()
    return {*modules, *(module.split(".")[0] for module in modules)}


@pytest.mark.parametrize("module", ["facauth", "facauth.cli", "facauth.pipeline"])
def test_importing_loads_no_heavy_library(facauth: Facauth, module: str) -> None:
    modules = loaded(facauth, f"import sys, {module}; print(*sys.modules, file=sys.stderr)")
    assert "facauth" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "sign-in --help",
        "evaluate spoof --help",
        "calibrate --show",
        "list",
        "list --json --format csv",
    ],
)
def test_a_command_without_a_photo_loads_no_heavy_library(facauth: Facauth, arguments: str) -> None:
    facauth.knows_nobody()
    modules = loaded(facauth, RUN, *arguments.split())
    assert "typer" in modules
    assert modules & HEAVY == set()


EXITED = RUN.replace("sys.exit(code)", "assert code == {}")


def commands_in(modules: set[str]) -> set[str]:
    """The commands' own modules among these."""
    functions = [row[1] for rows in (*COMMANDS.values(), KEY, EVALUATE) for row in rows.values()]
    own = {f"facauth.cli.{function.partition('.')[0]}" for function in functions}
    return {each.removeprefix("facauth.cli.") for each in modules & own}


@pytest.mark.parametrize("arguments", ["--help", "--version", "key --help", "evaluate --help"])
def test_the_help_of_a_group_imports_no_command(facauth: Facauth, arguments: str) -> None:
    modules = loaded(facauth, RUN, *arguments.split())
    assert commands_in(modules) == set()
    assert modules & NEEDLESS == set()


@pytest.mark.parametrize("arguments", ["", "--nope", "nope", "sign", "key", "key nope"])
def test_a_call_without_a_command_imports_none(facauth: Facauth, arguments: str) -> None:
    modules = loaded(facauth, EXITED.format(2), *arguments.split())
    assert commands_in(modules) == set()
    assert modules & NEEDLESS == set()


@pytest.mark.parametrize("option", ["--help", "--nope"])
@pytest.mark.parametrize("command", CALLS)
def test_a_command_imports_no_other(facauth: Facauth, command: str, option: str) -> None:
    """Nor what it needs only when it works."""
    code = EXITED.format(2 if option == "--nope" else 0)
    modules = loaded(facauth, code, *command.split(), option)
    (own,) = commands_in(modules)
    assert own.replace("_", "-").strip("-") == command.split()[0]
    assert modules & NEEDLESS == set()


def test_a_list_in_a_pipe_loads_nothing_that_draws(facauth: Facauth) -> None:
    facauth.knows_nobody()
    modules = loaded(facauth, RUN, "list")
    assert "sqlite3" in modules
    assert commands_in(modules) == {"list_"}
    assert modules & {*HEAVY, "rich", "cryptography", "facauth.structs"} == set()


def test_a_table_on_a_terminal_is_drawn_by_rich() -> None:
    """Otherwise the tests above would hold of nothing."""
    from facauth.cli.tables import table

    assert table(("a", "b"), [("1", "2")])
    assert "rich" in sys.modules


def test_options_repeat_what_settings_say() -> None:
    """They cannot take it from there: a wrong call is told without that module."""
    assert {each.value for each in PolicyName} == set(POLICIES)
    assert inspect.signature(match).parameters["at_fmr"].default == RATES.verify_fmr
    assert list(app.commands) == [call for call in CALLS if " " not in call] + [
        "key",
        "store",
        "evaluate",
    ]


def test_a_store_that_is_not_encrypted_loads_no_cryptography(facauth: Facauth) -> None:
    facauth.knows_nobody()
    assert "cryptography" not in loaded_by_refusal(facauth, "remove", "Nobody", "--yes")


def test_managing_people_loads_no_heavy_library(facauth: Facauth) -> None:
    facauth.knows_nobody()
    assert loaded_by_refusal(facauth, "remove", "Nobody", "--yes") & HEAVY == set()
    assert loaded_by_refusal(facauth, "rename", "Nobody", "Somebody") & HEAVY == set()


def loaded_by_refusal(facauth: Facauth, *arguments: str) -> set[str]:
    modules = loaded(facauth, EXITED.format(6), *arguments)
    assert "sqlite3" in modules
    return modules


def test_a_face_is_encoded_without_what_loads_slowly(facauth: Facauth) -> None:
    """A sample image, by the real networks: numpy.ma takes 12 ms."""
    for command in (["register", "Obama"], ["sign-in"]):
        photo = f"obama_{2009 if command[0] == 'register' else 2012}.jpg"
        modules = loaded(facauth, RUN, *command, str(SAMPLES / photo))
        assert {"cv2", "numpy"} < modules
        assert "numpy.ma" not in modules
