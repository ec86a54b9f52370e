"""A server that is killed under load loses nothing that it acknowledged.

benchmarks/server_kills.py prints the figures of many kills; these are a few.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import server_kills
from server_kills import STAYS, Comer

from facauth.store.sealing import Template
from facauth.store.store import Store


@pytest.mark.slow
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    tally = server_kills.killed(tmp_path, kills=2, seed=1)
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
    path = tmp_path / "store.sqlite3"
    with Store.open(path, create=True) as store, store.transaction() as change:
        for name in (STAYS, "Joe 7"):
            store.person(name).add(change, "kills/1", [Template(b"x", None, False)])
            change.log("register", "registered", uid=store.person(name).uid)
    if joe.enrolled:
        joe.answered["registered"] = 1
    found = server_kills.check(path, [joe], signed_in, 0)
    assert any(wrong in each for each in found) if wrong else not found, found
