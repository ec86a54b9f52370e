"""What a large store is searched by: as the templates are, or not there, and never trusted."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from plain import PLAIN
from raw import database

from facauth import admin
from facauth.decision.match import Crowd, Gallery, compare, require_match
from facauth.decision.space import Space
from facauth.errors import FacauthError, NoMatch, SetupProblem
from facauth.records import PersonName
from facauth.store import means, rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.means import BLOCK_PEOPLE, NUMBERS, SCALE, Block, Memory
from facauth.store.sealing import Template
from facauth.store.sqlite.database import Database
from facauth.store.store import Store
from facauth.structs import Encoding, Match

CONTRACT = "test/1"
OTHER = "test/2"
PEOPLE = 300  # two blocks
FMR = 1e-6


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "SEARCHED_FROM", 3)


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def encrypted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(tmp_path: Path, encrypted: bool) -> Path:
    path = tmp_path / "data" / "people.sqlite3"
    if encrypted:
        rekey.encrypt(path, KeyKind.FILE, access(path))
    return path


def access(path: Path) -> KeyAccess:
    return KeyAccess(None, path.parent / "keys" / "key", None)


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, access(path), create=True) as store:
        yield store


def photo(seed: int) -> Template:
    return Template(vector(seed).astype("<f4").tobytes(), None, accepted_spoof=False)


def vector(seed: int) -> NDArray[np.float64]:
    """Of unit length, unlike that of any other seed."""
    found = np.random.default_rng(seed).normal(size=256)
    return found / np.linalg.norm(found)


def name(number: int) -> PersonName:
    return PersonName.parse(f"Person {number}")


def enrol(store: Store, *numbers: int, contract: str = CONTRACT) -> None:
    with store.transaction() as change:
        for number in numbers:
            store.person(name(number)).add(change, contract, [photo(number)])


def remove(store: Store, number: int) -> None:
    with store.transaction() as change:
        store.person(name(number)).remove(change)


def searched(store: Store, contract: str = CONTRACT) -> list[Block]:
    """The blocks, as a sign-in gets them."""
    with store.snapshot():
        blocks = store.blocks(contract, Gallery.of)
        return [] if blocks is None else list(blocks)


def decide(store: Store, probe: NDArray[np.float64], fmr: float = FMR) -> Match:
    """As pipeline.sign_in does."""
    store.refresh(CONTRACT, Gallery.of)
    with store.snapshot():
        blocks = store.blocks(CONTRACT, Gallery.of)
        assert blocks is not None
        crowd = Crowd(blocks.people, blocks, partial(store.encodings, CONTRACT))
        return compare(Encoding(CONTRACT, probe.astype(np.float32)), crowd, fmr, PLAIN.calibration)


def full(store: Store, probe: NDArray[np.float64], fmr: float = FMR) -> Match:
    """By all templates."""
    encoding = Encoding(CONTRACT, probe.astype(np.float32))
    return compare(encoding, Gallery.of(store.encodings(CONTRACT)), fmr, PLAIN.calibration)


def written(path: Path) -> dict[tuple[str, int], bytes]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT contract, block, vectors FROM means").fetchall()
    return {(contract, block): vectors for contract, block, vectors in rows}


def alter(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def whole(rounded: NDArray[np.float32]) -> bytes:
    return np.rint(rounded * SCALE).astype("<i2").tobytes()


# --- it is as the templates are ------------------------------------------------------------------


def test_everybody_is_found_as_by_all_templates(store: Store) -> None:
    enrol(store, *range(PEOPLE))
    for probe in (vector(7), vector(299), vector(100_000)):
        assert decide(store, probe) == full(store, probe)
    assert decide(store, vector(7)).person == "Person 7"
    assert [block.first for block in searched(store)] == [0, BLOCK_PEOPLE]


CHANGES: dict[str, Callable[[Store, int], object]] = {
    "enrolled": lambda store, number: enrol(store, 1000 + number),
    "a photo more": lambda store, number: enrol(store, number),
    "for other networks": partial(enrol, contract=OTHER),
    "removed": lambda store, number: suppressed(remove, store, number),
    "replaced": lambda store, number: suppressed(replaced, store, number),
    "renamed": lambda store, number: suppressed(admin.rename, store, name(number), name(-number)),
    "rotated": lambda store, _: (
        store.lock() and rekey.rotate(store, access(Path(str(store.place))))
    ),
}


def suppressed(work: Callable[..., object], *values: object) -> None:
    with suppress(FacauthError):
        work(*values)


def replaced(store: Store, number: int) -> None:
    person = store.person(name(number))
    assert person.name
    with store.transaction() as change:
        person.delete_templates(change)
        person.add(change, CONTRACT, [photo(5000 + number)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_after_any_changes_it_is_as_the_templates_are(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a memory and without one; whether blocks were written between two changes or not."""
    monkeypatch.setattr(means, "SHELF_BLOCKS", 1 + seed % 2)
    dice = random.Random(seed)
    enrol(store, *range(1, PEOPLE))
    memory: Memory = {}
    for _ in range(12):
        CHANGES[dice.choice(list(CHANGES))](store, dice.randrange(1, PEOPLE))
        if dice.random() < 0.7:
            store.refresh(CONTRACT, Gallery.of)
        exact = Gallery.of(store.encodings(CONTRACT))
        for store.memory in (None, memory):
            blocks = sorted(searched(store), key=lambda block: block.first)
            photos = np.concatenate([block.photos for block in blocks])
            found = np.concatenate([block.means for block in blocks])[photos > 0]
            assert photos[photos > 0].tolist() == exact.photos.tolist()
            np.testing.assert_allclose(found, exact.means, atol=1 / SCALE)


def test_only_a_large_store_has_blocks(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, 1, 2, 3)
    monkeypatch.setattr(means, "SEARCHED_FROM", 4)
    store.refresh(CONTRACT, Gallery.of)
    assert store.blocks(CONTRACT, Gallery.of) is None
    assert written(path) == {}
    enrol(store, 4)
    store.refresh(CONTRACT, Gallery.of)
    assert store.blocks(CONTRACT, Gallery.of) is not None
    assert list(written(path)) == [(CONTRACT, 0)]
    assert store.blocks(OTHER, Gallery.of) is None


def test_means_of_another_space_are_never_used_and_go(store: Store, path: Path) -> None:
    """As after an update of facauth that compares in a better one."""
    enrol(store, *range(PEOPLE))
    decide(store, vector(1))
    space = Space(tuple(np.full(256, 0.01).tolist()), 0.3)
    averages, kind = partial(Gallery.of, space=space), f"{CONTRACT} in {space.name}"
    for refreshed in (False, True):
        if refreshed:
            store.refresh(CONTRACT, averages, space.name)
            assert sorted(written(path)) == [(kind, 0), (kind, 1)]
        with store.snapshot():
            blocks = store.blocks(CONTRACT, averages, space.name)
            assert blocks is not None
            found = np.concatenate([each.means[each.photos > 0] for each in blocks])
        everybody = Gallery.of(store.encodings(CONTRACT), space)
        np.testing.assert_allclose(found, everybody.means, atol=1 / SCALE)
    assert decide(store, vector(7)) == full(store, vector(7))


def test_a_change_takes_one_block_away_and_a_search_brings_it_back(
    store: Store, path: Path
) -> None:
    enrol(store, *range(PEOPLE))
    decide(store, vector(1))
    before = written(path)
    assert sorted(before) == [(CONTRACT, 0), (CONTRACT, 1)]
    remove(store, 1)
    assert written(path) == {(CONTRACT, 1): before[CONTRACT, 1]}
    decide(store, vector(1))
    after = written(path)
    assert sorted(after) == sorted(before)
    assert after[CONTRACT, 1] == before[CONTRACT, 1]
    assert after[CONTRACT, 0] != before[CONTRACT, 0]


def test_a_block_of_nobody_is_not_written(store: Store, path: Path) -> None:
    enrol(store, *range(PEOPLE))
    with store.transaction() as change:
        for number in range(BLOCK_PEOPLE):
            store.person(name(number)).remove(change)
    assert decide(store, vector(299)).person == "Person 299"
    assert list(written(path)) == [(CONTRACT, 1)]
    assert decide(store, vector(299)).compared == len(store.people())


def test_what_was_taken_back_leaves_the_block(store: Store, path: Path) -> None:
    enrol(store, 1, 2, 3)
    decide(store, vector(1))
    before = written(path)
    with pytest.raises(KeyboardInterrupt), store.transaction() as change:
        store.person(name(1)).remove(change)
        raise KeyboardInterrupt
    assert written(path) == before
    assert decide(store, vector(1)).person == "Person 1"


# --- it need not be written ----------------------------------------------------------------------


def test_nobody_waits_for_a_writer(store: Store, path: Path) -> None:
    enrol(store, 1, 2, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert decide(store, vector(1)).person == "Person 1"
        assert written(path) == {}
        other.execute("ROLLBACK")
    assert decide(store, vector(1)).person == "Person 1"
    assert list(written(path)) == [(CONTRACT, 0)]


def test_a_store_that_cannot_be_written_is_searched(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, 1, 2, 3)
    database(store)._db.execute("PRAGMA query_only = ON")
    assert decide(store, vector(1)).person == "Person 1"
    assert written(path) == {}


def test_others_are_waited_for_again(store: Store) -> None:
    enrol(store, 1, 2, 3)
    (before,) = database(store).one("PRAGMA busy_timeout") or (0,)
    store.refresh(CONTRACT, Gallery.of)
    assert database(store).one("PRAGMA busy_timeout") == (before,)
    assert before >= 1000


# --- it is not trusted ---------------------------------------------------------------------------


def changed(path: Path, change: Callable[[NDArray[np.int16]], object]) -> None:
    ((_, vectors),) = written(path).items()
    rows = np.frombuffer(vectors, "<i2").reshape(BLOCK_PEOPLE, NUMBERS).copy()
    change(rows)
    alter(path, "UPDATE means SET vectors = ?", rows.tobytes())


def as_stored(seed: int) -> NDArray[np.int16]:
    return np.rint(vector(seed) * SCALE).astype("<i2")


EVE = 666  # not enrolled
# Persons 1, 2, 3 have the ids 1, 2, 3.
PLANTED: dict[str, Callable[[NDArray[np.int16]], object]] = {
    "two people swapped": lambda rows: rows.__setitem__([1, 2], rows[[2, 1]]),
    "a stranger in a row": lambda rows: rows.__setitem__(1, as_stored(EVE)),
    "a stranger in all rows": lambda rows: rows.__setitem__([1, 2, 3], as_stored(EVE)),
    "a stranger where nobody is": lambda rows: rows.__setitem__(9, as_stored(EVE)),
    "nobody": lambda rows: rows.__setitem__(1, 0),
    "a bit": lambda rows: rows.__setitem__((1, 7), rows[1, 7] ^ 0x4000),
    "turned about": lambda rows: rows.__setitem__(1, -rows[1]),
    "far too long": lambda rows: rows.__setitem__(slice(None), 32767),
}


@pytest.mark.parametrize("encrypted", [False], indirect=True)
@pytest.mark.parametrize("how", PLANTED)
def test_nobody_is_let_in_by_what_somebody_planted(store: Store, path: Path, how: str) -> None:
    enrol(store, 1, 2, 3)
    decide(store, vector(1))
    changed(path, PLANTED[how])
    for seed in (1, 2, 3, EVE):
        try:
            found = decide(store, vector(seed))
            require_match(found, claimed=False)
        except NoMatch:
            continue
        except SetupProblem as refusal:
            assert refusal.reasons[0].code == "store.damaged"
            continue
        assert found.person == f"Person {seed}"
        assert found.similarity == full(store, vector(seed)).similarity


@pytest.mark.parametrize("encrypted", [False], indirect=True)
@pytest.mark.parametrize("how", ["a stranger where nobody is", "nobody", "a bit", "far too long"])
def test_what_plainly_does_not_fit_is_made_anew(store: Store, path: Path, how: str) -> None:
    enrol(store, 1, 2, 3)
    decide(store, vector(1))
    changed(path, PLANTED[how])
    for seed in (1, 2, 3, EVE):
        assert decide(store, vector(seed)) == full(store, vector(seed))


@pytest.mark.parametrize("encrypted", [True], indirect=True)
@pytest.mark.parametrize("at", [0, 11, 12, 5000, -17, -1])
def test_no_bit_of_a_sealed_block_can_be_changed(store: Store, path: Path, at: int) -> None:
    enrol(store, 1, 2, 3)
    decide(store, vector(1))
    ((_, sealed),) = written(path).items()
    bent = bytearray(sealed)
    bent[at] ^= 1
    alter(path, "UPDATE means SET vectors = ?", bytes(bent))
    assert refused(store) == "store.altered"


def refused(store: Store) -> str:
    with pytest.raises(SetupProblem) as refusal:
        decide(store, vector(1))
    return refusal.value.reasons[0].code


@pytest.mark.parametrize("size", [0, 1, 28, 2 * BLOCK_PEOPLE * NUMBERS - 1, 300_000])
def test_a_block_of_another_size(store: Store, path: Path, encrypted: bool, size: int) -> None:
    enrol(store, 1, 2, 3)
    decide(store, vector(1))
    alter(path, "UPDATE means SET vectors = zeroblob(?)", size)
    if encrypted:
        assert refused(store) == "store.altered"
    else:
        assert decide(store, vector(1)) == full(store, vector(1))


@pytest.mark.parametrize("encrypted", [True], indirect=True)
@pytest.mark.parametrize("what", ["contract", "block", "photos", "store", "plain"])
def test_a_sealed_block_fits_in_its_place_only(
    store: Store, path: Path, tmp_path: Path, what: str
) -> None:
    enrol(store, *range(PEOPLE))
    enrol(store, *range(PEOPLE), contract=OTHER)
    store.refresh(CONTRACT, Gallery.of)
    if what == "contract":  # the same people, and as many photos of each
        alter(path, "UPDATE means SET contract = ?", OTHER)
        with pytest.raises(SetupProblem, match="do not fit"):
            searched(store, OTHER)
        return
    if what == "block":
        alter(path, "UPDATE means SET vectors = ?", written(path)[CONTRACT, 1])
    if what == "photos":
        alter(path, "UPDATE templates SET contract = 'another' WHERE id = 5")
    if what == "store":
        other = tmp_path / "other" / "people.sqlite3"
        rekey.encrypt(other, KeyKind.FILE, access(other))
        with Store.open(other, access(other)) as another:
            enrol(another, *range(PEOPLE))
            another.refresh(CONTRACT, Gallery.of)
        alter(path, "UPDATE means SET vectors = ?", written(other)[CONTRACT, 0])
    if what == "plain":
        alter(path, "UPDATE means SET vectors = ?", whole(searched(store)[0].means))
    assert refused(store) == "store.altered"


def test_no_fewer_people_are_counted_than_there_are(store: Store, path: Path) -> None:
    """Or else a comparison would be allowed a higher rate."""
    enrol(store, *range(PEOPLE))
    store.refresh(CONTRACT, Gallery.of)
    alter(path, "UPDATE means SET vectors = zeroblob(131072)")
    with store.snapshot():
        blocks = store.blocks(CONTRACT, Gallery.of)
        assert blocks is not None
        assert blocks.people == PEOPLE
    alter(path, "DELETE FROM means WHERE block = 0")
    assert decide_or_none(store) in (PEOPLE, None)


def decide_or_none(store: Store) -> int | None:
    try:
        return decide(store, vector(1)).compared
    except SetupProblem:
        return None


def test_a_damaged_template_is_not_averaged(store: Store, path: Path) -> None:
    enrol(store, 1, 2, 3)
    alter(path, "UPDATE templates SET encoding = zeroblob(1024) WHERE id = 2")
    assert refused(store) in ("store.damaged", "store.altered")
    assert written(path) == {}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM people WHERE id = 2",
        "UPDATE templates SET person_id = 77 WHERE id = 2",
        "UPDATE templates SET person_id = 1 << 60 WHERE id = 2",
        "UPDATE templates SET person_id = -(1 << 60) WHERE id = 2",
    ],
)
def test_templates_of_nobody_are_no_people(store: Store, path: Path, statement: str) -> None:
    enrol(store, 1, 2, 3)
    alter(path, statement)
    assert refused(store) == "store.damaged"


# --- it is kept in memory ------------------------------------------------------------------------


def test_only_what_changed_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(store, *range(PEOPLE))
    read: list[int] = []
    found = means.Templates.found

    def watched(
        self: means.Templates, number: int, photos: NDArray[np.intp], identifier: int
    ) -> Block | None:
        read.append(number)
        return found(self, number, photos, identifier)

    monkeypatch.setattr(means.Templates, "found", watched)
    store.memory = {}
    for change, blocks in ((None, [0, 1]), (None, []), (299, [1]), (1, [0]), (None, [])):
        if change is not None:
            remove(store, change)
        assert decide(store, vector(7)) == full(store, vector(7))
        assert read == blocks
        read.clear()
    (shelf,) = store.memory.values()
    assert len(shelf.slots) == 2


def test_who_is_new_is_found_beside_what_is_in_memory(store: Store, path: Path) -> None:
    """Although nothing can be written, and in a block of their own too."""
    enrol(store, *range(1, BLOCK_PEOPLE))  # whose ids fill the first block
    store.memory = {}
    decide(store, vector(1))
    enrol(store, 1000)
    database(store)._db.execute("PRAGMA query_only = ON")
    for _ in range(2):
        found = decide(store, vector(1000))
        assert found == full(store, vector(1000))
        assert found.compared == BLOCK_PEOPLE
    assert list(written(path)) == [(CONTRACT, 0)]


def test_who_was_removed_is_not_in_memory(store: Store) -> None:
    enrol(store, 1, 2, 3, 4)
    store.memory = {}
    decide(store, vector(1))
    remove(store, 1)
    assert decide(store, vector(1)).person != "Person 1"
    (shelf,) = store.memory.values()
    assert shelf.means is not None
    assert np.abs(shelf.means @ vector(1)).max() < 0.9


def test_another_process_changes_what_is_in_memory(store: Store, path: Path) -> None:
    enrol(store, 1, 2, 3, 4)
    store.memory = {}
    assert decide(store, vector(1)).person == "Person 1"
    with Store.open(path, access(path)) as other:
        replaced(other, 1)
        enrol(other, 5)
        store_refreshed = decide(other, vector(5))
    assert store_refreshed.person == "Person 5"
    for seed in (1, 5, 5001):
        assert decide(store, vector(seed)) == full(store, vector(seed))


# --- nothing is left of it -----------------------------------------------------------------------


def left(path: Path, rows: list[bytes]) -> int:
    """How many pieces of 16 bytes of these rows are in any file beside the store."""
    content = b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    pieces = [row[at : at + 16] for row in rows for at in range(0, len(row), 16)]
    return sum(piece in content for piece in pieces if any(piece))  # zeros are where nobody is


def mean_of(*seeds: int) -> list[bytes]:
    """As it is stored, and as it was made."""
    total = np.sum([vector(seed) for seed in seeds], axis=0)
    mean = (total / np.linalg.norm(total)).astype("<f4")
    return [whole(mean), mean.tobytes()]


@pytest.mark.slow
@pytest.mark.parametrize("erase", [remove, replaced])
def test_nothing_of_the_mean_of_who_was_removed_is_left(
    store: Store, path: Path, encrypted: bool, erase: Callable[[Store, int], None]
) -> None:
    enrol(store, *range(PEOPLE))
    with store.transaction() as change:
        store.person(name(1)).add(change, CONTRACT, [photo(1001)])
    decide(store, vector(1))
    gone, sealed = mean_of(1, 1001), [written(path)[CONTRACT, 0]] if encrypted else []
    assert (left(path, gone) > 20) is not encrypted
    assert (left(path, sealed) > 20) is encrypted
    erase(store, 1)  # while the store is open, so that its log stays
    assert left(path, [*gone, *sealed]) == 0
    assert decide(store, vector(2)).person == "Person 2"
    assert left(path, [*gone, *sealed]) == 0


def test_an_encrypted_store_never_holds_a_mean(store: Store, path: Path, encrypted: bool) -> None:
    enrol(store, *range(PEOPLE))
    decide(store, vector(1))
    every = [row for seed in range(0, PEOPLE, 20) for row in mean_of(seed)]
    assert (left(path, every) == 0) is encrypted


@pytest.mark.slow
def test_encryption_and_rotation_leave_no_block(store: Store, path: Path, encrypted: bool) -> None:
    enrol(store, *range(PEOPLE))
    decide(store, vector(1))
    before = list(written(path).values())
    if encrypted:
        rekey.rotate(store, access(path))
    else:
        rekey.encrypt(path, KeyKind.FILE, access(path))
    assert written(path) == {}
    assert left(path, before) == 0
    with Store.open(path, access(path)) as anew:
        assert decide(anew, vector(1)) == full(anew, vector(1))


def test_a_block_is_written_whole_or_not_at_all(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, *range(PEOPLE))
    write = Database.write

    def dying(self: Database, statement: str, *values: object) -> int:
        done = write(self, statement, *values)
        if statement.startswith("INSERT INTO means") and values[1] == 1:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Database, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        store.refresh(CONTRACT, Gallery.of)
    assert list(written(path)) == [(CONTRACT, 0)]
    monkeypatch.setattr(Database, "write", write)
    assert decide(store, vector(299)) == full(store, vector(299))
    assert len(written(path)) == 2
