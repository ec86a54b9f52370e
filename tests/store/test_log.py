"""The audit log: whatever is changed, dropped, swapped, added or cut off is found.

With encryption also where the whole chain was made anew by somebody without the key. Without it
that cannot be found, and a test says so.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import tampering
from conftest import change_types
from tampering import ENTRIES, Row, encrypt

from facauth.errors import SetupProblem
from facauth.records import Broken, PersonName
from facauth.store.keys import KeyAccess
from facauth.store.log import GENESIS
from facauth.store.rekey import rotate
from facauth.store.sqlite import schema
from facauth.store.sqlite.upgrade import migrate
from facauth.store.store import Store

BOTH = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])


class Log:
    """A store with a log, as the tool reads it and as somebody with a hex editor does."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.path = folder / "store.sqlite3"
        self.encrypted = encrypted
        self.keys = KeyAccess(folder / "key" if encrypted else None)

    def open(self) -> Store:
        return Store.open(self.path, self.keys)

    def verified(self) -> tuple[int, Broken | None]:
        with self.open() as store:
            return store.verify_log()

    def broken(self) -> int | None:
        """The number of the first broken entry."""
        return tampering.broken(self.path, self.keys)

    def rows(self) -> list[Row]:
        return tampering.read(self.path)[0]

    def change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            assert db.execute(statement, values).rowcount

    def append(self) -> None:
        """What the tool itself writes afterwards."""
        with self.open() as store:
            store.log("list", "listed")

    def rekey(self) -> None:
        """Another key."""
        with self.open() as store:
            rotate(store, self.keys)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    folders = {encrypted: tmp_path_factory.mktemp("log") for encrypted in (False, True)}
    for encrypted, folder in folders.items():
        tampering.write(folder, encrypted=encrypted)
    return folders


Fresh = Callable[[bool], Log]


@pytest.fixture
def fresh(originals: dict[bool, Path], tmp_path: Path) -> Fresh:
    """Gives a new copy of a log of 30 entries."""

    def copied(encrypted: bool) -> Log:
        shutil.copytree(originals[encrypted], tmp_path, dirs_exist_ok=True)
        return Log(tmp_path, encrypted=encrypted)

    return copied


@BOTH
def test_a_log_that_nobody_touched_is_sound(fresh: Fresh, encrypted: bool) -> None:
    kept = fresh(encrypted)
    assert kept.verified() == (ENTRIES, None)
    assert all((row["anchor"] is not None) == encrypted for row in kept.rows())
    kept.append()
    assert kept.verified() == (ENTRIES + 1, None)


@pytest.mark.slow
@pytest.mark.parametrize(("encrypted", "least"), [(False, 2200), (True, 2500)])
def test_every_tampering_of_thousands_is_found(tmp_path: Path, encrypted: bool, least: int) -> None:
    """benchmarks/tampering.py: each field of each entry, drops, cuts, swaps, additions, ends."""
    told = tampering.tally(tmp_path, encrypted=encrypted)
    anew = told.pop("chain made anew")
    assert sum(seen.tried for seen in told.values()) > least
    assert all(seen.tried >= ENTRIES for seen in told.values())
    assert len(told) == len(tampering.COLUMNS) + 5
    for kind, seen in told.items():
        assert (seen.found, seen.named) == (seen.tried, seen.to_be_named), kind
    # Without a key a chain made anew is as good as the first; `log verify` says so in a note.
    assert (anew.tried, anew.found) == (18, 18 if encrypted else 0)


@BOTH
@pytest.mark.parametrize("column", ["at", "command", "verdict", "reasons", "subject"])
def test_text_that_is_no_text_is_found(fresh: Fresh, encrypted: bool, column: str) -> None:
    """As a flipped bit makes it; and it does not stop the log from being shown."""
    for number in (1, 17, ENTRIES):
        kept = fresh(encrypted)
        kept.change(f"UPDATE events SET {column} = CAST(x'61ff' AS TEXT) WHERE id = ?", number)
        assert kept.broken() == number
        with kept.open() as store:
            events = list(store.events())
        assert len(events) == ENTRIES
        assert all(text.isprintable() for event in events for text in (event.at, event.verdict))


@BOTH
def test_the_same_text_as_another_type_is_found(fresh: Fresh, encrypted: bool) -> None:
    """A flipped bit does not ask whether the table is strict."""
    kept = fresh(encrypted)
    for column in ("at", "command", "verdict"):
        change_types(kept.path, f"UPDATE events SET {column} = CAST({column} AS BLOB) WHERE id = 9")
        assert kept.broken() == 9
        with kept.open() as store:
            assert len(list(store.events())) == ENTRIES
        kept.change(f"UPDATE events SET {column} = CAST({column} AS TEXT) WHERE id = 9")
        assert kept.broken() is None


@pytest.mark.parametrize("order", [("append", "append", "rekey", "append"), ("rekey", "append")])
def test_what_follows_a_cut_does_not_mend_it(fresh: Fresh, order: tuple[str, ...]) -> None:
    """Not the next entries, which are written with the key, and not another key."""
    for left in (0, 1, 15, ENTRIES - 1):
        for told in (True, False):
            kept = fresh(True)
            last = kept.rows()[left - 1]["hash"] if left else GENESIS
            kept.change("DELETE FROM events WHERE id > ?", left)
            if told:
                kept.change("UPDATE log_head SET entries = ?, hash = ?", left, last)
            for follows in order:
                getattr(kept, follows)()
                assert kept.broken() == left + 1


def test_a_log_that_was_emptied_is_broken_where_there_is_a_key(fresh: Fresh) -> None:
    kept = fresh(True)
    kept.change("DELETE FROM events")
    kept.change("DELETE FROM log_head")
    assert kept.verified() == (0, Broken(1, "is missing, or the end was changed"))
    kept.append()
    assert kept.broken() == 1


def test_a_log_that_lost_its_key_is_not_taken_for_one_without(fresh: Fresh) -> None:
    kept = fresh(True)
    kept.change("DELETE FROM key_lock")
    assert tampering.broken(kept.path, KeyAccess()) == 1


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("UPDATE events SET verdict = 'signed_in' WHERE id = 8", 8),
        ("DELETE FROM events WHERE id = 9", 9),
        ("DELETE FROM events WHERE id > 27", 28),
    ],
)
def test_what_was_changed_before_encryption_shows_after_it(
    fresh: Fresh, tmp_path: Path, statement: str, first: int
) -> None:
    kept = fresh(False)
    kept.change(statement)
    keys = KeyAccess(tmp_path / "key")
    encrypt(kept.path, keys)
    assert tampering.broken(kept.path, keys) == first


def test_a_new_key_keeps_the_log_sound(fresh: Fresh) -> None:
    kept = fresh(True)
    anchors = {row["anchor"] for row in kept.rows()}
    kept.rekey()
    assert kept.verified() == (ENTRIES + 1, None)
    assert not anchors & {row["anchor"] for row in kept.rows()}


def test_a_store_encrypted_before_its_first_entry_has_a_sound_log(tmp_path: Path) -> None:
    kept = Log(tmp_path, encrypted=True)
    Store.open(kept.path, create=True).close()
    encrypt(kept.path, kept.keys)
    assert kept.verified() == (1, None)


def test_a_log_with_nothing_in_it_is_sound(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite3", create=True) as store:
        assert store.verify_log() == (0, None)


def test_an_end_that_cannot_be_is_said_in_words(fresh: Fresh) -> None:
    """A count too large to go on from, and one that is too small for what is there."""
    for entries in (2**63 - 1, 3):
        kept = fresh(False)
        kept.change("UPDATE log_head SET entries = ?", entries)
        with pytest.raises(SetupProblem):
            kept.append()
        assert kept.broken() is not None


# --- people ---------------------------------------------------------------------------------------


@BOTH
def test_a_person_who_is_removed_leaves_a_whole_chain_without_a_name(
    fresh: Fresh, encrypted: bool
) -> None:
    kept = fresh(encrypted)
    with kept.open() as store:
        hers = [event.id for event in store.events() if event.person == "Łucja"]
        with store.transaction() as change:
            store.person("Łucja").remove(change)
        assert len(hers) > 5
        assert [event.person for event in store.events() if event.id in hers] == [None] * len(hers)
        assert {event.person for event in store.events()} == {"Ada", "Bob", None}
    assert kept.verified() == (ENTRIES, None)
    for file in kept.path.parent.glob("store*"):
        assert "Łucja".encode() not in file.read_bytes()


def test_a_new_name_is_shown_for_what_was_before(fresh: Fresh) -> None:
    kept = fresh(False)
    with kept.open() as store:
        with store.transaction() as change:
            store.person("Ada").rename(change, PersonName.parse("Ada King"))
        assert {event.person for event in store.events()} == {"Ada King", "Bob", "Łucja", None}
    assert kept.broken() is None


def test_an_event_says_what_was_asked_and_found_and_no_more(fresh: Fresh) -> None:
    with fresh(False).open() as store:
        refused = next(event for event in store.events() if event.verdict == "no_match")
        accepted = next(event for event in store.events() if event.verdict == "signed_in")
    assert (refused.command, refused.reasons) == ("sign-in", ["match.none", "match.other"])
    assert (refused.error_rate, accepted.error_rate) == (1e-4, 1e-3)
    assert (accepted.reasons, accepted.person is None) == ([], False)


# --- older stores ---------------------------------------------------------------------------------


def old_store(path: Path, events: int) -> None:
    """Of schema version 2, as facauth made it then."""
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as db, db:
        for step in (step for steps in schema.MIGRATIONS[:2] for step in steps):
            assert isinstance(step, str)
            db.execute(step)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 2")
        db.execute("INSERT INTO people VALUES (5, 'Ada', 'ada', '2026-01-01T00:00:00+00:00')")
        for number in range(events):
            db.execute(
                """INSERT INTO events (id, at, command, verdict, reason, person_id)
                VALUES (?, ?, 'sign-in', ?, ?, ?)""",
                (
                    3 * number + 2,  # with gaps
                    f"2026-02-01T00:00:{number:02}+00:00",
                    "no_match" if number % 2 else "signed_in",
                    "match.none" if number % 2 else None,
                    None if number % 2 else 5,
                ),
            )


@pytest.mark.parametrize("events", [0, 1, 30])
def test_the_events_of_an_older_store_become_the_first_of_the_chain(
    tmp_path: Path, events: int
) -> None:
    kept = Log(tmp_path, encrypted=False)
    old_store(kept.path, events)
    migrate(kept.path)
    assert kept.verified() == (events + 1, None)  # with that of the migration
    with kept.open() as store:
        shown = [
            (event.id, event.at, event.verdict, event.reasons, event.person)
            for event in store.events()
            if event.command != "migrate"
        ]
    assert shown == [
        (
            number + 1,
            f"2026-02-01T00:00:{number:02}+00:00",
            *(("no_match", ["match.none"], None) if number % 2 else ("signed_in", [], "Ada")),
        )
        for number in range(events)
    ]
    kept.append()
    assert kept.verified() == (events + 2, None)
    for row in kept.rows():
        kept.change("UPDATE events SET verdict = 'other' WHERE id = ?", row["id"])
        assert kept.broken() == row["id"]
        kept.change("UPDATE events SET verdict = ? WHERE id = ?", row["verdict"], row["id"])


def test_the_log_of_an_older_store_is_anchored_when_it_is_encrypted(tmp_path: Path) -> None:
    kept = Log(tmp_path, encrypted=True)
    old_store(kept.path, 10)
    migrate(kept.path)
    encrypt(kept.path, kept.keys)
    assert kept.verified() == (12, None)
    rows, head = tampering.read(kept.path)
    assert head
    for case in tampering.made_anew(rows, head):
        tampering.put(kept.path, case.rows, case.head)
        assert kept.broken() is not None
