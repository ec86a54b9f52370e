"""Files are read no further than wanted, and written whole or not at all, for their owner alone."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facauth import files
from facauth.files import (
    Exposed,
    NotAFile,
    NotOurs,
    TooLarge,
    make_folders,
    new_private,
    read_bounded,
    read_private,
    read_trusted,
    write_private,
)

READERS = (read_bounded, read_trusted, read_private)
SOMEBODY_ELSE = 12345


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture(params=[0o000, 0o022, 0o777])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_or_folder_is_no_file(path: Path, read: Callable[[Path, int], bytes]) -> None:
    """Nothing waits for somebody to write into the pipe."""
    os.mkfifo(path, 0o600)
    with pytest.raises(NotAFile) as pipe:
        read(path, 10)
    with pytest.raises(NotAFile) as folder:
        read(path.parent, 10)
    assert (pipe.value.folder, folder.value.folder) == (False, True)


def test_what_is_too_long_is_read_one_byte_beyond(path: Path) -> None:
    path.write_bytes(b"x" * 100)
    path.chmod(0o600)
    assert read_bounded(path, 10) == b"x" * 11
    assert read_trusted(path, 100) == read_private(path, 100) == b"x" * 100
    for read in (read_trusted, read_private):
        with pytest.raises(TooLarge):
            read(path, 99)


@pytest.mark.parametrize(
    ("permissions", "trusted", "private"),
    [
        (0o600, True, True),
        (0o400, True, True),
        (0o640, True, False),
        (0o644, True, False),
        (0o604, True, False),
        (0o620, False, False),
        (0o602, False, False),
    ],
)
def test_what_others_may_do(path: Path, permissions: int, trusted: bool, private: bool) -> None:
    path.write_bytes(b"x")
    path.chmod(permissions)
    for read, sound in ((read_trusted, trusted), (read_private, private)):
        if sound:
            assert read(path, 10) == b"x"
        else:
            with pytest.raises(Exposed):
                read(path, 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0o600)
    os.chown(path, SOMEBODY_ELSE, -1)
    for read in (read_trusted, read_private):
        with pytest.raises(NotOurs):
            read(path, 10)


def test_a_private_file_is_not_read_through_a_link(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0o600)
    link = path.with_name("link")
    link.symlink_to(path)
    assert read_trusted(link, 10) == b"x"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        read_private(link, 10)


@pytest.mark.usefixtures("_umask")
@pytest.mark.parametrize("over", [False, True])
def test_a_new_file_is_its_owners_alone(path: Path, over: bool) -> None:
    write_private(path, b"new", over=over)
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_written_over_unless_asked(path: Path) -> None:
    path.write_bytes(b"before")
    path.chmod(0o644)
    with pytest.raises(FileExistsError):
        write_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"before", 0o644)
    assert list(path.parent.iterdir()) == [path]
    write_private(path, b"new", over=True)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_without_links_nothing_is_written_over_either(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", full)
    write_private(path, b"first")
    with pytest.raises(FileExistsError):
        write_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("else")])
@pytest.mark.parametrize("over", [False, True])
def test_only_a_file_is_written_over(path: Path, make: Callable[[Path], None], over: bool) -> None:
    make(path)
    before = path.lstat()
    with pytest.raises(NotAFile if over else FileExistsError):
        write_private(path, b"new", over=over)
    assert path.lstat() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("where", "step"), [(os, "fchmod"), (os, "fsync"), (Path, "replace"), (files, "sync")]
)
def test_on_a_full_disk_all_is_as_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, where: object, step: str
) -> None:
    path.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(where, step, full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_private(path, b"new", over=True)
    assert path.read_bytes() == b"before"
    assert list(path.parent.iterdir()) == [path]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_draft_of_a_killed_process_goes(path: Path) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(b"half of a ke")
    write_private(path, b"new", draft=draft)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_was_not_finished_goes(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_private(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    path.touch()
    with pytest.raises(FileExistsError), new_private(path):
        pytest.fail("there is something already")
    assert path.exists()


@pytest.mark.usefixtures("_umask")
def test_every_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """`mkdir -p` would leave those above the last one open."""
    tmp_path.chmod(0o755)
    make_folders(tmp_path / "a" / "b" / "file")
    made = mode(tmp_path / "a"), mode(tmp_path / "a" / "b")
    assert all(found & 0o077 == 0 for found in made)
    assert mode(tmp_path) == 0o755
