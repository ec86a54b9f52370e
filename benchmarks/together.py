"""Many processes and several servers change one store at once: nothing is lost.

    python benchmarks/together.py [--engine postgres|sqlite] [--seconds S] [--processes N]
                                  [--servers N] [--json]

Processes with made-up faces (working.py) register people, sign them in, fail to, and remove them.
At the same time clients of several `facauth serve`, each on a port of its own with one worker, do
so over HTTP with real photos, each request at the next server (server_kills.py). And all of them
try to sign in as one person whose face they do not have, as often as they can. At the end this must
hold:

- what every process and every client was told is in the store and in the log, whole, and no more
- the failures of that one person are the number of tries that were let through, and no more tries
  than the limits allow in the time that passed: ten at once, then one after 30 s, 60 s and so on
- no answer but done, "later" (429, 503; a lock-out, a store that is busy), and no match for the try
- the chain of the log is whole, also for `facauth log --verify`
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the commands do

import working
from server_kills import PROBES, STAYS, Client, Comer, SignIns
from stores import ENGINES, Kept, kept
from working import NO_MATCH, Told, work

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from serving import BARACK, JOE, Served, serving

from facauth.errors import LockedOut, NoMatch, SetupProblem
from facauth.settings import LIMITS
from facauth.store import limits
from facauth.store.store import Store

VICTIM = "Joe"  # nobody signs in as him
COMERS = ("Eileen", "Grace")
FORK = multiprocessing.get_context("fork")  # else every process loads all modules


@dataclass(slots=True)
class Tally:
    """What came of it."""

    engine: str
    processes: int
    servers: int
    seconds: float = 0.0
    done: dict[str, int] = field(default_factory=dict)  # by processes
    served: dict[str, int] = field(default_factory=dict)  # over HTTP
    later: int = 0  # of processes
    tries: int = 0
    let_through: int = 0
    allowed: int = 0
    counted: int = 0
    entries: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def past_the_limit(self) -> int:
        """Tries that should not have been let through."""
        return max(0, self.let_through - self.allowed)


@dataclass(slots=True)
class Attacker(Client):
    """Tries to be the victim, with another's photo."""

    let_through: int = 0
    tries: int = 0

    def ask(self, server: Served) -> None:
        """The next try."""
        answer = server.sign_in(PROBES[0], VICTIM)
        self.tries += 1
        if answer.status_code == 401:
            self.let_through += 1
        elif answer.status_code not in (429, 503):
            self.wrong.append(answer.status_code)


def attack(store: Kept, journal: Path, seconds: float) -> None:
    """The same of a process, without a photo."""
    end, file = time.monotonic() + seconds, journal.open("a", buffering=1)
    while time.monotonic() < end:
        try:
            with store.open() as opened, opened.attempt(VICTIM):
                raise NO_MATCH
        except NoMatch:
            file.write("in\n")
        except LockedOut:
            file.write("locked\n")
        except SetupProblem as refusal:
            # The try may have been counted before that.
            file.write(f"{refusal.reasons[0].code}\n")


def allowed(seconds: float) -> int:
    """How many failures the limits let through in so many seconds."""
    number, passed = 0, 0.0
    while (passed := passed + limits.delay_s(number, LIMITS)) <= seconds:
        number += 1
    return number


def together(engine: str, seconds: float, processes: int, servers: int) -> Tally:
    """All at once for that time."""
    tally = Tally(engine, processes, servers)
    with TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        store = stack.enter_context(kept(engine, folder))
        served = [
            stack.enter_context(_server(folder / f"server-{n}", store)) for n in range(servers)
        ]
        served[0].register(STAYS, BARACK).raise_for_status()
        served[0].register(VICTIM, JOE).raise_for_status()
        begin = time.monotonic()
        clients = [*map(Comer, COMERS), SignIns("one"), Attacker("two"), Attacker("three")]
        journals = [folder / f"journal-{who}" for who in range(processes)]
        attacks = [folder / f"attack-{who}" for who in range(processes)]
        running = [
            *(
                FORK.Process(target=work, args=(store, n, journals[n], n, seconds))
                for n in range(processes)
            ),
            *(FORK.Process(target=attack, args=(store, each, seconds)) for each in attacks),
        ]
        for process in running:
            process.start()
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(lambda client: _keep_on(client, served, begin + seconds), clients))
        for process in running:
            process.join()
        tally.seconds = time.monotonic() - begin
        with store.open() as opened:
            _judge(tally, opened, Told.of(journals), clients, attacks)
        tally.violations += [f"ended with {p.exitcode}" for p in running if p.exitcode]
        _verify(tally, store)
    return tally


def _server(folder: Path, store: Kept) -> AbstractContextManager[Served]:
    folder.mkdir()
    options = ("--per-minute", "1000000", "--workers", "1")
    return serving(folder, *options, env=store.env)


def _keep_on(client: Comer | SignIns | Attacker, served: Sequence[Served], end: float) -> None:
    for server in cycle(served):
        if time.monotonic() > end:
            return
        client.ask(server)


def _judge(
    tally: Tally,
    store: Store,
    told: Told,
    clients: Sequence[Client],
    attacks: Sequence[Path],
) -> None:
    answered = sum((client.answered for client in clients), Counter[str]())
    tries = Counter(line for each in attacks for line in each.read_text().splitlines())
    attackers = [client for client in clients if isinstance(client, Attacker)]
    tally.done, tally.served = dict(told.done), dict(answered)
    tally.later = told.refused.total()
    tally.tries = tries.total() + sum(each.tries for each in attackers)
    tally.let_through = tries["in"] + sum(each.let_through for each in attackers)
    tally.allowed = allowed(tally.seconds)
    tally.counted = store.person(VICTIM).failures()
    found = [f"{client.name} was answered {client.wrong}" for client in clients if client.wrong]
    if tally.past_the_limit or tally.counted != tally.let_through:
        found.append(f"{tally.let_through} tries let through, {tally.counted} counted")
    # What clients of the servers did counts too; two people were there before.
    told.done["register"] += answered["registered"] + 2
    told.done["remove"] += answered["removed"]
    told.done["sign-in"] += answered["signed_in"]
    told.done["fail"] += tally.let_through
    people = {row.name for row in store.people()}
    comers = [client for client in clients if isinstance(client, Comer)]
    found += [f"{each.name}: {each.enrolled} is lost" for each in comers if not each.settle(people)]
    tally.entries = store.verify_log()[0]
    tally.violations += found + working.wrong(store, told)


def _verify(tally: Tally, store: Kept) -> None:
    command = [sys.executable, "-m", "facauth", "log", "--verify"]
    env = {**os.environ, **store.env}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if run.returncode or not run.stdout.startswith("sound"):
        tally.violations.append(f"facauth log --verify: {run.returncode}, {run.stderr}")


def main() -> None:
    """One run, or one of each engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, nargs="+", default=["postgres"])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--processes", type=int, default=8, help="that work, and that attack")
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON object for each")
    chosen = parser.parse_args()
    if not chosen.json:
        print(f"{platform.machine()}, {os.cpu_count()} processors", flush=True)
    failed = False
    for engine in chosen.engine:
        tally = together(engine, chosen.seconds, chosen.processes, chosen.servers)
        failed |= bool(tally.violations)
        if chosen.json:
            print(json.dumps(asdict(tally)), flush=True)
        else:
            report(tally)
    sys.exit(failed)


def report(tally: Tally) -> None:
    """Print what came of it."""
    print(f"\n{tally.engine}: {tally.processes} processes that work, as many that attack,", end=" ")
    print(f"{tally.servers} servers, {tally.seconds:.0f} s")
    for title, counts in (("by processes", tally.done), ("over HTTP", tally.served)):
        listed = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        print(f"{title:13}: {listed}")
    print(f"refused for now: {tally.later}")
    print(f"tries as {VICTIM}: {tally.tries}, {tally.let_through} let through of", end=" ")
    print(
        f"{tally.allowed} allowed, {tally.counted} counted, {tally.past_the_limit} past the limit"
    )
    print(f"entries of the log: {tally.entries}; violations: {len(tally.violations)}")
    for violation in tally.violations:
        print(f"violated: {violation}", flush=True)


if __name__ == "__main__":
    main()
