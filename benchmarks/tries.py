"""How many attempts pass the limits when many processes run them in parallel.

    python benchmarks/tries.py [--engine sqlite|postgres] [--tries 2000] [--processes 8]
                               [--kills 20] [--json]

Processes try to sign in as one person, all on one store, and never succeed. Of the tries that are
let through every fourth ends by SIGKILL, before it is settled; the others fail a little later.
So many processes more are killed by SIGKILL wherever they happen to be. For each that dies another
goes on; a killed try stays counted as two failures. The first run keeps to the clock: after the
tenth failure there is a delay of 30 s, so ten tries are let through, or fewer. In the second both
clocks run 72,000 times as fast: all the delays pass, and the 100th failure is the last. A file has
the clocks of this machine, a database that of its server.

A try got past the limit if fewer than the seconds of the delay lie between it and the one before,
or if it is the 101st: failures and delays are counted anew from what the processes say, each of
which writes down when its try began as soon as it is let through.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stores import ENGINES, Kept, kept

from facauth.errors import LockedOut, NoMatch, Reason
from facauth.settings import LIMITS, AttemptLimits
from facauth.store import limits
from facauth.store.clock import Clock
from facauth.store.sealing import Template
from facauth.store.store import Store

NAME = "Ada"
FAST = 72_000.0  # an hour in a twentieth of a second
KILLED_OF = 4  # of so many tries that are let through one is killed
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of all tries."""

    processes: int
    killed: int  # processes ended by SIGKILL, by themselves in the middle of a try or from outside
    begun: int
    let_through: int
    killed_within: int  # of those let through
    past_the_limit: int
    counted: int  # failures in the store at the end


def hammer(on: Kept, processes: int, tries: int, kills: int, speed: float) -> Tally:
    """At least so many tries on an empty store."""
    with on.open() as store, store.transaction() as change:
        store.person(NAME).add(change, "test/1", [Template(b"x" * 1024, None, False)])
        origin_s = counted_s(store)
    draw = random.Random(SEED)
    said, killed, begun, seed = [], 0, 0, 0
    while begun < tries:
        each = max(1, (tries - begun) // processes)
        running = [
            _started(on, each, speed, origin_s, seed + number) for number in range(processes)
        ]
        seed += processes
        victims = draw.sample(running, min(kills, processes // 2))
        kills -= len(victims)
        for victim in victims:
            time.sleep(draw.uniform(0.05, 0.3))
            victim.kill()
        texts = [process.communicate()[0] for process in running]
        killed += sum(process.returncode == -signal.SIGKILL for process in running)
        lines = [line for text in texts for line in text.splitlines()]
        begun += lines.count("try")
        said += [line.split() for line in lines if line != "try"]
    times = [float(at) for word, at in said if word == "in"]
    within = sum(word == "killed" for word, _ in said)
    with on.open() as store:
        counted, broken = store.person(NAME).failures(), store.verify_log()[1]
    if broken or counted < len(times):
        raise SystemExit(f"the store is wrong: {broken}, {counted} failures of {len(times)}")
    past = past_the_limit(times, LIMITS)
    return Tally(processes, killed, begun, len(times), within, past, counted)


def past_the_limit(times_s: Sequence[float], rules: AttemptLimits) -> int:
    """How many of the tries that were let through at these times should not have been."""
    times = sorted(times_s)
    return sum(
        number >= rules.stop_failures
        or (number > 0 and at - times[number - 1] < limits.delay_s(number, rules))
        for number, at in enumerate(times)
    )


def counted_s(store: Store) -> float:
    """The time by which the store's engine counts delays."""
    clock = store._opened.engine.clock
    return clock.boot_s()


def _started(
    on: Kept, tries: int, speed: float, origin_s: float, seed: int
) -> subprocess.Popen[str]:
    given = (on.address, on.key_file, tries, speed, origin_s, seed)
    return subprocess.Popen(
        [sys.executable, __file__, "--child", *map(str, given)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def child(on: Kept, tries: int, speed: float, origin_s: float, seed: int) -> None:
    """So many tries in a row; what becomes of each is written before it can be killed."""
    began = [0.0]
    draw, no_match = random.Random(seed), NoMatch(Reason("match.none", "no", "no"))
    with on.open() as store:

        def fast_s() -> float:
            began[0] = speed * (counted_s(store) - origin_s)  # by what the store counts
            return began[0]

        store._opened.clock = Clock(fast_s, fast_s)
        for _ in range(tries):
            os.write(1, b"try\n")
            try:
                with store.attempt(NAME):
                    os.write(1, b"in %f\n" % began[0])
                    time.sleep(draw.uniform(0, 0.01))
                    if draw.random() < 1 / KILLED_OF:
                        os.write(1, b"killed 1\n")
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise no_match
            except (LockedOut, NoMatch):
                time.sleep(draw.uniform(0, 0.002))


def main() -> None:
    """Both runs."""
    if sys.argv[1:2] == ["--child"]:
        address, key_file, tries, *numbers, seed = sys.argv[2:]
        speed, origin_s = map(float, numbers)
        child(Kept(address, Path(key_file)), int(tries), speed, origin_s, int(seed))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--tries", type=int, default=2000, help="of each run, at least")
    parser.add_argument("--processes", type=int, default=8, help="at once")
    parser.add_argument("--kills", type=int, default=20, help="from outside, in each run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not options.json:
        print(
            f"{platform.machine()}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}, {options.engine}, SQLite {sqlite3.sqlite_version}"
        )
        print(
            "clock\tprocesses\tkilled\ttries\tlet through\tkilled within\tcounted\tpast the limit"
        )
    for times in (1.0, FAST):
        with tempfile.TemporaryDirectory() as folder, kept(options.engine, Path(folder)) as store:
            tally = hammer(store, options.processes, options.tries, options.kills, times)
        if options.json:
            print(json.dumps({"speed": times, **asdict(tally)}))
        else:
            print(f"{times:,.0f} x", *(asdict(tally)[field] for field in FIELDS), sep="\t")
        if tally.past_the_limit:
            raise SystemExit(1)


FIELDS = (
    "processes",
    "killed",
    "begun",
    "let_through",
    "killed_within",
    "counted",
    "past_the_limit",
)

if __name__ == "__main__":
    main()
