"""A log in a database: whatever somebody changes there is found, with the key of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import InDatabase, Template

from facauth.errors import SetupProblem
from facauth.store import rekey


@pytest.fixture
def busy(template: Template, tmp_path: Path) -> Iterator[InDatabase]:
    """A store with 6 entries in its log."""
    kept = InDatabase(template, tmp_path)
    with kept.opened() as store:
        for number in range(6):
            store.log("list", "listed", f"reason.{number}")
    yield kept
    kept.close()


def broken(kept: InDatabase) -> int | None:
    with kept.opened() as store:
        _, found = store.verify_log()
    return None if found is None else found.id


TAMPERED = {
    "UPDATE events SET verdict = 'removed' WHERE id = 4": 4,
    "UPDATE events SET reasons = NULL WHERE id = 4": 4,
    "UPDATE events SET subject = 'somebody' WHERE id = 4": 4,
    "UPDATE events SET at = '2020' WHERE id = 1": 1,
    "UPDATE events SET error_rate = 0 WHERE id = 6": 6,
    "UPDATE events SET hash = (SELECT hash FROM events WHERE id = 3) WHERE id = 4": 4,
    "UPDATE events SET anchor = NULL WHERE id = 4": 4,
    "UPDATE events SET anchor = (SELECT anchor FROM events WHERE id = 3) WHERE id = 4": 4,
    "DELETE FROM events WHERE id = 3": 3,
    "DELETE FROM events WHERE id = 1": 1,
    "DELETE FROM events WHERE id = 6": 6,
    "DELETE FROM events; DELETE FROM log_head": None,
    "UPDATE log_head SET entries = 5": 6,
    "UPDATE log_head SET anchor = NULL": 7,
    "DELETE FROM log_head": 1,
    "UPDATE events SET id = -1 WHERE id = 2; UPDATE events SET id = 2 WHERE id = 3;"
    " UPDATE events SET id = 3 WHERE id = -1": 2,
    "INSERT INTO events SELECT 7, at, command, verdict, reasons, subject, error_rate, hash, anchor"
    " FROM events WHERE id = 6": 7,
}


@pytest.mark.parametrize("statement", TAMPERED)
def test_what_was_changed_is_found(busy: InDatabase, statement: str) -> None:
    assert broken(busy) is None
    busy.change(statement)
    found = broken(busy)
    if TAMPERED[statement] is None:  # all of it, with its end: a log that never was is no sound one
        assert found is not None
    else:
        assert found == TAMPERED[statement]


def test_a_cut_end_is_found_though_its_record_is_an_older_one(busy: InDatabase) -> None:
    (old,) = busy.rows("SELECT entries, hash, anchor FROM log_head")
    with busy.opened() as store:
        store.log("list", "listed")
    busy.change("DELETE FROM events WHERE id = 7")
    assert broken(busy) == 7
    hashed, anchored = (f"x'{each.hex()}'" for each in old[1:])
    busy.change(f"UPDATE log_head SET entries = {old[0]}, hash = {hashed}, anchor = {anchored}")
    assert broken(busy) is None  # as SECURITY says of a whole older copy


def test_a_log_that_is_broken_is_not_pruned(busy: InDatabase) -> None:
    busy.change("DELETE FROM events WHERE id = 3")
    before = busy.everything()
    with pytest.raises(SetupProblem), busy.opened() as store, store.transaction() as change:
        change.prune_log("9999")
    assert busy.everything() == before


def test_a_new_key_keeps_it_sound(busy: InDatabase) -> None:
    anchors = set(busy.rows("SELECT anchor FROM events"))
    with busy.opened() as store:
        rekey.rotate(store, busy.keys)
    assert broken(busy) is None
    assert not anchors & set(busy.rows("SELECT anchor FROM events"))
