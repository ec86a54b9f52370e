"""Sign-ins a second through `facauth serve` without a name, in a very large store.

    python benchmarks/crowd.py [--people N] [--rounds N] [--seconds S] [--clients N ...]

One person is real, all others are random unit vectors without signatures (see search.py). The
server keeps the search blocks of the store in memory, which all of its workers share. It takes
turns with a server that reads the blocks for every sign-in, as `facauth sign-in` does, and with a
server whose store has one person only. Clients and photos are those of server.py.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import search
import server
from conftest import ROOT, SAMPLES
from serving import Served, serving

from facauth.networks import Checked, Networks
from facauth.store.store import Store

# Runs as the server's process starts.
FORGETFUL = """
from facauth.store.store import Store
Store.memory = property(lambda self: None, lambda self, value: None)
"""


def main() -> None:
    """Fill the stores, measure in turns, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each go, at least")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    chosen = parser.parse_args()
    print(search.machine())
    with ExitStack() as stack:
        servers = {
            f"{chosen.people:,} people, kept": (chosen.people, False),
            f"{chosen.people:,} people, read": (chosen.people, True),
            "1 person": (1, False),
        }
        served = {
            name: stack.enter_context(filled(people, forgetful=forgetful))
            for name, (people, forgetful) in servers.items()
        }
        bodies = [server.form((SAMPLES / name).read_bytes()) for name in server.PROBES]
        for name, each in served.items():
            start = time.perf_counter()
            server.go(each.url, bodies, 1, 0.1)
            print(f"{name}: first sign-in {time.perf_counter() - start:.2f} s")
        print_table({name: each.url for name, each in served.items()}, bodies, chosen)
        for name, each in served.items():
            print(f"{name}: {resident_mb(each)} MB")


@contextmanager
def filled(people: int, *, forgetful: bool) -> Iterator[Served]:
    """A server whose store has so many people."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "sitecustomize.py").write_text(FORGETFUL if forgetful else "")
        env = {"PYTHONPATH": f"{folder}:{ROOT}"}
        with serving(folder, "--per-minute", "1000000", env=env) as served:
            served.register("Barack", server.ENROLLED["Barack"]).raise_for_status()
            with Store.open(served.store) as store:
                contract = Networks(Checked(None)).contract
                search.fill(store, contract, people - 1)
                store.refresh(contract, search.AVERAGES, search.SPACE.name)
            yield served


def print_table(urls: dict[str, str], bodies: list[bytes], chosen: argparse.Namespace) -> None:
    """Each number of clients, each server."""
    print(
        f"\n{'clients':>7}  {'server':24} {'sign-ins':>8} {'wrong':>5} {'told to wait':>12}", end=""
    )
    print(f" {'a second':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for clients in chosen.clients:
        tallies = {name: server.Tally() for name in urls}
        for _ in range(chosen.rounds):
            for name, url in urls.items():
                tallies[name].add(server.go(url, bodies, clients, chosen.seconds))
        for name, tally in tallies.items():
            print(
                f"{clients:7}  {name:24} {len(tally.latencies_s):8} {tally.wrong:5} "
                f"{tally.told_to_wait:12} {statistics.median(tally.per_second):8.2f} "
                f"{tally.percentile_ms(50):8.0f} {tally.percentile_ms(99):8.0f}",
                flush=True,
            )


def resident_mb(served: Served) -> int:
    """The present memory of a server's process, in MB."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return kilobytes // 1024


if __name__ == "__main__":
    main()
