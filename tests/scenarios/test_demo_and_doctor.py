"""demo and doctor: what they show, and that they write nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Facauth, Photo, Tree, tree

from facauth.demo import Step
from facauth.doctor import Finding
from facauth.errors import ExitCode

EILEEN = "collins.png"


def all_of(facauth: Facauth, tmp_path: Path) -> Tree:
    """Whatever a command could reach: home, current folder, store and temporary files."""
    assert facauth.home.is_relative_to(tmp_path)
    return tree(tmp_path)


@pytest.fixture
def temporary(tmp_path: Path) -> dict[str, str]:
    """The environment that keeps temporary files within reach of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return {"TMPDIR": str(folder)}


@pytest.mark.slow
def test_the_demo_shows_what_it_promises_and_leaves_no_trace(
    facauth: Facauth, tmp_path: Path, temporary: dict[str, str]
) -> None:
    before = all_of(facauth, tmp_path)
    result = facauth.process("demo", env=temporary)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["ok"] * 12
    assert [row[2] for row in rows] == [row[3] for row in rows]
    assert {row[3] for row in rows} == {"0", "1", "3", "4", "6"}
    assert rows[2][1:] == ["Obama's photo of 2012 signs in", "0", "0", "Barack Obama"]
    assert result.stderr == ""
    assert all_of(facauth, tmp_path) == before


@pytest.mark.slow
def test_the_demo_does_not_touch_the_users_store(
    facauth: Facauth, photo: Photo, tmp_path: Path, temporary: dict[str, str]
) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    before = all_of(facauth, tmp_path)
    answer = facauth.process("demo", "--json", env=temporary).json
    assert (answer["ok"], answer["verdict"]) == (True, "as_expected")
    assert all(step["expected"] == step["got"] for step in answer["steps"])
    assert all_of(facauth, tmp_path) == before


def test_a_demo_that_shows_something_else_fails(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step("a stranger", ExitCode.NO_MATCH, ExitCode.OK, "Barack Obama")
    monkeypatch.setattr("facauth.demo.run", lambda: [step])
    result = facauth("demo", exit_code=7)
    assert result.stdout == "WRONG\ta stranger\t1\t0\tBarack Obama\n"
    answer = facauth("demo", "--json", exit_code=7).json
    assert (answer["ok"], answer["verdict"]) == (False, "not_as_expected")


@pytest.mark.slow
@pytest.mark.sqlite("begins without a store")
def test_doctor_finds_nothing_wrong_here(
    facauth: Facauth, tmp_path: Path, temporary: dict[str, str]
) -> None:
    before = all_of(facauth, tmp_path)
    result = facauth.process("doctor", env=temporary)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert {row[0] for row in rows} == {"ok"}
    found = {row[1]: row[2] for row in rows}
    assert found["weights"] == "8 files, every hash as released"
    assert found["self-test"].startswith("two photos of one person match")
    assert found["store"] == f"{facauth.store} (not created yet: nobody is enrolled)"
    assert found["keyring extra"] == found["plot extra"] == "installed"
    assert (
        found["limits"]
        == "a photo does not show who took it: another real photo of the person passes"
    )
    assert result.stderr == ""
    assert all_of(facauth, tmp_path) == before


@pytest.mark.slow
def test_doctor_does_not_change_the_store(
    facauth: Facauth, photo: Photo, tmp_path: Path, temporary: dict[str, str]
) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    before = all_of(facauth, tmp_path)
    answer = facauth.process("doctor", "--json", env=temporary).json
    assert (answer["ok"], answer["verdict"]) == (True, "healthy")
    assert finding(answer["checks"], "store") == f"{facauth.store}, 1 enrolled, sound"
    if isinstance(facauth.store, Path):
        assert finding(answer["checks"], "store file") == "mode 0600"
    assert all_of(facauth, tmp_path) == before


def finding(checks: list[dict[str, str]], name: str) -> str:
    return next(check["detail"] for check in checks if check["check"] == name)


def test_doctor_says_only_its_own_words_whatever_the_reference_package_prints(
    facauth: Facauth, tmp_path: Path
) -> None:
    package = tmp_path / "packages" / "face_recognition"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('Please install …')\nquit()\n")
    path = f"{package.parent}:{facauth.environment()['PYTHONPATH']}"
    answer = facauth.process("doctor", "--json", env={"PYTHONPATH": path}).json
    assert finding(answer["checks"], "parity").startswith("not compared")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor without the parts that run networks."""
    for check in ("_self_test", "_parity", "_weights"):
        monkeypatch.setattr(f"facauth.doctor.{check}", lambda: "left out")


@pytest.mark.usefixtures("hurried")
def test_doctor_says_what_an_extra_would_add(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facauth.doctor.find_spec", lambda _: None)
    lines = facauth("doctor").stdout.splitlines()
    assert "ok\theic extra\tnot installed: pip install 'pi-heif>=1.0' to read HEIC\t" in lines
    assert any(line.startswith("ok\tkeyring extra\tnot installed: pip") for line in lines)
    assert any(line.startswith("ok\tplot extra\tnot installed: pip") for line in lines)


@pytest.mark.usefixtures("hurried")
@pytest.mark.sqlite("is about the file and its folder")
def test_doctor_finds_a_store_that_others_can_read(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    facauth.store.chmod(0o644)
    facauth.store.parent.chmod(0o777)
    lines = facauth("doctor", exit_code=7).stdout.splitlines()
    assert f"BAD\tstore file\tmode 0644\tchmod 600 {facauth.store}" in lines
    assert f"BAD\tstore folder\tmode 0777\tchmod go-w {facauth.store.parent}" in lines


@pytest.mark.usefixtures("hurried")
@pytest.mark.sqlite("is about the file and its folder")
def test_doctor_finds_a_store_that_is_none(facauth: Facauth) -> None:
    facauth.store.parent.mkdir(mode=0o700)
    facauth.store.write_bytes(b"SQLite format 3\0" + bytes(4080))
    facauth.store.chmod(0o600)
    before = facauth.keeping.everything()
    (line,) = [line for line in facauth("doctor", exit_code=7).stdout.splitlines() if "BAD" in line]
    assert line.startswith(f"BAD\tstore\t{facauth.store} ")
    assert facauth.keeping.everything() == before


@pytest.mark.usefixtures("hurried")
def test_doctor_counts_people_who_need_a_new_photo(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    facauth.change("UPDATE templates SET contract = 'older/1'")
    checks = facauth("doctor", "--json").json["checks"]
    assert "1 with photos of an older contract" in finding(checks, "store")


def test_what_doctor_finds_missing_is_said_with_what_to_do(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Finding("numpy", False, "not installed", "install facauth again")
    monkeypatch.setattr("facauth.doctor.examine", lambda _: iter([missing]))
    result = facauth("doctor", exit_code=7)
    first, *settings = result.stdout.splitlines()
    assert first == "BAD\tnumpy\tnot installed\tinstall facauth again"
    assert all(line.startswith("ok\t") for line in settings)
    assert result.stderr == ""
