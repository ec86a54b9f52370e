"""Copies of older stores, what others may have put in their place, and two versions at once."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from older import make_older

from facauth.admin import remove
from facauth.errors import SetupProblem
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.limits import GRAVEST
from facauth.store.sealing import Template
from facauth.store.sqlite import schema
from facauth.store.sqlite.backup import discard_backups
from facauth.store.sqlite.database import Database
from facauth.store.sqlite.upgrade import migrate
from facauth.store.store import Store

TOP = Path(__file__).parents[2]
CONTRACT = "test/1"
NEXT = "ALTER TABLE people ADD COLUMN note TEXT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "people.sqlite3"


@pytest.fixture
def keys(tmp_path: Path) -> KeyAccess:
    return KeyAccess(default_key_file=tmp_path / "keys" / "facauth.key")


def encoding(seed: int) -> bytes:
    vector = np.random.default_rng(seed).normal(size=256)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


def enrol(store: Store, name: str, *seeds: int) -> None:
    with store.transaction() as change:
        templates = [Template(encoding(seed), None, False) for seed in seeds]
        store.person(name).add(change, CONTRACT, templates)
        change.log("register", "registered", uid=store.person(name).uid)


def made(path: Path, people: int = 5, version: int | None = None) -> Path:
    with Store.open(path, create=True) as store:
        for seed in range(people):
            enrol(store, f"person{seed}", seed)
    if version is not None:
        make_older(path, version)
    return path


def copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.v2.backup")


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def leftovers(folder: Path, seed: int) -> set[str]:
    """The files below a folder that hold a piece of an encoding as it is when not encrypted."""
    pieces = [encoding(seed)[at : at + 16] for at in range(0, 1024, 16)]
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {each.name for each in files if any(piece in each.read_bytes() for piece in pieces)}


# --- the copy ------------------------------------------------------------------------------------


def test_the_copy_is_a_store_that_can_be_migrated_itself(path: Path) -> None:
    made(path, version=2)
    migrate(path)
    path.unlink()
    copy_of(path).rename(path)  # somebody goes back
    assert (migrate(path).before, migrate(path).backup) == (2, None)
    with Store.open(path) as store:
        assert len(store.encodings(CONTRACT)) == 5


def test_it_is_beside_the_store_that_a_link_leads_to(path: Path, tmp_path: Path) -> None:
    made(path, version=2)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert migrate(link).backup == copy_of(path)
    assert names(tmp_path) == {"data", "link"}
    discard_backups(link)
    assert names(path.parent) == {path.name}


def test_what_a_killed_process_left_is_no_obstacle(path: Path) -> None:
    made(path, version=2)
    for suffix in (".part", ".part-journal", ".part-wal"):
        Path(f"{copy_of(path)}{suffix}").write_bytes(b"half a copy" * 1000)
    migrate(path)
    assert names(path.parent) == {path.name, copy_of(path).name}


def test_an_earlier_copy_is_replaced(path: Path) -> None:
    made(path, version=2)
    copy_of(path).write_text("of an earlier time")
    migrate(path)
    assert copy_of(path).read_bytes().startswith(b"SQLite format 3\0")
    assert stat.S_IMODE(copy_of(path).stat().st_mode) == 0o600


def test_only_what_facauth_made_is_deleted(path: Path) -> None:
    made(path)
    mine = {
        f"{path.name}.vacation.backup",
        f"{path.name}.v2.backup.mine",
        f"old-{path.name}.v2.backup",
        "other.sqlite3.v2.backup",
    }
    for name in (*mine, f"{path.name}.v2.backup", f"{path.name}.v13.backup.part-journal"):
        (path.parent / name).write_text("x")
    with Store.open(path) as store:
        remove(store, PersonName.parse("person0"))
    assert names(path.parent) == mine | {path.name}


def test_a_name_with_stars_means_itself(path: Path) -> None:
    starred = made(path.with_name("[ab]*.db"))
    other = path.with_name("a.db.v2.backup")
    other.write_text("x")
    copy_of(starred).write_text("x")
    discard_backups(starred)
    assert names(path.parent) == {starred.name, other.name}


@pytest.mark.parametrize("kind", ["link", "second name", "fifo", "folder"])
def test_what_was_put_in_the_place_of_a_copy_harms_nothing_else(path: Path, kind: str) -> None:
    """`remove` overwrites copies: not what a link, planted by somebody, leads to."""
    made(path)
    victim = path.with_name("diary")
    victim.write_text("dear diary")
    if kind == "link":
        copy_of(path).symlink_to(victim)
    elif kind == "second name":
        copy_of(path).hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(copy_of(path))
    else:
        copy_of(path).mkdir()
    with Store.open(path) as store:
        remove(store, PersonName.parse("person0"))
    assert victim.read_text() == "dear diary"
    assert copy_of(path).exists() == (kind == "folder")


@pytest.mark.parametrize("kind", ["link", "second name"])
def test_nothing_is_written_into_what_was_put_in_its_place(path: Path, kind: str) -> None:
    made(path, version=2)
    victim = path.with_name("readable by all")
    victim.write_text("x")
    for planted in (copy_of(path), Path(f"{copy_of(path)}.part")):
        planted.symlink_to(victim) if kind == "link" else planted.hardlink_to(victim)
    migrate(path)
    assert victim.read_text() == "x"
    assert not copy_of(path).is_symlink()
    assert copy_of(path).read_bytes().startswith(b"SQLite format 3\0")


def test_a_copy_is_gone_before_a_removal_is_certain(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that is killed between the two, nobody would delete it."""
    made(path, version=2)
    migrate(path)
    with Store.open(path) as store:
        monkeypatch.setattr(Database, "empty_log", lambda _: None)  # killed before it
        remove(store, PersonName.parse("person0"))
    assert leftovers(path.parent, 0) == set()


def test_a_removal_that_is_refused_leaves_the_copy(path: Path) -> None:
    made(path, version=2)
    migrate(path)
    with Store.open(path) as store, pytest.raises(Exception, match="nobody is enrolled as Ada"):
        remove(store, PersonName.parse("Ada"))
    assert copy_of(path).exists()


def test_no_plain_copy_outlives_encryption(path: Path, keys: KeyAccess) -> None:
    made(path, version=2)
    migrate(path)
    assert leftovers(path.parent, 0) == {path.name, copy_of(path).name}
    rekey.encrypt(path, KeyKind.FILE, keys)
    assert leftovers(path.parent, 0) == set()
    assert names(path.parent) == {path.name}


def test_whatever_the_umask_all_files_are_private(
    path: Path, keys: KeyAccess, tmp_path: Path
) -> None:
    for mask in (0o000, 0o777):
        before = os.umask(mask)
        try:
            store_path = path.with_name(f"{mask:o}.sqlite3")
            made(store_path, version=None)
        finally:
            os.umask(before)
        assert stat.S_IMODE(store_path.stat().st_mode) == 0o600
    made(path, version=2)
    before = os.umask(0)
    try:
        migrate(path)
        with Store.open(path, keys) as store:
            enrol(store, "Ada", 99)
            assert {f"{path.name}-wal", f"{path.name}-shm"} <= names(path.parent)
            modes = {each: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
            assert set(modes.values()) == {0o600}, modes
            rekey.encrypt(path, KeyKind.FILE, keys)
        new = tmp_path / "new" / "folder" / "people.sqlite3"
        made(new)
    finally:
        os.umask(before)
    assert keys.place is not None
    assert keys.place.stat().st_mode & 0o777 == 0o600
    assert keys.place.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in (new.parent, new.parent.parent)} == {0o700}


# --- two at once: an open store, and another process that changes what it is ----------------------


@pytest.fixture
def opened(path: Path, keys: KeyAccess) -> Iterator[Store]:
    """A store that was opened before it was encrypted or migrated."""
    with Store.open(made(path), keys) as store:
        yield store


def encrypt(path: Path, keys: KeyAccess) -> None:
    rekey.encrypt(path, KeyKind.FILE, keys)


def upgrade(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (NEXT,)))
    assert migrate(path).backup is not None


def test_nothing_plain_is_written_into_a_store_that_was_encrypted_meanwhile(
    opened: Store, path: Path, keys: KeyAccess
) -> None:
    encrypt(path, keys)
    for _ in range(2):
        with pytest.raises(SetupProblem) as refusal:
            enrol(opened, "Ada", 99)
        assert refusal.value.reasons[0].code == "store.changed"
        assert refusal.value.reasons[0].advice == "try again"
    with pytest.raises(SetupProblem), opened.transaction() as change:
        opened.person("person0").rename(change, PersonName.parse("Eve"))
    with pytest.raises(SetupProblem), opened.snapshot():
        opened.encodings(CONTRACT)
    assert [leftovers(path.parent, seed) for seed in (99, 0)] == [set(), set()]
    with Store.open(path, keys) as store:
        assert len(store.encodings(CONTRACT)) == 5
        enrol(store, "Ada", 99)
        count, broken = store.verify_log()
        assert (count, broken) == (7, None)


def test_without_the_key_nothing_is_written_to_it_either(path: Path, keys: KeyAccess) -> None:
    with Store.open(made(path)) as opened:
        encrypt(path, keys)
        with pytest.raises(SetupProblem) as refusal:
            enrol(opened, "Ada", 99)
    assert refusal.value.reasons[0].code == "store.changed"
    assert leftovers(path.parent, 99) == set()


def test_nothing_is_sealed_with_a_key_that_was_replaced_meanwhile(
    path: Path, keys: KeyAccess
) -> None:
    encrypt(made(path), keys)
    with Store.open(path, keys) as opened:
        assert len(opened.encodings(CONTRACT)) == 5  # with the key that it has now
        with Store.open(path, keys) as other:
            rekey.rotate(other, keys)
        with pytest.raises(SetupProblem) as refusal:
            enrol(opened, "Ada", 99)
        assert refusal.value.reasons[0].code == "store.changed"
        with pytest.raises(SetupProblem) as refusal:
            opened.person("person0").signatures()  # nor is that taken for tampering
        assert refusal.value.reasons[0].code == "store.changed"
    with Store.open(path, keys) as store:
        assert len(store.encodings(CONTRACT)) == 5
        assert store.verify_log()[1] is None


def test_an_attempt_goes_no_further_in_a_store_that_was_encrypted_meanwhile(
    opened: Store, path: Path, keys: KeyAccess
) -> None:
    with pytest.raises(SetupProblem) as refusal:  # noqa: SIM117
        with opened.attempt("person0") as attempt:
            encrypt(path, keys)
            attempt.accept(opened.person("person0").uid)
    assert refusal.value.reasons[0].code == "store.changed"
    with Store.open(path, keys) as store:
        assert [event.verdict for event in store.events()][-1] == "encrypted"
        # A try that is not settled.
        assert store.person("person0").failures() == GRAVEST


def test_nothing_is_written_into_a_store_that_was_migrated_meanwhile(
    opened: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(path, monkeypatch)
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    with pytest.raises(SetupProblem) as refusal:
        enrol(opened, "Ada", 99)
    assert refusal.value.reasons[0].code == "store.changed"
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before


def test_a_facauth_of_before_can_neither_register_nor_log_in_a_migrated_store(path: Path) -> None:
    """Version 2 logs whatever it writes, in the same transaction; it does not look again."""
    made(path, version=2)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("SELECT count(*) FROM people").fetchone()
        migrate(path)
        with pytest.raises(sqlite3.OperationalError, match="no column named"):
            old.execute(
                """INSERT INTO events (at, command, verdict, reason, person_id)
                VALUES ('', 'register', 'registered', NULL, NULL)"""
            )


SEAL = """
import sys, time
from pathlib import Path
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.rekey import encrypt, rotate
from facauth.store.store import Store
keys = KeyAccess(default_key_file=Path(sys.argv[2]))
encrypt(Path(sys.argv[1]), KeyKind.FILE, keys)
for _ in range(int(sys.argv[3])):
    with Store.open(Path(sys.argv[1]), keys) as store:
        rotate(store, keys)
    time.sleep(0.02)
"""
ENROL = """
import sys, json
sys.path.insert(0, "tests/store")
from pathlib import Path
from test_backup import encoding, CONTRACT
from facauth.errors import SetupProblem
from facauth.store.keys import KeyAccess
from facauth.store.sealing import Template
from facauth.store.store import Store
from facauth.records import PersonName
keys, worker = KeyAccess(default_key_file=Path(sys.argv[2])), int(sys.argv[3])
done, refused = [], []
for seed in range(worker, worker + 40):
    try:
        with Store.open(Path(sys.argv[1]), keys) as store, store.transaction() as change:
            name = PersonName.parse(f"worker{seed}")
            store.person(name).add(change, CONTRACT, [Template(encoding(seed), None, False)])
            change.log("register", "registered", uid=store.person(name).uid)
        done.append(seed)
    except SetupProblem as error:
        refused.append(error.reasons[0].code)
print(json.dumps([done, refused]))
"""


@pytest.mark.slow
def test_registering_while_keys_are_rotated_leaves_nothing_plain_and_loses_nobody(
    path: Path, keys: KeyAccess
) -> None:
    made(path)
    place = str(keys.place)

    def start(script: str, argument: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(path), place, str(argument)]
        env = {**os.environ, "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'tests'}"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TOP, env=env)

    import json

    workers = [start(ENROL, first) for first in (1000, 2000, 3000)]
    sealer = start(SEAL, 12)
    answers = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    sealer.communicate(timeout=120)
    assert sealer.returncode == 0
    done = [seed for seeds, _ in answers for seed in seeds]
    refused = {code for _, codes in answers for code in codes}
    assert refused <= {"store.changed", "store.busy", "key.wrong_file", "key.wrong", "key.missing"}
    assert len(done) > 40
    with Store.open(path, keys) as store:
        assert {row.name for row in store.people()} == (
            {f"worker{seed}" for seed in done} | {f"person{seed}" for seed in range(5)}
        )
        assert len(store.encodings(CONTRACT)) == len(done) + 5
        assert store.verify_log()[1] is None
    plain = [seed for seed in [*done, *range(5)] if leftovers(path.parent, seed)]
    assert plain == []


def test_what_takes_the_place_of_a_backup_is_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write in the folder could have another file overwritten by whoever removes."""
    make_older(made(path))
    backup = migrate(path).backup
    assert backup
    other = path.with_name("other")
    other.write_text("dear to somebody")
    really = os.open

    def swapped(name: Path, flags: int, mode: int = 0o777) -> int:
        if name == backup:
            backup.unlink()
            backup.hardlink_to(other)
        return really(name, flags, mode)

    monkeypatch.setattr(os, "open", swapped)
    discard_backups(path)
    assert other.read_text() == "dear to somebody"
    assert not backup.exists()
