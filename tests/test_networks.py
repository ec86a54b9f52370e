"""The weights: which, whether they are the right ones, and never run if not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any

import pytest

from facauth import networks
from facauth.errors import SetupProblem
from facauth.networks import WEIGHTS, Checked, Networks, Weight, read_manifest

ATTRIBUTES = {"detect": "detector", "encode_dlib_data": "encode_dlib"}  # where it is not the role
ENCODERS = {"encode_dlib", "encode_dlib_data", "encode_sface", "encode_sface_last"}
ROLES = {"detect", "landmarks", *ENCODERS, "live_2_7", "live_4_0"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stand-ins for the weights, with a manifest of their own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    rows = []
    for role in sorted(ROLES):
        content = role.encode() * 1000
        (folder / f"{role}.bin").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        rows.append({"role": role, "file": f"{role}.bin", "sha256": digest, "licence": "MIT"})
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "weights": rows}))
    return folder


@pytest.fixture
def weight(folder: Path) -> Weight:
    return read_manifest(folder)["detect"]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "facauth" / "weights.json"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles that were hashed in full, in order."""
    roles: list[str] = []
    real = Weight.require_intact

    def counting(self: Weight) -> None:
        roles.append(self.role)
        real(self)

    monkeypatch.setattr(Weight, "require_intact", counting)
    return roles


def flip(path: Path, at: int = 100) -> None:
    """Change one bit and give the file its old times back, as far as that is possible."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def code(call: Callable[[], object]) -> str:
    with pytest.raises(SetupProblem) as refusal:
        call()
    (reason,) = refusal.value.reasons
    return reason.code


def loaded(nets: Networks, role: str) -> object:
    return getattr(nets, ATTRIBUTES.get(role, role))


# --- the manifest --------------------------------------------------------------------------------


def test_the_manifest_is_complete() -> None:
    weights = read_manifest()
    assert set(weights) == ROLES
    for role, weight in weights.items():
        assert weight.role == role
        assert weight.path.parent == WEIGHTS
        assert (WEIGHTS / "LICENSES" / f"{weight.licence}.txt").is_file()
        weight.require_intact()


def test_every_weight_is_in_the_manifest() -> None:
    listed = {weight.path.name for weight in read_manifest().values()}
    found = {path.name for path in WEIGHTS.iterdir() if path.suffix in {".onnx", ".bin", ".npz"}}
    assert found == listed


def test_the_manifest_names_sources_and_sizes() -> None:
    rows = json.loads((WEIGHTS / "manifest.json").read_text())["weights"]
    for row in rows:
        assert row["bytes"] == (WEIGHTS / row["file"]).stat().st_size
        assert len(row["sha256"]) == len(row["source"]["sha256"]) == 64
        assert row["attribution"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"weights": null}',
        b'{"weights": [1]}',
        b'{"weights": ["text"]}',
        b'{"weights": [{"role": "detect"}]}',
        b'{"weights": [{"role": "detect", "file": 1, "sha256": "", "licence": ""}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_manifest_runs_nothing(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert code(lambda: Networks(Checked(None), folder)) == "weights.unfit"


def test_no_manifest_runs_nothing(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert code(lambda: Networks(Checked(None), folder)) == "weights.unfit"


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_manifest_that_forgets_a_network(folder: Path, role: str) -> None:
    rows = json.loads((folder / "manifest.json").read_text())["weights"]
    rest = [row for row in rows if row["role"] != role]
    (folder / "manifest.json").write_text(json.dumps({"weights": rest}))
    assert code(lambda: loaded(Networks(Checked(None), folder), role)) == "weights.unfit"


# --- a wrong file is never run -------------------------------------------------------------------


@contextmanager
def no_loading(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever loads a network fails the test."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a network was loaded")

    for name in (
        "cv2.dnn.readNetFromONNX",
        "cv2.dnn.readNet",
        "cv2.FaceDetectorYN.create",
        "numpy.load",
        "dlib.shape_predictor",
    ):
        monkeypatch.setattr(name, load)
    yield
    monkeypatch.undo()


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def lead_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def exchange(path: Path) -> None:
    shutil.copy(WEIGHTS / "detect_yunet_2023mar_int8.onnx", path)


HARMS = (flip, remove, truncate, empty, extend, make_folder, lead_nowhere, exchange)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_wrong_file_is_never_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, role: str, harm: Callable[[Path], None]
) -> None:
    harm(folder / f"{role}.bin")
    with no_loading(monkeypatch):
        nets = Networks(Checked(None), folder)
        for _ in range(2):  # and not at the second try either
            assert code(lambda: loaded(nets, role)) == "weights.unfit"


@pytest.mark.parametrize("at", [0, 1, 4096, -1])
def test_one_bit_of_a_real_weight_is_enough(tmp_path: Path, at: int) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "weights", ignore=shutil.ignore_patterns("encode*"))
    flip(tmp_path / "weights" / "detect_yunet_2023mar_int8.onnx", at)
    nets = Networks(Checked(None), tmp_path / "weights")
    assert code(lambda: nets.detector) == "weights.unfit"


def test_messages_name_the_file_and_the_cure(folder: Path, weight: Weight) -> None:
    flip(weight.path)
    with pytest.raises(SetupProblem) as refusal:
        Checked(None).require(weight)
    (reason,) = refusal.value.reasons
    assert str(weight.path) in reason.message
    assert "install" in reason.advice


# --- remembering ---------------------------------------------------------------------------------


def test_a_file_is_hashed_once(memory: Path, weight: Weight, hashed: list[str]) -> None:
    checked = Checked(memory)
    assert [checked.require(weight), checked.require(weight)] == [weight.path] * 2
    assert Checked(memory).require(weight) == weight.path  # as the next process does
    assert hashed == ["detect"]


def test_without_memory_every_process_hashes(weight: Weight, hashed: list[str]) -> None:
    for _ in range(2):
        Checked(None).require(weight)
    assert hashed == ["detect"] * 2


def test_each_weight_is_remembered(memory: Path, folder: Path, hashed: list[str]) -> None:
    for _ in range(2):
        checked = Checked(memory)
        for weight in read_manifest(folder).values():
            checked.require(weight)
    assert hashed == sorted(ROLES)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_change_is_noticed(memory: Path, weight: Weight, harm: Callable[[Path], None]) -> None:
    Checked(memory).require(weight)
    harm(weight.path)
    for _ in range(2):
        assert code(lambda: Checked(memory).require(weight)) == "weights.unfit"


def test_a_change_while_it_runs_is_noticed(memory: Path, weight: Weight) -> None:
    checked = Checked(memory)
    checked.require(weight)
    flip(weight.path)
    assert code(lambda: checked.require(weight)) == "weights.unfit"


def test_another_file_of_the_same_size_and_time_is_noticed(memory: Path, weight: Weight) -> None:
    Checked(memory).require(weight)
    other, before = weight.path.with_suffix(".new"), weight.path.stat()
    other.write_bytes(b"x" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(weight.path)
    assert code(lambda: Checked(memory).require(weight)) == "weights.unfit"


def test_another_expected_hash_is_noticed(memory: Path, weight: Weight) -> None:
    """An upgraded manifest beside files that were not."""
    Checked(memory).require(weight)
    newer = replace(weight, sha256="0" * 64)
    assert code(lambda: Checked(memory).require(newer)) == "weights.unfit"


def test_a_wrong_file_is_not_remembered(memory: Path, weight: Weight) -> None:
    flip(weight.path)
    assert code(lambda: Checked(memory).require(weight)) == "weights.unfit"
    assert not memory.exists()
    flip(weight.path)
    Checked(memory).require(weight)


def test_a_file_that_only_moved_is_hashed_again(
    memory: Path, folder: Path, weight: Weight, hashed: list[str]
) -> None:
    Checked(memory).require(weight)
    folder.rename(folder.with_name("moved"))
    moved = read_manifest(folder.with_name("moved"))["detect"]
    Checked(memory).require(moved)
    assert hashed == ["detect"] * 2


# --- the memory file -----------------------------------------------------------------------------


def test_only_the_owner_can_read_and_write_it(memory: Path, weight: Weight) -> None:
    before = os.umask(0)
    try:
        Checked(memory).require(weight)
    finally:
        os.umask(before)
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b"7", b'{"x": 1}', b"\xff\xfe\0", b"[" * 100_000, bytes(100)],
)
def test_a_damaged_memory_is_forgotten(
    memory: Path, weight: Weight, hashed: list[str], content: bytes
) -> None:
    memory.parent.mkdir(parents=True)
    memory.write_bytes(content)
    Checked(memory).require(weight)
    assert Checked(memory).require(weight) == weight.path
    assert hashed == ["detect"]


@pytest.mark.parametrize("value", [None, True, [], {}, "x", [1, 2], 7])
def test_odd_values_in_it_are_not_believed(
    memory: Path, weight: Weight, hashed: list[str], value: object
) -> None:
    memory.parent.mkdir(parents=True)
    memory.write_text(json.dumps({str(weight.path): value}))
    Checked(memory).require(weight)
    assert hashed == ["detect"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_memory_of_somebody_else_is_not_believed(
    memory: Path, weight: Weight, hashed: list[str]
) -> None:
    Checked(memory).require(weight)
    os.chown(memory, 65534, 65534)
    Checked(memory).require(weight)
    assert hashed == ["detect"] * 2
    assert memory.stat().st_uid == os.getuid()


def test_a_memory_that_others_may_write_is_not_believed(
    memory: Path, weight: Weight, hashed: list[str]
) -> None:
    """Else another user could declare a file of their own intact."""
    Checked(memory).require(weight)
    memory.chmod(0o666)
    Checked(memory).require(weight)
    assert hashed == ["detect"] * 2


def obstruct_with_file(memory: Path) -> None:
    memory.parent.parent.mkdir()
    memory.parent.write_text("a file where the folder should be")


def obstruct_with_device(memory: Path) -> None:
    memory.parent.parent.symlink_to("/dev/null")


def obstruct_with_folder(memory: Path) -> None:
    memory.mkdir(parents=True)


def obstruct_with_circle(memory: Path) -> None:
    memory.parent.parent.symlink_to(memory.parent.parent)


@pytest.mark.parametrize(
    "obstruct",
    [obstruct_with_file, obstruct_with_device, obstruct_with_folder, obstruct_with_circle],
    ids=lambda obstruct: obstruct.__name__,
)
def test_where_nothing_can_be_remembered_every_process_hashes(
    memory: Path, weight: Weight, hashed: list[str], obstruct: Callable[[Path], None]
) -> None:
    """As for users without a home, like HOME=/dev/null."""
    obstruct(memory)
    for _ in range(2):
        assert Checked(memory).require(weight) == weight.path
    assert hashed == ["detect"] * 2


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount file systems")
def test_a_read_only_file_system(memory: Path, weight: Weight, hashed: list[str]) -> None:
    """It refuses even to remove what is not there; containers often have one."""
    memory.parent.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(memory.parent)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        for _ in range(2):
            assert Checked(memory).require(weight) == weight.path
    finally:
        subprocess.run(["umount", str(memory.parent)], check=True)
    assert hashed == ["detect"] * 2


# --- networks ------------------------------------------------------------------------------------


def test_networks_load_when_first_used_and_only_once(
    monkeypatch: pytest.MonkeyPatch, hashed: list[str]
) -> None:
    nets = Networks(Checked(None))
    assert hashed == []
    assert nets.contract.startswith("dlib+sface/")
    assert hashed == []
    assert nets.live_2_7 is nets.live_2_7
    assert hashed == ["live_2_7"]


def test_the_contract_tells_weights_and_geometry_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Networks(Checked(None), folder).contract
    rows = json.loads((folder / "manifest.json").read_text())["weights"]
    contracts = {before}
    for row in rows:
        changed = [{**other, "sha256": "0" * 64} if other is row else other for other in rows]
        (folder / "manifest.json").write_text(json.dumps({"weights": changed}))
        contracts.add(Networks(Checked(None), folder).contract)
    assert len(contracts) == 1 + 6  # both liveness networks make no encodings
    (folder / "manifest.json").write_text(json.dumps({"weights": rows}))
    monkeypatch.setattr(networks, "PREPROCESSING", networks.PREPROCESSING + 1)
    assert Networks(Checked(None), folder).contract not in contracts


def test_what_was_enrolled_with_version_0_1_is_still_compared() -> None:
    """Each encoder is in two files since then, which encode as the one did."""
    assert Networks(Checked(None)).contract == "dlib+sface/1/6993c5234f98"
    rows = json.loads((WEIGHTS / "manifest.json").read_text())["weights"]
    standing_in = {row["file"]: row["sha256"][:16] for row in rows if "encodes_as" in row}
    assert standing_in == SAME_AS_BEFORE  # whoever changes one compares the encodings first


SAME_AS_BEFORE = {
    "encode_dlib_resnet_v1.onnx": "0e8d3fe9be0c90e0",
    "encode_dlib_resnet_v1.bin": "1ddfb9b037d82655",
    "encode_sface_2021dec_int8.onnx": "cfd695f839eb9208",
    "encode_sface_2021dec_last.npz": "e20cd51f491114dd",
}


# --- side by side --------------------------------------------------------------------------------


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> networks.Processors:
    """One beside the one that asks."""
    processors = networks.Processors(1)
    monkeypatch.setattr(networks, "processors", processors)
    return processors


@pytest.mark.usefixtures("two_processors")
def test_both_run_at_the_same_time_where_a_processor_is_free() -> None:
    both = Barrier(2, timeout=20)  # passed by two threads that wait for each other
    assert networks.side_by_side(lambda: (both.wait(), 1)[1], lambda: (both.wait(), 2)[1]) == (1, 2)


def test_one_runs_after_the_other_where_none_is_free(two_processors: networks.Processors) -> None:
    here = get_ident()
    with two_processors.occupied():
        assert networks.side_by_side(get_ident, get_ident) == (here, here)
    assert networks.side_by_side(get_ident, get_ident)[1] != here


def test_a_processor_is_free_again_after_an_error(two_processors: networks.Processors) -> None:
    def fail() -> int:
        raise ValueError("the one")

    for work in ((fail, get_ident), (get_ident, fail)):
        with pytest.raises(ValueError, match="the one"):
            networks.side_by_side(*work)
        assert two_processors.take()
        two_processors.give_back()


def test_more_photos_than_processors_leave_none(two_processors: networks.Processors) -> None:
    with two_processors.occupied(), two_processors.occupied():
        assert not two_processors.take()
    assert two_processors.take()
    assert not two_processors.take()
