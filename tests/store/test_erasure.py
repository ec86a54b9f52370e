"""Of what was deleted no byte is in any file: the store, its log, its backups, others beside."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from raw import database

from facauth import admin
from facauth.errors import SetupProblem
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import Template
from facauth.store.sqlite.schema import MIGRATIONS
from facauth.store.sqlite.upgrade import migrate
from facauth.store.store import Store

TOP = Path(__file__).parents[2]
CONTRACT = "test/1"
ADA = PersonName.parse("Ada")
PIECE_BYTES = 16
SIGNATURE_BYTES = 15_000
MANY = 3000  # people, so that SQLite sorts more than it holds in memory of its own accord: 1 MB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "people.sqlite3"


def access(path: Path) -> KeyAccess:
    return KeyAccess(None, path.parent / "keys" / "key", None)


def template(seed: int) -> Template:
    """So large that signatures, as real ones do, fill pages of their own."""
    dice = np.random.default_rng(seed)
    return Template(dice.bytes(1024), dice.bytes(SIGNATURE_BYTES), accepted_spoof=False)


def pieces(*blobs: bytes) -> list[bytes]:
    """Any 16 bytes in a row at these places give a blob away."""
    return [
        blob[at : at + PIECE_BYTES]
        for blob in blobs
        for at in range(0, len(blob) - PIECE_BYTES + 1, PIECE_BYTES)
    ]


def bytes_found(path: Path, blobs: list[bytes]) -> int:
    """How many bytes of the blobs are in any file below the folder of the store."""
    files = [file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file()]
    assert files
    wanted, found = set(pieces(*blobs)), set()
    for content in files:
        windows = (content[at : at + PIECE_BYTES] for at in range(len(content) - PIECE_BYTES + 1))
        found |= {window for window in windows if window in wanted}
    return PIECE_BYTES * len(found)


def stored(path: Path, name: str) -> list[bytes]:
    """Every blob in the file that is somebody's: encodings, signatures, and the key to them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute(
            """SELECT t.encoding, t.signature, p.wrapped_key
            FROM people p JOIN templates t ON t.person_id = p.id WHERE p.name = ?""",
            (name,),
        ).fetchall()
    return [blob for row in rows for blob in row if blob is not None]


def plain(*seeds: int) -> list[bytes]:
    return [
        blob
        for seed in seeds
        for blob in (template(seed).encoding, template(seed).signature)
        if blob is not None
    ]


def make(path: Path, *, encrypted: bool) -> Path:
    """A store with Ada (photos 1 to 3) and Bob (photo 4)."""
    if encrypted:
        rekey.encrypt(path, KeyKind.FILE, access(path))
    with Store.open(path, access(path), create=True) as store:
        for name, seeds in (("Ada", (1, 2)), ("Bob", (4,)), ("Ada", (3,))):
            with store.transaction() as change:
                store.person(name).add(change, CONTRACT, [template(seed) for seed in seeds])
                change.log("register", "registered", uid=store.person(name).uid)
    return path


def old_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same people in a store of the version before, migrated, with the backup beside it."""
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as db, db:
        for step in (step for steps in MIGRATIONS[:2] for step in steps):
            assert isinstance(step, str)
            db.execute(step)
        for number, (name, seeds) in enumerate((("Ada", (1, 2, 3)), ("Bob", (4,))), 1):
            db.execute("INSERT INTO people VALUES (?, ?, ?, '')", (number, name, name.lower()))
            for seed in seeds:
                photo = template(seed)
                db.execute(
                    """INSERT INTO templates
                    (person_id, contract, encoding, signature, enrolled_at) VALUES (?, ?, ?, ?, '')
                    """,
                    (number, CONTRACT, photo.encoding, photo.signature),
                )
        db.execute(f"PRAGMA application_id = {0x66614175}")
        db.execute("PRAGMA user_version = 2")
    assert migrate(path).backup is not None
    assert len(list(path.parent.glob("*.backup"))) == 1
    return path


def remove(path: Path) -> None:
    with Store.open(path, access(path)) as store:
        admin.remove(store, ADA)


def replace(path: Path) -> None:
    """What `register --replace` does to the store."""
    with Store.open(path, access(path)) as store, store.transaction() as change:
        store.person(ADA).delete_templates(change)
        store.person(ADA).add(change, CONTRACT, [template(9)])


def spilled_to(store: Store) -> set[str]:
    """SQLite's temporary files, which it unlinks when it opens them, while everybody is listed."""
    found = set()

    def look() -> int:
        for each in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with suppress(FileNotFoundError):  # that of the folder itself
                found.add(os.readlink(f"/proc/self/fd/{each}"))  # noqa: PTH115
        return 0

    database(store)._db.set_progress_handler(look, 1000)
    assert len(store.people()) == MANY
    return {link for link in found if "etilqs_" in link}


def bob_is_whole(path: Path) -> bool:
    with Store.open(path, access(path)) as store:
        found = [each for *_, each in store.person("Bob").templates()]
        return found == [template(4)] and store.faults() == []


# --- remove and replace --------------------------------------------------------------------------


@pytest.mark.parametrize("erase", [remove, replace])
@pytest.mark.parametrize("encrypted", [False, True])
def test_nothing_of_a_person_is_left(
    path: Path, encrypted: bool, erase: Callable[[Path], None]
) -> None:
    make(path, encrypted=encrypted)
    gone = [*plain(1, 2, 3), *stored(path, "Ada")]
    assert bytes_found(path, stored(path, "Ada")) > 3 * SIGNATURE_BYTES
    assert (bytes_found(path, plain(1, 2, 3)) == 0) == encrypted
    erase(path)
    assert bytes_found(path, gone) == 0
    assert bob_is_whole(path)


@pytest.mark.parametrize("erase", [remove, replace])
@pytest.mark.parametrize("encrypted", [False, True])
def test_nothing_is_left_in_the_log_that_others_hold_open(
    path: Path, encrypted: bool, erase: Callable[[Path], None]
) -> None:
    """While another process has the store open, its write-ahead log stays when we are done."""
    make(path, encrypted=encrypted)
    with Store.open(path, access(path)) as other:
        with other.transaction() as change:
            other.person(ADA).add(change, CONTRACT, [template(5)])
        log = path.with_name(path.name + "-wal")
        gone = [*plain(1, 2, 3, 5), *stored(path, "Ada")]
        assert log.stat().st_size > SIGNATURE_BYTES
        erase(path)
        assert log.exists()
        assert bytes_found(path, gone) == 0
    assert bytes_found(path, gone) == 0
    assert bob_is_whole(path)


@pytest.mark.parametrize("erase", [remove, replace])
def test_nothing_is_left_in_a_backup(
    path: Path, monkeypatch: pytest.MonkeyPatch, erase: Callable[[Path], None]
) -> None:
    old_store(path, monkeypatch)
    part = path.with_name(f"{path.name}.v2.backup.part")  # of a migration that was killed
    part.write_bytes(template(1).encoding)
    gone = plain(1, 2, 3)
    assert bytes_found(path, gone) > 3 * SIGNATURE_BYTES
    erase(path)
    assert bytes_found(path, gone) == 0
    assert bob_is_whole(path)


def test_a_refused_replacement_leaves_the_backup(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(path, monkeypatch)
    with (
        Store.open(path) as store,
        pytest.raises(KeyboardInterrupt),
        store.transaction() as change,
    ):
        store.person(ADA).delete_templates(change)
        raise KeyboardInterrupt
    assert len(list(path.parent.glob("*.backup"))) == 1


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_reader_of_an_old_state_is_named_and_then_nothing_is_left(
    path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    make(path, encrypted=encrypted)
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.05)
    gone = stored(path, "Ada")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        with pytest.raises(SetupProblem) as refusal:
            remove(path)
        assert refusal.value.reasons[0].code == "store.busy"
        assert bytes_found(path, gone) > 0
    with Store.open(path) as store:
        assert [row.name for row in store.people()] == ["Bob"]
    assert bytes_found(path, gone) == 0


READ = """
import sys
from pathlib import Path
from facauth.store.store import Store
print("ready", flush=True)
while True:
    with Store.open(Path(sys.argv[1])) as store:
        store.people()
"""


@pytest.fixture
def readers(path: Path) -> Iterator[Callable[[], None]]:
    """Have other processes read the store again and again until the test is over."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        for _ in range(2):
            command = [sys.executable, "-c", READ, str(path)]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=TOP))
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("encrypted", [False, True])
def test_nothing_is_left_while_other_processes_read(
    path: Path, readers: Callable[[], None], encrypted: bool
) -> None:
    make(path, encrypted=encrypted)
    gone = [*plain(1, 2, 3), *stored(path, "Ada")]
    readers()
    remove(path)
    assert bytes_found(path, gone) == 0


DIE = """
import os, sys
from pathlib import Path
from facauth import admin
from facauth.store import rekey
from facauth.store.sqlite.database import Database
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.store import Store
from facauth.records import PersonName
Database.empty_log = lambda self: os._exit(9)
path = Path(sys.argv[1])
access = KeyAccess(None, path.parent / "keys" / "key", None)
"""
REMOVE = """
with Store.open(path, access) as store:
    admin.remove(store, PersonName.parse("Ada"))
"""
ENCRYPT = "rekey.encrypt(path, KeyKind.FILE, access)"


@pytest.mark.parametrize("script", [REMOVE, ENCRYPT], ids=["remove", "encrypt"])
def test_what_a_killed_process_left_goes_with_the_next_command(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Killed between what it did and the tidying up; any command comes next."""
    old_store(path, monkeypatch)
    command = [sys.executable, "-c", DIE + script, str(path)]
    assert subprocess.run(command, cwd=TOP, check=False).returncode == 9
    assert list(path.parent.glob("*.backup*")) == []
    with Store.open(path) as store:
        assert len(store.people()) == (1 if script == REMOVE else 2)
    assert bytes_found(path, plain(1, 2, 3)) == 0
    assert bob_is_whole(path)


# --- encryption and rotation ---------------------------------------------------------------------


def test_encryption_leaves_nothing_of_what_was_plain(path: Path) -> None:
    make(path, encrypted=False)
    assert bytes_found(path, plain(1, 2, 3, 4)) > 4 * SIGNATURE_BYTES
    rekey.encrypt(path, KeyKind.FILE, access(path))
    assert bytes_found(path, plain(1, 2, 3, 4)) == 0
    assert bob_is_whole(path)


def test_encryption_leaves_nothing_in_backup_and_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(path, monkeypatch)
    with Store.open(path) as other:
        with other.transaction() as change:
            other.person(ADA).add(change, CONTRACT, [template(5)])
        assert bytes_found(path, plain(1, 2, 3, 4, 5)) > 5 * SIGNATURE_BYTES
        rekey.encrypt(path, KeyKind.FILE, access(path))
        assert bytes_found(path, plain(1, 2, 3, 4, 5)) == 0
    assert bytes_found(path, plain(1, 2, 3, 4, 5)) == 0
    assert bob_is_whole(path)


def test_an_encrypted_store_never_holds_anything_plain(path: Path) -> None:
    """Not even for a moment, in a file that others hold open."""
    rekey.encrypt(path, KeyKind.FILE, access(path))
    with Store.open(path, access(path)) as store:
        for seed in (1, 2, 3):
            with store.transaction() as change:
                store.person(ADA).add(change, CONTRACT, [template(seed)])
                assert bytes_found(path, plain(1, 2, 3)) == 0
            assert bytes_found(path, plain(1, 2, 3)) == 0
            assert len(store.encodings(CONTRACT)) == seed
            assert bytes_found(path, plain(1, 2, 3)) == 0


def test_rotation_leaves_nothing_of_the_old_key(path: Path) -> None:
    make(path, encrypted=True)
    gone = [*stored(path, "Ada"), *stored(path, "Bob")]
    with closing(sqlite3.connect(path)) as db:
        gone += db.execute("SELECT wrapped_master FROM key_lock").fetchone()
    key_file = access(path).place
    assert key_file is not None
    old_key = key_file.read_text().split()[3].encode()
    assert bytes_found(path, [*gone, old_key]) > 4 * SIGNATURE_BYTES
    with Store.open(path, access(path)) as store:
        rekey.rotate(store, access(path))
        assert bytes_found(path, [*gone, old_key]) == 0
    assert bytes_found(path, [*gone, old_key, *plain(1, 2, 3, 4)]) == 0
    assert bob_is_whole(path)


def test_the_key_of_a_removed_person_is_gone(path: Path) -> None:
    """With the store's key, and all that is still on the disk, nothing of theirs can be opened."""
    make(path, encrypted=True)
    wrapped = stored(path, "Ada")[2]
    remove(path)
    assert bytes_found(path, [wrapped]) == 0


def test_the_folder_holds_nothing_but_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(path, monkeypatch)
    rekey.encrypt(path, KeyKind.FILE, access(path))
    remove(path)
    assert sorted(os.listdir(path.parent)) == ["keys", path.name]  # noqa: PTH208
    assert sorted(os.listdir(path.parent / "keys")) == ["key"]  # noqa: PTH208


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_is_sorted_is_not_left_in_a_temporary_file(path: Path) -> None:
    with Store.open(path, create=True) as store:
        database(store)._db.executemany(
            """INSERT INTO people (uid, name, name_key, enrolled_at, consent)
            VALUES (?, ?, ?, '', ?)""",
            [
                (*[f"person {number}"] * 3, "a long consent".ljust(1000, "."))
                for number in range(MANY)
            ],
        )
        assert spilled_to(store) == set()
        database(store)._db.execute("PRAGMA temp_store = FILE")
        assert spilled_to(store) != set(), "or else this finds nothing, ever"
