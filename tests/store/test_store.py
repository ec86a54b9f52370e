"""The store: who is in it, what a file system shows of it, and what a removal leaves behind."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from raw import database

from facauth.errors import Conflict, FacauthError, SetupProblem
from facauth.records import PersonName
from facauth.store.sealing import Template
from facauth.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from facauth.store.sqlite.upgrade import migrate
from facauth.store.store import Store

CONTRACT = "test/1"
ADA = PersonName.parse("Ada")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.sqlite3"


def encoding(seed: int) -> bytes:
    vector = np.random.default_rng(seed).normal(size=256)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


def template(seed: int) -> Template:
    return Template(encoding(seed), None, accepted_spoof=False)


def enrol(store: Store, name: str, *seeds: int, contract: str = CONTRACT) -> int:
    with store.transaction() as change:
        person = PersonName.parse(name)
        return store.person(person).add(change, contract, [template(seed) for seed in seeds])


def signature(seed: int) -> bytes:
    """As large as real ones, so that it fills pages of its own."""
    return np.random.default_rng(seed).bytes(70_000)


def enrol_signed(store: Store, name: str, *seeds: int) -> None:
    templates = [Template(encoding(seed), signature(seed), accepted_spoof=True) for seed in seeds]
    with store.transaction() as change:
        store.person(name).add(change, CONTRACT, templates)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    """What any SQLite program reads in the file."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def leftovers(path: Path, *fragments: bytes) -> list[str]:
    """The files of the store that still hold one of the fragments."""
    files = sorted(path.parent.glob(path.name + "*"))
    return [file.name for file in files if any(part in file.read_bytes() for part in fragments)]


def pieces(blob: bytes) -> list[bytes]:
    """A match of any 16 bytes in a row at these places gives the encoding away."""
    return [blob[at : at + 16] for at in range(0, len(blob), 64)]


# --- contents ------------------------------------------------------------------------------------


def test_what_goes_in_comes_out(path: Path) -> None:
    with Store.open(path, create=True) as store:
        assert enrol(store, "Ada", 1, 2) == 2
        assert enrol(store, "Bob", 3) == 1
        assert enrol(store, "ada", 4) == 3
    with Store.open(path) as store:
        assert store.encodings(CONTRACT) == [
            ("Ada", encoding(1)),
            ("Ada", encoding(2)),
            ("Ada", encoding(4)),
            ("Bob", encoding(3)),
        ]
        assert [(row.name, row.photos) for row in store.people()] == [("Ada", 3), ("Bob", 1)]


@pytest.mark.parametrize("typed", ["ada", "ADA", " Ada "])
def test_names_are_found_whatever_their_case(path: Path, typed: str) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        assert store.person(typed).name == "Ada"


def test_names_are_found_whatever_their_unicode_form(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Zo\u00eb Stra\u00dfe", 1)
        assert store.person("zoe\u0308 STRASSE").name == "Zo\u00eb Stra\u00dfe"


def test_a_hostile_name_is_only_a_name(path: Path) -> None:
    name = "Robert'); DROP TABLE people;--"
    with Store.open(path, create=True) as store:
        enrol(store, name, 1)
        enrol(store, "%", 2)
        assert not store.person("_").exists
        with store.transaction() as change:
            store.person("%").remove(change)
        assert [row.name for row in store.people()] == [name]


def test_encodings_of_another_contract_are_never_given_out(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1, contract="old/1")
        enrol(store, "Bob", 2)
        assert store.encodings(CONTRACT) == [("Bob", encoding(2))]
        old = {row.name: row.needs_new_photo for row in store.people(CONTRACT)}
        assert old == {"Ada": 1, "Bob": 0}


def test_the_last_sign_in_is_shown_and_refusals_are_not(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        store.log("sign-in", "no_match", "match.none", uid=store.person("Ada").uid)
        assert store.people()[0].last_sign_in_at is None
        store.log("sign-in", "signed_in", uid=store.person("Ada").uid)
        at = store.people()[0].last_sign_in_at
    assert at is not None
    assert at.endswith("+00:00")


def test_renaming_keeps_photos_and_history(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1, 2)
        store.log("sign-in", "signed_in", uid=store.person("Ada").uid)
        with store.transaction() as change:
            store.person(ADA).rename(change, PersonName.parse("Countess"))
        (row,) = store.people()
    assert (row.name, row.photos) == ("Countess", 2)
    assert row.last_sign_in_at


def test_renaming_may_change_the_case_only(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "ada", 1)
        with store.transaction() as change:
            store.person(ADA).rename(change, PersonName.parse("ADA"))
        assert store.person(ADA).name == "ADA"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [("Ada", "BOB", "name.taken"), ("Eve", "Zoe", "name.unknown")],
)
def test_renaming_refuses(path: Path, old: str, new: str, code: str) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        enrol(store, "Bob", 2)
        with pytest.raises(Conflict) as refusal, store.transaction() as change:
            store.person(old).rename(change, PersonName.parse(new))
        assert refusal.value.reasons[0].code == code
        assert [row.name for row in store.people()] == ["Ada", "Bob"]


def test_removing_nobody_is_a_conflict(path: Path) -> None:
    with Store.open(path, create=True) as store:
        with pytest.raises(Conflict) as refusal, store.transaction() as change:
            store.person(ADA).remove(change)
        assert refusal.value.reasons[0].code == "name.unknown"


def test_a_refusal_within_a_transaction_undoes_all_of_it(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        with pytest.raises(KeyboardInterrupt), store.transaction() as change:
            store.person("Eve").add(change, CONTRACT, [template(9)])
            store.person(ADA).delete_templates(change)
            change.log("register", "registered", uid=store.person("Eve").uid)
            raise KeyboardInterrupt
        assert [(row.name, row.photos) for row in store.people()] == [("Ada", 1)]
        enrol(store, "Bob", 2)  # and the store is still of use
    assert rows(path, "SELECT count(*) FROM events") == [(0,)]


# --- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "new" / "deeper" / "people.sqlite3"
    with umask(mask), Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        open_files = {file.name: mode(file) for file in path.parent.iterdir()}
    assert open_files == {path.name + end: 0o600 for end in ("", "-wal", "-shm")}
    assert [mode(path.parent), mode(path.parent.parent)] == [0o700, 0o700]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    with Store.open(folder / "people.sqlite3", create=True):
        pass
    assert mode(folder) == 0o755


def test_an_empty_file_becomes_no_store(path: Path) -> None:
    path.touch()
    for create in (False, True):
        with pytest.raises(SetupProblem) as refusal:
            Store.open(path, create=create)
        assert refusal.value.reasons[0].code == "store.empty"
        assert [file.stat().st_size for file in path.parent.iterdir()] == [0]


def test_reading_makes_no_store(tmp_path: Path) -> None:
    path = tmp_path / "no" / "people.sqlite3"
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path)
    assert refusal.value.reasons[0].code == "store.missing"
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_a_callers_code_is_not_the_stores_fault(path: Path) -> None:
    with Store.open(path, create=True) as store:
        for fault in (ValueError("of a decision"), OSError(5, "of a photo"), OverflowError("so")):
            for within in (store.transaction, store.snapshot):
                with pytest.raises(type(fault)) as raised, within():
                    raise fault
                assert raised.value is fault
        with pytest.raises(ZeroDivisionError), store.transaction() as change:
            change.log("import", "imported")
            change.log("import", "imported" if 1 // 0 else "")
        assert list(store.events()) == []


def test_reading_changes_nothing(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
    before = path.read_bytes()
    with Store.open(path) as store:
        assert len(store.people()) == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "a b.db",
        "50%41.db",
        "what?mode=memory.db",
        "hash#tag.db",
        "-leading.db",
        "Zo\u00eb.db",
        "new\nline.db",
        os.fsdecode(b"not-utf8-\xff.db"),
    ],
)
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / name, create=True) as store:
        enrol(store, "Ada", 1)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["people.sqlite3", "./x/../people.sqlite3"])
def test_a_relative_path_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    with Store.open(Path(name), create=True) as store:
        enrol(store, "Ada", 1)
    assert (tmp_path / "people.sqlite3").is_file()


def test_a_path_with_two_slashes_will_do(path: Path) -> None:
    with Store.open(Path(f"/{path}"), create=True) as store:
        enrol(store, "Ada", 1)
    assert path.is_file()


def test_a_path_that_cannot_be_is_explained() -> None:
    with pytest.raises(FacauthError):
        Store.open(Path("a\0b"), create=True)


def test_sqlite_programs_can_read_the_names(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Zo\u00eb", 1)
    assert rows(path, "SELECT name FROM people") == [("Zo\u00eb",)]
    assert rows(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET name = x'00'",
        "UPDATE people SET name = NULL",
        "UPDATE templates SET encoding = 'text'",
        "UPDATE templates SET encoding = NULL",
        "INSERT INTO people (uid, name, name_key, enrolled_at) VALUES ('b', 'b', 'ada', '')",
        "INSERT INTO events (at, command, verdict) VALUES (NULL, '', '')",
    ],
)
def test_tables_are_strict(path: Path, statement: str) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
    with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)


def test_every_table_is_strict(path: Path) -> None:
    with Store.open(path, create=True):
        pass
    tables = rows(path, "SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
    ours = [(name, strict) for name, strict in tables if not str(name).startswith("sqlite_")]
    assert len(ours) >= 3
    assert all(strict for _, strict in ours)


def test_a_template_without_a_person_cannot_be(path: Path) -> None:
    with Store.open(path, create=True) as store:
        with pytest.raises(SetupProblem), store.transaction():
            database(store).write(
                "INSERT INTO templates VALUES (NULL, ?, '', x'', NULL, 0, 0, '')",
                99,
            )
        assert store.encodings("") == []


def test_events_hold_words_and_nothing_measured(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        store.log("sign-in", "no_match", "match.none")
        store.log("sign-in", "signed_in", uid=store.person("Ada").uid)
    columns = {str(name) for _, name, *_ in rows(path, "PRAGMA table_info(events)")}
    words = {"id", "at", "command", "verdict", "reasons", "subject", "error_rate"}
    assert columns == words | {"hash", "anchor"}
    kinds = rows(path, "SELECT DISTINCT typeof(reasons), typeof(verdict) FROM events")
    assert set(kinds) == {("text", "text"), ("null", "text")}


# --- removal -------------------------------------------------------------------------------------


def test_removing_takes_templates_along_and_leaves_events_nameless(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1, 2)
        enrol(store, "Bob", 3)
        store.log("sign-in", "signed_in", uid=store.person("Ada").uid)
        with store.transaction() as change:
            store.person(ADA).remove(change)
    assert rows(path, "SELECT count(*) FROM templates") == [(1,)]
    with Store.open(path) as store:
        assert [event.person for event in store.events()] == [None]
        assert store.verify_log() == (1, None)


def test_a_removed_person_leaves_no_byte(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada Lovelace", 1, 2, 3)
        enrol(store, "Bob", 4)
        with store.transaction() as change:
            store.person("Ada Lovelace").remove(change)
        traces = [part for seed in (1, 2, 3) for part in pieces(encoding(seed))]
        names = [b"Lovelace", b"lovelace"]
        assert leftovers(path, *traces, *names) == []  # while the store is open
        assert leftovers(path, encoding(4)) == [path.name]
    assert leftovers(path, *traces, *names) == []


def test_many_removed_people_leave_no_byte(path: Path) -> None:
    """Pages of the file split, merge and move as it grows and shrinks: no copy may stay."""
    people, photos = 40, 4
    shuffle = np.random.default_rng(0).permutation
    with Store.open(path, create=True) as store:
        for seed in shuffle(people * photos):
            enrol(store, f"person{seed % people:03d}", int(seed))
        gone = [int(who) for who in shuffle(people)[: people // 2]]
        for who in gone:
            with store.transaction() as change:
                store.person(f"person{who:03d}").remove(change)
        seeds = [seed for seed in range(people * photos) if seed % people in gone]
        traces = [part for seed in seeds for part in pieces(encoding(seed))]
        names = [f"erson{who:03d}".encode() for who in gone]
        assert leftovers(path, *traces, *names) == []
        assert len(store.encodings(CONTRACT)) == (people - len(gone)) * photos
        assert store.faults() == []


def test_replaced_photos_leave_no_byte(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol(store, "Ada", 1)
        with store.transaction() as change:
            store.person(ADA).delete_templates(change)
            store.person(ADA).add(change, CONTRACT, [template(2)])
        assert leftovers(path, *pieces(encoding(1))) == []


def test_an_erasure_that_could_not_be_done_does_not_pass_for_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process reads an old state: the encoding stays in the file until it is done."""
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.05)
    with Store.open(path, create=True) as store:
        with store.transaction() as change:
            store.person(ADA).add(change, CONTRACT, [template(1)])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM people").fetchone()
            with pytest.raises(SetupProblem), store.transaction() as change:
                store.person(ADA).remove(change)
            assert leftovers(path, *pieces(encoding(1)))
            assert not store.person(ADA).exists
    assert leftovers(path, *pieces(encoding(1))) == []  # who leaves last empties the log


# --- signatures ----------------------------------------------------------------------------------


def test_signatures_are_a_persons_own(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol_signed(store, "Ada", 1, 2)
        enrol(store, "Ada", 3)
        enrol_signed(store, "Bob", 4)
        enrol(store, "Eve", 5)
    with Store.open(path) as store:
        assert store.person("Ada").signatures() == store.person("ADA").signatures()
        assert store.person("Ada").signatures() == [signature(1), signature(2), None]
        assert store.person("Bob").signatures() == [signature(4)]
        assert (store.person("Eve").signatures(), store.person("Nobody").signatures()) == (
            [None],
            [],
        )


def test_a_signature_is_kept_whatever_networks_made_the_encoding(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol_signed(store, "Ada", 1)
        assert store.encodings("another/1") == []
        assert store.person("Ada").signatures() == [signature(1)]


def test_a_person_has_so_many_photos_of_each_kind(path: Path) -> None:
    with Store.open(path, create=True) as store:
        enrol_signed(store, "Ada", 1, 2)
        enrol(store, "Ada", 3)
        enrol(store, "Bob", 4, contract="older/1")
        ada, bob = store.people(CONTRACT)
    assert (ada.photos, ada.needs_new_photo) == (3, 0)
    assert (ada.without_signature, ada.accepted_spoof) == (1, 2)
    assert (bob.photos, bob.needs_new_photo) == (1, 1)
    assert (bob.without_signature, bob.accepted_spoof) == (1, 0)


@pytest.mark.parametrize("how", ["remove", "replace"])
def test_of_a_deleted_signature_no_byte_is_left(path: Path, how: str) -> None:
    with Store.open(path, create=True) as store:
        enrol_signed(store, "Ada", 1, 2)
        enrol_signed(store, "Bob", 3)
        gone = [*pieces(signature(1)), *pieces(signature(2))]
        assert leftovers(path, *gone)
        with store.transaction() as change:
            if how == "remove":
                store.person(ADA).remove(change)
            else:
                store.person(ADA).delete_templates(change)
        assert leftovers(path, *gone) == []
        assert store.person("Bob").signatures() == [signature(3)]


def test_a_store_of_the_first_version_keeps_everybody(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in MIGRATIONS[0]:
            db.execute(str(statement))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO people VALUES (7, 'Ada', 'ada', '2026-11-22T10:00:00+00:00')")
        db.execute("INSERT INTO templates VALUES (3, 7, ?, ?, '')", (CONTRACT, encoding(1)))
    before = path.read_bytes()
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path)
    assert refusal.value.reasons[0].code == "store.older"
    assert path.read_bytes() == before
    done = migrate(path)
    assert (done.before, done.after) == (1, len(MIGRATIONS))
    assert done.backup is not None
    assert mode(done.backup) == 0o600
    assert rows(done.backup, "SELECT name, encoding FROM people, templates") == [
        ("Ada", encoding(1))
    ]
    with Store.open(path) as store:
        assert store.encodings(CONTRACT) == [("Ada", encoding(1))]
        assert store.person("Ada").signatures() == [None]
        (ada,) = store.people(CONTRACT)
        assert (ada.photos, ada.without_signature, ada.accepted_spoof) == (1, 1, 0)
        enrol_signed(store, "Ada", 2)
        assert store.person("Ada").signatures() == [None, signature(2)]
        assert store.faults() == []
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
