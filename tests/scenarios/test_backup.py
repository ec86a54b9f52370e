"""backup and restore, and what a store is that was put back by other means."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Facauth, Photo, fragments, tree

EILEEN, BARACK, AGAIN, JOE = "collins.png", "obama_2012.jpg", "obama_2010.jpg", "biden_2010.jpg"

# Enrols so many people without a photo's networks; at last it is killed, or it leaves the store.
pytestmark = pytest.mark.sqlite("a database is backed up with its own tools")

WRITER = """
import os, signal, sys
import numpy as np
from pathlib import Path
from facauth.store.sealing import Template
from facauth.store.store import Store
from facauth.records import PersonName
path, first, count, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
store = Store.open(path)
for number in range(first, first + count):
    vector = np.random.default_rng(number).normal(size=256)
    encoding = (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
    with store.transaction() as change:
        store.person(f"Person {number}").add(change, "test/1", [Template(encoding, None, False)])
        change.log("register", "registered", uid=store.person(f"Person {number}").uid)
if end == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "waits":
    print("open", flush=True)
    sys.stdin.read()
store.close()
"""


def write(facauth: Facauth, first: int, count: int, end: str = "leaves") -> None:
    command = [sys.executable, "-c", WRITER, str(facauth.store), str(first), str(count), end]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == (-9 if end == "killed" else 0), done.stderr


def copies(facauth: Facauth) -> list[Path]:
    return sorted(facauth.store.parent.glob("*.replaced"))


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    facauth.knows(Barack=photo(BARACK))
    return facauth


@pytest.mark.slow
def test_a_backup_brings_everything_back(enrolled: Facauth, photo: Photo) -> None:
    out = enrolled.here / "copy"
    result = enrolled("backup", str(out))
    assert result.stdout == f"backed up {enrolled.store} (1 person)\n"
    assert "delete it when you no longer need it" in result.stderr
    assert set(tree(enrolled.here)) == {"copy"}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = enrolled.enrolled()
    enrolled("remove", "Barack", "--yes")
    answer = enrolled("restore", str(out), "--json").json
    assert (answer["verdict"], answer["enrolled"]) == ("restored", 1)
    assert enrolled.enrolled() == before
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Barack\n"
    assert enrolled("log", "--verify").stdout.startswith("sound\t")
    (kept,) = copies(enrolled)
    assert answer["replaced"] == str(kept)
    enrolled("remove", "Barack", "--yes")  # what was kept beside the store goes with it
    assert set(tree(enrolled.store.parent)) == {enrolled.store.name}


def test_a_stale_log_over_a_copy_lets_nobody_in(enrolled: Facauth, photo: Photo) -> None:
    """SIGKILL leaves the -wal; somebody puts a backup back with cp; SQLite replays the old log."""
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    write(enrolled, 0, 60)
    write(enrolled, 60, 3, "killed")
    wal = Path(f"{enrolled.store}-wal")
    assert wal.stat().st_size
    enrolled.store.write_bytes(out.read_bytes())  # as cp does it
    for command in (
        ("sign-in", photo(AGAIN)),
        ("list",),
        ("log", "--verify"),
        ("sign-in", "x.jpg"),
    ):
        result = enrolled(*command, exit_code=7)
        assert result.stdout == ""
        if command[-1] != "x.jpg":
            assert result.stderr == (
                f"facauth: {enrolled.store} is damaged; restore a backup with facauth restore\n"
            )
    enrolled("doctor", exit_code=7)
    enrolled("restore", str(out))
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Barack\n"
    assert enrolled.names() == {"Barack": 1}


def test_restore_does_not_take_over_the_stale_log(enrolled: Facauth, photo: Photo) -> None:
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    write(enrolled, 0, 60)
    write(enrolled, 60, 3, "killed")
    enrolled("restore", str(out))
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Barack\n"
    (kept,) = copies(enrolled)
    with closing(sqlite3.connect(kept)) as db:  # with its own log: nothing of it is lost
        assert db.execute("SELECT count(*) FROM people").fetchone() == (64,)


def test_after_a_kill_alone_nothing_is_lost(enrolled: Facauth, photo: Photo) -> None:
    write(enrolled, 0, 5, "killed")
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Barack\n"
    assert len(enrolled.names()) == 6
    assert set(tree(enrolled.store.parent)) == {enrolled.store.name}


def test_a_log_belongs_to_a_copy(enrolled: Facauth) -> None:
    """A copy made with cp, of both files, is brought back with what is in its log."""
    write(enrolled, 0, 5, "killed")
    out = enrolled.here / "copy"
    for suffix in ("", "-wal"):
        Path(f"{out}{suffix}").write_bytes(Path(f"{enrolled.store}{suffix}").read_bytes())
    before = tree(enrolled.here)
    assert "(6 people)" in enrolled("restore", str(out)).stdout
    assert tree(enrolled.here) == before


def test_backups_made_while_somebody_writes_are_sound(enrolled: Facauth) -> None:
    command = [sys.executable, "-c", WRITER, str(enrolled.store), "0", "200", "leaves"]
    with subprocess.Popen(command) as writer:
        for number in range(4):
            enrolled("backup", str(enrolled.here / f"copy{number}"))
        writer.wait(60)
    for number in range(4):
        other = enrolled.here / f"store{number}"
        enrolled("restore", str(enrolled.here / f"copy{number}"), "--store", str(other))
        assert enrolled("log", "--verify", "--store", str(other)).stdout.startswith("sound\t")


def test_what_is_sealed_stays_so_and_needs_no_key(enrolled: Facauth, photo: Photo) -> None:
    plain = [row[0] for row in enrolled.rows("SELECT encoding FROM templates")]
    key = enrolled.home / "key"
    enrolled("key", "init", "--key-file", str(key))
    hidden = key.rename(enrolled.home / "elsewhere")
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    assert not any(piece in out.read_bytes() for blob in plain for piece in fragments(blob))
    enrolled("restore", str(out))
    hidden.rename(key)
    assert enrolled("sign-in", photo(AGAIN), "--key-file", str(key)).stdout == "Barack\n"
    enrolled("log", "--verify", "--key-file", str(key))


def test_nothing_is_written_over(enrolled: Facauth) -> None:
    for target in (enrolled.here / "there", enrolled.store):
        target.touch()
        before = tree(target.parent)
        result = enrolled("backup", str(target), exit_code=2)
        assert result.stderr == f"facauth: {target} exists already; name a new file\n"
        assert tree(target.parent) == before


def test_only_a_sound_copy_is_brought_back(enrolled: Facauth, photo: Photo) -> None:
    write(enrolled, 0, 40)
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    whole, before = out.read_bytes(), tree(enrolled.store.parent)
    for content, said in (
        (whole[:-20_480], "is damaged; "),
        (whole[:40_960] + os.urandom(4096) + whole[45_056:], "is damaged; "),
        (b"", "is an empty file; "),
        (b"no store at all" * 1000, "is not a facauth store; name another file"),
    ):
        out.write_bytes(content)
        assert f"{out} {said}" in enrolled("restore", str(out), exit_code=7).stderr
    out.unlink()
    result = enrolled("restore", str(out), exit_code=7)
    assert result.stderr.startswith(f"facauth: there is no store at {out}; ")
    result = enrolled("restore", str(enrolled.store), exit_code=2)
    assert result.stderr == f"facauth: {enrolled.store} is the store; name a copy of it\n"
    assert tree(enrolled.store.parent) == before


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 5000])
def test_whatever_is_there_gives_way(enrolled: Facauth, content: bytes | None) -> None:
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    enrolled.store.unlink()
    if content is not None:
        enrolled.store.write_bytes(content)
    enrolled("restore", str(out))
    assert enrolled.names() == {"Barack": 1}
    assert [kept.read_bytes() for kept in copies(enrolled)] == ([content] if content else [])


def test_a_store_that_somebody_has_open_is_not_replaced(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facauth.files.BUSY_TIMEOUT_S", 0.2)
    out = enrolled.here / "copy"
    enrolled("backup", str(out))
    command = [sys.executable, "-c", WRITER, str(enrolled.store), "0", "1", "waits"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        result = enrolled("restore", str(out), exit_code=7)
        other.communicate()
    assert result.stderr == f"facauth: {enrolled.store} is held by another process; try again\n"
    assert enrolled.names() == {"Barack": 1, "Person 0": 1}
    assert set(tree(enrolled.store.parent)) == {enrolled.store.name}


@pytest.mark.parametrize("table", ["people", "tries", "log_head"])
def test_a_damaged_core_refuses_everybody(enrolled: Facauth, photo: Photo, table: str) -> None:
    enrolled("sign-in", photo(EILEEN), exit_code=1)
    query = f"SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"
    ((page,),) = enrolled.rows(query)
    content = bytearray(enrolled.store.read_bytes())
    content[(page - 1) * 4096 + 1 : (page - 1) * 4096 + 100] = bytes(99)
    enrolled.store.write_bytes(content)
    result = enrolled("sign-in", photo(AGAIN), exit_code=7)
    assert result.stderr.endswith("restore a backup with facauth restore\n")
