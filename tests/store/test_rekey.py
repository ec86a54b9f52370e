"""A store is encrypted, or gets another key, all at once or not at all."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facauth.errors import Conflict, FacauthError, SetupProblem
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind, Lock
from facauth.store.sealing import Template
from facauth.store.store import Store

TOP = Path(__file__).parents[2]
CONTRACT = "test/1"
PEOPLE = 10
SIGNATURE_BYTES = 20_000


def access(path: Path) -> KeyAccess:
    return KeyAccess(None, path.parent / "keys" / "key", None)


def template(seed: int) -> Template:
    dice = np.random.default_rng(seed)
    return Template(dice.bytes(1024), dice.bytes(SIGNATURE_BYTES), accepted_spoof=bool(seed % 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store, not encrypted, with people and a log."""
    path = tmp_path / "data" / "people.sqlite3"
    with Store.open(path, create=True) as store, store.transaction() as change:
        for number in range(PEOPLE):
            name = PersonName.parse(f"person{number}")
            store.person(name).add(change, CONTRACT, [template(number), template(number + 100)])
            change.log("register", "registered", uid=store.person(name).uid)
    return path


def contents(path: Path) -> list[tuple[str, list[Template]]]:
    """Everybody with their photos, opened."""
    with Store.open(path, access(path)) as store:
        return [
            (row.name, [photo for *_, photo in store.person(row.name).templates()])
            for row in store.people()
        ]


EVERYBODY = [(f"person{n}", [template(n), template(n + 100)]) for n in range(PEOPLE)]


def rotate(path: Path, keys: KeyAccess | None = None) -> None:
    keys = keys or access(path)
    with Store.open(path, keys) as store:
        rekey.rotate(store, keys)


def sound_log(path: Path) -> list[str]:
    """The verdicts in the log, which is whole."""
    with Store.open(path, access(path)) as store:
        count, broken = store.verify_log()
        verdicts = [event.verdict for event in store.events()]
    assert (broken, count) == (None, len(verdicts))
    return verdicts


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def test_everybody_is_there_before_and_after(path: Path) -> None:
    assert contents(path) == EVERYBODY
    rekey.encrypt(path, KeyKind.FILE, access(path))
    assert contents(path) == EVERYBODY
    rotate(path)
    assert contents(path) == EVERYBODY
    assert rows(path, "SELECT generation FROM key_lock") == [(2,)]
    assert sound_log(path) == ["registered"] * PEOPLE + ["encrypted", "rotated"]


def test_every_person_has_a_key_of_their_own(path: Path) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))
    keys = rows(path, "SELECT wrapped_key FROM people")
    assert len({key for key in keys if key != (None,)}) == PEOPLE


def test_a_log_that_was_altered_is_not_made_sound(path: Path) -> None:
    """Otherwise encryption, or another key, would put its name to somebody else's entry."""
    rekey.encrypt(path, KeyKind.FILE, access(path))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE events SET anchor = zeroblob(32) WHERE id = 3")
    rotate(path)
    with Store.open(path, access(path)) as store:
        _, broken = store.verify_log()
    assert broken is not None
    assert broken.id == 3


def test_a_store_that_is_encrypted_is_not_encrypted_again(path: Path) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))
    before = path.read_bytes()
    with pytest.raises(Conflict):
        rekey.encrypt(path, KeyKind.FILE, access(path))
    assert path.read_bytes() == before


def test_a_key_that_cannot_be_kept_changes_nothing(path: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    before = path.read_bytes()
    with pytest.raises(SetupProblem):
        rekey.encrypt(path, KeyKind.FILE, KeyAccess(blocked / "key"))
    with pytest.raises(SetupProblem):
        rekey.encrypt(tmp_path / "new.sqlite3", KeyKind.FILE, KeyAccess(blocked / "key"))
    assert path.read_bytes() == before
    assert not (tmp_path / "new.sqlite3").exists()


def test_a_failure_half_way_leaves_the_store_with_its_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))

    def full(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("facauth.store.store.log.append", full)
        rotate(path)
    assert contents(path) == EVERYBODY
    assert rows(path, "SELECT generation FROM key_lock") == [(1,)]
    rotate(path)  # with the key that was kept for this generation
    assert contents(path) == EVERYBODY
    assert len(access(path).place.read_text().splitlines()) == 1  # type: ignore[union-attr]


# --- killed --------------------------------------------------------------------------------------

HEAD = """
import sys
from pathlib import Path
from facauth.errors import FacauthError
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind, Lock
from facauth.store.store import Store
from facauth.records import PersonName
path = Path(sys.argv[1])
access = KeyAccess(None, path.parent / "keys" / "key", None)
print("ready", flush=True)
sys.stdin.readline()
"""
ENCRYPT = "rekey.encrypt(path, KeyKind.FILE, access)"
ROTATE = """
while True:
    with Store.open(path, access) as store:
        rekey.rotate(store, access)
"""
KILLS = 12


def started(script: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TOP,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def kill_after(seconds: float, process: subprocess.Popen[str]) -> None:
    go(process)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def generation(path: Path) -> int:
    ((number,),) = rows(path, "SELECT generation FROM key_lock")
    return int(str(number))


@pytest.mark.slow
def test_killed_while_it_encrypts(path: Path) -> None:
    """As it was or encrypted, and then everybody is there; and it can be done again."""
    original, dice = path.read_bytes(), random.Random(5)
    for _ in range(KILLS):
        for file in path.parent.glob(path.name + "*"):
            file.unlink()
        path.write_bytes(original)
        kill_after(dice.uniform(0, 0.15), started(ENCRYPT, path))
        assert contents(path) == EVERYBODY
        if not rows(path, "SELECT * FROM key_lock"):
            rekey.encrypt(path, KeyKind.FILE, access(path))
        assert contents(path) == EVERYBODY
        sound_log(path)


@pytest.mark.slow
def test_killed_while_it_rotates(path: Path) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))
    dice, kills = random.Random(6), 0
    while kills < KILLS or generation(path) <= KILLS:  # some came through, however busy we are
        kill_after(dice.uniform(0.02, 0.2), started(ROTATE, path))
        assert contents(path) == EVERYBODY
        kills += 1
        assert kills < 20 * KILLS
    rotate(path)
    sound_log(path)
    assert len(access(path).place.read_text().splitlines()) == 1  # type: ignore[union-attr]


# --- several at once -----------------------------------------------------------------------------

ONCE = """
try:
    with Store.open(path, access) as store:
        rekey.rotate(store, access)
    print("rotated")
except FacauthError as error:
    print(error.reasons[0].code)
"""
FIRST = """
try:
    rekey.encrypt(path, KeyKind.FILE, access)
    print("encrypted")
except FacauthError as error:
    print(error.reasons[0].code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["encrypted", "rotated"])
def test_of_several_at_once_each_succeeds_or_says_so(path: Path, what: str) -> None:
    if what == "rotated":
        rekey.encrypt(path, KeyKind.FILE, access(path))
    running = [started(FIRST if what == "encrypted" else ONCE, path) for _ in range(4)]
    for process in running:
        go(process)
    answers = Counter(process.communicate(timeout=120)[0].strip() for process in running)
    assert answers[what] >= 1
    assert set(answers) <= {what, "store.changed", "key.already"}
    done = answers[what]
    assert rows(path, "SELECT generation FROM key_lock") == [(done + (what == "rotated"),)]
    assert contents(path) == EVERYBODY
    assert sound_log(path)[PEOPLE:].count(what) == done


SIGN_INS = """
import time
seen = {}
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        with Store.open(path, access) as store, store.attempt(None) as attempt:
            with store.snapshot():
                found = store.encodings("test/1")
                kept = store.person("person3").signatures()
            attempt.accept(store.person("person3").uid)
        answer = f"{len(found)} {len(kept)}"
    except FacauthError as error:
        answer = error.reasons[0].code
    seen[answer] = seen.get(answer, 0) + 1
print(seen)
"""


@pytest.mark.slow
def test_sign_ins_while_the_key_changes(path: Path) -> None:
    """Each sees everybody, or is asked to try again; none waits longer than one rotation."""
    rekey.encrypt(path, KeyKind.FILE, access(path))
    reader = started(SIGN_INS, path)
    go(reader)
    rotations = 0
    while reader.poll() is None:
        rotate_or_busy(path)
        rotations += 1
    said, complaints = reader.communicate()
    assert complaints == ""
    answers: dict[str, int] = eval(said)
    assert rotations > 5
    assert answers[f"{2 * PEOPLE} 2"] > 0
    assert set(answers) <= {f"{2 * PEOPLE} 2", "store.changed"}
    with Store.open(path, access(path)) as store:
        assert store.failures() < 5


def rotate_or_busy(path: Path) -> None:
    try:
        rotate(path)
    except FacauthError as error:
        assert error.reasons[0].code == "store.changed", error
    time.sleep(0.02)


@pytest.mark.slow
def test_a_passphrase_store_gets_another_passphrase(path: Path) -> None:
    old = replace(access(path), ask=lambda _: "the first passphrase")
    new = replace(access(path), ask=lambda _: "the second passphrase")
    rekey.encrypt(path, KeyKind.PASSPHRASE, old)
    with Store.open(path, old) as store:
        lock = rekey.rotate(store, new)
        assert len(store.encodings(CONTRACT)) == 2 * PEOPLE  # goes on with the new key
    assert (lock.kind, lock.generation) == (KeyKind.PASSPHRASE, 2)
    for keys, opens in ((old, False), (new, True)):
        with Store.open(path, keys) as store:
            if opens:
                assert len(store.encodings(CONTRACT)) == 2 * PEOPLE
            else:
                with pytest.raises(SetupProblem):
                    store.encodings(CONTRACT)
    assert not access(path).place.exists()  # type: ignore[union-attr]


def test_a_key_that_changes_while_it_is_looked_for_asks_for_another_try(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key file is the right one, and to name another would help nobody."""
    rekey.encrypt(path, KeyKind.FILE, access(path))
    kek = KeyAccess.kek

    def late(keys: KeyAccess, lock: Lock) -> bytes:
        monkeypatch.undo()
        rotate(path)
        return kek(keys, lock)

    monkeypatch.setattr(KeyAccess, "kek", late)
    with Store.open(path, access(path)) as store, pytest.raises(SetupProblem) as refusal:
        store.vault()
    assert refusal.value.reasons[0].code == "store.changed"


def test_no_copy_of_the_key_without_its_event(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))
    copy = path.with_name("copy")
    fsync = os.fsync

    def stopped(file: int) -> None:
        """When the key has just been written, as a kill would."""
        fsync(file)
        written = [each for each in path.parent.glob("*copy*") if each.stat().st_size]
        told.extend(verdicts(path)[-1] == "exported" for _ in written)

    told: list[bool] = []
    with Store.open(path, access(path)) as store:
        monkeypatch.setattr(os, "fsync", stopped)
        rekey.export(store, copy)
        monkeypatch.undo()
    assert told
    assert all(told)


def verdicts(path: Path) -> list[str]:
    """What others see of the log now."""
    with Store.open(path) as store:
        return [event.verdict for event in store.events()]


def test_a_key_is_not_copied_if_its_event_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rekey.encrypt(path, KeyKind.FILE, access(path))
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.05)
    with Store.open(path, access(path)) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            with pytest.raises(SetupProblem):
                rekey.export(store, path.with_name("copy"))
        assert not path.with_name("copy").exists()
        rekey.export(store, path.with_name("copy"))
