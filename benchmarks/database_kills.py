"""The state of a PostgreSQL store after its clients, or its server, are killed at work.

    python benchmarks/database_kills.py [--clients N] [--server N] [--control N] [--seed S] [--json]

A real server, with its disk writes on, and client processes (working.py) that register people, sign
them in, fail to, and remove them, all at once. First so many clients are killed with SIGKILL, at
random moments, one after the other; another goes on in the place of each. Then the server: its
first process is killed with SIGKILL, or told to stop at once (SIGQUIT), or one of its sessions is
killed with SIGKILL, by turns. It is started again, and the clients go on by themselves.

After each kill of the server, and after every tenth of a client, everybody rests, and this must
hold:

- people whose registration was acknowledged are enrolled, with the one photo that they gave, which
  opens; people whose removal was acknowledged, or whose registration was refused, are not
- failed sign-ins that were acknowledged are counted, and each that was killed counts as two at most
- the log has all that was acknowledged, and nothing that was refused; its chain is whole
- clients were told nothing but that the store cannot be used now, or that a change may be done or
  not (`store.unknown`)

Processes die here, not a machine: written data stays written. The command `facauth log --verify`
has the last word. The server is set not to wait for the disk (synchronous_commit): facauth itself
must ask for that. The last kills are a control, in which it does not: they must find losses.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGQUIT
from tempfile import TemporaryDirectory

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the commands do

import psutil
import psycopg
from stores import Kept, kept
from working import Told, work, wrong

from facauth.errors import SetupProblem
from facauth.store.postgres import schema

CLIENTS = 4
LONGEST_S = 0.6  # from one kill to the next
SHORTEST_S = 0.2  # of the server, so that something is acknowledged in between
CHECK_EVERY = 10  # kills of clients
LONG_S = 3600.0
MOST_SHOWN = 10
WAIT_S = 60.0
FORK = multiprocessing.get_context("fork")  # else every client loads all modules


@dataclass(slots=True)
class Tally:
    """The results of all kills."""

    killed: str
    kills: int = 0
    checks: int = 0
    done: dict[str, int] = field(default_factory=dict)  # acknowledged
    unknown: dict[str, int] = field(default_factory=dict)  # killed, or told that nobody knows
    refused: dict[str, int] = field(default_factory=dict)  # by the code of the reason
    log: str = ""  # what `facauth log --verify` says at last
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Busy(Exception):
    """Somebody still works."""


class Trial:
    """A store, and clients of it."""

    def __init__(self, store: Kept, folder: Path, seed: int) -> None:
        self.store, self.folder, self.dice = store, folder, random.Random(seed)
        self.rest = folder / "rest"
        self.journals = [folder / f"journal-{who}" for who in range(CLIENTS)]
        self.clients = [self._started(who) for who in range(CLIENTS)]

    def _started(self, who: int) -> multiprocessing.context.ForkProcess:
        seed = self.dice.getrandbits(32)
        given = (self.store, who, self.journals[who], seed, LONG_S, self.rest)
        client = FORK.Process(target=work, args=given, daemon=True)
        client.start()
        return client

    def kill_client(self) -> None:
        """One of them; another goes on."""
        time.sleep(self.dice.uniform(0, LONGEST_S))
        who = self.dice.randrange(CLIENTS)
        self.clients[who].kill()
        self.clients[who].join()
        self.clients[who] = self._started(who)

    def kill_server(self, number: int) -> None:
        """In one of three ways; afterwards it runs again."""
        server = self.store.server
        assert server and server.process
        time.sleep(self.dice.uniform(0, LONGEST_S) + SHORTEST_S)
        if number % 3 == 2 and (sessions := self._sessions()):
            self.dice.choice(sessions).send_signal(SIGKILL)  # the others end, and it starts anew
            return
        server.stop((SIGKILL, SIGQUIT)[number % 3 % 2])
        server.start()

    def _require_rest(self) -> None:
        """The server may not have noticed yet that a client was killed."""
        if self._sessions():
            raise _Busy

    def _sessions(self) -> list[psutil.Process]:
        assert self.store.server
        with self.store.server.connected() as session:
            rows = session.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'facauth'"
            ).fetchall()
        return [psutil.Process(pid) for (pid,) in rows if psutil.pid_exists(pid)]

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Nobody works meanwhile: clients end what they do, and others go on."""
        self.rest.touch()
        for client in self.clients:
            client.join()
        yield
        self.rest.unlink()
        self.clients = [self._started(who) for who in range(CLIENTS)]

    def end(self) -> None:
        """Kill all clients."""
        for client in self.clients:
            client.kill()
            client.join()

    def check(self) -> list[str]:
        """How the store differs from what was acknowledged."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                self._require_rest()
                with self.store.open() as store:
                    return wrong(store, Told.of(self.journals))
            # The server may just be starting.
            except (SetupProblem, psycopg.OperationalError, _Busy) as problem:
                if time.monotonic() > end:
                    return [f"cannot be read: {problem!r}"]
                time.sleep(0.05)


def killed(what: str, kills: int, seed: int, say: Callable[[Tally], object] = id) -> Tally:
    """Kill so many clients, or the server so many times."""
    begin, tally = time.monotonic(), Tally(what)
    hasty = {"synchronous_commit": "off", "wal_writer_delay": "2s"}
    with TemporaryDirectory() as place, kept("postgres", Path(place), **hasty) as store:
        assert store.server
        store.server.run("CHECKPOINT")  # so that the control has a store to lose something of
        trial = Trial(store, Path(place), seed)
        try:
            for number in range(1, kills + 1):
                if what == "clients":
                    trial.kill_client()
                else:
                    trial.kill_server(number)
                tally.kills = number
                if what != "clients" or number % CHECK_EVERY == 0 or number == kills:
                    _check(trial, tally, number, say)
        finally:
            trial.end()
        told = Told.of(trial.journals)
        tally.done, tally.unknown = dict(told.done), dict(told.unknown)
        tally.refused = dict(told.refused)
        tally.log = _verified(store, tally)
    tally.seconds = time.monotonic() - begin
    return tally


def control(kills: int, seed: int) -> Tally:
    """Kill the server while facauth takes what the server is set to: changes are lost."""
    asked = schema.SESSION
    schema.SESSION = asked.replace("WHEN 'off' THEN 'on'", "WHEN 'off' THEN 'off'")
    assert asked != schema.SESSION
    try:
        return killed("control", kills, seed)
    finally:
        schema.SESSION = asked


def _check(trial: Trial, tally: Tally, number: int, say: Callable[[Tally], object]) -> None:
    with trial.resting():
        tally.checks += 1
        tally.violations += [f"{tally.killed} {number}: {each}" for each in trial.check()]
    say(tally)


def _verified(store: Kept, tally: Tally) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "facauth", "log", "--verify"],
        env={**os.environ, **store.env},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        tally.violations.append(f"facauth log --verify: {run.returncode}, {run.stderr}")
    return run.stdout.strip()


def main() -> None:
    """Kill clients, then the server, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=100, help="kills of clients")
    parser.add_argument("--server", type=int, default=100, help="kills of the server")
    parser.add_argument("--control", type=int, default=6, help="kills that must find losses")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--json", action="store_true", help="a JSON object for each")
    chosen = parser.parse_args()
    if not chosen.json:
        print(f"{platform.machine()}, {os.cpu_count()} processors", flush=True)
    failed = False
    for what, kills in (("clients", chosen.clients), ("the server", chosen.server)):
        tally = killed(what, kills, chosen.seed, progress)
        failed |= bool(tally.violations)
        report(tally, as_json=chosen.json)
    if chosen.control:
        tally = control(chosen.control, chosen.seed)
        failed |= not tally.violations
        report(tally, as_json=chosen.json)
    sys.exit(failed)


def report(tally: Tally, *, as_json: bool) -> None:
    """Print one tally."""
    if as_json:
        print(json.dumps(asdict(tally)), flush=True)
        return
    print(f"\n{tally.kills} kills of {tally.killed}, {tally.checks} checks, {tally.seconds:.0f} s")
    for title, counts in (
        ("acknowledged", tally.done),
        ("done or not", tally.unknown),
        ("refused", tally.refused),
    ):
        listed = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        print(f"{title:13} {sum(counts.values()):6}: {listed}")
    print(f"log           {tally.log}")
    print(f"violations    {len(tally.violations):6}")
    for violation in tally.violations[:MOST_SHOWN]:
        print(f"violated: {violation}", flush=True)


def progress(tally: Tally) -> None:
    """On a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{tally.kills} kills, {len(tally.violations)} violations", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
