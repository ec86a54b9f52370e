"""Sign-in without a name in a very large store: new processes, and a resident one.

    python benchmarks/search.py cold [--people N ...] [--runs N]
    python benchmarks/search.py warm [--people N] [--runs N] [--encrypted]

cold: `facauth sign-in PHOTO`, from the start of the process to its end, in stores of so many
people: one with a real photo, all others with one random unit vector each and no signature (a
signature is some 100 KB, so 100,000 would be 10 GB, and none but the matched person's is read);
--signature-bytes gives the others one as well. Plain stores, and stores that are encrypted with a
key file. All take turns, so that a machine that gets slower slows all of them.

warm: one decision (the steps of pipeline.sign_in between the encoding of the photo and the
signatures, with the blocks in memory), against reading a float32 matrix of everybody once from
memory, by one thread as all here, numpy's float64 `face_distance` of face_recognition (128 numbers
each, half as many as here), and sqlite-vec if it and apsw are installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the commands do

import numpy as np
from numpy.typing import NDArray

from facauth.decision.calibration import shipped
from facauth.decision.match import Crowd, Gallery, compare
from facauth.networks import Checked, Networks
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import SealedPerson, Template, new_key, seal_template, wrap_key
from facauth.store.store import Store
from facauth.store.vault import Vault
from facauth.structs import Encoding

SAMPLES = Path(__file__).parents[1] / "sample_images"
ENROLLED, PROBE = SAMPLES / "obama_2009.jpg", SAMPLES / "obama_2012.jpg"
CONTRACT = "benchmark/1"
FMR = 1e-8  # of a comparison: the lowest supported
AT_ONCE = 10_000
SPACE = shipped().calibration.space
AVERAGES = partial(Gallery.of, space=SPACE)
NEWCOMER = PersonName.parse("Newcomer")


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)
    cold = kinds.add_parser("cold")
    cold.add_argument("--people", type=int, nargs="+", default=[1, 1000, 100_000])
    cold.add_argument("--runs", type=int, default=15)
    cold.add_argument("--signature-bytes", type=int, default=0)
    cold.set_defaults(measure=measure_cold)
    warm = kinds.add_parser("warm")
    warm.add_argument("--people", type=int, default=1_000_000)
    warm.add_argument("--runs", type=int, default=9)
    warm.add_argument("--encrypted", action="store_true")
    warm.set_defaults(measure=measure_warm)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        asked.measure(Path(folder), asked)


def machine() -> str:
    """The machine."""
    versions = [
        f"{name} {version(name)}" for name in ("numpy", "cryptography", "sqlite-vec", "apsw")
    ]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {', '.join(versions)}; load {load}"
    )


def version(package: str) -> str:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


# ---- stores


def keys_of(folder: Path) -> KeyAccess:
    """The key file of an encrypted store."""
    return KeyAccess(None, folder / "key")


def opened(folder: Path) -> Store:
    """Open a store as a command does."""
    return Store.open(folder / "people.sqlite3", keys_of(folder))


def crowd(people: int) -> Iterator[NDArray[np.float32]]:
    """Random unit vectors, in portions."""
    dice = np.random.default_rng(people)
    for begin in range(0, people, AT_ONCE):
        vectors = dice.standard_normal((min(AT_ONCE, people - begin), 256), np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sealed_crowd(
    vault: Vault | None, contract: str, people: int, signature_bytes: int = 0
) -> Iterator[list[tuple[SealedPerson, Template]]]:
    """So many people with one template each, as `Person.add` seals them, in portions."""
    number, signature = 1_000_000, os.urandom(signature_bytes) if signature_bytes else None
    for vectors in crowd(people):
        rows = []
        for vector in vectors:
            number += 1
            name, uid, key = f"Person {number}", f"{number:032x}", new_key(vault)
            template = Template(vector.tobytes(), signature, accepted_spoof=False)
            sealed = seal_template(key, uid, contract, template)
            wrapped = wrap_key(vault, key, SealedPerson(0, uid, name, None), [sealed.encoding])
            rows.append((SealedPerson(0, uid, name, wrapped), sealed))
        yield rows


def fill(store: Store, contract: str, people: int, signature_bytes: int = 0) -> None:
    """So many people more."""
    for rows in sealed_crowd(store.vault(), contract, people, signature_bytes):
        with store.transaction() as change:
            for person, sealed in rows:
                folded = PersonName.parse(person.name).key
                added = (person.uid, person.name, folded, person.wrapped_key, "")
                change.writer.add_template(change.writer.add_person(*added), contract, sealed, "")


# ---- whole processes


def measure_cold(folder: Path, asked: argparse.Namespace) -> None:
    """All stores in turn."""
    contract = Networks(Checked(None)).contract
    folders = {}
    for people in asked.people:
        for kind in ("plain", "encrypted"):
            place = folders[people, kind] = folder / f"{people} {kind}"
            run(place, "register", "-q", "Obama", str(ENROLLED))
            if kind == "encrypted":
                run(place, "key", "init", "-q", "--key-file", str(place / "key"))
            with opened(place) as store:
                if people > 1:
                    with store.transaction() as change:
                        store.person(NEWCOMER).add(change, contract, [newcomer()])
                fill(store, contract, max(people - 2, 0), asked.signature_bytes)
    print("\nthe first sign-in, which makes what a large store is searched by: wall s, processor s")
    for (people, kind), place in folders.items():
        print(f"{people:12,} {kind:12}{spoken(sign_in(place))}")
    rounds = [{each: sign_in(place) for each, place in folders.items()} for _ in range(asked.runs)]
    print(f"\nsign-in: medians of {asked.runs} alternating runs, wall s, processor s; and how much")
    print(f"more than with {asked.people[0]:,}: medians of the differences within a round")
    for people, kind in folders:
        spent = np.array([each[people, kind] for each in rounds])
        more = spent - [each[asked.people[0], kind] for each in rounds]
        print(f"{people:12,} {kind:12}{spoken(np.median(spent, axis=0))}", end="  ")
        print(" ".join(f"{each:+8.3f}" for each in np.median(more, axis=0)))
    changed(folders)


def spoken(spent_s: Iterable[float]) -> str:
    """The figures in columns."""
    return "".join(f" {each:8.3f}" for each in spent_s)


def changed(folders: dict[tuple[int, str], Path]) -> None:
    """The sign-in after a change, which makes one block again."""
    print("\nthe sign-in after somebody was removed, and after somebody was enrolled, as above")
    for (people, kind), place in folders.items():
        if people > 1:
            with opened(place) as store, store.transaction() as change:
                store.person(NEWCOMER).remove(change)
            removed = sign_in(place)
            with opened(place) as store, store.transaction() as change:
                store.person(NEWCOMER).add(change, Networks(Checked(None)).contract, [newcomer()])
            print(f"{people:12,} {kind:12}{spoken(removed)}  {spoken(sign_in(place))}")


def newcomer() -> Template:
    """The template of a person who is added and removed."""
    return Template(next(crowd(1)).tobytes(), None, accepted_spoof=False)


def sign_in(folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of a whole process."""
    return run(folder, "sign-in", str(PROBE))


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """The same of any command; raises CalledProcessError unless it ends well."""
    folder.mkdir(mode=0o700, exist_ok=True)
    env = {**os.environ, "FACAUTH_STORE": str(folder / "people.sqlite3")}
    if (folder / "key").exists():
        env["FACAUTH_KEY_FILE"] = str(folder / "key")
    command = [sys.executable, "-P", "-m", "facauth", *arguments]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# ---- one process


def measure_warm(folder: Path, asked: argparse.Namespace) -> None:
    """A decision and its rivals, in turn."""
    path = folder / "people.sqlite3"
    if asked.encrypted:
        rekey.encrypt(path, KeyKind.FILE, keys_of(folder))
    with Store.open(path, keys_of(folder), create=True) as store:
        fill(store, CONTRACT, asked.people)
        start = time.perf_counter()
        store.refresh(CONTRACT, AVERAGES, SPACE.name)
        print(f"\n{asked.people:,} people; all blocks made in {time.perf_counter() - start:.1f} s")
        store.memory = {}
        probe = Encoding(CONTRACT, next(crowd(asked.people))[7])
        start = time.perf_counter()
        decide(store, probe)
        print(
            f"the first decision, which reads them into memory: {time.perf_counter() - start:.2f} s"
        )
        matrix = np.vstack(list(crowd(asked.people)))
        works: dict[str, Callable[[], object]] = {
            "the matrix read once (max of its bits)": partial(read_once, matrix),
            "a decision": partial(decide, store, probe),
            "its matrix product alone (numpy float32)": lambda: matrix @ probe.vector,
            **others(matrix, folder),
        }
        report(works, asked.runs)


def decide(store: Store, probe: Encoding) -> None:
    """As pipeline.sign_in does, between the encoding of the photo and the signatures."""
    store.refresh(CONTRACT, AVERAGES, SPACE.name)
    with store.snapshot():
        blocks = store.blocks(CONTRACT, AVERAGES, SPACE.name)
        assert blocks
        everybody = Crowd(blocks.people, blocks, partial(store.encodings, CONTRACT), SPACE)
        match = compare(probe, everybody, FMR, shipped().calibration)
    assert match.person == "Person 1000008"
    assert match.similarity > match.min_similarity


def read_once(matrix: NDArray[np.float32]) -> None:
    """One thread, vectorised: as fast as numpy reads memory."""
    matrix.view(np.uint32).max()


def others(matrix: NDArray[np.float32], folder: Path) -> dict[str, Callable[[], object]]:
    """The rivals."""
    faces = matrix[:, :128].astype(np.float64)
    probe = faces[7].copy()

    def face_distance() -> object:  # face_recognition/api.py
        return np.linalg.norm(faces - probe, axis=1).argmin()

    works: dict[str, Callable[[], object]] = {"face_distance (128 float64)": face_distance}
    with suppress(ImportError):
        import apsw  # the sqlite3 of many Pythons cannot load extensions
        import sqlite_vec

        db = apsw.Connection(str(folder / "vec.sqlite3"))
        db.enable_load_extension(True)
        db.load_extension(sqlite_vec.loadable_path())
        db.execute("PRAGMA mmap_size = 4294967296")
        db.execute("CREATE VIRTUAL TABLE faces USING vec0(vector float[256])")
        with db:
            rows = ((row.tobytes(),) for row in matrix)
            db.executemany("INSERT INTO faces (vector) VALUES (?)", rows)
        query = "SELECT rowid, distance FROM faces WHERE vector MATCH ? AND k = 2"
        asked = (matrix[7].tobytes(),)
        works["sqlite-vec (vec0, k = 2)"] = lambda: db.execute(query, asked).fetchall()
    return works


def report(works: dict[str, Callable[[], object]], runs: int) -> None:
    """Print medians, and the median ratios to the first."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            spent[name].append(time.perf_counter() - start)
    (first, *_) = works
    print(f"\nmedians of {runs} alternating runs{'':21} ms  times the first")
    for name, taken in spent.items():
        ratio = statistics.median(a / b for a, b in zip(taken, spent[first], strict=True))
        print(f"{name:45} {1000 * statistics.median(taken):9.1f} {ratio:9.2f}")


if __name__ == "__main__":
    with closing(sys.stdout):
        main()
