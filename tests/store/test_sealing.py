"""Sealed records: nothing can be swapped, copied, left out, added or altered without notice."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth.errors import SetupProblem
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.change import Change
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import (
    SealedPerson,
    Template,
    new_key,
    open_key,
    open_template,
    seal_template,
    wrap_key,
)
from facauth.store.store import Store
from facauth.store.vault import NONCE_BYTES, SealBroken, Vault

CONTRACT = "test/1"
PEOPLE = {"Ada": (1, 2), "Bob": (3, 4), "Eve": (5,)}


def encoding(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def template(seed: int) -> Template:
    """The fourth was learned."""
    return Template(encoding(seed), b"signature" + encoding(seed), False, learned=seed == 4)


def access(path: Path) -> KeyAccess:
    return KeyAccess(None, path.with_name("key"), None)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """The bytes of an encrypted store with three people, and its key file."""
    path = tmp_path_factory.mktemp("sealed") / "people.sqlite3"
    rekey.encrypt(path, KeyKind.FILE, access(path))
    with Store.open(path, access(path)) as store, store.transaction() as change:
        for name, seeds in PEOPLE.items():
            store.person(name).add(change, CONTRACT, [template(seed) for seed in seeds])
    return path.read_bytes(), path.with_name("key").read_text()


@pytest.fixture
def path(tmp_path: Path, sealed: tuple[bytes, str]) -> Path:
    path = tmp_path / "people.sqlite3"
    path.write_bytes(sealed[0])
    key = path.with_name("key")
    key.touch(mode=0o600)
    key.write_text(sealed[1])
    return path


def alter(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def given_out(path: Path) -> dict[str, int]:
    """By whom a sign-in could be accepted, with how many photos; what it would read on the way.

    Fails if a photo is given out under another name than that it was enrolled with, or without
    what the same picture is found again by.
    """
    with Store.open(path, access(path)) as store:
        found = store.encodings(CONTRACT)
        for name, photo in found:
            assert photo in [encoding(seed) for seed in PEOPLE[name]], name
        for name in {name for name, _ in found}:
            signatures = store.person(name).signatures()
            assert signatures == [template(seed).signature for seed in PEOPLE[name]], name
    return dict(Counter(name for name, _ in found))


def refused(path: Path) -> str:
    """The reason code with which the store is refused by what compares."""
    with pytest.raises(SetupProblem) as refusal:
        given_out(path)
    return refusal.value.reasons[0].code


def test_untouched_everybody_is_given_out(path: Path) -> None:
    assert given_out(path) == {name: len(seeds) for name, seeds in PEOPLE.items()}


@pytest.mark.parametrize("name", PEOPLE)
def test_of_one_person_alone_nobody_else_is_opened(path: Path, name: str) -> None:
    others = [other for other in PEOPLE if other != name]
    alter(path, f"UPDATE people SET wrapped_key = NULL WHERE name IN {tuple(others)}")
    with Store.open(path, access(path)) as store:
        photos = store.person(name).encodings(CONTRACT)
        assert photos == [(name, encoding(seed)) for seed in PEOPLE[name]]
        assert store.person("Nobody").encodings(CONTRACT) == []


SWAP = """UPDATE {table} SET {column} = (
    SELECT other.{column} FROM {table} other WHERE other.id = 3 - {table}.id) WHERE id IN (1, 2)"""
COPY = "UPDATE templates SET {0} = (SELECT {0} FROM templates WHERE id = 3) WHERE id = 1"
# Templates 1 and 2 are Ada's (person 1), 3 and 4 Bob's (person 2), 5 Eve's.
ALTERED = {
    "names swapped": [
        "UPDATE people SET name_key = id || name_key",
        SWAP.format(table="people", column="name"),
        "UPDATE people SET name_key = CASE id WHEN 1 THEN 'bob' WHEN 2 THEN 'ada' ELSE 'eve' END",
    ],
    "keys swapped": [SWAP.format(table="people", column="wrapped_key")],
    "uids swapped": [
        "CREATE TEMP TABLE uids AS SELECT id, uid FROM people",
        "UPDATE people SET uid = id",
        "UPDATE people SET uid = (SELECT uid FROM uids WHERE uids.id = 3 - people.id) WHERE id < 3",
    ],
    "renamed": ["UPDATE people SET name = 'Mallory', name_key = 'mallory' WHERE id = 1"],
    "renamed in its case": ["UPDATE people SET name = 'ADA' WHERE id = 1"],
    "encodings swapped": [
        "UPDATE templates SET id = 9 WHERE id = 1",
        "UPDATE templates SET person_id = 1 WHERE id = 3",
        "UPDATE templates SET person_id = 2 WHERE id = 9",
    ],
    "photos in another order": [
        "UPDATE templates SET id = 9 WHERE id = 1",
        "UPDATE templates SET id = 1 WHERE id = 2",
        "UPDATE templates SET id = 2 WHERE id = 9",
    ],
    "a row copied over another": [COPY.format("encoding"), COPY.format("signature")],
    "an encoding copied": [COPY.format("encoding")],
    "a photo twice": [
        """INSERT INTO templates SELECT NULL, person_id, contract, encoding, signature,
        accepted_spoof, learned, enrolled_at FROM templates WHERE id = 1"""
    ],
    "somebody else's photo added": [
        """INSERT INTO templates SELECT NULL, 2, contract, encoding, signature,
        accepted_spoof, learned, enrolled_at FROM templates WHERE id = 1"""
    ],
    "a photo moved": ["UPDATE templates SET person_id = 2 WHERE id = 1"],
    "a photo deleted": ["DELETE FROM templates WHERE id = 1"],
    "the last photo deleted": ["DELETE FROM templates WHERE id = 2"],
    "photos of other networks": ["UPDATE templates SET contract = 'old/1' WHERE person_id = 1"],
    "found by no name": ["UPDATE people SET name_key = 'another' WHERE id = 1"],
    "two of one name": [
        """INSERT INTO people (id, uid, name, name_key, enrolled_at, wrapped_key)
        SELECT 9, 'another', name, 'another', enrolled_at, wrapped_key FROM people WHERE id = 1""",
        "UPDATE templates SET person_id = 9 WHERE person_id = 1",
    ],
    "marked as unchecked": ["UPDATE templates SET accepted_spoof = 1 WHERE id = 1"],
    "marked as learned": ["UPDATE templates SET learned = 1 WHERE id = 1"],
    "marked as registered": ["UPDATE templates SET learned = 0 WHERE id = 4"],
    "an encoding emptied": ["UPDATE templates SET encoding = x'' WHERE id = 1"],
    "an encoding cut": ["UPDATE templates SET encoding = substr(encoding, 1, 40) WHERE id = 1"],
    "an encoding longer": [
        "UPDATE templates SET encoding = CAST(encoding || x'00' AS BLOB) WHERE id = 1"
    ],
    "a plain encoding": ["UPDATE templates SET encoding = zeroblob(32) WHERE id = 1"],
    "a signature gone": ["UPDATE templates SET signature = NULL WHERE id = 1"],
    "all signatures gone": ["UPDATE templates SET signature = NULL"],
    "a signature emptied": ["UPDATE templates SET signature = x'' WHERE id = 1"],
    "a signature copied": [COPY.format("signature")],
    "a key gone": ["UPDATE people SET wrapped_key = NULL WHERE id = 1"],
    "all keys gone": ["UPDATE people SET wrapped_key = NULL"],
    "a key emptied": ["UPDATE people SET wrapped_key = x'' WHERE id = 1"],
    "the lock gone": ["DELETE FROM key_lock"],
    "another generation": ["UPDATE key_lock SET generation = generation + 1"],
    "another store's": ["UPDATE key_lock SET store_id = 'another'"],
    "another kind of key": ["UPDATE key_lock SET kind = 'passphrase'"],
    "no kind of key": ["UPDATE key_lock SET kind = 'none'"],
    "no master key": ["UPDATE key_lock SET wrapped_master = x''"],
    "somebody's key as the master key": [
        "UPDATE key_lock SET wrapped_master = (SELECT wrapped_key FROM people WHERE id = 1)"
    ],
    "a plain person": [
        """INSERT INTO people (id, uid, name, name_key, enrolled_at)
        VALUES (9, 'mallory', 'Mallory', 'mallory', '')""",
        """INSERT INTO templates
        (person_id, contract, encoding, accepted_spoof, learned, enrolled_at)
        VALUES (9, 'test/1', zeroblob(32), 0, 0, '')""",
    ],
    "the lock and a key gone, a plain person": [
        "DELETE FROM key_lock",
        "UPDATE people SET wrapped_key = NULL WHERE id = 1",
        "UPDATE templates SET encoding = zeroblob(32) WHERE person_id = 1",
    ],
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_store_is_refused(path: Path, how: str) -> None:
    alter(path, *ALTERED[how])
    assert refused(path) in {"store.altered", "store.damaged", "key.wrong", "key.wrong_file"} | (
        {"key.missing"} if how == "another kind of key" else set()
    )


@pytest.mark.parametrize(
    ("statements", "left"),
    [
        (["DELETE FROM templates WHERE person_id = 1"], {"Bob": 2, "Eve": 1}),
        (
            [
                "PRAGMA foreign_keys = ON",
                "DELETE FROM templates WHERE person_id = 1",
                "DELETE FROM people WHERE id = 1",
            ],
            {"Bob": 2, "Eve": 1},
        ),
    ],
)
def test_who_was_left_out_as_a_whole_is_accepted_no_more(
    path: Path, statements: list[str], left: dict[str, int]
) -> None:
    alter(path, *statements)
    assert given_out(path) == left


@pytest.mark.parametrize("template_id", [1, 2])
def test_a_photo_of_another_contract_is_no_way_around_its_signature(
    path: Path, template_id: int
) -> None:
    alter(path, f"UPDATE templates SET contract = 'old/1' WHERE id = {template_id}")
    assert refused(path) == "store.altered"


@pytest.mark.parametrize(
    "act",
    [
        lambda store, _: store.person("ada").name,
        lambda store, _: store.person("ada").uid,
        lambda store, _: store.person("ada").signatures(),
        lambda store, change: store.person("ada").rename(change, PersonName.parse("Countess")),
        lambda store, change: store.person("ada").add(change, CONTRACT, [template(9)]),
        lambda store, change: store.person("ada").remove(change),
    ],
)
@pytest.mark.parametrize("encrypted", [True, False])
def test_nobody_answers_to_another_name(
    path: Path, act: Callable[[Store, Change], object], encrypted: bool
) -> None:
    """What names are found by is not sealed: a sign-in as Ada would be Bob's."""
    if not encrypted:
        path.unlink()
        with Store.open(path, create=True) as store, store.transaction() as change:
            for name, seeds in PEOPLE.items():
                store.person(name).add(change, CONTRACT, [template(seed) for seed in seeds])
    alter(
        path,
        "UPDATE people SET name_key = id",
        "UPDATE people SET name_key = CASE id WHEN 1 THEN 'bob' WHEN 2 THEN 'ada' ELSE 'eve' END",
    )
    before = path.read_bytes()
    with (
        Store.open(path, access(path)) as store,
        pytest.raises(SetupProblem) as refusal,
        store.transaction() as change,
    ):
        act(store, change)
    assert refusal.value.reasons[0].code == "store.altered"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "act",
    [
        lambda store, change: store.person("Ada").rename(change, PersonName.parse("Countess")),
        lambda store, change: store.person("Ada").add(change, CONTRACT, [template(9)]),
        lambda store, change: change.encrypt(store.lock(), Vault.new()),
    ],
)
@pytest.mark.parametrize("how", ["a photo deleted", "renamed in its case", "a key gone"])
def test_what_was_altered_is_not_sealed_again(
    path: Path, act: Callable[[Store, Change], object], how: str
) -> None:
    """Else a rename would make sound what somebody else had put there."""
    alter(path, *ALTERED[how])
    before = path.read_bytes()
    with (
        Store.open(path, access(path)) as store,
        pytest.raises(SetupProblem) as refusal,
        store.transaction() as change,
    ):
        act(store, change)
    assert refusal.value.reasons[0].code == "store.altered"
    assert path.read_bytes() == before


def test_who_was_altered_can_be_removed_and_enrolled_anew(path: Path) -> None:
    alter(path, *ALTERED["a photo deleted"])
    with Store.open(path, access(path)) as store, store.transaction() as change:
        store.person("Ada").remove(change)
        store.person("Ada").add(change, CONTRACT, [template(1), template(2)])
    assert given_out(path) == {"Ada": 2, "Bob": 2, "Eve": 1}


# --- every bit -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("templates", "encoding"),
        ("templates", "signature"),
        ("people", "wrapped_key"),
        ("key_lock", "wrapped_master"),
    ],
)
def test_every_flipped_bit_is_found(path: Path, table: str, column: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (blob,) = db.execute(f"SELECT {column} FROM {table} WHERE id = 1").fetchone()
        assert len(blob) >= 60
        for bit in range(8 * len(blob)):
            flipped = bytearray(blob)
            flipped[bit // 8] ^= 1 << bit % 8
            db.execute(f"UPDATE {table} SET {column} = ? WHERE id = 1", (bytes(flipped),))
            assert refused(path) in {"store.altered", "key.wrong"}, bit
        db.execute(f"UPDATE {table} SET {column} = ? WHERE id = 1", (blob,))
    assert given_out(path) == {"Ada": 2, "Bob": 2, "Eve": 1}


# --- any mixture of what was ever stored ---------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A person as stored at one time, and what their photos hold."""

    person: SealedPerson
    templates: tuple[Template, ...]
    plain: tuple[Template, ...]


VAULT = Vault.new()


def record(number: int, uid: str, name: str, *seeds: int) -> Record:
    key = new_key(VAULT)
    plain = tuple(template(seed) for seed in seeds)
    stored = tuple(seal_template(key, uid, CONTRACT, each) for each in plain)
    person = SealedPerson(number, uid, name, None)
    wrapped = wrap_key(VAULT, key, person, [each.encoding for each in stored])
    return Record(replace(person, wrapped_key=wrapped), stored, plain)


RECORDS = (
    record(1, "a", "Ada", 1, 2),
    record(1, "a", "Ada", 1),  # as she was before
    record(1, "a", "Countess", 1, 2),  # before she was renamed
    record(2, "b", "Bob", 3),
    record(2, "b", "Bob", 3, 4),  # after one was learned
    record(2, "b2", "Bob", 3),  # removed, and enrolled again
)
cells = st.sampled_from(RECORDS)


@st.composite
def mixtures(draw: st.DrawFn) -> Record:
    one, other, third = draw(cells), draw(cells), draw(cells)
    person = SealedPerson(
        one.person.id,
        draw(st.sampled_from([one, other])).person.uid,
        draw(st.sampled_from([one, other])).person.name,
        draw(st.sampled_from([one.person.wrapped_key, other.person.wrapped_key, None])),
    )
    pool = [*one.templates, *other.templates, *third.templates]
    chosen = draw(st.lists(st.sampled_from(pool), max_size=3)) if draw(st.booleans()) else None
    photos = tuple(
        Template(
            each.encoding,
            draw(st.sampled_from([each.signature] * 4 + [pool[0].signature, None])),
            draw(st.sampled_from([each.accepted_spoof] * 4 + [not each.accepted_spoof])),
            draw(st.sampled_from([each.learned] * 4 + [not each.learned])),
        )
        for each in (one.templates if chosen is None else chosen)
    )
    return Record(person, photos, ())


def opened(mixed: Record) -> tuple[Template, ...] | None:
    """What is in it; None if it is refused."""
    try:
        key = open_key(VAULT, mixed.person, [each.encoding for each in mixed.templates])
        return tuple(
            open_template(key, mixed.person.uid, CONTRACT, each) for each in mixed.templates
        )
    except SealBroken:
        return None


@given(mixtures())
def test_a_mixture_opens_only_if_it_is_one_of_what_was_stored(mixed: Record) -> None:
    same = [
        each for each in RECORDS if (each.person, each.templates) == (mixed.person, mixed.templates)
    ]
    assert opened(mixed) == (same[0].plain if same else None)


def test_what_was_stored_opens() -> None:
    assert all(opened(each) == each.plain for each in RECORDS)


# --- nonces --------------------------------------------------------------------------------------


def blobs(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(path)) as db:
        for query in (
            "SELECT encoding FROM templates",
            "SELECT signature FROM templates",
            "SELECT wrapped_key FROM people",
            "SELECT wrapped_master FROM key_lock",
        ):
            yield from (blob for (blob,) in db.execute(query))


@pytest.mark.slow
def test_no_nonce_is_used_twice(path: Path) -> None:
    """Whatever was written to a real store: two blobs of one nonce are one blob."""
    written = set(blobs(path))
    for number in range(300):
        with Store.open(path, access(path)) as store:
            with store.transaction() as change:
                name = PersonName.parse(f"Person {number // 3}")
                store.person(name).add(change, CONTRACT, [template(number), template(number)])
                if number % 3 == 2:
                    store.person(name).rename(change, PersonName.parse(f"Renamed {number}"))
            if number % 50 == 49:
                rekey.rotate(store, access(path))
        written |= set(blobs(path))
    assert len(written) > 4000
    assert len({blob[:NONCE_BYTES] for blob in written}) == len(written)
