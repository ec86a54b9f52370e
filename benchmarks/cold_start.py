"""Whole processes from start to exit: `facauth sign-in` against the usual face_recognition script.

    python benchmarks/cold_start.py [--runs N]

Both get the same photo of about one megapixel and one enrolled person. facauth also checks
liveness and quality, and runs two encoders. Runs alternate, so that a machine that gets slower
slows both; what is printed is the median of the ratios of neighbouring runs.
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


def main() -> None:
    """Prepare both, run them in turn, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        ours, reference = prepare(Path(folder))
        for command in (ours, reference):
            measured(command)  # warm the file cache
        pairs = [(measured(ours), measured(reference)) for _ in range(runs)]
        small = {
            "facauth --help": [measured([*facauth(), "--help"]) for _ in range(runs)],
            "facauth list": [measured([*facauth(), "list"]) for _ in range(runs)],
        }
    report(pairs, small)


def facauth() -> list[str]:
    """The command as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("facauth"))]


def prepare(folder: Path) -> tuple[list[str], list[str]]:
    """Enrol one person with each; the two commands that sign in."""
    os.environ["FACAUTH_STORE"] = str(folder / "store.sqlite3")
    subprocess.run(
        [*facauth(), "register", "-q", "Obama", str(ENROLLED)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    encoding = str(folder / "encoding.npy")
    quiet = [sys.executable, "-W", "ignore", "-c"]
    subprocess.run([*quiet, ENROL_REFERENCE, encoding, str(ENROLLED)], check=True)
    return [*facauth(), "sign-in", str(PROBE)], [*quiet, REFERENCE, encoding, str(PROBE)]


def measured(command: list[str]) -> Run:
    """One run; raises CalledProcessError unless it signs in."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def report(pairs: list[tuple[Run, Run]], small: dict[str, list[Run]]) -> None:
    """The table, with what it ran on."""
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, ",
        end="",
    )
    print(
        ", ".join(
            f"{name} {metadata.version(name)}"
            for name in ("opencv-python-headless", "dlib-bin", "typer")
        )
    )
    print(f"{len(pairs)} alternating runs on {PROBE.name}; medians\n")
    print(f"{'':30} {'wall s':>8} {'cpu s':>8} {'peak MB':>8}")
    ours, reference = zip(*pairs, strict=True)
    rows = {"face_recognition script": reference, "facauth sign-in": ours, **small}
    for name, runs in rows.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:30} {wall:8.2f} {cpu:8.2f} {peak / 1024:8.0f}")
    wall, cpu, peak = (
        statistics.median(theirs[i] / own[i] for own, theirs in pairs) for i in range(3)
    )
    print(f"\nfacauth is {wall:.1f} times faster by the clock, {cpu:.1f} times in processor time,")
    print(f"and takes {1 / peak:.2f} times the memory")


if __name__ == "__main__":
    main()
