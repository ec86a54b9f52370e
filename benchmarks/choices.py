"""Benefit and cost of faster choices: threads, a resident process. networks.py has onnxruntime.

python benchmarks/choices.py [--rounds N]
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
from collections.abc import Callable
from pathlib import Path

import cv2

from facauth.networks import Checked, Networks, opencv
from facauth.pipeline import register, sign_in
from facauth.records import PersonName
from facauth.settings import DEFAULT
from facauth.store.store import Store
from facauth.structs import EnrolmentTerms, Terms
from facauth.system import System, bind

SAMPLES = Path(__file__).parents[1] / "sample_images"
ENROLLED, PROBE = str(SAMPLES / "obama_2009.jpg"), str(SAMPLES / "obama_2012.jpg")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, ",
        end="",
    )
    print(f"OpenCV {cv2.__version__}; medians of {rounds}, in ms\n")
    with tempfile.TemporaryDirectory() as folder:
        sign_ins(Path(folder) / "store.sqlite3", rounds)


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """The median of several runs."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def sign_ins(path: Path, rounds: int) -> None:
    """A sign-in by a new process and by one that stays, with one and with two threads."""
    stages = bind(Networks(Checked(None)))
    command = [
        str(Path(sys.executable).with_name("facauth")),
        "sign-in",
        PROBE,
        "--store",
        str(path),
    ]
    with Store.open(path, create=True) as store:
        system = System.of(stages, store)
        register(system, PersonName.parse("Obama"), [ENROLLED], EnrolmentTerms(DEFAULT))

        def resident() -> None:
            sign_in(system, PROBE, Terms.of(None, None, DEFAULT))

        def cold() -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        cold()
        print(f"{'sign-in, a new process':44} {median_ms(cold, rounds):8.0f}")
        for threads in sorted({1, 2, os.cpu_count() or 2}):
            opencv().setNumThreads(threads)
            resident()
            title = f"sign-in, resident process, {threads} thread(s)"
            print(f"{title:44} {median_ms(resident, rounds):8.0f}")


if __name__ == "__main__":
    main()
