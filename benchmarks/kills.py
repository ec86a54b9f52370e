"""The state of a store after a process is killed at every write, and half-way through it.

    python benchmarks/kills.py [--every N] [--only OPERATION ...] [--json]

Each operation runs in a process of its own, which is killed with SIGKILL at each of its system
calls that write to the folder of the store, of its key file and of its backup: before the call,
after it, and, where bytes are written, after the first half of them (tests/killer.py). The networks
are replaced by made-up faces; all else is what the commands run. After each kill the store is
opened as the next command would, with its key, and this must hold:

- SQLite finds no fault, the log's chain is whole, and who is enrolled, with every byte, the log,
  the attempt limits and the lock are as before the operation or as after it. A sign-in may also
  have been counted as failed and not settled, for everybody or for the person it comes near as
  well; and of a first registration there may be a store with nobody in it: nothing else may be
  half done
- an older store has its rows or is a current one, with a whole backup beside it
- no file is open to others, although the umask is 000
- no byte that the operation erased is in any file: encodings, signatures, names, keys
- the operation can be repeated or, if it was done, the next one can be done; then no file is left
  over, and no key of an earlier generation

A second table is about torn write-ahead logs: cut off at the end of each frame and in the middle
of it, and with a byte flipped in each. The store must then be as some committed transaction
left it: the last one before the damage.

The last operations are wrong on purpose. They show that the checks can fail.

A process dies here, not a machine: written data stays written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import stat
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from facauth import admin
from facauth.decision.calibration import shipped
from facauth.decision.match import compare
from facauth.errors import Attack, FacauthError, NoMatch, Reason, SetupProblem
from facauth.faces.footage import Track
from facauth.pipeline import register, sign_in
from facauth.records import PersonName
from facauth.settings import DEFAULT, LIMITS
from facauth.spoof.signature import CaptureSignature, Part
from facauth.store import means, rekey
from facauth.store.clock import SYSTEM
from facauth.store.keys import KeyAccess, KeyKind, create, forget
from facauth.store.limits import GRAVEST
from facauth.store.log import FIELDS, entry_hash
from facauth.store.sealing import Template
from facauth.store.sqlite import backup, upgrade
from facauth.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from facauth.store.store import Store
from facauth.structs import (
    Encoding,
    EnrolmentTerms,
    Face,
    Liveness,
    LiveVerdict,
    Quality,
    Replay,
    ReplayVerdict,
    Sighting,
    Terms,
)
from facauth.system import Stages, System

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from killer import calls, kill, why_not

CONTRACT = "kills/1"
ASKED = Terms.of(None, None, DEFAULT)
FEATURES = 20  # features of each part of a signature: fewer than of a photo, to be faster
GREY_PX = 40
WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24  # sqlite.org/fileformat.html#the_write_ahead_log

LOG = "data/people.sqlite3-wal"
FAULTS = (FacauthError, sqlite3.Error, OSError, ValueError, AssertionError)

# A file system in memory, where there is one: a kill is the same there, and fsync is quick.
MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)

State = tuple[Any, ...]


def nothing(_: Path) -> None:
    """Leave it as it is."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on a store at a path, which must be done whole or not at all."""

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    read: Callable[[Path], State]  # the state that must be as before or as after
    use: Callable[[Path], object]  # the operation that must work afterwards
    midway: tuple[Callable[[Path], object], ...] = ()  # further states that a kill may lead to


@dataclass(slots=True)
class Tally:
    """The results of the kills of one operation."""

    operation: str
    calls: int
    kills: int = 0
    found_done: int = 0  # kills after which it was done; damages after a transaction
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


# ---- people who do not exist


def made_up() -> Stages:
    """Stages for images named "PERSON NUMBER", each with a new live face."""
    face = Face((0.0, 0.0, 100.0, 100.0), np.zeros((5, 2), np.float32), 1.0)
    quality = Quality(100, 1, 0.5, 0, 0, 0, 50, 8, 0, 0, 0, 1, 1, 1)
    live = Liveness(LiveVerdict.LIVE, 1.0, 0.5, 0.9, (), ())
    new = Replay(ReplayVerdict.NEW, 1, None, 0, 0, None, None, False, ())
    return Stages(
        contract=lambda: CONTRACT,
        calibration=lambda: shipped().calibration,
        film=lambda _: None,
        follow=lambda _: Track((), ()),
        decode=lambda image: np.frombuffer(image.encode(), np.uint8),
        sight=lambda pixels: Sighting(pixels, (face,), 0),
        measure=lambda *_: quality,
        liveness=lambda *_: live,
        encode=lambda seen, _: encoding(seen.pixels.tobytes().decode()),
        compare=compare,
        signature=lambda seen, _: signature(seen.pixels.tobytes()),
        replay=lambda _, enrolled: replace(new, compared=len(enrolled)),
    )


def fake() -> Stages:
    """Stages that judge every image as a picture of a face."""
    reason = Reason("liveness.presentation_attack", "it is a picture", "come in person")
    attack = Liveness(LiveVerdict.ATTACK, 0.0, 0.5, 0.9, (), (reason,))
    return replace(made_up(), liveness=lambda *_: attack)


def encoding(image: str) -> Encoding:
    """An encoding, similar for all images of one person."""
    person = image.rpartition(" ")[0].encode()
    vector = unit(person) + 0.3 * unit(image.encode())
    return Encoding(CONTRACT, (vector / np.linalg.norm(vector)).astype(np.float32))


def unit(seed: bytes) -> Any:
    """A random vector of 256 numbers and unit length."""
    vector = np.random.default_rng(zlib.crc32(seed)).normal(size=256)
    return vector / np.linalg.norm(vector)


def signature(seed: bytes) -> CaptureSignature:
    """A signature of noise."""
    dice = np.random.default_rng(zlib.crc32(seed))

    def part() -> Part:
        points = dice.integers(0, 65536, (FEATURES, 2), np.uint16)
        descriptors = dice.integers(0, 256, (FEATURES, 128), np.uint8)
        grey = dice.integers(0, 256, (GREY_PX, GREY_PX), np.uint8)
        return Part((0.0, 0.0, 1.0, 1.0), (160, 160), points, descriptors, grey, 0.5)

    return CaptureSignature(part(), part())


# Long enough to be searched in files.
ADA = PersonName.parse("Ada of Lovelace and Byron")
BOB = PersonName.parse("Bob of Shannon and Wiener")
CAROL = PersonName.parse("Carol of Noether and Hilbert")
DAN = PersonName.parse("Dan of Turing and Church")
EVE = PersonName.parse("Eve of Hopper and Aiken")


# ---- operations


def keys(path: Path) -> KeyAccess:
    """The key file is beside the store, so that its writes are killed too."""
    return KeyAccess(default_key_file=path.with_name("key"))


def opened(path: Path, *, create: bool = False) -> Store:
    """As a command opens it."""
    return Store.open(path, keys(path), create=create)


def enrol(path: Path, name: PersonName, numbers: Sequence[int], replace: bool = False) -> None:
    """Register a person with photos of these numbers."""
    images = [f"{name.text} {number}" for number in numbers]
    with opened(path, create=True) as store:
        asked = EnrolmentTerms(DEFAULT, replace=replace)
        register(System.of(made_up(), store), name, images, asked)


def recognise(path: Path) -> None:
    """Sign Ada in."""
    with opened(path) as store:
        sign_in(System.of(made_up(), store), f"{ADA.text} 100", ASKED)


def study(path: Path, number: int = 100) -> None:
    """Sign Ada in, and learn the photo."""
    with opened(path) as store:
        asked = replace(ASKED, learn=True)
        sign_in(System.of(made_up(), store), f"{ADA.text} {number}", asked)


def search(path: Path) -> None:
    """Sign Ada in by search blocks, as in a large store."""
    few, means.SEARCHED_FROM = means.SEARCHED_FROM, 1
    try:
        recognise(path)
    finally:
        means.SEARCHED_FROM = few


def refuse(path: Path) -> None:
    """Refuse a stranger."""
    with opened(path) as store, suppress(NoMatch):
        sign_in(System.of(made_up(), store), "a stranger 1", ASKED)


def catch(path: Path) -> None:
    """Refuse a picture of Ada, which counts as two failures."""
    with opened(path) as store, suppress(Attack):
        asked = Terms.of(None, ADA.text, DEFAULT)
        sign_in(System.of(fake(), store), f"{ADA.text} 100", asked)


def abandon(path: Path, claimed: PersonName | None = None, near: PersonName | None = None) -> None:
    """A sign-in that ends after it was counted and before it is settled.

    near: the person whom it nearly matches, and for whom it counts too.
    """
    name = claimed.text if claimed else None
    with opened(path) as store, suppress(KeyboardInterrupt), store.attempt(name) as attempt:
        if near:
            attempt.came_near(store.person(near).uid)
        raise KeyboardInterrupt


def make(path: Path) -> None:
    """Create an empty store."""
    opened(path, create=True).close()


def unlock(path: Path) -> None:
    """Forget the failures of sign-ins without a name."""
    with opened(path) as store, store.transaction() as change:
        change.unlock(None)


def remove(path: Path, name: PersonName) -> None:
    """As the command does."""
    with opened(path) as store:
        admin.remove(store, name)


def rename(path: Path, old: PersonName, new: PersonName) -> None:
    """As the command does."""
    with opened(path) as store:
        admin.rename(store, old, new)


def encrypt(path: Path) -> None:
    """Encrypt the store, or rotate its key."""
    with opened(path) as store:
        encrypted = store.lock() is not None
        if encrypted:
            rekey.rotate(store, keys(path))
    if not encrypted:
        rekey.encrypt(path, KeyKind.FILE, keys(path))


def newcomer(path: Path) -> None:
    """Register a new person, which must always work."""
    enrol(path, DAN, (1,))


def two_people(path: Path) -> None:
    """Ada and Bob, with two photos each."""
    for name in (ADA, BOB):
        enrol(path, name, (1, 2))


def searched(path: Path) -> None:
    """Ada and Bob, and their search block."""
    two_people(path)
    search(path)


def tried(path: Path) -> None:
    """Ada and Bob, a failure of Ada, and one without a name."""
    two_people(path)
    abandon(path)
    abandon(path, ADA)


def locked_out(path: Path) -> None:
    """Nobody can sign in without a name."""
    two_people(path)
    for _ in range(LIMITS.max_failures // GRAVEST):
        abandon(path)


def encrypted(path: Path) -> None:
    """Ada and Bob, with a key file."""
    two_people(path)
    encrypt(path)


def upgraded(path: Path) -> None:
    """Ada and Bob, and a backup that holds them too."""
    older(path, 2)
    upgrade.migrate(path)


def studied(path: Path) -> None:
    """Ada and Bob, two photos of Ada that were learned (the most there may be), and a backup."""
    two_people(path)
    study(path, 98)
    study(path, 99)
    copy = path.with_name(f"{path.name}.v2.backup")
    copy.touch(mode=0o600)
    copy.write_bytes(path.read_bytes())


def older(path: Path, version: int) -> None:
    """A store as an older version of the schema left it."""
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for step in (step for steps in MIGRATIONS[:version] for step in steps):
            assert isinstance(step, str)
            db.execute(step)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        for number, name in enumerate((ADA, BOB), 1):
            image, logged = f"{name.text} 1", ("register", "registered", None, number)
            stored = [encoding(image).as_bytes(), "", signature(image.encode()).to_bytes(), 0]
            row = (number, number, CONTRACT, *stored[: 2 * version])
            db.execute("INSERT INTO people VALUES (?, ?, ?, '')", (number, name.text, name.key))
            db.execute(f"INSERT INTO templates VALUES ({', '.join('?' * len(row))})", row)
            db.execute("INSERT INTO events VALUES (NULL, '', ?, ?, ?, ?)", logged)


@cache
def made(version: int) -> State:
    """The rows of a store of that version."""
    with tempfile.TemporaryDirectory() as folder:
        older(at(Path(folder)), version)
        return rows(at(Path(folder)))


# ---- operations that are wrong on purpose


def two_transactions(path: Path) -> None:
    """A person, and only then the event."""
    with opened(path) as store:
        with store.transaction() as change:
            store.person(DAN).add(
                change, CONTRACT, [Template(encoding(f"{DAN.text} 1").as_bytes(), None, False)]
            )
        store.log("register", "registered", uid=store.person(DAN).uid)


def with_a_file(path: Path) -> None:
    """A file beside the store."""
    two_people(path)
    path.with_name("notes").touch(mode=0o600)
    in_place(path, "as before")


def in_place(path: Path, text: str) -> None:
    """A file that is written over."""
    path.with_name("notes").write_text(json.dumps(text))


def read_file(path: Path) -> State:
    """What is in it."""
    return (json.loads(path.with_name("notes").read_text()),)


def guarded(path: Path) -> None:
    """A lock file that stays when its owner dies."""
    lock = path.with_name("lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    with opened(path) as store:
        store.log("doctor", "ok")
    lock.unlink()


def unerased(path: Path) -> None:
    """A removal that leaves the bytes in free pages, and drops these in a second step."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM templates")
        db.execute("VACUUM")


def kept_too_long(path: Path) -> None:
    """A removal that deletes the backup after the commit."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("DELETE FROM templates")
    backup.discard_backups(path)


def readable(path: Path) -> None:
    """A file beside the store that is created without a mode."""
    path.with_name("secret").write_text("secret")


def unjournalled(path: Path) -> None:
    """A transaction without a journal."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("BEGIN")
        columns = "person_id, contract, encoding, signature, accepted_spoof, learned, enrolled_at"
        db.execute(f"INSERT INTO templates ({columns}) SELECT {columns} FROM templates")
        db.execute("COMMIT")


def unchained(path: Path) -> None:
    """An event, and only then the head of the log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        entries, last = db.execute("SELECT entries, hash FROM log_head").fetchone()
        fields = (entries + 1, SYSTEM.stamp(), "doctor", "ok", None, None, None)
        digest = entry_hash(last, fields)
        values = ", ".join("?" * (len(fields) + 1))
        db.execute(f"INSERT INTO events ({FIELDS}, hash) VALUES ({values})", (*fields, digest))
        db.execute("UPDATE log_head SET entries = ?, hash = ?", (entries + 1, digest))


def forgotten_too_soon(path: Path) -> None:
    """A rotation that deletes the old key before the store has the new one."""
    with opened(path) as store:
        lock = store.lock()
        assert lock
        store.vault()
        create(lock.kind, lock.store_id, lock.generation + 1, keys(path))
        forget(lock.kind, lock.store_id, lock.generation + 1, keys(path))
        rekey.rotate(store, keys(path))


def backed_up_in_place(path: Path) -> None:
    """A migration whose backup has its final name before it is whole."""
    copy = path.with_name(f"{path.name}.v2.backup")
    copy.touch(mode=0o600)
    copy.write_bytes(path.read_bytes())
    upgrade.migrate(path)


# ---- the state of a store


def read(path: Path) -> State:
    """All that the next command finds, but for times and what is random; of older ones the rows.

    Nothing of a store that is not there.
    """
    try:
        with opened(path) as store:
            return contents(store)
    except SetupProblem as refusal:
        if refusal.reasons[0].code == "store.missing":
            return ()
        if refusal.reasons[0].code != "store.older":
            raise
        return rows(path)


def contents(store: Store) -> State:
    """The content of a sound store."""
    assert store.faults() == []
    broken = store.verify_log()[1]
    assert broken is None, f"the log is broken: {broken}"
    enrolled = tuple(
        (
            *(row.name, row.last_sign_in_at is None, row.needs_new_photo, row.accepted_spoof),
            *((made_by, photo) for made_by, _, photo in store.person(row.name).templates()),
            store.person(row.name).failures(),
        )
        for row in store.people(CONTRACT)
    )
    events = tuple(
        (each.command, each.verdict, *each.reasons, each.person, each.error_rate)
        for each in store.events()
    )
    lock = store.lock()
    locked = lock and (lock.kind, lock.generation)
    return enrolled, tuple(store.encodings(CONTRACT)), events, store.failures(), locked


def read_migrated(path: Path) -> State:
    """As `read`; and the backup is whole, from when it has its name and as soon as it is needed."""
    copies = {int(copy.suffixes[-2][2:]): rows(copy) for copy in path.parent.glob("*.backup")}
    assert all(found == made(version) for version, found in copies.items()), "no whole backup"
    state = read(path)
    assert copies or state in (made(1), made(2)), "migrated without a backup"
    return state


def rows(path: Path) -> State:
    """The version and all rows of all tables, read by SQLite directly."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = [tuple(db.execute(f"SELECT * FROM {table}")) for table in table_names(db)]
        return (*db.execute("PRAGMA user_version").fetchone(), *tables)


def table_names(db: sqlite3.Connection) -> list[str]:
    """In order."""
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    return [name for (name,) in db.execute(query).fetchall()]


def secrets(path: Path) -> set[bytes]:
    """All stored bytes and names of people, past facauth, and the keys of the key file."""
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as db:
        tables = [db.execute(f"SELECT * FROM {table}") for table in table_names(db)]
        found = {value for each in tables for row in each for value in row if type(value) is bytes}
        names = {name.encode() for (name,) in db.execute("SELECT name FROM people")}
    return found | names | {line.split()[-1].encode() for line in key_lines(path)}


def key_lines(path: Path) -> list[str]:
    """The lines of the key file."""
    file = path.with_name("key")
    return file.read_text().splitlines() if file.exists() else []


def old_keys(path: Path) -> list[str]:
    """A fault if the key file holds an unused key of the store."""
    with opened(path) as store:
        lock = store.lock()
    lines = [line.split() for line in key_lines(path)]
    ours = [int(line[2]) for line in lines if lock and line[1] == lock.store_id]
    return [] if not lock or ours == [lock.generation] else [f"keys of generations {ours} are kept"]


def files(folder: Path) -> set[str]:
    """Every file and folder below it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def open_to_others(folder: Path) -> list[str]:
    """What is below the folder that has any permission bit for group or others."""
    return [each.name for each in folder.rglob("*") if stat.S_IMODE(each.stat().st_mode) & 0o077]


def pieces(blob: bytes) -> Iterator[bytes]:
    """16 of each 256 bytes, so that every page of the data is found; no runs of zeros."""
    cut = (blob[start : start + 16] for start in range(0, len(blob) - 15, 256))
    return (piece for piece in cut if len(set(piece)) > 8)


# ---- killing


@dataclass(frozen=True, slots=True)
class Bench:
    """One operation, prepared once: state before, state after, and a folder for trials."""

    operation: Operation
    start: Path
    trial: Path
    done: State
    undone: list[
        tuple[State, State]
    ]  # further states that are allowed, and the states after a repetition
    files: set[str]
    secrets: set[bytes]

    @classmethod
    def of(cls, operation: Operation, folder: Path) -> Bench:
        """Prepare the operation; it runs once here, so that all modules are imported."""
        start, trial = folder / "start", folder / "trial"
        start.mkdir()
        operation.prepare(at(start))
        undone, found = [], set()
        for begin in (*operation.midway, nothing):
            again(start, trial)
            begin(at(trial))
            before = operation.read(at(trial))
            found |= files(trial)
            operation.act(at(trial))
            undone.append((before, operation.read(at(trial))))
            found |= files(trial)
        operation.use(at(trial))
        return cls(operation, start, trial, undone[-1][1], undone, found, secrets(at(start)))

    def act(self) -> None:
        """Run the operation with umask 000, so that files that are not made private are open."""
        os.umask(0)
        self.operation.act(at(self.trial))

    def check(self) -> tuple[bool, list[str]]:
        """Whether the operation was done, and the faults."""
        wrong = [f"{name} is open to others" for name in open_to_others(self.trial)]
        try:
            state = self.operation.read(at(self.trial))
            wrong += self.not_erased()
            wrong += self.go_on(state)
        except FAULTS as error:
            return False, [*wrong, f"{type(error).__name__}: {error}"]
        wrong += self.not_erased()
        wrong += [f"{name} is left over" for name in files(self.trial) - self.files]
        return state == self.done, wrong

    def go_on(self, state: State) -> list[str]:
        """Run the next operation from this state."""
        path = at(self.trial)
        if state == self.done:
            self.operation.use(path)
            self.operation.read(path)
            return old_keys(path)
        expected = [after for before, after in self.undone if before == state]
        if not expected:
            return ["neither as before nor as after"]
        self.operation.act(path)
        if self.operation.read(path) not in expected:
            return ["doing it again does something else"]
        return old_keys(path)

    def not_erased(self) -> list[str]:
        """Files with bytes that were erased from the store."""
        gone = [
            piece for secret in self.secrets - secrets(at(self.trial)) for piece in pieces(secret)
        ]
        found = [each for each in self.trial.rglob("*") if each.is_file()] if gone else []
        contents = {each.name: each.read_bytes() for each in found}
        return [
            f"{name} holds erased bytes"
            for name, content in contents.items()
            if any(piece in content for piece in gone)
        ]


def at(folder: Path) -> Path:
    """The path of the store of a trial, in a folder, so that the store can be missing."""
    return folder / "data" / "people.sqlite3"


def again(start: Path, trial: Path) -> None:
    """Restore the state before."""
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(start, trial)


def killed(operation: Operation, every: int = 1, until: str | None = None) -> Tally:
    """Kill an operation at each writing call, in each way; with `every`, only each n-th time.

    until: stop at the first fault that contains this text.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        bench = Bench.of(operation, Path(folder))
        again(bench.start, bench.trial)
        found = calls(bench.act, bench.trial)
        tally = Tally(operation.name, len(found))
        deaths = [(number, mode) for number, call in enumerate(found) for mode in call.modes]
        for number, mode in deaths[::every]:
            again(bench.start, bench.trial)
            call = kill(bench.act, bench.trial, number, mode)
            done, wrong = bench.check()
            tally.kills += 1
            tally.found_done += done
            if wrong:
                tally.violations.append(f"{mode} call {number}, {call}: {'; '.join(wrong)}")
            if until and is_found(tally, until):
                break
    tally.seconds = time.monotonic() - begin
    return tally


def torn(name: str, prepare: Callable[[Path], object], every: int = 1) -> Tally:
    """Cut the write-ahead log off and flip bytes in it; a tally of damages, not of kills."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        start, trial = Path(folder) / "start", Path(folder) / "trial"
        states = committed(start, prepare)
        log = start / LOG
        ends, commits = frames(log.read_bytes())
        assert len(commits) + 1 == len(states)
        tally = Tally(name, len(ends))
        for first, damaged in list(damage(log.read_bytes(), ends))[::every]:
            again(start, trial)
            (trial / LOG).write_bytes(damaged)
            committed_before = sum(end <= first for end in commits)
            tally.kills += 1
            tally.found_done += committed_before > 0
            if wrong := differs(trial, states[committed_before]):
                tally.violations.append(f"damage from byte {first}: {wrong}")
    tally.seconds = time.monotonic() - begin
    return tally


def differs(trial: Path, expected: State) -> str:
    """The differences of a store from the expected state; empty if there are none."""
    try:
        return "" if read(at(trial)) == expected else "not as the last whole transaction left it"
    except FAULTS as error:
        return f"{type(error).__name__}: {error}"


def committed(folder: Path, prepare: Callable[[Path], object]) -> list[State]:
    """A store whose log holds some transactions, each a state; the first is that without a log.

    It is copied while open, because closing the store empties the log.
    """
    busy, states = folder.with_name("busy"), []
    prepare(at(busy))
    steps = (
        nothing,
        partial(enrol, name=CAROL, numbers=(1,)),
        abandon,
        unlock,
        partial(enrol, name=DAN, numbers=(1, 2)),
        partial(rename, old=CAROL, new=EVE),
        drop,
    )
    with opened(at(busy)):
        for step in steps:
            step(at(busy))
            again(busy, folder)
            states.append(read(at(folder)))
        again(busy, folder)
    return states


def drop(path: Path) -> None:
    """Remove Ada, and leave the log as long as it is."""
    with opened(path) as store, store.transaction() as change:
        store.person(ADA).remove(change)
        change.erasing = False


def frames(log: bytes) -> tuple[list[int], list[int]]:
    """The ends of the frames of a write-ahead log, and which frames end a transaction."""
    (page_bytes,) = struct.unpack_from(">I", log, 8)
    step = FRAME_HEADER_BYTES + page_bytes
    ends = list(range(WAL_HEADER_BYTES + step, len(log) + 1, step))
    return ends, [end for end in ends if any(log[end - step + 4 : end - step + 8])]


def damage(log: bytes, ends: list[int]) -> Iterator[tuple[int, bytes]]:
    """The log with one damage, and the first byte that is missing or wrong."""
    cuts, flips = [0, WAL_HEADER_BYTES // 2], [0, 5, 10, 14, 18, 22, 26, 30]
    for start, end in pairwise([WAL_HEADER_BYTES, *ends]):
        cuts += [start, start + FRAME_HEADER_BYTES // 2, (start + end) // 2]
        flips += [*range(start, start + FRAME_HEADER_BYTES, 4), (start + end) // 2, end - 1]
    for first in cuts:
        yield first, log[:first]
    for first in flips:
        yield first, log[:first] + bytes([log[first] ^ 0xFF]) + log[first + 1 :]


# ---- the tables


def on_store(
    name: str, act: Callable[[Path], object], prepare: Callable[[Path], object] = two_people
) -> Operation:
    """An operation on a store of two people."""
    return Operation(name, prepare, act, read, newcomer)


def migration(name: str, act: Callable[[Path], object], version: int) -> Operation:
    """The migration of a version to the current one."""
    return Operation(name, partial(older, version=version), act, read_migrated, newcomer)


UNSETTLED = (abandon, partial(abandon, near=ADA))
OPERATIONS = (
    Operation(
        "first register", nothing, partial(enrol, name=ADA, numbers=(1,)), read, newcomer, (make,)
    ),
    on_store("register", partial(enrol, name=CAROL, numbers=(1, 2))),
    on_store("register a photo more", partial(enrol, name=ADA, numbers=(3,))),
    on_store("register --replace", partial(enrol, name=ADA, numbers=(3,), replace=True), upgraded),
    Operation("sign-in, accepted", tried, recognise, read, newcomer, UNSETTLED),
    Operation("sign-in --learn", tried, study, read, newcomer, UNSETTLED),
    Operation("sign-in --learn, one for another", studied, study, read, newcomer, UNSETTLED),
    Operation("sign-in, searched", tried, search, read, search, UNSETTLED),
    Operation("sign-in, refused", tried, refuse, read, newcomer, (abandon,)),
    Operation("sign-in, an attack", tried, catch, read, newcomer, (partial(abandon, claimed=ADA),)),
    Operation("unlock", locked_out, unlock, read, recognise),
    on_store("remove", partial(remove, name=ADA), upgraded),
    on_store("remove, searched", partial(remove, name=ADA), searched),
    on_store("rename", partial(rename, old=ADA, new=CAROL)),
    migration("migrate 1 to 3", upgrade.migrate, 1),
    migration("migrate 2 to 3", upgrade.migrate, 2),
    Operation("key init", upgraded, encrypt, read, encrypt),
    Operation("key rotate", encrypted, encrypt, read, encrypt),
    on_store("register, encrypted", partial(enrol, name=CAROL, numbers=(1, 2)), encrypted),
    on_store("remove, encrypted", partial(remove, name=ADA), encrypted),
)
LOGS = {"plain": two_people, "encrypted": encrypted}
# Wrong on purpose, with the fault to be found.
CONTROLS = {
    on_store("two transactions", two_transactions): "neither as before nor as after",
    Operation(
        "in place", with_a_file, partial(in_place, text="as after"), read_file, nothing
    ): "JSONDecodeError",
    on_store("no journal", unjournalled): "is damaged",
    on_store("a lock file", guarded): "FileExistsError",
    on_store("not erased", unerased): "holds erased bytes",
    on_store("a backup kept too long", kept_too_long, upgraded): "backup holds erased bytes",
    migration("a backup in place", backed_up_in_place, 2): "no whole backup",
    on_store("a log in two steps", unchained): "the log is broken",
    Operation("a key gone too soon", encrypted, forgotten_too_soon, read, encrypt): "SetupProblem",
    on_store("no mode", readable): "is open to others",
}


def main() -> None:
    """Kill all operations and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="only each n-th kill")
    names = [each.name for each in OPERATIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if reason := why_not():
        sys.exit(f"kills.py: {reason}")
    chosen = [each for each in OPERATIONS if each.name in arguments.only]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        killing = pool.map(partial(killed, every=arguments.every), chosen)
        tearing = pool.map(partial(torn, every=arguments.every), LOGS, LOGS.values())
        failing = pool.map(killed, CONTROLS)
        tallies, logs = list(killing), list(tearing)
        controls = list(zip(failing, CONTROLS.values(), strict=True))
    if arguments.json:
        found = {each.operation: is_found(each, what) for each, what in controls}
        everything = {"kills": tallies, "torn": logs, "controls": found}
        print(json.dumps(everything, default=asdict))
    else:
        report(tallies, logs, controls)
    sys.exit(any(each.violations for each in [*tallies, *logs]))


def is_found(tally: Tally, what: str) -> bool:
    """Whether an operation that is wrong on purpose has the expected fault."""
    return any(what in violation for violation in tally.violations)


def report(tallies: list[Tally], logs: list[Tally], controls: list[tuple[Tally, str]]) -> None:
    """Print the tables."""
    print(f"{platform.platform()}, {os.cpu_count()} processors, ", end="")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print(f"stores in {MEMORY or tempfile.gettempdir()}")
    print("calls: that write to the store's folder; done: kills after which it turned out done\n")
    print(row("operation", "calls", "kills", "survived", "violated", "done", "seconds"))
    for each in tallies:
        print(tally_row(each))
    print(tally_row(total(tallies)))
    print("\n" + row("log", "frames", "damages", "survived", "violated", "kept some", "seconds"))
    for each in logs:
        print(tally_row(each))
    print("\nmeant to fail")
    for each, what in controls:
        answer = "found" if is_found(each, what) else "NOT FOUND"
        print(f"{each.operation:24}{answer}: {len(each.violations)} of {each.kills} kills, {what}")
    for each in [*tallies, *logs]:
        for violation in each.violations:
            print(f"violated: {each.operation}, {violation}")


def row(name: str, *cells: str) -> str:
    """One line of a table."""
    return f"{name:24}" + "".join(f"{cell:>10}" for cell in cells)


def tally_row(tally: Tally) -> str:
    """One line of figures."""
    violated = len(tally.violations)
    figures = (tally.calls, tally.kills, tally.kills - violated, violated, tally.found_done)
    return row(tally.operation, *map(str, figures), f"{tally.seconds:.1f}")


def total(tallies: Sequence[Tally]) -> Tally:
    """The sum of all tallies."""
    return Tally(
        "all",
        sum(each.calls for each in tallies),
        sum(each.kills for each in tallies),
        sum(each.found_done for each in tallies),
        [violation for each in tallies for violation in each.violations],
        sum(each.seconds for each in tallies),
    )


if __name__ == "__main__":
    main()
