"""Processes and servers that change one store at once: nothing is lost, no try is too many.

benchmarks/together.py prints the figures of a longer run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import together
from postgres import required_programs
from stores import ENGINES

TOP = Path(__file__).parents[2]
SECONDS = 12  # less than the first delay, so that no more than ten tries are let through


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_lost(engine: str) -> None:
    if engine == "postgres":
        required_programs()
    options = [f"--engine={engine}", f"--seconds={SECONDS}", "--json"]
    run = subprocess.run(
        [sys.executable, "benchmarks/together.py", *options],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    tally = json.loads(run.stdout)
    assert tally["violations"] == []
    assert (tally["processes"], tally["servers"]) == (8, 4)
    assert tally["let_through"] == tally["counted"] == tally["allowed"] == 10
    assert tally["tries"] > 100
    assert min(tally["done"].values()) > 0
    assert min(tally["served"].values()) > 0


@pytest.mark.parametrize(
    ("seconds", "number"), [(0, 10), (29.9, 10), (30, 11), (89, 11), (90, 12), (1e9, 100)]
)
def test_so_many_tries_are_allowed(seconds: float, number: int) -> None:
    assert together.allowed(seconds) == number
