"""A server that is killed under load loses nothing that it acknowledged.

benchmarks/server_kills.py prints the figures of many kills; these are a few.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import server_kills
from postgres import required_programs
from server_kills import STAYS, Comer
from stores import ENGINES, kept

from facauth.store.sealing import Template


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_acknowledged_is_lost(tmp_path: Path, engine: str) -> None:
    if engine == "postgres":
        required_programs()
    tally = server_kills.killed(tmp_path, kills=2, seed=1, engine=engine)
    assert tally.violations == []
    assert tally.kills == 2
    assert tally.idle < 2
    assert tally.answered["registered"]


@pytest.mark.parametrize(
    ("joe", "signed_in", "wrong"),
    [
        (Comer("Joe", enrolled="Joe 7"), 0, ""),
        (Comer("Joe", unanswered="Joe 7"), 0, ""),
        (Comer("Joe", enrolled="Joe 7", unanswered="Joe 7"), 0, ""),
        (Comer("Joe"), 0, "Joe: None was acknowledged"),
        (Comer("Joe", enrolled="Joe 6"), 0, "Joe: Joe 6 was acknowledged"),
        (Comer("Joe", unanswered="Joe 8"), 0, "Joe: None was acknowledged"),
        (Comer("Joe", enrolled="Joe 7"), 1, "the log has 0 sign-ins of 1"),
    ],
)
def test_what_is_lost_is_found(tmp_path: Path, joe: Comer, signed_in: int, wrong: str) -> None:
    with kept("sqlite", tmp_path) as on, on.open() as store, store.transaction() as change:
        for name in (STAYS, "Joe 7"):
            store.person(name).add(change, "kills/1", [Template(b"x", None, False)])
            change.log("register", "registered", uid=store.person(name).uid)
    if joe.enrolled:
        joe.answered["registered"] = 1
    found = server_kills.check(on, [joe], signed_in, 0)
    assert any(wrong in each for each in found) if wrong else not found, found
