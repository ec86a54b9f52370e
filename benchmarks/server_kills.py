"""The state of a store after its server is killed with SIGKILL at work.

    python benchmarks/server_kills.py [--kills N] [--seed S] [--engine sqlite|postgres]

Clients of the real server on loopback register people with real photos, remove them again under
way, and sign in, all at once; at a random moment the server is killed. Each client notes its
answers, and its request without an answer. After each kill this must hold:

- people whose registration was acknowledged are enrolled, with one photo, and can be found; people
  whose removal was acknowledged are not. A request without an answer may be done or not
- the log has these registrations and removals, and each sign-in that was answered
- the engine finds no fault, and the chain of the log is whole
- the server starts again, and goes on with that store
- every answer was 200, or 429 or 503, which mean "later"

A process dies here, not a machine. benchmarks/kills.py kills the commands at each of
their writes, benchmarks/database_kills.py the database.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from stores import ENGINES, Kept, kept

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, Served, serving

STAYS = "Barack"  # and signs in all the while
COME_AND_GO = {"Joe": "biden_2010.jpg", "Eileen": "collins.png", "Grace": "hopper_1984.jpg"}
PROBES = (BARACK_AGAIN, BARACK_LATER)
LONGEST_S = 2.5  # from the first request to the kill
NOT_NOW = (429, 503)
# As a command of the same face under another name is refused, each of them has a face to itself.


@dataclass(slots=True)
class Client:
    """One client: its requests and the answers."""

    name: str
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[int] = field(default_factory=list)
    unanswered: str | None = None  # the person of the last request, if it had no answer
    put_off: bool = False  # whether its last answer was "later"

    def done(self, what: str, answer: httpx.Response) -> bool:
        """Count an answer; returns whether the request was done.

        Of a removal, "later" can also mean: done, but others still read SQLite's log, so that it
        could not be emptied. Then nobody has that name when the client asks again.
        """
        self.unanswered = None
        done = answer.status_code == 200
        done |= what == "removed" and self.put_off and answer.status_code == 404
        self.put_off = answer.status_code in NOT_NOW
        if done:
            self.answered[what] += 1
        elif self.put_off:
            time.sleep(0.1)
        else:
            self.wrong.append(answer.status_code)
        return done


@dataclass(slots=True)
class Comer(Client):
    """Registers one face, removes it, registers it by another name, and so on."""

    enrolled: str | None = None  # the last that was acknowledged, or found after a kill
    number: int = 0

    def ask(self, server: Served) -> None:
        """The next request."""
        if self.enrolled is None:
            self.number += 1
            name = self.unanswered = f"{self.name} {self.number}"
            if self.done("registered", server.register(name, COME_AND_GO[self.name])):
                self.enrolled = name
        else:
            self.unanswered = self.enrolled
            path = f"/people/{self.enrolled}"
            if self.done("removed", server.call("DELETE", path, headers=server.operator)):
                self.enrolled = None

    def settle(self, found: set[str]) -> bool:
        """Whether the enrolled people are possible; counts the request without an answer."""
        mine = {name for name in found if name.startswith(self.name)}
        now = next(iter(mine), None)
        possible = {self.enrolled, None, self.unanswered} if self.unanswered else {self.enrolled}
        sound = len(mine) < 2 and now in possible
        if sound and now != self.enrolled:
            self.answered["registered" if now else "removed"] += 1
        self.enrolled, self.unanswered = now, None
        return sound


@dataclass(slots=True)
class SignIns(Client):
    """Signs in, with one photo after the other."""

    number: int = 0

    def ask(self, server: Served) -> None:
        """The next one."""
        self.number += 1
        self.unanswered = STAYS
        self.done("signed_in", server.sign_in(PROBES[self.number % len(PROBES)]))


@dataclass(slots=True)
class Tally:
    """The results of all kills."""

    kills: int = 0
    idle: int = 0  # kills while no request was open
    answered: Counter[str] = field(default_factory=Counter)
    unanswered_done: int = 0
    violations: list[str] = field(default_factory=list)


def killed(
    folder: Path, kills: int, seed: int, say: Callable[[Tally], object] = id, engine: str = "sqlite"
) -> Tally:
    """A server in that folder, started and killed so many times."""
    with kept(engine, folder) as on:
        return _killed(on, folder, kills, seed, say)


def _killed(on: Kept, folder: Path, kills: int, seed: int, say: Callable[[Tally], object]) -> Tally:
    comers, dice = [Comer(name) for name in COME_AND_GO], random.Random(seed)
    signers, tally = [SignIns("one"), SignIns("two")], Tally()
    clients: list[Comer | SignIns] = [*comers, *signers]
    unanswered_sign_ins = 0
    for _ in range(kills):
        with serving(folder, "--per-minute", "1000000", env=on.env) as server:
            if not tally.kills:
                server.register(STAYS, BARACK).raise_for_status()
            unlock(on)  # sign-ins that were killed count as failed
            load(server, clients, dice.uniform(0, LONGEST_S))
        tally.kills += 1
        tally.idle += not any(client.unanswered for client in clients)
        before = answered(comers)
        for signer in signers:
            unanswered_sign_ins += signer.unanswered is not None
            signer.unanswered = None
        wrong = check(on, comers, answered(signers)["signed_in"], unanswered_sign_ins)
        wrong += [
            f"{client.name} was answered {client.wrong}" for client in clients if client.wrong
        ]
        tally.violations += [f"kill {tally.kills}: {each}" for each in wrong]
        tally.unanswered_done += (answered(comers) - before).total()
        tally.answered = answered(clients)
        say(tally)
    with serving(folder, env=on.env) as server:
        unlock(on)
        answer = server.sign_in(BARACK_AGAIN)
    if answer.json()["person"] != STAYS:
        tally.violations.append(f"after all kills {STAYS} was answered {answer.status_code}")
    return tally


def unlock(on: Kept) -> None:
    """Forget failed sign-ins."""
    with on.open() as store, store.transaction() as change:
        change.unlock(None)
        for row in store.people():
            change.unlock(store.person(row.name).uid)


def load(server: Served, clients: Sequence[Comer | SignIns], seconds: float) -> None:
    """All clients at once until that time has passed and the server is dead."""

    def keep_on(client: Comer | SignIns) -> None:
        try:
            while True:
                client.ask(server)
        except httpx.TransportError:
            return

    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(keep_on, client) for client in clients]
        time.sleep(seconds)
        server.process.kill()
        server.process.wait()
    for each in running:
        each.result()


def answered(clients: Sequence[Client]) -> Counter[str]:
    """The answers of all clients together."""
    return sum((client.answered for client in clients), Counter())


def check(on: Kept, comers: Sequence[Comer], signed_in: int, doubtful: int) -> list[str]:
    """The faults of the store; doubtful: the number of sign-ins without an answer."""
    with on.open() as store:
        with store.transaction():
            pass  # waits for what a database still does for a client that is dead
        people = {row.name: row.photos for row in store.people()}
        logged = Counter(event.verdict for event in store.events())
        wrong = [f"the engine: {fault}" for fault in store.faults()]
        if broken := store.verify_log()[1]:
            wrong.append(f"the log is broken: {broken}")
    asked = [(comer.name, comer.enrolled, comer.unanswered) for comer in comers]
    for comer, (name, was, unanswered) in zip(comers, asked, strict=True):
        if not comer.settle(set(people)):
            wrong.append(f"{name}: {was} was acknowledged, {unanswered} asked, found {set(people)}")
    if STAYS not in people or set(people.values()) != {1}:
        wrong.append(f"found {people}")
    known = answered(comers)
    if (logged["registered"], logged["removed"]) != (known["registered"] + 1, known["removed"]):
        wrong.append(f"the log has {logged}, acknowledged or found were {known}")
    if not signed_in <= logged["signed_in"] <= signed_in + doubtful:
        wrong.append(f"the log has {logged['signed_in']} sign-ins of {signed_in}")
    return wrong


def main() -> None:
    """Run the kills and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    chosen = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    with TemporaryDirectory() as folder:
        tally = killed(Path(folder), chosen.kills, chosen.seed, progress, chosen.engine)
    print(f"\n{tally.kills} kills, {tally.idle} of them while no request was open")
    print("acknowledged, or found done after a kill:")
    for what, number in sorted(tally.answered.items()):
        print(f"  {what:12} {number:6}")
    print(f"not answered, and turned out done: {tally.unanswered_done}")
    print(f"violations: {len(tally.violations)}")
    for violation in tally.violations:
        print(f"violated: {violation}")
    sys.exit(bool(tally.violations))


def progress(tally: Tally) -> None:
    """On a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{tally.kills} kills, {len(tally.violations)} violations", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
