"""Several `facauth serve` on one large store: PostgreSQL beside SQLite, on one machine in one run.

    python benchmarks/servers.py [--people N] [--rounds N] [--seconds S] [--clients N] [--runs N]

Two encrypted stores hold the same people: one real, all others random unit vectors (search.py). The
database is a real server on loopback, with its disk writes on and its default memory. Each store
has four servers with one worker each. Everything takes turns, so that a machine that gets slower
slows all.

- sign-ins without a name, by clients that share 1, 2 or 4 of the servers (server.py says how they
  count): a second, and the duration of one
- what a change costs: a search, as a server does it with what it keeps in memory, just after
  another connection added or removed somebody, and as many without a change
- `facauth sign-in PHOTO`, from the start of the process to its end
- a server that starts: its first sign-in beside its later ones, and its memory, beside that of a
  server with one person. What 1,000,000 people take is reckoned from that

All processes share this machine's processors with the clients and the database.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import numpy as np
import search
import server
from conftest import SAMPLES
from crowd import resident_mb
from serving import Served, environment, serving
from stores import ENGINES, Kept, fill, kept

from facauth import admin
from facauth.decision.calibration import shipped
from facauth.decision.match import Crowd, compare
from facauth.networks import Checked, Networks
from facauth.store import means
from facauth.structs import Encoding

SERVERS = 4
CHANGES = 15
PROBE = SAMPLES / server.PROBES[1]
MANY = 1_000_000


def main() -> None:
    """Fill the stores, measure in turns, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6, help="of each go, at least")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--runs", type=int, default=7, help="of commands")
    chosen = parser.parse_args()
    begin = time.perf_counter()
    print(search.machine(), flush=True)
    with TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        stores = {
            each: stack.enter_context(filled(each, folder / each, chosen.people))
            for each in ENGINES
        }
        starts(stores, folder, chosen.people)
        served = {
            engine: [
                stack.enter_context(started(store, folder / f"{engine} {number}"))
                for number in range(SERVERS)
            ]
            for engine, store in stores.items()
        }
        warm_up(served)
        throughput(served, chosen)
        changes(stores, chosen.people)
        commands(stores, folder, chosen.runs)
    print(f"\n{time.perf_counter() - begin:.0f} s in all")


@contextmanager
def filled(engine: str, folder: Path, people: int) -> Iterator[Kept]:
    """A store with so many people, and what they are searched by."""
    folder.mkdir()
    contract = Networks(Checked(None)).contract
    with kept(engine, folder, shared_buffers="128MB") as made:
        (folder / "cli").mkdir()
        command(made, folder / "cli", "register", "-q", "Barack", server.ENROLLED["Barack"])
        start = time.perf_counter()
        fill(made, contract, people - 2)  # a newcomer is yet to come
        added = time.perf_counter() - start
        with made.open() as store:
            store.refresh(contract, search.AVERAGES, search.SPACE.name)
        blocks = time.perf_counter() - start - added
        print(
            f"{engine}: {people:,} people added in {added:.1f} s, blocks made in {blocks:.1f} s",
            flush=True,
        )
        yield made


def started(store: Kept, folder: Path) -> AbstractContextManager[Served]:
    """A server of a store."""
    folder.mkdir()
    return serving(folder, "--per-minute", "1000000", "--workers", "1", env=store.env)


def command(store: Kept, folder: Path, *arguments: str) -> float:
    """The seconds of a command, from its start to its end."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-m", "facauth", *arguments],
        env={**environment(folder, store.env), "PYTHONDONTWRITEBYTECODE": ""},
        cwd=SAMPLES,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


# ---- measurements


def starts(stores: dict[str, Kept], folder: Path, people: int) -> None:
    """The first sign-in of a server, and its memory."""
    print(f"\n{'a server that starts':28} {'listens':>8} {'first':>8} {'later':>8} {'memory':>8}")
    with kept("sqlite", folder / "one person") as one:
        (folder / "cli").mkdir()
        command(one, folder / "cli", "register", "-q", "Barack", server.ENROLLED["Barack"])
        alone = start(one, folder / "alone", "one person, sqlite")
    for engine, store in stores.items():
        memory = start(store, folder / f"{engine} start", f"{people:,} people, {engine}")
        each = (memory - alone) * 2**20 / people
        reckoned = alone + each * MANY / 2**20
        print(f"  {each:.0f} bytes for each person; {MANY:,} would be {reckoned:.0f} MB")


def start(store: Kept, folder: Path, name: str) -> int:
    """Print the figures of one; its memory in MB."""
    begin = time.perf_counter()
    with started(store, folder) as served:
        listens = time.perf_counter() - begin
        first, *later = (sign_in_s(served) for _ in range(6))
        memory = resident_mb(served)
    later_s = statistics.median(later)
    print(f"{name:28} {listens:6.2f} s {first:6.2f} s {later_s:6.2f} s {memory:5} MB", flush=True)
    return memory


def sign_in_s(served: Served) -> float:
    """The seconds of a sign-in."""
    start = time.perf_counter()
    answer = served.sign_in(server.PROBES[1])
    assert answer.status_code == 200, f"{answer.text}\n{served.said()}"
    return time.perf_counter() - start


def warm_up(served: dict[str, list[Served]]) -> None:
    """The first sign-in of each is another matter."""
    for each in (each for servers in served.values() for each in servers):
        sign_in_s(each)
        sign_in_s(each)


def throughput(served: dict[str, list[Served]], chosen: argparse.Namespace) -> None:
    """Sign-ins by clients that share some of the servers."""
    bodies = [server.form((SAMPLES / name).read_bytes()) for name in server.PROBES]
    kinds = [(engine, number) for number in (1, 2, SERVERS) for engine in served]
    tallies = {kind: server.Tally() for kind in kinds}
    for _ in range(chosen.rounds):
        for engine, number in kinds:
            urls = [each.url for each in served[engine][:number]]
            tallies[engine, number].add(go(urls, bodies, chosen.clients, chosen.seconds))
    print(f"\n{chosen.clients} clients, {chosen.rounds} rounds of {chosen.seconds:g} s or more")
    print(f"{'servers':>7}  {'store':9} {'sign-ins':>8} {'wrong':>5} {'told to wait':>12}", end="")
    print(f" {'a second':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for (engine, number), tally in tallies.items():
        print(
            f"{number:7}  {engine:9} {len(tally.latencies_s):8} {tally.wrong:5} "
            f"{tally.told_to_wait:12} {statistics.median(tally.per_second):8.2f} "
            f"{tally.percentile_ms(50):8.0f} {tally.percentile_ms(99):8.0f}",
            flush=True,
        )


def go(urls: Sequence[str], bodies: Sequence[bytes], clients: int, seconds: float) -> server.Tally:
    """Run clients for a time, each at one of the servers."""
    begin, total = time.perf_counter(), server.Tally()
    shares = [urls[number % len(urls)] for number in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        for each in pool.map(lambda url: server.go(url, bodies, 1, seconds), shares):
            total.add(each)
    total.per_second = [len(total.latencies_s) / (time.perf_counter() - begin)]
    return total


def changes(stores: dict[str, Kept], people: int) -> None:
    """Searches after others changed something, and without that."""
    deeds = {"no change": unchanged, "added": add, "none again": unchanged, "removed": remove}
    vector = next(search.crowd(people - 2))[7]
    probe = Encoding(Networks(Checked(None)).contract, vector)
    finds = {engine: Finder(store, probe) for engine, store in stores.items()}
    spent: dict[tuple[str, str], list[float]] = {}
    for turn in range(CHANGES + 1):
        for name, deed in deeds.items():
            for engine, store in stores.items():
                deed(store)
                taken = finds[engine].find_s()
                if turn:  # the first one fills the memory
                    spent.setdefault((engine, name), []).append(taken)
    print(
        f"\nsearch after another connection did that: medians of {CHANGES}, ms, and how much more"
    )
    print("than with no change: medians of the differences within a round; the most")
    for (engine, name), ours in spent.items():
        more = np.subtract(ours, spent[engine, "no change"])
        print(
            f"{engine:9} {name:12} {1000 * statistics.median(ours):8.1f} "
            f"{1000 * statistics.median(more):+8.1f} {1000 * max(more):+8.1f}"
        )


class Finder:
    """Searches as a server does between the encoding of a photo and the signatures."""

    def __init__(self, on: Kept, probe: Encoding) -> None:
        self._on, self._probe, self._memory = on, probe, dict[int, means.Shelf]()

    def find_s(self) -> float:
        """The seconds of one search, with the connection that it needs."""
        start, contract = time.perf_counter(), self._probe.contract
        with self._on.open() as store:
            store.memory = self._memory
            store.refresh(contract, search.AVERAGES, search.SPACE.name)
            with store.snapshot():
                blocks = store.blocks(contract, search.AVERAGES, search.SPACE.name)
                assert blocks
                read = partial(store.encodings, contract)
                everybody = Crowd(blocks.people, blocks, read, search.SPACE)
                match = compare(self._probe, everybody, search.FMR, shipped().calibration)
        assert match.person == "Person 1000008"
        return time.perf_counter() - start


def unchanged(_: Kept) -> None:
    """Leave the store as it is."""


def add(on: Kept) -> None:
    """Enrol somebody."""
    contract = Networks(Checked(None)).contract
    with on.open() as store, store.transaction() as change:
        store.person(search.NEWCOMER).add(change, contract, [search.newcomer()])
        change.log("register", "registered", uid=store.person(search.NEWCOMER).uid)


def remove(on: Kept) -> None:
    """Remove the same person."""
    with on.open() as store:
        admin.remove(store, search.NEWCOMER)


def commands(stores: dict[str, Kept], folder: Path, runs: int) -> None:
    """Whole processes."""
    spent: dict[str, list[float]] = {engine: [] for engine in stores}
    for engine in stores:
        command(stores[engine], folder / "cli", "sign-in", "-q", str(PROBE))
    for _ in range(runs):
        for engine, store in stores.items():
            spent[engine].append(command(store, folder / "cli", "sign-in", "-q", str(PROBE)))
    print(f"\nfacauth sign-in, a process of its own: medians of {runs} alternating runs, s")
    for engine, taken in spent.items():
        print(f"{engine:9} {statistics.median(taken):8.2f} (least {min(taken):.2f})")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the commands do
    main()
