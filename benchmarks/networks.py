"""Time of the networks: by OpenCV and by onnxruntime, of the parts of a photo, of several at once.

    python benchmarks/networks.py engines [--rounds N]
    python benchmarks/networks.py parts [--rounds N] [--before CHECKOUT]
    python benchmarks/networks.py together [--rounds N]

engines: each network on one and two threads, in turns. onnxruntime is not a dependency of facauth;
without it, its columns are left out. It gets SFace as facauth has it, and with weights of float32,
which suits it better. YuNet is left out: onnxruntime runs it at one size only.

parts: landmarks to live score, of one photo in one process, in processor time; with --before also
in another checkout of facauth, in turns.

together: one, two and four threads that each find, judge and encode the face of one photo, as the
workers of the server do; with a free processor that takes a part of a photo, and without.

Minima count: other processes only ever add time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facauth import networks as ground
from facauth import system
from facauth.faces.detect import sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.networks import WEIGHTS, Checked, Networks, opencv
from facauth.spoof.liveness import live_score

PHOTO = str(Path(__file__).parents[1] / "sample_images" / "obama_2012.jpg")
SFACE = "encode_sface_2021dec_int8.onnx"
USES = {  # file: shape of the input, and how often a photo runs it
    "encode_dlib_resnet_v1.onnx": ((1, 3, 150, 150), 1),
    SFACE: ((1, 3, 112, 112), 2),
    "live_minifasnet_v2_2_7.onnx": ((1, 3, 80, 80), 3),
    "live_minifasnet_v1se_4_0.onnx": ((1, 3, 80, 80), 3),
}
PARTS = """
import json, sys, time
from facauth.faces.detect import sight
from facauth.faces.encode import dlib_half, encode, sface_half
from facauth.faces.image import decode, read_image
from facauth.networks import Checked, Networks
from facauth.spoof.liveness import live_score
networks = Networks(Checked(None))
pixels = decode(read_image(sys.argv[1]), sys.argv[1])
sighting = sight(pixels, networks.detector)
(face,) = sighting.faces
work = {
    "detection": lambda: sight(pixels, networks.detector),
    "live score": lambda: live_score(pixels, face, networks),
    "dlib half": lambda: dlib_half(pixels, face, networks),
    "SFace half": lambda: sface_half(pixels, face, networks),
    "encoding": lambda: encode(sighting, face, networks=networks),
}
found = {}
for name, run in work.items():
    times = []
    for _ in range(12):
        before = time.process_time(), time.perf_counter()
        run()
        times.append((time.process_time() - before[0], time.perf_counter() - before[1]))
    found[name] = [1000 * min(column) for column in zip(*times)]
print(json.dumps(found))
"""

Array = NDArray[np.float32]
Run = Callable[[Array], object]
Network = str | bytes  # a file or its content
Make = Callable[[Network, int], Run]


def main() -> None:
    """One of the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table", choices=("engines", "parts", "together"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    asked = parser.parse_args()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} processors, OpenCV {cv2.__version__}, load {load}; minima, ms\n")
    if asked.table == "engines":
        engines(asked.rounds)
    elif asked.table == "parts":
        parts(asked.rounds, asked.before)
    else:
        together(asked.rounds)


# --- OpenCV and onnxruntime ----------------------------------------------------------------------


def engines(rounds: int) -> None:
    """Processor time on one thread, wall time on two, of each network and of all for a photo."""
    installed = importlib.util.find_spec("onnxruntime") is not None
    whole: dict[str, list[float]] = {}
    print(f"{'network, engine':48} {'load':>6} {'1 thread':>9} {'2 threads':>9}  runs a photo")
    for file, (shape, often) in USES.items():
        image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        makers = engines_for(file, installed)
        one, two = (measured(makers, threads, image, rounds) for threads in (1, 2))
        for name, (make, network) in makers.items():
            load = minimum(partial(make, network, 1), 3)
            cells = f"{load:6.0f} {one[name]:9.1f} {two[name]:9.1f}"
            print(f"{f'{file[:26]}, {name}':48} {cells}  {often}")
        for engine in {name.split(",")[0] for name in makers}:
            sums = whole.setdefault(engine, [0.0, 0.0])
            for place, each in enumerate((one, two)):
                sums[place] += often * min(each[name] for name in each if name.startswith(engine))
    for engine, (one_thread, two_threads) in whole.items():
        print(f"{f'all of a photo, {engine}':55} {one_thread:9.1f} {two_threads:9.1f}")
    if installed:
        extra, base = (
            minimum(partial(subprocess.run, [sys.executable, "-c", code], check=True), rounds)
            for code in ("import numpy, onnxruntime", "import numpy")
        )
        print(f"import onnxruntime, beyond numpy: {extra - base:.0f} ms")


def engines_for(file: str, installed: bool) -> dict[str, tuple[Make, Network]]:
    """What runs a network, and the bytes it gets. installed: onnxruntime is."""
    path = WEIGHTS / file
    makers: dict[str, tuple[Make, Network]] = {"OpenCV": (by_opencv, str(path))}
    if installed:
        makers["onnxruntime"] = (by_onnxruntime, str(path))
        if file == SFACE:
            makers["onnxruntime, float32"] = (by_onnxruntime, with_floats(path.read_bytes()))
    return makers


def measured(
    makers: dict[str, tuple[Make, Network]],
    threads: int,
    image: Array,
    rounds: int,
) -> dict[str, float]:
    """The engines in turns: processor time of one thread, wall time of two."""
    runs = {name: make(network, threads) for name, (make, network) in makers.items()}
    clock = time.process_time if threads == 1 else time.perf_counter
    times = defaultdict[str, list[float]](list)
    for _ in range(rounds + 2):
        opencv().setNumThreads(threads)
        for name, run in runs.items():
            for _ in range(5):
                start = clock()
                run(image)
                times[name].append(1000 * (clock() - start))
    return {name: min(each) for name, each in times.items()}


def minimum(work: Callable[[], object], rounds: int) -> float:
    """Of the wall times of several runs, in ms."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def by_opencv(network: Network, _: int) -> Run:
    """The network, loaded by OpenCV, whose threads are set for all networks."""
    loaded = cv2.dnn.readNetFromONNX(str(network))

    def run(image: Array) -> object:
        loaded.setInput(image)
        return loaded.forward()

    return run


def by_onnxruntime(network: Network, threads: int) -> Run:
    """The network, loaded by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    (first,) = session.get_inputs()
    return lambda image: session.run(None, {first.name: image})


def with_floats(content: bytes) -> bytes:
    """The network with weights of float32 in the place of quantised ones."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(content)
    graph = model.graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        weights, scales, zeros = (constants[name] for name in node.input)
        size = weights.shape[1] // scales.shape[1]
        spread = [np.repeat(each.astype(np.float32), size, axis=1) for each in (scales, zeros)]
        floats = ((weights - spread[1]) * spread[0]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(floats, node.output[0]))
        graph.node.remove(node)
    for node in [node for node in graph.node if node.op_type == "Dropout"]:
        node.op_type = "Identity"  # onnxruntime does not take its ratio
        del node.attribute[:], node.input[1:]
    return bytes(model.SerializeToString())


# --- parts of a photo ----------------------------------------------------------------------------


def parts(rounds: int, before: Path | None) -> None:
    """Processor and wall time of each part, here and in another checkout."""
    here = str(Path(__file__).parents[1])
    checkouts = {"now": here} | ({"before": str(before.absolute())} if before else {})
    found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, path in checkouts.items():
            command = [sys.executable, "-P", "-c", PARTS, PHOTO]
            env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout))
    print(f"{'':12}", *(f"{name:>7} cpu {name:>7} wall" for name in checkouts))
    for part in found["now"][0]:
        cells = (
            f"{min(each[part][clock] for each in found[name]):{width}.1f}"
            for name in checkouts
            for clock, width in ((0, 11), (1, 12))
        )
        print(f"{part:12}", *cells)


# --- several at once -----------------------------------------------------------------------------


def together(rounds: int) -> None:
    """Photos a second, the most of the rounds, by so many threads with networks of their own."""
    pixels = decode(read_image(PHOTO), PHOTO)
    print("photos a second   processors shared   none lent")
    for threads in (1, 2, 4):
        system.share_processors(2)  # networks that are loaded now run in the calling thread
        sets = [Networks(Checked(None)) for _ in range(threads)]
        ways: dict[str, Any] = {
            "shared": ground.processors,
            "none": ground.Processors(-(10**6)),
        }
        best = dict.fromkeys(ways, 0.0)
        for _ in range(rounds):
            for name, processors in ways.items():
                ground.processors = processors
                best[name] = max(best[name], photos_a_second(sets, pixels))
        print(f"{threads} threads {best['shared']:20.1f} {best['none']:18.1f}")


def photos_a_second(sets: list[Networks], pixels: NDArray[np.uint8]) -> float:
    """Of threads that each examine four photos."""

    def examine(networks: Networks) -> None:
        for _ in range(4):
            with system.on_a_processor():
                sighting = sight(pixels, networks.detector)
                (face,) = sighting.faces
                live_score(sighting.pixels, face, networks)
                encode(sighting, face, networks=networks)

    start = time.perf_counter()
    with ThreadPoolExecutor(len(sets)) as pool:
        list(pool.map(examine, sets))
    return 4 * len(sets) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
