"""A change that waits for a standby in vain is not taken for done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import postgres
import pytest
from engines import InDatabase, Template

from facauth.errors import SetupProblem
from facauth.places import Address
from facauth.store.store import Store


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[InDatabase]:
    """A store on a server that waits for a standby, which is not there."""
    follows = {"wal_level": "replica", "max_wal_senders": "2"}
    with postgres.cluster(**follows) as own:
        kept = InDatabase(Template(own, tmp_path), tmp_path / "home")
        kept.prepare()
        own.stop()
        own.start(**postgres.QUICK | follows, synchronous_standby_names="absent")
        yield kept
        own.stop()
        own.start(**postgres.QUICK)  # DROP DATABASE would wait too
        kept.close()


def cancel(kept: InDatabase) -> None:
    """As an administrator does, who sees it wait."""
    waits = """SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'SyncRep'"""
    end = time.monotonic() + 30
    while not kept.rows(waits) and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("quiet", ["", "?options=-cclient_min_messages%3Derror"])
def test_a_change_that_no_standby_has_is_not_taken_for_done(
    waiting: InDatabase, quiet: str
) -> None:
    """PostgreSQL ends the wait with a warning only, and the change is done on this server."""
    other = Thread(target=cancel, args=(waiting,))
    with Store.open(Address(waiting.address + quiet), waiting.keys) as store:
        other.start()
        with pytest.raises(SetupProblem, match="may or may not be done"):
            store.log("list", "listed")
    other.join()
    with waiting.opened() as store:
        assert store.verify_log() == (1, None)
