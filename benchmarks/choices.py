"""Benefit and cost of faster choices: threads, onnxruntime, a resident process.

    python benchmarks/choices.py [--rounds N]

onnxruntime is not a dependency of facauth; without it, its rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
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
import numpy as np

from facauth.networks import WEIGHTS, Checked, Networks, opencv
from facauth.pipeline import register, sign_in
from facauth.records import PersonName
from facauth.settings import DEFAULT
from facauth.store.store import Store
from facauth.structs import EnrolmentTerms, Terms
from facauth.system import System, bind

SAMPLES = Path(__file__).parents[1] / "sample_images"
ENROLLED, PROBE = str(SAMPLES / "obama_2009.jpg"), str(SAMPLES / "obama_2012.jpg")
ENCODERS = {
    "encode_dlib_resnet_v1.onnx": (1, 3, 150, 150),
    "encode_sface_2021dec_int8.onnx": (1, 3, 112, 112),
}


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
    engines(rounds)


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


def engines(rounds: int) -> None:
    """Loading and running both encoders by cv2.dnn and by onnxruntime, one thread each."""
    opencv().setNumThreads(1)
    for file, shape in ENCODERS.items():
        image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        path = str(WEIGHTS / file)
        report("cv2.dnn", file, lambda path=path: by_opencv(path), image, rounds)  # type: ignore[misc]
        if importlib.util.find_spec("onnxruntime"):
            report("onnxruntime", file, lambda path=path: by_onnxruntime(path), image, rounds)  # type: ignore[misc]
    if importlib.util.find_spec("onnxruntime"):
        command = [sys.executable, "-c", "import numpy, onnxruntime"]
        without = [sys.executable, "-c", "import numpy"]
        cost = median_ms(lambda: subprocess.run(command, check=True), rounds) - median_ms(
            lambda: subprocess.run(without, check=True), rounds
        )
        print(f"{'import onnxruntime, beyond numpy':44} {cost:8.0f}")


Runner = Callable[[np.ndarray], object]


def by_opencv(path: str) -> Runner:
    """The network, loaded by OpenCV."""
    network = cv2.dnn.readNetFromONNX(path)

    def run(image: np.ndarray) -> object:
        network.setInput(image)
        return network.forward()

    return run


def by_onnxruntime(path: str) -> Runner:
    """The network, loaded by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (first,) = session.get_inputs()
    return lambda image: session.run(None, {first.name: image})


def report(
    engine: str, file: str, load: Callable[[], Runner], image: np.ndarray, rounds: int
) -> None:
    """One line for loading, one for running."""
    loading = median_ms(load, rounds)
    run = load()
    run(image)
    running = median_ms(lambda: run(image), rounds)
    name = file.removesuffix(".onnx")
    print(f"{f'{name}, {engine}: load':44} {loading:8.0f}")
    print(f"{f'{name}, {engine}: run':44} {running:8.1f}")


if __name__ == "__main__":
    main()
