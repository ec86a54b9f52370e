"""Code 7: a store or weights not as they must be are left alone and never worked around."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, Facauth, Photo, tree

EILEEN = "collins.png"
DETECTOR = "detect_yunet_2023mar_int8.onnx"


def commands(photo: Photo) -> Iterator[tuple[str, ...]]:
    """One call of every command that opens a store."""
    yield ("register", "Ada", photo(EILEEN))
    yield ("sign-in", photo(EILEEN))
    yield ("list",)
    yield ("remove", "Ada", "--yes")
    yield ("rename", "Ada", "Eileen")


def assert_refused(facauth: Facauth, photo: Photo, message: str) -> None:
    """Every command says this, gives code 7 and leaves the store's folder as it was."""
    before = tree(facauth.store.parent)
    for command in commands(photo):
        result = facauth(*command, exit_code=7)
        assert result.stdout == ""
        assert result.stderr.startswith(f"facauth: {message}")
        assert tree(facauth.store.parent) == before


def test_a_file_that_is_no_store_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_text("a diary\n" * 1000)
    assert_refused(facauth, photo, f"{facauth.store} is not a facauth store; name another file")


def test_the_database_of_another_program_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.mkdir()
    with closing(sqlite3.connect(facauth.store)) as db, db:
        db.execute("CREATE TABLE people (name TEXT)")
    assert_refused(facauth, photo, f"{facauth.store} is not a facauth store; name another file")


def test_a_store_of_a_newer_facauth_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    facauth.change("PRAGMA user_version = 99")
    assert_refused(facauth, photo, f"{facauth.store} was written by a newer facauth; update")


def test_a_folder_is_no_store(facauth: Facauth, photo: Photo) -> None:
    facauth.store.mkdir(parents=True)
    assert_refused(facauth, photo, f"{facauth.store} is not a file; name a facauth store")


def test_a_store_cannot_be_below_a_file(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.write_text("a file")
    result = facauth("register", "Ada", photo(EILEEN), exit_code=7)
    assert result.stdout == ""
    assert result.stderr.startswith(f"facauth: {facauth.store} cannot be used")
    assert facauth.store.parent.read_text() == "a file"


def test_a_damaged_encoding_lets_nobody_in(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    facauth.change("UPDATE templates SET encoding = zeroblob(1024)")
    result = facauth("sign-in", photo(EILEEN), exit_code=7)
    assert result.stdout == ""
    assert result.stderr.startswith("facauth: the store holds a damaged encoding;")


@pytest.mark.parametrize(
    "damage",
    ["zeroblob(2000)", "x''", "substr(signature, 1, 999)", "CAST(signature || x'00' AS BLOB)"],
)
def test_a_damaged_signature_lets_nobody_in(facauth: Facauth, photo: Photo, damage: str) -> None:
    facauth.knows(Ada=photo("obama_2009.jpg"))
    facauth.change(f"UPDATE templates SET signature = {damage}")
    again = photo("obama_2010.jpg")
    for command in (("sign-in", again), ("spoof-check", again, "--against", "Ada")):
        result = facauth(*command, exit_code=7)
        assert result.stdout == ""
        assert result.stderr.startswith("facauth: the store holds a capture signature that cannot")
    facauth("register", "Ada", again, exit_code=7)
    facauth("register", "Ada", again, "--replace")
    assert facauth("sign-in", photo("obama_2012.jpg")).stdout == "Ada\n"


def test_the_option_names_another_store_than_the_environment(
    facauth: Facauth, photo: Photo, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "store.db"
    facauth("register", "Ada", photo(EILEEN), "--store", str(other))
    assert not facauth.store.exists()
    assert facauth("list", "--store", str(other)).stdout.startswith("Ada\t1\t")
    assert facauth("list").stdout == ""


def test_without_either_the_store_is_among_the_users_data(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    facauth("register", "Ada", photo(EILEEN))
    assert list(tree(facauth.home)) == ["share", "share/facauth", "share/facauth/facauth.sqlite3"]


@pytest.fixture
def installed(facauth: Facauth, tmp_path: Path) -> Path:
    """A copy of this installation whose detector can be damaged: the other weights are links."""
    copy = tmp_path / "installed"
    (copy / "facauth" / "weights").mkdir(parents=True)
    (copy / "sample_images").symlink_to(ROOT / "sample_images")
    for path in (ROOT / "facauth").iterdir():
        if path.name != "weights":
            (copy / "facauth" / path.name).symlink_to(path)
    for path in (ROOT / "facauth" / "weights").iterdir():
        (copy / "facauth" / "weights" / path.name).symlink_to(path)
    detector = copy / "facauth" / "weights" / DETECTOR
    released = detector.read_bytes()
    detector.unlink()
    detector.write_bytes(released)
    return copy


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_with_a_damaged_weight_nobody_is_registered_or_let_in(
    facauth: Facauth, photo: Photo, installed: Path
) -> None:
    env = {"PYTHONPATH": str(installed)}
    facauth.process("register", "Ada", photo(EILEEN), env=env)  # and the weights are remembered
    before = facauth.enrolled()
    flip_a_byte(installed / "facauth" / "weights" / DETECTOR)
    for command in (("sign-in",), ("register", "Ada"), ("spoof-check",)):
        result = facauth.process(*command, photo(EILEEN), env=env, exit_code=7)
        assert result.stdout == ""
        assert result.stderr == (
            f"facauth: {installed / 'facauth' / 'weights' / DETECTOR} is not the file that "
            "facauth was released with; install facauth again; nothing was run\n"
        )
    assert facauth.enrolled() == before
    assert facauth.process("list", env=env).stdout.startswith("Ada\t1\t")


def test_without_a_weight_nobody_is_let_in(facauth: Facauth, photo: Photo, installed: Path) -> None:
    (installed / "facauth" / "weights" / DETECTOR).unlink()
    env = {"PYTHONPATH": str(installed)}
    result = facauth.process("spoof-check", photo(EILEEN), env=env, exit_code=7)
    assert (result.stdout, "is missing; install facauth again" in result.stderr) == ("", True)


def test_doctor_finds_a_damaged_weight(facauth: Facauth, installed: Path) -> None:
    flip_a_byte(installed / "facauth" / "weights" / DETECTOR)
    env = {"PYTHONPATH": str(installed)}
    answer = facauth.process("doctor", "--json", env=env, exit_code=7).json
    assert answer["verdict"] == "unhealthy"
    bad = {check["check"] for check in answer["checks"] if not check["ok"]}
    assert {"weights", "self-test"} <= bad <= {"weights", "self-test", "parity"}
    advice = {check["advice"] for check in answer["checks"] if not check["ok"]}
    assert advice == {"install facauth again; nothing was run"}


def test_a_demo_that_cannot_run_is_not_a_success(facauth: Facauth, installed: Path) -> None:
    flip_a_byte(installed / "facauth" / "weights" / DETECTOR)
    result = facauth.process("demo", env={"PYTHONPATH": str(installed)}, exit_code=7)
    first, second, third, *_ = result.stdout.splitlines()
    assert all(line.startswith("WRONG\t") for line in (first, second, third))
