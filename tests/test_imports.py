"""Importing costs nothing: what needs no photo loads no library for photos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Facauth

SAMPLES = Path(__file__).parents[1] / "sample_images"
HEAVY = {"cv2", "dlib", "numpy", "PIL", "pi_heif", "pillow_heif", "face_recognition", "matplotlib"}
# Runs a command as `facauth` does, then says on stderr what was loaded.
RUN = """
import sys
from facauth.cli import run
code = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


def loaded(facauth: Facauth, code: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after `code`."""
    return {module.split(".")[0] for module in all_loaded(facauth, code, *arguments)}


def all_loaded(facauth: Facauth, code: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=facauth.here,
        env=facauth.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


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


def test_what_opens_no_store_loads_no_database(facauth: Facauth) -> None:
    assert loaded(facauth, RUN, "sign-in", "--help") & {"sqlite3", "cryptography"} == set()


def test_a_store_that_is_not_encrypted_loads_no_cryptography(facauth: Facauth) -> None:
    facauth.knows_nobody()
    assert "cryptography" not in loaded_by_refusal(facauth, "remove", "Nobody", "--yes")


def test_managing_people_loads_no_heavy_library(facauth: Facauth) -> None:
    facauth.knows_nobody()
    assert loaded_by_refusal(facauth, "remove", "Nobody", "--yes") & HEAVY == set()
    assert loaded_by_refusal(facauth, "rename", "Nobody", "Somebody") & HEAVY == set()


def loaded_by_refusal(facauth: Facauth, *arguments: str) -> set[str]:
    code = RUN.replace("sys.exit(code)", "assert code == 6")
    modules = loaded(facauth, code, *arguments)
    assert "sqlite3" in modules
    return modules


def test_a_face_is_encoded_without_what_loads_slowly(facauth: Facauth) -> None:
    """A sample image, by the real networks: dlib takes 13 ms, numpy.ma 12 ms."""
    for command in (["register", "Obama"], ["sign-in"]):
        photo = f"obama_{2009 if command[0] == 'register' else 2012}.jpg"
        modules = all_loaded(facauth, RUN, *command, str(SAMPLES / photo))
        assert {"cv2", "numpy"} < modules
        assert modules & {"dlib", "numpy.ma"} == set()
