"""Clients of a PostgreSQL store, or its server, are killed: nothing acknowledged is lost.

benchmarks/database_kills.py prints the figures of many kills; these are a few.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import working
from postgres import required_programs
from stores import kept
from working import Told

from facauth.records import PersonName

TOP = Path(__file__).parents[2]


@pytest.mark.slow
def test_nothing_acknowledged_is_lost() -> None:
    required_programs()
    options = ("--clients=5", "--server=2", "--control=3", "--json")
    run = subprocess.run(
        [sys.executable, "benchmarks/database_kills.py", *options],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    clients, server, control = map(json.loads, run.stdout.splitlines())
    assert (clients["kills"], server["kills"]) == (5, 2)
    for tally in (clients, server):
        assert tally["violations"] == []
        assert min(tally["done"].values()) > 0
        assert tally["log"].startswith("sound")
    assert any("is lost" in each for each in control["violations"]), "or else this finds nothing"
    assert {"store.lost", "store.unreachable"} & server["refused"].keys()


JOURNAL = """\
asked register v1
done register v1
asked register p2
done register p2
asked fail v1
done fail v1
asked register p3
done register p3
asked remove p3
done remove p3
asked register p4
"""


@pytest.mark.parametrize(
    ("journal", "found"),
    [
        (JOURNAL, []),
        (JOURNAL + "asked register p5\ndone register p5\n", ["p5 is lost", "3 registered of 4"]),
        (JOURNAL.replace("done remove", "not remove"), ["p3 is lost", "1 removed of 0 to 0"]),
        (
            JOURNAL.replace("asked remove p3\ndone remove p3\n", ""),
            ["p3 is lost", "1 removed of 0"],
        ),
        (JOURNAL.replace("done register p2", "not register p2"), ["p2 is there"]),
        (JOURNAL + "asked fail v1\ndone fail v1\n", ["1 failures of 2 to 2", "1 no_match of 2"]),
        (JOURNAL + "asked fail v1\n", []),
        (JOURNAL.replace("asked fail v1\ndone fail v1\n", ""), ["1 failures of 0 to 0"]),
        (JOURNAL + "wrong sign-in match.none\n", ["sign-in match.none"]),
    ],
)
def test_what_is_lost_is_found(tmp_path: Path, journal: str, found: list[str]) -> None:
    path = tmp_path / "journal"
    path.write_text(journal)
    with kept("sqlite", tmp_path) as store, store.open() as opened:
        for operation, name in (
            *(("register", "v1"), ("register", "p2"), ("fail", "v1")),
            *(("register", "p3"), ("remove", "p3")),
        ):
            working.act(opened, operation, PersonName.parse(name))
        wrong = working.wrong(opened, Told.of([path]))
    assert len(wrong) == len(found)
    assert all(any(each in line for line in wrong) for each in found), wrong


def test_a_client_that_was_killed_may_have_done_what_it_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text(JOURNAL)
    told = Told.of([path, tmp_path / "of a client that did nothing"])
    assert (told.enrolled, told.gone, told.maybe) == ({"v1", "p2"}, {"p3"}, {"p4"})
    assert told.victims == {"v1": (1, 0)}
    assert (told.done.total(), told.unknown.total()) == (5, 1)
