"""What every engine of a store must do; an engine that passes this can stand in SQLite's place.

To try another one, add how it is opened to ENGINES, and where a new one can be to `place`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from facauth.errors import SetupProblem
from facauth.places import Address, Place
from facauth.store.engine import Engine, Row, Writer
from facauth.store.postgres.engine import PostgresEngine
from facauth.store.sealing import SealedPerson, Template
from facauth.store.sqlite.engine import SqliteEngine

Open = Callable[[Any], Engine]  # makes the store if there is none

ENGINES: dict[str, Open] = {
    "sqlite": lambda place: SqliteEngine.open(place, create=True),
    "postgres": lambda place: PostgresEngine.open(place, create=True),
}
CONTRACT, OTHER, AT = "test/1", "other/1", "2026-11-21T22:59:59+00:00"


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opens(kind: str) -> Open:
    return ENGINES[kind]


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    if kind == "sqlite":
        return tmp_path / "store"
    return Address(request.getfixturevalue("database").address)


@pytest.fixture
def engine(opens: Open, place: Place) -> Iterator[Engine]:
    opened = opens(place)
    yield opened
    opened.close()


@pytest.fixture
def another(opens: Open, place: Place, engine: Engine) -> Iterator[Engine]:
    """A connection of its own to the same store."""
    assert engine.place == place
    opened = opens(place)
    yield opened
    opened.close()


def template(seed: int, **kind: bool) -> Template:
    signature = bytes([seed]) * 40 if kind.pop("signed", True) else None
    return Template(bytes([seed]) * 20, signature, kind.pop("spoof", False), **kind)


def added(writer: Writer, name: str, *templates: Template, contract: str = CONTRACT) -> int:
    number = writer.add_person(f"uid of {name}", name, name.casefold(), None, AT)
    for each in templates:
        writer.add_template(number, contract, each, AT)
    return number


def event(number: int, command: str, verdict: str, subject: str | None = None) -> Row:
    at = f"2026-11-{number:02d}T00:00:00+00:00"
    return number, at, command, verdict, None, subject, None, bytes([number]) * 32, None


# --- people --------------------------------------------------------------------------------------


def test_a_new_store_holds_nothing(engine: Engine, place: Place) -> None:
    assert engine.place == place
    assert (engine.people(None), engine.everybody(), engine.encodings(None)) == ([], [], [])
    assert (engine.entries(), engine.events(0), engine.learned()) == ([], [], [])
    assert engine.lock() is engine.mark("head") is engine.mark("start") is engine.tries("") is None
    assert engine.person("ada") is None
    assert engine.older_than(AT) is None
    assert engine.last_verdict(None, ["x"]) is None
    assert (engine.faults(), engine.read_only) == ([], False)
    assert not engine.person_ids(CONTRACT)
    assert not engine.has_people(CONTRACT, 1)


def test_a_person_is_found_by_key_and_id_alone(engine: Engine, another: Engine) -> None:
    with engine.transaction() as writer:
        number = writer.add_person("u1", "Ada", "ada", b"key", AT)
    assert another.person("ada") == SealedPerson(number, "u1", "Ada", b"key")
    assert another.person("Ada") is another.person("u1") is another.person("") is None
    assert (another.is_enrolled("u1"), another.is_enrolled("ada")) == (True, False)
    assert another.everybody() == [SealedPerson(number, "u1", "Ada", b"key")]


def test_what_is_known_of_a_person_is_changed_alone(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada, bob = added(writer, "Ada"), added(writer, "Bob")
        writer.set_name(ada, "Countess", "countess")
        writer.set_key(ada, b"new key")
        writer.set_consent(ada, "yes", "the door", "2026-11-22")
        writer.set_last_sign_in("uid of Ada", "2026-11-23")
    assert engine.everybody() == [
        SealedPerson(ada, "uid of Ada", "Countess", b"new key"),
        SealedPerson(bob, "uid of Bob", "Bob", None),
    ]
    assert engine.person("ada") is None
    second, first = engine.people(None)  # by name key: Bob, Countess
    assert (second.name, second.consent, second.last_sign_in_at) == ("Bob", None, None)
    assert (first.name, first.enrolled_at, first.last_sign_in_at) == ("Countess", AT, "2026-11-23")
    assert (first.consent, first.purpose, first.consent_at) == ("yes", "the door", "2026-11-22")


def test_two_people_never_share_a_name_key_or_an_id(engine: Engine) -> None:
    with engine.transaction() as writer:
        added(writer, "Ada")
    for uid, key in (("another", "ada"), ("uid of Ada", "another")):
        with pytest.raises(SetupProblem), engine.transaction() as writer:
            writer.add_person(uid, "Eve", key, None, AT)
    assert [person.name for person in engine.everybody()] == ["Ada"]


def test_a_number_is_never_used_again(engine: Engine) -> None:
    with engine.transaction() as writer:
        first, second = added(writer, "Ada"), added(writer, "Bob")
        writer.delete_person(second)
        third = added(writer, "Eve")
    assert first < second < third


def test_nobody_is_deleted_of_whom_a_template_is_left(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada = added(writer, "Ada", template(1))
    with pytest.raises(SetupProblem), engine.transaction() as writer:
        writer.delete_person(ada)
    with engine.transaction() as writer:
        writer.delete_templates(ada)
        writer.delete_person(ada)
    assert (engine.everybody(), engine.encodings(None)) == ([], [])


def test_a_list_counts_templates_of_each_kind(engine: Engine) -> None:
    kinds = template(1, signed=False), template(2, spoof=True), template(3, learned=True)
    with engine.transaction() as writer:
        ada = added(writer, "Ada", *kinds)
        writer.add_template(ada, OTHER, template(4), "2026-12-01")
        added(writer, "Bob")
    row, bare = engine.people(CONTRACT)
    assert (row.photos, row.needs_new_photo, row.without_signature) == (4, 1, 1)
    assert (row.accepted_spoof, row.learned, row.last_photo_at) == (1, 1, "2026-12-01")
    assert (bare.photos, bare.needs_new_photo, bare.without_signature) == (0, 0, 0)
    assert engine.people(None)[0].needs_new_photo == 0
    assert engine.unsigned(ada) == 1


# --- templates -----------------------------------------------------------------------------------


def test_templates_come_back_as_they_were_added(engine: Engine) -> None:
    kept = [template(9), template(1, signed=False), template(5, spoof=True, learned=True)]
    with engine.transaction() as writer:
        ada, bob = added(writer, "Ada", *kept), added(writer, "Bob", template(7))
    found = engine.templates(ada)
    assert [row[1:3] for row in found] == [(CONTRACT, AT)] * 3
    assert [each for *_, each in found] == kept
    assert engine.sealed_encodings(ada) == [each.encoding for each in kept]
    assert (engine.sealed_encodings(bob), engine.templates(bob + 1)) == ([b"\x07" * 20], [])
    assert engine.learned() == [("Ada", found[2][0], AT)]


def test_encodings_of_everybody_of_some_and_of_a_range(engine: Engine) -> None:
    with engine.transaction() as writer:
        people = [added(writer, name, template(1), template(2)) for name in ("Ada", "Bob", "Eve")]
        added(writer, "Nobody")
    every = engine.encodings(None)
    assert [row[0] for row in every] == [people[0]] * 2 + [people[1]] * 2 + [people[2]] * 2
    ada, *rest = every[0]
    assert rest[:6] == ["uid of Ada", "Ada", None, "ada", b"\x01" * 20, CONTRACT]
    assert [bool(each) for each in rest[6:9]] == [False, True, False]
    assert rest[9] == AT
    assert engine.encodings([people[2], ada]) == every[:2] + every[4:]
    assert engine.encodings(range(people[1], people[2] + 1)) == every[2:]
    assert engine.encodings([]) == engine.encodings([people[2] + 100]) == []


def test_only_the_templates_of_this_person_are_deleted(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada, bob = (
            added(writer, "Ada", *map(template, (1, 2, 3))),
            added(writer, "Bob", template(4)),
        )
        numbers = [row[0] for row in writer.templates(ada)]
        others = [row[0] for row in writer.templates(bob)]
        writer.delete_templates(ada, [numbers[1], *others])
        writer.delete_templates(ada, [])
    assert [row[0] for row in engine.templates(ada)] == [numbers[0], numbers[2]]
    assert [row[0] for row in engine.templates(bob)] == others
    with engine.transaction() as writer:
        writer.delete_templates(ada)
    assert (engine.templates(ada), len(engine.templates(bob))) == ([], 1)


def test_a_template_is_sealed_anew_in_its_place(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada = added(writer, "Ada", template(1), template(2))
        number = writer.templates(ada)[0][0]
        writer.replace_template(number, Template(b"new", None, accepted_spoof=False))
    assert [each.encoding for *_, each in engine.templates(ada)] == [b"new", b"\x02" * 20]
    assert [each.signature is None for *_, each in engine.templates(ada)] == [True, False]


# --- transactions --------------------------------------------------------------------------------


def test_a_change_that_fails_leaves_nothing(engine: Engine, another: Engine) -> None:
    with pytest.raises(KeyboardInterrupt), engine.transaction() as writer:
        added(writer, "Ada", template(1))
        writer.append([event(1, "register", "registered")])
        writer.put_tries("", (0, 1, 0.0, 0.0))
        raise KeyboardInterrupt
    for each in (engine, another):
        assert (each.everybody(), each.entries(), each.tries("")) == ([], [], None)


def test_others_see_a_change_when_it_is_whole(engine: Engine, another: Engine) -> None:
    with engine.transaction() as writer:
        added(writer, "Ada")
        assert [person.name for person in writer.everybody()] == ["Ada"]
        assert another.everybody() == []
    assert [person.name for person in another.everybody()] == ["Ada"]


def test_who_does_not_wait_is_refused_as_busy(engine: Engine, another: Engine) -> None:
    with engine.transaction() as writer:
        added(writer, "Ada")
        with pytest.raises(SetupProblem) as refusal, another.transaction(wait=False):
            pytest.fail("two writers")
    assert refusal.value.reasons[0].code == "store.busy"
    with another.transaction(wait=False) as writer:
        added(writer, "Bob")


def test_who_waits_reads_what_was_written(opens: Open, engine: Engine, place: Place) -> None:
    counted, begun = [], Event()

    def second() -> None:
        opened = opens(place)
        begun.set()
        with opened.transaction() as writer:
            counted.append(len(writer.everybody()))
        opened.close()

    thread = Thread(target=second)
    with engine.transaction() as writer:
        thread.start()
        assert begun.wait(30)
        added(writer, "Ada")
    thread.join()
    assert counted == [1]


def test_a_snapshot_is_of_one_moment(engine: Engine, another: Engine) -> None:
    with engine.snapshot():
        assert engine.everybody() == []
        with another.transaction() as writer:
            added(writer, "Ada")
        assert engine.everybody() == []
    assert len(engine.everybody()) == 1


def test_nothing_is_written_once_the_transaction_is_over(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada = added(writer, "Ada")
    with pytest.raises(RuntimeError):
        added(writer, "Eve")
    with pytest.raises(RuntimeError):
        writer.set_key(ada, b"key")
    assert engine.everybody() == [SealedPerson(ada, "uid of Ada", "Ada", None)]


def test_another_lock_is_noticed_and_ones_own_is_not(engine: Engine, another: Engine) -> None:
    lock = ("store id", "file", 1, b"salt", b"master")
    with engine.transaction() as writer:
        writer.put_lock(lock)
    engine.require_unchanged()
    assert another.lock() == lock
    for use in (another.require_unchanged, lambda: another.transaction().__enter__()):
        with pytest.raises(SetupProblem) as refusal:
            use()
        assert refusal.value.reasons[0].code == "store.changed"
    with engine.transaction() as writer:
        writer.put_lock(("store id", "file", 2, None, b"master 2"))
    assert engine.lock() == ("store id", "file", 2, None, b"master 2")


def test_a_trial_is_never_written_back(engine: Engine, another: Engine) -> None:
    with engine.transaction() as writer:
        added(writer, "Ada")
    trial = engine.trial()
    with trial.transaction() as writer:
        added(writer, "Eve")
    assert len(trial.everybody()) == 2
    trial.close()
    assert len(engine.everybody()) == len(another.everybody()) == 1


def test_people_and_photos_have_a_state_that_sign_ins_do_not_change(engine: Engine) -> None:
    states = [engine.state()]
    steps: list[Callable[[Writer], object]] = [
        lambda writer: added(writer, "Ada", template(1)),
        lambda writer: writer.add_template(1, CONTRACT, template(2), AT),
        lambda writer: writer.append([event(1, "rename", "renamed")]),
        lambda writer: writer.append([event(2, "sign-in", "learned")]),
    ]
    for step in steps:
        with engine.transaction() as writer:
            step(writer)
        states.append(engine.state())
    assert all(states[i] != states[j] for i in range(5) for j in range(i))
    with engine.transaction() as writer:
        passing = [("sign-in", "signed_in"), ("unlock", "unlocked"), ("export", "exported")]
        writer.append([event(3 + n, *what) for n, what in enumerate(passing)])
        writer.put_tries("", (0, 1, 0.0, 0.0))
    assert engine.state() == states[-1]


def test_what_was_deleted_is_in_no_file(engine: Engine, place: Place) -> None:
    """Of a database this cannot be promised: all that is written there is sealed."""
    assert engine.keeps_deleted is not isinstance(place, Path)
    if not isinstance(place, Path):
        return
    secret = bytes(range(60, 120)) * 20
    with engine.transaction() as writer:
        ada = added(writer, "Ada", Template(secret, None, accepted_spoof=False))
    with engine.transaction() as writer:
        writer.delete_templates(ada)
        writer.discard_copies()
    engine.scrub()
    assert not any(secret[:60] in file.read_bytes() for file in place.parent.iterdir())


# --- the log -------------------------------------------------------------------------------------


def test_the_log_keeps_every_field(engine: Engine) -> None:
    entry = (1, AT, "sign-in", "no_match", "match.none", "uid of Ada", 0.001, b"h" * 32, b"a" * 32)
    with engine.transaction() as writer:
        added(writer, "Ada")
        writer.append([entry, event(2, "list", "listed"), event(3, "show", "shown", "removed")])
        writer.put_mark("head", (3, b"h" * 32, None))
        writer.put_mark("head", (3, b"i" * 32, b"a" * 32))
    assert engine.entries()[0] == entry
    assert engine.mark("head") == (3, b"i" * 32, b"a" * 32)
    assert engine.mark("start") is None
    first, *others = engine.events(0)
    assert first == (1, AT, "sign-in", "no_match", "match.none", "Ada", 0.001, b"h" * 32)
    assert [row[5] for row in others] == [None, None]
    assert engine.events(2) == others[1:]
    with engine.transaction() as writer:
        writer.set_anchor(2, b"new")
    assert [row[-1] for row in engine.entries()] == [b"a" * 32, b"new", None]


def test_the_oldest_entries_go_and_the_last_stays(engine: Engine) -> None:
    with engine.transaction() as writer:
        writer.append([event(number, "list", "listed") for number in range(1, 6)])
    assert engine.older_than("2026-11-01") is None
    assert engine.older_than("2026-11-03T00:00:00+00:00") == (2, b"\x02" * 32)
    assert engine.older_than("2027") == (4, b"\x04" * 32)
    with engine.transaction() as writer:
        writer.delete_entries(2)
        writer.put_mark("start", (2, b"\x02" * 32, None))
    assert [row[0] for row in engine.entries()] == [3, 4, 5]
    assert engine.mark("start") == (2, b"\x02" * 32, None)


def test_the_last_verdict_is_of_one_subject_and_some_commands(engine: Engine) -> None:
    with engine.transaction() as writer:
        writer.append(
            [
                event(1, "sign-in", "no_match", "ada"),
                event(2, "sign-in", "locked_out", "ada"),
                event(3, "rename", "renamed", "ada"),
                event(4, "sign-in", "attack"),
            ]
        )
    assert engine.last_verdict("ada", ("sign-in", "unlock")) == "locked_out"
    assert engine.last_verdict("ada", ["rename"]) == "renamed"
    assert engine.last_verdict(None, ("sign-in", "unlock")) == "attack"
    assert engine.last_verdict("bob", ("sign-in", "unlock")) is None


def test_attempts_are_kept_per_subject(engine: Engine) -> None:
    with engine.transaction() as writer:
        writer.put_tries("", (1, 2, 3.5, 4.5))
        writer.put_tries("ada", (0, 9, 1.0, 2.0))
        writer.put_tries("", (1, 4, 5.5, 6.5))
    assert (engine.tries(""), engine.tries("ada")) == ((1, 4, 5.5, 6.5), (0, 9, 1.0, 2.0))
    with engine.transaction() as writer:
        writer.delete_tries("")
    assert (engine.tries(""), engine.tries("ada")) == (None, (0, 9, 1.0, 2.0))


# --- what a large store is searched by -----------------------------------------------------------


def test_people_of_a_contract_are_counted(engine: Engine) -> None:
    with engine.transaction() as writer:
        ada, bob = added(writer, "Ada", template(1), template(2)), added(writer, "Bob", template(3))
        eve = added(writer, "Eve", template(4), contract=OTHER)
        added(writer, "Nobody")
    assert [engine.has_people(CONTRACT, count) for count in (1, 2, 3)] == [True, True, False]
    assert engine.person_ids(CONTRACT) == range(ada, bob + 1)
    counts = engine.template_counts(CONTRACT, range(ada, eve + 3))
    assert counts.dtype == np.intp
    assert counts.tolist() == [2, 1] + [0] * (eve + 2 - bob)
    assert engine.template_counts(OTHER, range(ada, eve + 1)).tolist()[-1] == 1
    assert engine.template_counts("nothing/1", range(5, 8)).tolist() == [0, 0, 0]


def test_a_block_is_written_once_and_deleted_for_every_contract(engine: Engine) -> None:
    with engine.transaction() as writer:
        writer.put_block(2**62, 0, CONTRACT, b"first")
        writer.put_block(7, 0, CONTRACT, b"second")
        writer.put_block(8, 0, OTHER, b"other")
        writer.put_block(9, 1, CONTRACT, b"next")
    assert engine.block_ids(CONTRACT) == {0: 2**62, 1: 9}
    assert (engine.block(2**62), engine.block(7), engine.block(8)) == (b"first", b"", b"other")
    with engine.transaction() as writer:
        writer.delete_blocks(0)
    assert (engine.block_ids(CONTRACT), engine.block_ids(OTHER)) == ({1: 9}, {})
