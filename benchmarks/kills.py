"""What is left of a store when the process is killed: at every write, and half-way through it.

    python benchmarks/kills.py [--every N] [--only OPERATION ...] [--json]

Each operation runs in a process of its own, which is killed with SIGKILL at each of its system
calls that write to the store's folder: before the call, after it, and, where bytes are written,
after the first half of them (tests/killer.py). The networks are replaced by made-up faces; all
else is what the commands run. After each kill the store is opened as the next command would, and
this must hold:

- SQLite finds no fault, and who is enrolled, with every byte, and the log are as before the
  operation or as after it
- no file is open to others, although the umask is 000
- the operation can be done again, or if it was done, the next one; no file is left over
- no byte that the operation erased is in any file

A second table is about torn write-ahead logs: cut off at the end of each frame and in the middle
of it, and with a byte flipped in each. The store must then be as some committed transaction
left it: the last one before the damage.

The last operations are meant to fail. They show that what is claimed above can be found wrong.

This is the death of a process, not of a machine: what was written stays written.
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
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from facauth.decision.match import compare
from facauth.errors import FacauthError
from facauth.pipeline import Stages, register, sign_in
from facauth.records import people
from facauth.records.schema import APPLICATION_ID, MIGRATIONS
from facauth.records.store import Store, Template
from facauth.spoof.signature import CaptureSignature, Part
from facauth.structs import (
    Encoding,
    Face,
    Liveness,
    LiveVerdict,
    PersonName,
    Quality,
    Replay,
    ReplayVerdict,
    Sighting,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from killer import calls, kill, why_not

CONTRACT = "kills/1"
FEATURES = 20  # of each part of a signature: less than of a photo, to be done sooner
GREY_PX = 40
WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24  # sqlite.org/fileformat.html#the_write_ahead_log

LOG = "data/people.sqlite3-wal"
FAULTS = (FacauthError, sqlite3.Error, OSError, ValueError, AssertionError)

# A file system in memory, where there is one: a kill is the same there, and fsync is quick.
MEMORY = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)

State = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that must be done whole or not at all, to a store at a path."""

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    read: Callable[[Path], State]  # all that must be as before or as after
    use: Callable[[Path], object]  # what must work when it was done


@dataclass(slots=True)
class Tally:
    """What became of an operation that was killed."""

    operation: str
    calls: int
    kills: int = 0
    found_done: int = 0  # kills after which it turned out done; damages with transactions before
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


# ---- people who do not exist


def made_up() -> Stages:
    """Stages for images named "PERSON NUMBER", each of a live face that is never seen again."""
    face = Face((0.0, 0.0, 100.0, 100.0), np.zeros((5, 2), np.float32), 1.0)
    quality = Quality(100, 1, 0.5, 0, 0, 0, 50, 8, 0, 0, 0, 1, 1, 1)
    live = Liveness(LiveVerdict.LIVE, 1.0, 0.5, 0.9, (), ())
    new = Replay(ReplayVerdict.NEW, 1, None, 0, 0, None, None, False, ())
    return Stages(
        contract=lambda: CONTRACT,
        decode=lambda image: np.frombuffer(image.encode(), np.uint8),
        sight=lambda pixels: Sighting(pixels, (face,), 0),
        measure=lambda *_: quality,
        liveness=lambda *_: live,
        encode=lambda seen, _: encoding(seen.pixels.tobytes().decode()),
        compare=compare,
        signature=lambda seen, _: signature(seen.pixels.tobytes()),
        replay=lambda *_: new,
    )


def encoding(image: str) -> Encoding:
    """Alike for all images of one person."""
    person = image.rpartition(" ")[0].encode()
    vector = unit(person) + 0.3 * unit(image.encode())
    return Encoding(CONTRACT, (vector / np.linalg.norm(vector)).astype(np.float32))


def unit(seed: bytes) -> Any:
    """256 numbers of unit length."""
    vector = np.random.default_rng(zlib.crc32(seed)).normal(size=256)
    return vector / np.linalg.norm(vector)


def signature(seed: bytes) -> CaptureSignature:
    """Of noise."""
    dice = np.random.default_rng(zlib.crc32(seed))

    def part() -> Part:
        points = dice.integers(0, 65536, (FEATURES, 2), np.uint16)
        descriptors = dice.integers(0, 256, (FEATURES, 128), np.uint8)
        grey = dice.integers(0, 256, (GREY_PX, GREY_PX), np.uint8)
        return Part((0.0, 0.0, 1.0, 1.0), (160, 160), points, descriptors, grey, 0.5)

    return CaptureSignature(part(), part())


ADA, BOB, CAROL, DAN, EVE = map(PersonName.parse, ("Ada", "Bob", "Carol", "Dan", "Eve"))


# ---- what is done to a store


def enrol(path: Path, name: PersonName, numbers: Sequence[int], replace: bool = False) -> None:
    """Register a person with photos of these numbers."""
    images = [f"{name.text} {number}" for number in numbers]
    with Store.open(path, create=True) as store:
        register(made_up(), store, name, images, replace=replace)


def recognise(path: Path) -> None:
    """Sign Ada in."""
    with Store.open(path) as store:
        sign_in(made_up(), store, "Ada 100")


def remove(path: Path, name: PersonName) -> None:
    """As the command does."""
    with Store.open(path) as store:
        people.remove(store, name)


def rename(path: Path, old: PersonName, new: PersonName) -> None:
    """As the command does."""
    with Store.open(path) as store:
        people.rename(store, old, new)


def newcomer(path: Path) -> None:
    """What must always work."""
    enrol(path, DAN, (1,))


def nothing(_: Path) -> None:
    """Leave it as it is."""


def two_people(path: Path) -> None:
    """Ada and Bob, with two photos each."""
    for name in (ADA, BOB):
        enrol(path, name, (1, 2))


def older(path: Path) -> None:
    """A store as version 1 of the schema left it."""
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        for number, name in enumerate((ADA, BOB), 1):
            db.execute("INSERT INTO people VALUES (?, ?, ?, '')", (number, name.text, name.key))
            stored = encoding(f"{name.text} 1").as_bytes()
            db.execute(
                "INSERT INTO templates VALUES (?, ?, ?, ?, '')", (number, number, CONTRACT, stored)
            )


def migrate(path: Path) -> None:
    """Any command does, by opening the store."""
    Store.open(path).close()


# ---- what must be found


def two_transactions(path: Path) -> None:
    """A person, and only then the event."""
    with Store.open(path) as store:
        with store.transaction():
            store.add(DAN, CONTRACT, [Template(encoding("Dan 1").as_bytes(), None, False)])
        store.log("register", "registered", name=DAN.text)


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


def locked(path: Path) -> None:
    """A lock that nobody takes away when its owner is dead."""
    lock = path.with_name("lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    with Store.open(path) as store:
        store.log("doctor", "ok")
    lock.unlink()


def unerased(path: Path) -> None:
    """A removal that leaves the bytes in free pages."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM templates")


def readable(path: Path) -> None:
    """A file that is made without a mode, beside the store."""
    path.with_name("key").write_text("secret")


def unjournalled(path: Path) -> None:
    """A transaction that cannot be taken back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("BEGIN")
        columns = "person_id, contract, encoding, signature, accepted_spoof, enrolled_at"
        db.execute(f"INSERT INTO templates ({columns}) SELECT {columns} FROM templates")
        db.execute("COMMIT")


# ---- what is found in a store


def read(path: Path) -> State:
    """People, templates and events as the next command finds them, but for the times."""
    with Store.open(path) as store:
        assert store.faults() == []
        rows = store.people(CONTRACT)
        enrolled = tuple(
            (each.name, each.photos, each.accepted_spoof, tuple(store.signatures(each.name)))
            for each in rows
        )
        encodings = tuple(store.encodings(CONTRACT))
    return enrolled, encodings, events(path)


def events(path: Path) -> tuple[Any, ...]:
    """What was logged, in order."""
    if not path.exists():
        return ()
    with closing(sqlite3.connect(path)) as db:
        query = """SELECT command, verdict, reason, name
            FROM events e LEFT JOIN people p ON p.id = e.person_id ORDER BY e.id"""
        return tuple(db.execute(query))


def blobs(path: Path) -> set[bytes]:
    """All bytes that are kept of anybody, past facauth."""
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        rows = [db.execute(f"SELECT * FROM {table}") for (table,) in tables]
        return {value for each in rows for row in each for value in row if type(value) is bytes}


def files(folder: Path) -> set[str]:
    """Every file and folder below it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def open_to_others(folder: Path) -> list[str]:
    """What is below the folder that has any permission bit for group or others."""
    return [each.name for each in folder.rglob("*") if stat.S_IMODE(each.stat().st_mode) & 0o077]


def pieces(blob: bytes) -> Iterator[bytes]:
    """16 of each 256 bytes, so that every page they were on gives them away; no runs of zeros."""
    cut = (blob[start : start + 16] for start in range(0, len(blob) - 15, 256))
    return (piece for piece in cut if len(set(piece)) > 8)


# ---- killing


@dataclass(frozen=True, slots=True)
class Bench:
    """One operation, prepared once: what it starts from, what it leads to, where it is tried."""

    operation: Operation
    start: Path
    trial: Path
    states: tuple[State, State]
    files: set[str]
    blobs: set[bytes]

    @classmethod
    def of(cls, operation: Operation, folder: Path) -> Bench:
        """Prepare it; it is done once here, so that nothing is left to import."""
        start, trial = folder / "start", folder / "trial"
        states, found = [], set()
        start.mkdir()
        operation.prepare(at(start))
        for work in (nothing, operation.act):
            again(start, trial)
            work(at(trial))
            states.append(operation.read(at(trial)))
            found |= files(trial)
        operation.use(at(trial))
        return cls(operation, start, trial, (states[0], states[1]), found, blobs(at(start)))

    def act(self) -> None:
        """The operation, where every file that is not made private is everybody's."""
        os.umask(0)
        self.operation.act(at(self.trial))

    def check(self) -> tuple[bool, list[str]]:
        """Whether the operation turned out to be done, and what must not be."""
        wrong = [f"{name} is open to others" for name in open_to_others(self.trial)]
        try:
            state = self.operation.read(at(self.trial))
            done = state == self.states[1]
            if state not in self.states:
                return done, [*wrong, "neither as before nor as after"]
            wrong += self.not_erased()
            (self.operation.use if done else self.operation.act)(at(self.trial))
            if not done and self.operation.read(at(self.trial)) != self.states[1]:
                wrong.append("doing it again does something else")
        except FAULTS as error:
            return False, [*wrong, f"{type(error).__name__}: {error}"]
        wrong += [f"{name} is left over" for name in files(self.trial) - self.files]
        return done, wrong

    def not_erased(self) -> list[str]:
        """Files with bytes that were in the store and are no longer."""
        gone = [piece for blob in self.blobs - blobs(at(self.trial)) for piece in pieces(blob)]
        found = [each for each in self.trial.rglob("*") if each.is_file()] if gone else []
        contents = {each.name: each.read_bytes() for each in found}
        return [
            f"{name} holds erased bytes"
            for name, content in contents.items()
            if any(piece in content for piece in gone)
        ]


def at(folder: Path) -> Path:
    """Where the store of a trial is; not the folder itself, so that it can be missing."""
    return folder / "data" / "people.sqlite3"


def again(start: Path, trial: Path) -> None:
    """Put everything back."""
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(start, trial)


def killed(operation: Operation, every: int = 1) -> Tally:
    """Kill an operation at each writing call, in each way; with `every`, only each n-th time."""
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
    tally.seconds = time.monotonic() - begin
    return tally


def torn(every: int = 1) -> Tally:
    """Cut the write-ahead log off and flip bytes in it; a tally of damages, not of kills."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        start, trial = Path(folder) / "start", Path(folder) / "trial"
        states = committed(start)
        log = start / LOG
        ends, commits = frames(log.read_bytes())
        assert len(commits) + 1 == len(states)
        tally = Tally("torn log", len(ends))
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
    """How a store is not as expected; empty if it is."""
    try:
        return "" if read(at(trial)) == expected else "not as the last whole transaction left it"
    except FAULTS as error:
        return f"{type(error).__name__}: {error}"


def committed(folder: Path) -> list[State]:
    """A store whose log holds some transactions, each a state; the first is that without a log.

    It is copied while it is open, for the last one to leave a store empties its log.
    """
    opened, states = folder.with_name("opened"), []
    two_people(at(opened))
    steps = (
        nothing,
        partial(enrol, name=CAROL, numbers=(1,)),
        recognise,
        partial(enrol, name=DAN, numbers=(1, 2)),
        partial(rename, old=CAROL, new=EVE),
    )
    with Store.open(at(opened)):
        for step in steps:
            step(at(opened))
            again(opened, folder)
            states.append(read(at(folder)))
        again(opened, folder)
    return states


def frames(log: bytes) -> tuple[list[int], list[int]]:
    """Where the frames of a write-ahead log end, and which of them end a transaction."""
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


def on_store(name: str, act: Callable[[Path], object]) -> Operation:
    """Done to a store of two people."""
    return Operation(name, two_people, act, read, newcomer)


OPERATIONS = (
    Operation("first register", nothing, partial(enrol, name=ADA, numbers=(1,)), read, newcomer),
    on_store("register", partial(enrol, name=CAROL, numbers=(1, 2))),
    on_store("register a photo more", partial(enrol, name=ADA, numbers=(3,))),
    on_store("register --replace", partial(enrol, name=ADA, numbers=(3,), replace=True)),
    on_store("sign-in", recognise),
    on_store("remove", partial(remove, name=ADA)),
    on_store("rename", partial(rename, old=ADA, new=CAROL)),
    Operation("migrate", older, migrate, read, newcomer),
)
# Meant to fail, and how.
CONTROLS = {
    on_store("two transactions", two_transactions): "neither as before nor as after",
    Operation(
        "in place", with_a_file, partial(in_place, text="as after"), read_file, nothing
    ): "JSONDecodeError",
    on_store("no journal", unjournalled): "is damaged",
    on_store("a lock file", locked): "FileExistsError",
    on_store("not erased", unerased): "holds erased bytes",
    on_store("no mode", readable): "is open to others",
}


def main() -> None:
    """Kill everything and print what was left."""
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
    tallies = [killed(each, arguments.every) for each in chosen]
    logs = torn(arguments.every)
    controls = [(killed(each), what) for each, what in CONTROLS.items()]
    if arguments.json:
        found = {each.operation: is_found(each, what) for each, what in controls}
        everything = {"kills": tallies, "torn": logs, "controls": found}
        print(json.dumps(everything, default=asdict))
    else:
        report(tallies, logs, controls)
    sys.exit(any(each.violations for each in [*tallies, logs]))


def is_found(tally: Tally, what: str) -> bool:
    """Whether an operation that is meant to fail failed in the way it is meant to."""
    return any(what in violation for violation in tally.violations)


def report(tallies: list[Tally], logs: Tally, controls: list[tuple[Tally, str]]) -> None:
    """For people."""
    print(f"{platform.platform()}, {os.cpu_count()} processors, ", end="")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print(f"stores in {MEMORY or tempfile.gettempdir()}")
    print("calls: that write to the store's folder; done: kills after which it turned out done\n")
    print(row("operation", "calls", "kills", "survived", "violated", "done", "seconds"))
    for each in tallies:
        print(tally_row(each))
    print(tally_row(total(tallies)))
    print("\n" + row("log", "frames", "damages", "survived", "violated", "kept some", "seconds"))
    print(tally_row(logs))
    print("\nmeant to fail")
    for each, what in controls:
        answer = "found" if is_found(each, what) else "NOT FOUND"
        print(f"{each.operation:24}{answer}: {len(each.violations)} of {each.kills} kills, {what}")
    for each in [*tallies, logs]:
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
    """All of them as one."""
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
