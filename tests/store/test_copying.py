"""A copy of a store is whole, or there is none; what stands where it goes is never touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from engines import InDatabase, Template

from facauth.errors import SetupProblem, UsageProblem
from facauth.places import Address
from facauth.store import copying, rekey
from facauth.store.copying import copy_store
from facauth.store.engine import Engine
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import Template as Photo
from facauth.store.store import Store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An encrypted store with two people and failed tries."""
    path, keys = tmp_path / "source", KeyAccess(tmp_path / "key")
    rekey.encrypt(path, KeyKind.FILE, keys)
    with Store.open(path, keys) as store, store.transaction() as change:
        for name in ("Ada", "Bob"):
            store.person(name).add(change, "cheap/1", [Photo(name.encode(), None, False)])
        change.log("register", "registered")
    return path


@pytest.fixture
def database(template: Template, tmp_path: Path) -> Iterator[InDatabase]:
    """A database without a store."""
    kept = InDatabase(template, tmp_path)
    kept.remove()
    yield kept
    kept.close()


def enrol(path: Path) -> None:
    with Store.open(path, create=True) as store, store.transaction() as change:
        store.person("Eve").add(change, "cheap/1", [Photo(b"eve", None, False)])


def enrolled(path: Path) -> list[str]:
    with Store.open(path) as store:
        return [row.name for row in store.people()]


def disturbed(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    """This happens once everything is copied, and before it is committed."""
    plain = copying.digest

    def digest(engine: Engine) -> bytes:
        step()
        return plain(engine)

    monkeypatch.setattr(copying, "digest", digest)


def beside(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def test_a_copy_and_back(source: Path, database: InDatabase, tmp_path: Path) -> None:
    back = tmp_path / "folder" / "back"
    assert copy_store(source, database.place) == 2
    assert copy_store(database.place, back) == 2
    assert enrolled(back) == ["Ada", "Bob"]
    assert beside(back) == {"back"}
    assert back.stat().st_mode & 0o777 == 0o600


def test_a_store_that_others_make_meanwhile_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, before = tmp_path / "target", beside(source)

    def make() -> None:
        if not target.exists():
            enrol(target)

    disturbed(monkeypatch, make)
    with pytest.raises(UsageProblem, match="there is a store"):
        copy_store(source, target)
    assert enrolled(target) == ["Eve"]
    assert beside(source) == before | {"target"}


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError, SetupProblem])
def test_a_copy_that_fails_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    def fail() -> None:
        raise fault

    before = beside(source)
    disturbed(monkeypatch, fail)
    with pytest.raises(fault):
        copy_store(source, tmp_path / "target")
    assert beside(source) == before


def test_a_killed_copy_leaves_no_store(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    child = os.fork()
    if not child:
        disturbed(monkeypatch, lambda: os.kill(os.getpid(), SIGKILL))
        copy_store(source, target)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -SIGKILL
    assert not target.exists()
    monkeypatch.undo()
    assert copy_store(source, target) == 2


def test_a_killed_copy_into_a_database_can_be_repeated(
    source: Path, database: InDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if not child:
        disturbed(monkeypatch, lambda: os.kill(os.getpid(), SIGKILL))
        copy_store(source, database.place)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -SIGKILL
    assert isinstance(database.place, Address)
    assert copy_store(source, database.place) == 2
    with pytest.raises(UsageProblem, match="there is a store"):
        copy_store(source, database.place)


def test_a_folder_that_cannot_be_written(source: Path) -> None:
    with pytest.raises(SetupProblem):
        copy_store(source, Path("/proc/store"))
