"""Code 7: a store or weights not as they must be are left alone and never worked around."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, Facauth, Photo, Result, tree
from older import make_older

EILEEN = "collins.png"
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
DETECTOR = "detect_yunet_2023mar_int8.onnx"


def commands(photo: Photo) -> Iterator[tuple[str, ...]]:
    """One call of every command that opens a store."""
    yield ("register", "Ada", photo(EILEEN))
    yield ("sign-in", photo(EILEEN))
    yield ("spoof-check", photo(EILEEN), "--against", "Ada")
    yield ("list",)
    yield ("show", "Ada")
    yield ("remove", "Ada", "--yes")
    yield ("rename", "Ada", "Eileen")
    yield ("purge", "--unused-for", "3y", "--yes")
    yield ("migrate",)


def assert_refused(facauth: Facauth, photo: Photo, message: str) -> None:
    """Every command says this, gives code 7 and leaves the store's folder as it was."""
    before = tree(facauth.store.parent)
    for command in commands(photo):
        result = facauth(*command, exit_code=7)
        assert result.stdout == ""
        assert result.stderr.startswith(f"facauth: {message}")
        assert tree(facauth.store.parent) == before


@pytest.mark.sqlite("is about the file and its folder")
def test_a_file_that_is_no_store_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_text("a diary\n" * 1000)
    assert_refused(facauth, photo, f"{facauth.store} is not a facauth store; name another file")


@pytest.mark.sqlite("is about the file and its folder")
def test_the_database_of_another_program_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.mkdir()
    with closing(sqlite3.connect(facauth.store)) as db, db:
        db.execute("CREATE TABLE people (name TEXT)")
    assert_refused(facauth, photo, f"{facauth.store} is not a facauth store; name another file")


@pytest.mark.sqlite("has its version in the header of the file; of a database see tests/store")
def test_a_store_of_a_newer_facauth_is_left_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    facauth.change("PRAGMA user_version = 99")
    assert_refused(facauth, photo, f"{facauth.store} was written by a newer facauth; update")


@pytest.mark.sqlite("is about the file and its folder")
def test_a_folder_is_no_store(facauth: Facauth, photo: Photo) -> None:
    facauth.store.mkdir(parents=True)
    assert_refused(facauth, photo, f"{facauth.store} is not a file; name a facauth store")


@pytest.mark.sqlite("is about the file and its folder")
def test_a_store_cannot_be_below_a_file(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.write_text("a file")
    result = facauth("register", "Ada", photo(EILEEN), exit_code=7)
    assert result.stdout == ""
    assert result.stderr.startswith(f"facauth: {facauth.store} cannot be used")
    assert facauth.store.parent.read_text() == "a file"


@pytest.mark.sqlite("a seal is broken before anything is looked at")
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
@pytest.mark.sqlite("a seal is broken before anything is looked at")
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


@pytest.mark.sqlite("begins without a store")
def test_the_option_names_another_store_than_the_environment(
    facauth: Facauth, photo: Photo, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "store.db"
    facauth("register", "Ada", photo(EILEEN), "--store", str(other))
    assert facauth.keeping.is_untouched()
    assert facauth("list", "--store", str(other)).stdout.startswith("Ada\t1\t")
    facauth("list", exit_code=7)


@pytest.mark.sqlite("begins without a store")
def test_without_either_the_store_is_among_the_users_data(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    facauth("register", "Ada", photo(EILEEN))
    assert list(tree(facauth.home)) == ["share", "share/facauth", "share/facauth/facauth.sqlite3"]


# --- links, other users, and what they put beside a store ----------------------------------------


@pytest.mark.sqlite("is about the file and its folder")
def test_a_link_to_a_store_of_ones_own_is_the_store(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    link = facauth.home / "link"
    link.symlink_to(facauth.store)
    facauth("register", "Joe", photo("biden_2010.jpg"), "--store", str(link))
    facauth("remove", "Ada", "--yes", "--store", str(link))
    assert facauth.names() == {"Joe": 1}
    assert [path.name for path in facauth.store.parent.iterdir()] == [facauth.store.name]


@pytest.mark.sqlite("is about the file and its folder")
def test_a_link_that_leads_nowhere_is_not_taken_for_an_empty_store(
    facauth: Facauth, photo: Photo
) -> None:
    """It may lead to a disk that is not there now."""
    facauth.store.parent.mkdir()
    facauth.store.symlink_to(facauth.home / "absent" / "store")
    assert_refused(facauth, photo, f"there is no store at {facauth.store}")
    assert list(facauth.home.iterdir()) == []


@pytest.mark.sqlite("is about the file and its folder")
def test_a_link_to_itself_or_to_a_folder_is_no_store(facauth: Facauth, photo: Photo) -> None:
    facauth.store.parent.mkdir()
    facauth.store.symlink_to(facauth.store)
    assert_refused(facauth, photo, f"there is no store at {facauth.store}")
    facauth.store.unlink()
    facauth.store.symlink_to(facauth.home)
    assert_refused(facauth, photo, f"{facauth.store} is not a file; name a facauth store")


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o777, 0o770])
@pytest.mark.sqlite("is about the file and its folder")
def test_every_command_warns_where_others_may_write(
    facauth: Facauth, photo: Photo, mode: int
) -> None:
    facauth.knows(Ada=photo("obama_2012.jpg"))
    facauth.store.parent.chmod(mode)
    folder = facauth.store.parent
    warning = f"facauth: other users can replace the store in {folder}; chmod go-w {folder}\n"
    again = photo("obama_2010.jpg")
    for command in (
        ("sign-in", again),
        ("spoof-check", again, "--against", "Ada"),
        ("register", "Ada", again),
        ("list",),
        ("show", "Ada"),
        ("rename", "Ada", "Eve"),
        ("purge", "--unused-for", "3y", "--yes"),
        ("migrate",),
        ("remove", "Eve", "--yes"),
    ):
        assert warning in facauth(*command).stderr, command
        if command[0] in ("list", "show", "migrate"):
            assert facauth(*command, "--quiet").stderr == ""
            assert warning[9:-1] in facauth(*command, "--json").json["notes"]
    checks = facauth("doctor", "--json", exit_code=7).json["checks"]
    assert [check["check"] for check in checks if not check["ok"]] == ["store folder"]


@pytest.mark.parametrize("mode", [0o1777, 0o3770])
@pytest.mark.sqlite("is about the file and its folder")
def test_a_sticky_folder_is_no_place_for_a_store_that_lasts(
    facauth: Facauth, photo: Photo, mode: int
) -> None:
    facauth.knows(Ada=photo("obama_2012.jpg"))
    folder = facauth.store.parent
    folder.chmod(mode)
    cure = "keep it in a folder of your own"
    warning = f"facauth: {folder} is a shared folder, which the system may clear; {cure}\n"
    assert facauth("list").stderr == warning
    checks = facauth("doctor", "--json", exit_code=7).json["checks"]
    assert [check["advice"] for check in checks if not check["ok"]] == [cure]
    assert stat.S_IMODE(folder.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's folder")
@pytest.mark.sqlite("is about the file and its folder")
def test_nobody_is_told_to_change_a_folder_of_somebody_else(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo("obama_2012.jpg"))
    folder = facauth.store.parent
    folder.chmod(0o777)
    os.chown(folder, 65534, -1)
    cure = "keep it in a folder of your own"
    said = f"facauth: other users can replace the store in {folder}; {cure}\n"
    assert facauth("list").stderr == said
    checks = facauth("doctor", "--json", exit_code=7).json["checks"]
    assert [check["advice"] for check in checks if not check["ok"]] == [cure]


@pytest.mark.sqlite("is about the file and its folder")
def test_every_command_warns_of_a_file_that_others_may_open(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    facauth.store.chmod(0o640)
    warning = f"facauth: other users can open {facauth.store}; chmod 600 {facauth.store}\n"
    assert facauth("list").stderr == warning
    assert warning in facauth("sign-in", photo(EILEEN), exit_code=3).stderr


@pytest.mark.sqlite("is about the file and its folder")
def test_of_a_link_both_folders_count(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    link = facauth.home / "link"
    link.symlink_to(facauth.store)
    for folder in (facauth.store.parent, facauth.home):
        folder.chmod(0o777)
        assert f"in {folder}; chmod" in facauth("list", "--store", str(link)).stderr
        folder.chmod(0o700)
    assert facauth("list", "--store", str(link)).stderr == ""


@as_root
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.sqlite("is about the file and its folder")
def test_a_log_of_somebody_else_beside_the_store_is_not_taken_over(
    facauth: Facauth, photo: Photo, suffix: str
) -> None:
    """In a folder like /tmp others can make files, though not change the store."""
    facauth.knows(Ada=photo(EILEEN))
    planted = Path(f"{facauth.store}{suffix}")
    planted.write_bytes(b"whatever")
    os.chown(planted, NOBODY, NOBODY)
    assert_refused(facauth, photo, f"{planted} belongs to another user; delete it")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("content", [b"", b"no log at all" * 1000, bytes(4096)])
@pytest.mark.sqlite("is about the file and its folder")
def test_a_log_that_is_none_changes_nobody(
    facauth: Facauth, photo: Photo, suffix: str, content: bytes
) -> None:
    facauth.knows(Ada=photo("obama_2012.jpg"))
    before = facauth.enrolled()
    Path(f"{facauth.store}{suffix}").write_bytes(content)
    assert facauth("sign-in", photo("obama_2010.jpg")).stdout == "Ada\n"
    assert facauth.enrolled() == before


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
@pytest.mark.sqlite("is about the file and its folder")
def test_a_log_that_is_a_link_is_not_followed(facauth: Facauth, photo: Photo, suffix: str) -> None:
    facauth.knows(Ada=photo(EILEEN))
    victim = facauth.home / "diary"
    victim.write_text("dear diary")
    Path(f"{facauth.store}{suffix}").symlink_to(victim)
    facauth("remove", "Ada", "--yes", exit_code=7)
    assert victim.read_text() == "dear diary"


# --- as somebody without rights, or without a home -----------------------------------------------


SOMEBODY = """
import contextlib, io, os, sys
import platformdirs
from facauth.cli import run
user = int(sys.argv[1])
with contextlib.redirect_stderr(io.StringIO()):  # so that all is imported: then it cannot be read
    run(["purge", "--unused-for", "1d", "--store", "absent", "--yes"])
    run(["list", "--store", "absent"])
os.setgroups([])
os.setgid(user)
os.setuid(user)
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def abroad(facauth: Facauth) -> Iterator[Path]:
    """A folder that everybody can get to, which is nobody's."""
    with tempfile.TemporaryDirectory(prefix="facauth-test-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        if as_somebody(facauth, Path(folder), "list").exit_code:
            pytest.skip("nobody cannot read this installation")
        yield Path(folder)


def as_somebody(
    facauth: Facauth, folder: Path, *arguments: str, user: int = NOBODY, home: Path | None = None
) -> Result:
    """The command as another user, in a folder of theirs, with this home or without one."""
    given = facauth.environment({} if home is None else {"HOME": str(home)})
    mine = {"FACAUTH_STORE", *(name for name in given if name.startswith("XDG_"))}
    if home is None:
        mine.add("HOME")
    done = subprocess.run(
        [sys.executable, "-c", SOMEBODY, str(user), *arguments],
        cwd=folder,
        env={name: value for name, value in given.items() if name not in mine},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def make_for_nobody(facauth: Facauth, photo: Photo, folder: Path) -> Path:
    facauth.knows(Ada=photo(EILEEN))
    store = folder / "data" / "store.sqlite3"
    store.parent.mkdir()
    shutil.copy(facauth.store, store)
    for path in (store.parent, store):
        os.chown(path, NOBODY, NOBODY)
    store.chmod(0o600)
    return store


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o400, 0o700), (0o600, 0o500)])
def test_what_may_not_be_written_is_left_as_it_is(
    facauth: Facauth, photo: Photo, abroad: Path, older: bool, file_mode: int, folder_mode: int
) -> None:
    store = make_for_nobody(facauth, photo, abroad)
    if older:
        make_older(store)
        os.chown(store, NOBODY, NOBODY)
    store.chmod(file_mode)
    store.parent.chmod(folder_mode)
    before = tree(store.parent)
    for command in (("migrate",), ("remove", "Ada", "--yes"), ("rename", "Ada", "Eve")):
        result = as_somebody(facauth, abroad, *command, "--store", str(store))
        if command == ("migrate",) and not older and result.exit_code == 0:
            assert result.stdout == f"{store} is up to date\n"
            continue
        assert (result.exit_code, result.stdout) == (7, "")
        assert re.fullmatch(r"facauth: [^\n]+; [^\n]+\n", result.stderr)
        assert tree(store.parent) == before


@pytest.mark.slow
@as_root
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o400, 0o700), (0o600, 0o500)])
def test_what_may_not_be_written_can_be_read(
    facauth: Facauth, photo: Photo, abroad: Path, file_mode: int, folder_mode: int
) -> None:
    store = make_for_nobody(facauth, photo, abroad)
    store.chmod(file_mode)
    store.parent.chmod(folder_mode)
    before = tree(store.parent)
    for command in (
        ("list",),
        ("show", "Ada"),
        ("log",),
        ("log", "--verify"),
        ("export", "--all", "-", "--plain"),
        ("backup", str(abroad / "copy")),
    ):
        result = as_somebody(facauth, abroad, *command, "--store", str(store))
        assert (result.exit_code, bool(result.stdout)) == (0, True), (command, result.stderr)
        assert tree(store.parent) == before
    result = as_somebody(facauth, abroad, "sign-in", photo(EILEEN), "--store", str(store))
    assert (result.exit_code, result.stdout) == (7, "")
    assert "cannot be written" in result.stderr
    Path(f"{store}-wal").write_bytes(b"of a killed process")
    os.chown(f"{store}-wal", NOBODY, NOBODY)
    result = as_somebody(facauth, abroad, "list", "--store", str(store))
    assert (result.exit_code, result.stdout) == (7, "")
    assert "part of its data is still in its log" in result.stderr


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("way", ["the file", "a link to it"])
def test_a_store_of_another_user_is_refused(
    facauth: Facauth, photo: Photo, abroad: Path, way: str
) -> None:
    store = make_for_nobody(facauth, photo, abroad)
    store.parent.chmod(0o777)
    os.chown(store, 12345, 12345)
    store.chmod(0o666)
    place = store
    if way == "a link to it":
        place = abroad / "link"
        place.symlink_to(store)
        os.lchown(place, NOBODY, NOBODY)
    before = tree(abroad)
    for command in (("list",), ("migrate",), ("remove", "Ada", "--yes")):
        result = as_somebody(facauth, abroad, *command, "--store", str(place))
        assert (result.exit_code, result.stdout) == (7, "")
        assert result.stderr == f"facauth: {place} belongs to another user; name your own store\n"
    assert tree(abroad) == before


@as_root
def test_a_link_that_another_user_made_is_refused(
    facauth: Facauth, photo: Photo, abroad: Path
) -> None:
    store = make_for_nobody(facauth, photo, abroad)
    link = abroad / "link"
    link.symlink_to(store)
    os.lchown(link, 12345, 12345)
    result = as_somebody(facauth, abroad, "list", "--store", str(link))
    assert (result.exit_code, result.stdout) == (7, "")
    assert f"{link} belongs to another user" in result.stderr


@as_root
@pytest.mark.sqlite("is about the file and its folder")
def test_a_folder_of_another_user_is_warned_of(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    os.chown(facauth.store.parent, NOBODY, NOBODY)
    assert f"other users can replace the store in {facauth.store.parent};" in facauth("list").stderr


@as_root
def test_root_may_use_the_store_of_another_user(
    facauth: Facauth, photo: Photo, abroad: Path
) -> None:
    store = make_for_nobody(facauth, photo, abroad)
    result = facauth("rename", "Ada", "Eve", "--store", str(store))
    assert result.stderr == ""
    assert {path.stat().st_uid for path in store.parent.iterdir()} == {NOBODY}


@pytest.mark.slow
@as_root
def test_who_has_no_home_must_name_a_store(facauth: Facauth, photo: Photo, abroad: Path) -> None:
    """No folder called ~ is made either. User 12345 is in no list of users."""
    store = make_for_nobody(facauth, photo, abroad)
    os.chown(store.parent, 12345, 12345)
    os.chown(store, 12345, 12345)
    abroad.chmod(0o777)
    before = tree(abroad)
    for command in (("list",), ("migrate",), ("show", "Ada"), ("purge", "--unused-for", "3y")):
        result = as_somebody(facauth, abroad, *command, user=12345)
        assert (result.exit_code, result.stdout, result.stderr) == (
            7,
            "",
            "facauth: this user has no folder for data; set HOME, or name a store\n",
        )
    assert tree(abroad) == before
    named = ("--store", str(store))
    assert as_somebody(facauth, abroad, "list", *named, user=12345).stdout.startswith("Ada\t")
    result = as_somebody(facauth, abroad, "rename", "Ada", "Eve", *named, user=12345)
    assert (result.exit_code, result.stdout) == (0, "renamed Ada to Eve\n")
    assert set(tree(abroad)) == set(before)


@pytest.mark.parametrize("home", ["a file", "below a file", "/proc/self"])
def test_a_home_that_cannot_hold_a_store(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (facauth.here / "a file").write_text("x")
    place = facauth.here / home.replace("below a file", "a file/home")
    for name in ("FACAUTH_STORE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(place))
    before = tree(facauth.here)
    result = facauth("register", "Ada", photo(EILEEN), exit_code=7)
    assert result.stdout == ""
    assert re.fullmatch(
        rf"facauth: {place}/\S+ cannot be used \([A-Za-z ]+\); [^\n]+\n", result.stderr
    )
    assert facauth("list", exit_code=7).stdout == ""
    assert tree(facauth.here) == before


@as_root
def test_a_home_that_is_locked(facauth: Facauth, abroad: Path) -> None:
    """Whether there is a store in it cannot be known."""
    (abroad / "locked").mkdir(mode=0o700)
    result = as_somebody(facauth, abroad, "list", home=abroad / "locked")
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr.endswith(
        "config.toml cannot be read (Permission denied); check its folder and permissions\n"
    )


# --- weights -------------------------------------------------------------------------------------


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
    (copy / "facauth" / "decision").unlink()
    shutil.copytree(ROOT / "facauth" / "decision", copy / "facauth" / "decision")
    return copy


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
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


@pytest.mark.slow
def test_doctor_finds_a_damaged_weight(facauth: Facauth, installed: Path) -> None:
    flip_a_byte(installed / "facauth" / "weights" / DETECTOR)
    env = {"PYTHONPATH": str(installed)}
    answer = facauth.process("doctor", "--json", env=env, exit_code=7).json
    assert answer["verdict"] == "unhealthy"
    bad = {check["check"] for check in answer["checks"] if not check["ok"]}
    assert {"weights", "self-test"} <= bad <= {"weights", "self-test", "parity"}
    advice = {check["advice"] for check in answer["checks"] if not check["ok"]}
    assert advice == {"install facauth again; nothing was run"}


@pytest.mark.slow
@pytest.mark.parametrize("local", [False, True], ids=["shipped", "local"])
def test_with_altered_thresholds_nobody_is_let_in_and_doctor_says_so(
    facauth: Facauth, photo: Photo, installed: Path, local: bool
) -> None:
    """A local calibration in force is no way around: it is judged by the shipped one."""
    env = {"PYTHONPATH": str(installed)}
    facauth.process("register", "Ada", photo(EILEEN), env=env)
    altered = installed / "facauth" / "decision" / "calibration.json"
    document = json.loads(altered.read_text())
    if local:
        own = facauth.home / "config" / "facauth" / "calibration.json"
        own.parent.mkdir(parents=True)
        own.write_text(json.dumps(document | {"made": "2026-11-23T12:00:00+00:00", "facauth": "0"}))
        own.chmod(0o600)
        facauth.process("calibrate", "--show", env=env)
    for point in (point for row in document["rows"] for point in row["points"]):
        point["similarity"] -= 0.6
    altered.write_text(json.dumps(document))
    message = f"{altered} is not the file that facauth was released with"
    for command in (("sign-in",), ("sign-in", "--as", "Ada"), ("register", "Bob")):
        result = facauth.process(*command, photo("obama_2010.jpg"), env=env, exit_code=7)
        assert result.stdout == ""
        assert result.stderr == f"facauth: {message}; install facauth again; nothing was run\n"
    for command in (("calibrate", "--show"), ("import", "/dev/null")):
        assert message in facauth.process(*command, env=env, exit_code=7).stderr
    checks = facauth.process("doctor", "--json", env=env, exit_code=7).json["checks"]
    (found,) = [check for check in checks if check["check"] == "calibration"]
    assert (found["ok"], found["detail"]) == (False, message)


def test_a_demo_that_cannot_run_is_not_a_success(facauth: Facauth, installed: Path) -> None:
    flip_a_byte(installed / "facauth" / "weights" / DETECTOR)
    result = facauth.process("demo", env={"PYTHONPATH": str(installed)}, exit_code=7)
    first, second, third, *_ = result.stdout.splitlines()
    assert all(line.startswith("WRONG\t") for line in (first, second, third))
