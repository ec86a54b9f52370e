"""How long commands take to start, against `python -c "import typer, rich.table"`.

    python benchmarks/start.py [--runs N] [--before CHECKOUT]

Runs alternate, so that a machine that gets slower slows all of them. Times are processor time;
ratios are medians of the ratios to the reference's run of the same round. --before adds the same
commands of another checkout. Below the table are the modules whose own code takes longest to
import, by `python -X importtime`, the lowest of five. Nothing fails: the figures depend on the
machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "sample_images"
ENROLLED, PROBE = SAMPLES / "obama_2009.jpg", SAMPLES / "obama_2012.jpg"
REFERENCE = "import typer, rich.table"
# Arguments, and how many times the reference's time they may take.
CALLS: dict[str, float | None] = {
    "--help": 1.35,
    "list": 1.35,
    "--version": None,
    "sign-in --help": None,
    "--nope": 1.2,
    "nope": 1.2,
    "list --nope": 1.2,
    "sign-in --nope": 1.2,
    "evaluate match --nope": 1.2,
}
LISTED, REPEATS = 10, 5
ROW = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")

Environment = dict[str, str]


def main() -> None:
    """Enrol one person, run all in turn, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = environment(Path(folder))
        enrol = [*facauth(), "register", "-q", "Obama", str(ENROLLED)]
        subprocess.run(enrol, env=env, check=True, stdout=subprocess.DEVNULL)
        commands = {REFERENCE: (env, [sys.executable, "-c", REFERENCE])}
        for call in CALLS:
            commands[call] = env, [*facauth(), *call.split()]
            if asked.before:
                commands[f"{call}, before"] = before(env, asked.before), commands[call][1]
        for command in commands.values():
            measured(*command)  # writes bytecode, and warms the file cache
        rounds = [
            {name: measured(*command) for name, command in commands.items()}
            for _ in range(asked.runs)
        ]
        report(rounds)
        for call in ("--help", "list", f"sign-in {PROBE}"):
            largest(env, call)


def facauth() -> list[str]:
    """The command as it is installed with this Python."""
    return [sys.executable, "-P", "-c", "from facauth.__main__ import main; main()"]


def environment(home: Path) -> Environment:
    """A home without settings, whose store is the default one.

    Bytecode is written and used, as after an installation.
    """
    others = ("PYTHON", "FACAUTH_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "HOME": str(home)}


def before(env: Environment, checkout: Path) -> Environment:
    """The environment in which another checkout is imported."""
    return {**env, "PYTHONPATH": str(checkout.absolute())}


def measured(env: Environment, command: list[str]) -> tuple[float, float]:
    """Seconds of processor time and by the clock."""
    begun = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=nowhere, stderr=nowhere)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun


def report(rounds: list[dict[str, tuple[float, float]]]) -> None:
    """A row for each command."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()},"
        f" typer {metadata.version('typer')}, rich {metadata.version('rich')}; {len(rounds)}"
        f" alternating runs; load {load}\n"
    )
    print(f"{'':32} {'cpu ms':>8} {'lowest':>8} {'clock ms':>9} {'ratio':>6} {'goal':>5}")
    for name in rounds[0]:
        cpu, clock = zip(*(each[name] for each in rounds), strict=True)
        ratio = statistics.median(each[name][0] / each[REFERENCE][0] for each in rounds)
        goal = CALLS.get(name)
        print(
            f"{name:32} {statistics.median(cpu) * 1000:8.1f} {min(cpu) * 1000:8.1f}"
            f" {statistics.median(clock) * 1000:9.1f} {ratio:6.2f} {goal or '':>5}"
        )


def largest(env: Environment, call: str) -> None:
    """The modules that take longest to import, those they import themselves left out."""
    command = [sys.executable, "-X", "importtime", *facauth()[1:], *call.split()]
    lowest: dict[str, int] = {}
    for _ in range(REPEATS):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        for own, name in ROW.findall(done.stderr):
            lowest[name] = min(int(own), lowest.get(name, int(own)))
    total_ms = sum(lowest.values()) / 1000
    print(f"\nfacauth {call.split()[0]}: {len(lowest)} modules, {total_ms:.0f} ms")
    for name in sorted(lowest, key=lambda name: -lowest[name])[:LISTED]:
        print(f"{lowest[name] / 1000:8.1f} ms  {name}")


if __name__ == "__main__":
    main()
