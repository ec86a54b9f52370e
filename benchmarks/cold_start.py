"""Whole processes from start to exit: `facauth sign-in` against the usual face_recognition script.

    python benchmarks/cold_start.py [--runs N] [--before CHECKOUT]

All get the same photo of about one megapixel and one enrolled person. facauth also checks
liveness and quality, and runs two encoders; once on a plain store and once on one that is
encrypted with a key file. --before adds another checkout of facauth, on a store of its own. Runs
alternate, so that a machine that gets slower slows all of them. Below the table are medians of the
ratios of neighbouring runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "sample_images"
ENROLLED, PROBE = SAMPLES / "obama_2009.jpg", SAMPLES / "obama_2012.jpg"

REFERENCE = """
import sys, face_recognition, numpy
enrolled = numpy.load(sys.argv[1])
probe = face_recognition.face_encodings(face_recognition.load_image_file(sys.argv[2]))[0]
print(["Obama", "nobody"][not face_recognition.compare_faces([enrolled], probe)[0]])
"""
ENROL_REFERENCE = """
import sys, face_recognition, numpy
image = face_recognition.load_image_file(sys.argv[2])
numpy.save(sys.argv[1], face_recognition.face_encodings(image)[0])
"""

Run = tuple[float, float, int]  # wall seconds, processor seconds, peak memory in KiB
Command = tuple[dict[str, str], list[str]]  # environment, arguments

SCRIPT, PLAIN = "face_recognition script", "facauth sign-in"
ENCRYPTED, BEFORE = "facauth sign-in, encrypted", "facauth sign-in, before"


def main() -> None:
    """Prepare all, run them in turn, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = prepare(Path(folder), asked.before)
        for command in commands.values():
            measured(command)  # warm the file cache
        rounds = [in_turn(commands, number) for number in range(asked.runs)]
        env = commands[PLAIN][0]
        small = {
            f"facauth {word}": [measured((env, [*facauth(), word])) for _ in rounds]
            for word in ("--help", "list")
        }
    report({name: [each[name] for each in rounds] for name in commands} | small)


def in_turn(commands: dict[str, Command], number: int) -> dict[str, Run]:
    """Run each once per round; each round begins with another one."""
    names = list(commands)
    first = number % len(names)
    return {name: measured(commands[name]) for name in names[first:] + names[:first]}


def facauth() -> list[str]:
    """The command as it is installed with this Python."""
    return [sys.executable, "-P", "-m", "facauth"]


def prepare(folder: Path, before: Path | None) -> dict[str, Command]:
    """Enrol one person with each program; returns the commands that sign in."""
    environments = {name: environment(folder / f"{name}.sqlite3") for name in (PLAIN, ENCRYPTED)}
    if before is not None:
        environments[BEFORE] = environment(folder / "before.sqlite3", before)
    for env in environments.values():
        run(env, *facauth(), "register", "-q", "Obama", str(ENROLLED))
    key_file = str(folder / "key")
    run(environments[ENCRYPTED], *facauth(), "key", "init", "-q", "--key-file", key_file)
    environments[ENCRYPTED]["FACAUTH_KEY_FILE"] = key_file
    encoding = str(folder / "encoding.npy")
    quiet = [sys.executable, "-W", "ignore", "-c"]
    run(dict(os.environ), *quiet, ENROL_REFERENCE, encoding, str(ENROLLED))
    sign_in = [*facauth(), "sign-in", str(PROBE)]
    return {
        SCRIPT: (dict(os.environ), [*quiet, REFERENCE, encoding, str(PROBE)]),
        **{name: (env, sign_in) for name, env in environments.items()},
    }


def environment(store: Path, checkout: Path | None = None) -> dict[str, str]:
    """The environment of a facauth with a store of its own."""
    python_path = {"PYTHONPATH": str(checkout.absolute())} if checkout else {}
    return {**os.environ, **python_path, "FACAUTH_STORE": str(store)}


def run(env: dict[str, str], *command: str) -> None:
    """Run a command without its output; raises CalledProcessError unless it exits with 0."""
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def measured(command: Command) -> Run:
    """One run; raises CalledProcessError unless it signs in."""
    env, arguments = command
    start = time.perf_counter()
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def report(rows: dict[str, list[Run]]) -> None:
    """Print the machine and the table."""
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, ",
        end="",
    )
    packages = ("opencv-python-headless", "dlib-bin", "cryptography", "typer")
    print(", ".join(f"{name} {metadata.version(name)}" for name in packages))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{len(rows[PLAIN])} alternating runs on {PROBE.name}; medians; load {load}\n")
    print(f"{'':30} {'wall s':>8} {'cpu s':>8} {'peak MB':>8}")
    for name, runs in rows.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:30} {wall:8.2f} {cpu:8.2f} {peak / 1024:8.0f}")
    wall, cpu, peak = ratios(rows[SCRIPT], rows[PLAIN])
    print(f"\nBy the clock, facauth is {wall:.1f} times faster, in processor time {cpu:.1f} times;")
    print(f"it takes {1 / peak:.2f} times the memory")
    for name in (PLAIN, BEFORE):
        if name in rows:
            wall, cpu, peak = ratios(rows[ENCRYPTED], rows[name])
            print(f"{ENCRYPTED}: {wall:.3f} times the time of {name!r}, {cpu:.3f} times the")
            print(f"processor time, {peak:.3f} times the memory")


def ratios(some: list[Run], others: list[Run]) -> list[float]:
    """Median ratio of wall time, processor time and memory."""
    pairs = list(zip(some, others, strict=True))
    return [statistics.median(one[i] / other[i] for one, other in pairs) for i in range(3)]


if __name__ == "__main__":
    main()
