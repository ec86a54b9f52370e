"""The cost of encryption and of the log: the store alone, without photos and networks.

    python benchmarks/encryption.py [--people N] [--events N]

Each person has three photos; encodings and signatures are as large as real ones. Writes are on the
disk before they count (fsync), in a temporary folder. Figures are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import Template
from facauth.store.store import Store

CONTRACT = "benchmark/1"
PHOTOS = 3
ENCODING_BYTES, SIGNATURE_BYTES = 1024, 70_000
REPEATS = 7
APPENDS = 50


def main() -> None:
    """Make a plain and an encrypted store of the same people, measure, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain, sealed = Path(folder, "plain.sqlite3"), Path(folder, "sealed.sqlite3")
        keys = KeyAccess(None, Path(folder, "key"))
        rekey.encrypt(sealed, KeyKind.FILE, keys)
        for path in (plain, sealed):
            enrol(path, keys, asked.people)
        stores = {"plain": plain, "encrypted": sealed}
        reading(stores, keys, asked.people)
        opening(Path(folder))
        logging(stores, keys, asked.events)
        rotating(sealed, keys, asked)


def enrol(path: Path, keys: KeyAccess, people: int) -> None:
    """Enrol people with random photos."""
    with Store.open(path, keys, create=True) as store, store.transaction() as change:
        for number in range(people):
            store.person(f"Person {number}").add(change, CONTRACT, photos())


def photos() -> list[Template]:
    """The photos of one person."""
    return [
        Template(os.urandom(ENCODING_BYTES), os.urandom(SIGNATURE_BYTES), accepted_spoof=False)
        for _ in range(PHOTOS)
    ]


def reading(stores: dict[str, Path], keys: KeyAccess, people: int) -> None:
    """The reads of a sign-in: all encodings, and the signatures of one person."""
    reads: dict[str, Callable[[Store], object]] = {
        f"every encoding of {people:,} people": lambda store: store.encodings(CONTRACT),
        "the signatures of one person": lambda store: store.person("Person 0").signatures(),
    }
    print(f"{'ms':45}" + "".join(f"{name:>12}" for name in stores))
    for what, read in reads.items():
        row = []
        for path in stores.values():
            with Store.open(path, keys) as store:
                store.vault()
                row.append(median(lambda read=read, store=store: read(store), REPEATS))  # type: ignore[misc]
        print(f"{what:45}" + "".join(f"{ms:12.2f}" for ms in row))


def opening(folder: Path) -> None:
    """The cost of a key from a file, and from a passphrase."""
    asking = KeyAccess(None, folder / "other key", lambda _: "a passphrase of some length")
    for kind, what in ((KeyKind.FILE, "key file"), (KeyKind.PASSPHRASE, "passphrase (scrypt)")):
        path = folder / f"{kind}.sqlite3"
        rekey.encrypt(path, kind, asking)

        def unlock(path: Path = path) -> None:
            with Store.open(path, asking) as store:
                store.vault()

        print(f"{'opening a store by its ' + what:45}{'':12}{median(unlock, REPEATS):12.2f}")


def logging(stores: dict[str, Path], keys: KeyAccess, events: int) -> None:
    """One event in its own transaction, at several lengths of the log."""
    for length in (0, events // 10, events):
        row = []
        for path in stores.values():
            with Store.open(path, keys) as store:
                fill(store, length)
                row.append(median(lambda store=store: store.log("benchmark", "logged"), APPENDS))  # type: ignore[misc]
        print(f"{f'one event more after {length:,}':45}" + "".join(f"{ms:12.2f}" for ms in row))
    for what, read in (("log verify", Store.verify_log), ("list", Store.people)):
        row = []
        for path in stores.values():
            with Store.open(path, keys) as store:
                row.append(median(lambda read=read, store=store: read(store), 3))  # type: ignore[misc]
        print(f"{f'{what} of {events:,} events':45}" + "".join(f"{ms:12.2f}" for ms in row))


def fill(store: Store, length: int) -> None:
    """As many events as that."""
    uids = [store.person(row.name).uid for row in store.people()[:1000]]
    with store.transaction() as change:
        for number in range(sum(1 for _ in store.events()), length):
            change.log("benchmark", "logged", uid=uids[number % len(uids)])


def rotating(path: Path, keys: KeyAccess, asked: argparse.Namespace) -> None:
    """One rotation, which seals all data again."""
    with Store.open(path, keys) as store, watch() as spent_ms:
        rekey.rotate(store, keys)
    what = f"key rotate of {asked.people:,} people, {asked.events:,} events"
    print(f"{what:45}{'':12}{spent_ms[0]:12.2f}")


def median(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(repeats):
        with watch() as spent_ms:
            work()
        taken += spent_ms
    return statistics.median(taken)


@contextmanager
def watch() -> Iterator[list[float]]:
    """A list that holds the milliseconds spent, after the block."""
    spent_ms: list[float] = []
    start = time.perf_counter()
    yield spent_ms
    spent_ms.append((time.perf_counter() - start) * 1000)


if __name__ == "__main__":
    main()
