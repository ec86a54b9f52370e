"""Nobody waits for a network: none runs while a read or a write of the store is under way."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

import pytest
from conftest import Facauth, Photo
from psycopg.pq import TransactionStatus

from facauth.networks import Networks
from facauth.store import means
from facauth.store.postgres.database import Database as PostgresDatabase
from facauth.store.sqlite.database import Database
from facauth.system import Stages, bind

FIRST, AGAIN, SECOND = "obama_2012.jpg", "obama_2010.jpg", "obama_2009.jpg"
OTHER, RECAPTURE = "biden_2010.jpg", "simulated_recapture.jpg"
LIVE = {"detector", "live_2_7", "live_4_0"}
ENCODE = {"landmarks", "encode_dlib", "encode_sface", "encode_sface_last"}
PIXELS = ("decode", "sight", "measure", "liveness", "encode", "signature")  # look at a photo


class Watch:
    """Whether a transaction or a snapshot was open, each time that a stage or a network ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open_during = defaultdict[str, list[bool]](list)
        self._databases: list[Database | PostgresDatabase] = []
        for kind in (Database, PostgresDatabase):
            monkeypatch.setattr(kind, "__init__", self._noted(kind.__init__))

    def _noted(self, make: Callable[..., None]) -> Callable[..., None]:
        def noted(database: Any, *arguments: Any) -> None:
            make(database, *arguments)
            self._databases.append(database)

        return noted

    def note(self, what: str) -> None:
        self.open_during[what].append(any(map(_in_transaction, self._databases)))

    def stage(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """The stage, noted before and after it runs."""

        def noted(*arguments: Any) -> Any:
            self.note(name)
            found = run(*arguments)
            self.note(name)
            return found

        return noted

    def bind_to(self, facauth: Facauth, networks: Networks) -> None:
        """From now on commands run the real stages, on networks that are watched."""
        stages = bind(cast(Networks, Watched(networks, self.note)))
        named = {each.name: getattr(stages, each.name) for each in fields(Stages)}
        for name in (*PIXELS, "compare", "replay"):
            named[name] = self.stage(name, named[name])
        facauth.bind(**named)


class Watched:
    """The networks; whoever asks for one is noted."""

    def __init__(self, networks: Networks, note: Callable[[str], None]) -> None:
        self._networks, self._note = networks, note

    def __getattr__(self, name: str) -> Any:
        self._note(name)
        return getattr(self._networks, name)


def _in_transaction(database: Database | PostgresDatabase) -> bool:
    if isinstance(database, PostgresDatabase):
        status = database._db.info.transaction_status
        return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)
    try:
        return database.in_transaction
    except sqlite3.ProgrammingError:  # it is closed
        return False


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.mark.parametrize(
    ("command", "used", "exit_code"),
    [
        (("sign-in", AGAIN), {*LIVE, *ENCODE}, 0),
        (("sign-in", AGAIN, "--as", "Barack"), {*LIVE, *ENCODE}, 0),
        (("sign-in", AGAIN, "--learn"), {*LIVE, *ENCODE}, 0),
        (("sign-in", OTHER), {*LIVE, *ENCODE}, 1),
        (("register", "Joe", OTHER), {*LIVE, *ENCODE}, 0),
        (("register", "Barack", AGAIN, SECOND), {*LIVE, *ENCODE}, 0),
        (("register", "Barack", AGAIN, "--replace"), {*LIVE, *ENCODE}, 0),
        (("spoof-check", AGAIN, "--against", "Barack"), LIVE, 0),
        (("spoof-check", RECAPTURE, "--against", "Barack"), LIVE, 3),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
@pytest.mark.parametrize("searched_from", [1, means.SEARCHED_FROM], ids=["large", "small"])
def test_no_transaction_is_open_while_a_network_runs(
    facauth: Facauth,
    photo: Photo,
    networks: Networks,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: tuple[str, ...],
    used: set[str],
    exit_code: int,
    searched_from: int,
) -> None:
    facauth.knows(Barack=photo(FIRST))
    monkeypatch.setattr(means, "SEARCHED_FROM", searched_from)
    watch.bind_to(facauth, networks)
    facauth(*(photo(part) if "." in part else part for part in command), exit_code=exit_code)
    ran = watch.open_during
    assert used <= ran.keys()
    within = {"sign-in": "compare", "register": "replay"}.get(command[0])
    if within:  # who is compared is of one moment
        assert all(ran.pop(within))
    elif command[0] == "spoof-check":
        assert "replay" in ran
    assert {name for name, seen in ran.items() if any(seen)} <= {"contract"}  # which runs nothing
