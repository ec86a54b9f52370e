"""The cache of encodings: found again, or made anew; never anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from portraits import filled, vector

from facauth.errors import UsageProblem
from facauth.measure import encoded
from facauth.measure.encoded import Cache, Encodings, Found
from facauth.measure.folders import Portrait, portraits

FILES = ("ada/1.jpg", "ada/blur.jpg", "bob/1.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "people", *FILES)


class Looked:
    """Encodes by name, and keeps count."""

    def __init__(self) -> None:
        self.at: list[str] = []

    def __call__(self, photos: Sequence[Portrait]) -> list[Found]:
        self.at += [photo.file for photo in photos]
        return [
            Found(None, ("quality.sharpness",))
            if "blur" in photo.file
            else Found(vector(photo.person, photo.file))
            for photo in photos
        ]


def run(folder: Path, path: Path | None, contract: str = "c/1") -> tuple[list[str], Encodings]:
    look = Looked()
    cache = Cache(path, folder, contract) if path else None
    found = encoded.encodings(portraits(folder), cache, look)
    return look.at, found


def test_what_is_found(folder: Path) -> None:
    _, found = run(folder, None)
    assert (found.names, found.files) == (("ada", "bob"), ("ada/1.jpg", "bob/1.jpg"))
    assert found.person.tolist() == [0, 1]
    assert (found.vectors[0] == vector("ada", "ada/1.jpg")).all()
    assert found.failures == {"quality.sharpness": 1}


def test_a_second_run_looks_at_nothing_and_finds_the_same(folder: Path, tmp_path: Path) -> None:
    looked, first = run(folder, tmp_path / "c")
    assert looked == list(FILES)
    looked, second = run(folder, tmp_path / "c")
    assert looked == []
    assert (first.names, first.files, first.failed) == (second.names, second.files, second.failed)
    assert (first.vectors == second.vectors).all()


def test_only_what_changed_is_looked_at_again(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "c")
    filled(folder, "cy/1.jpg")
    os.utime(folder / "bob/1.jpg", (1, 1))
    (folder / "ada/blur.jpg").unlink()
    looked, found = run(folder, tmp_path / "c")
    assert looked == ["bob/1.jpg", "cy/1.jpg"]
    assert (found.names, found.failures) == (("ada", "bob", "cy"), {})
    assert run(folder, tmp_path / "c")[0] == []


def test_what_was_found_before_ctrl_c_is_kept(folder: Path, tmp_path: Path) -> None:
    def interrupted(photos: Sequence[Portrait]) -> Iterator[Found]:
        yield from Looked()(photos[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache = Cache(tmp_path / "c", folder, "c/1")
        encoded.encodings(portraits(folder), cache, interrupted)
    assert run(folder, tmp_path / "c")[0] == ["bob/1.jpg"]


def test_another_contract_or_folder_is_made_anew(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "c")
    assert run(folder, tmp_path / "c", "c/2")[0] == list(FILES)
    other = folder.rename(tmp_path / "others")
    assert run(other, tmp_path / "c", "c/2")[0] == list(FILES)


@pytest.mark.parametrize("place", [30, 100, 200, -5000, -1030, -1])
def test_a_damaged_cache_is_made_anew(folder: Path, tmp_path: Path, place: int) -> None:
    cache = tmp_path / "c"
    run(folder, cache)
    whole = cache.read_bytes()
    broken = bytearray(whole)
    broken[max(place, 25 - len(whole))] ^= 1
    cache.write_bytes(broken)
    assert run(folder, cache)[0] == list(FILES)
    assert cache.read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 19, 84, 300])
def test_half_a_cache_is_made_anew(folder: Path, tmp_path: Path, kept: int) -> None:
    cache = tmp_path / "c"
    run(folder, cache)
    cache.write_bytes(cache.read_bytes()[:kept])
    assert run(folder, cache)[0] == list(FILES)


def test_a_well_made_cache_of_nonsense_is_made_anew(folder: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", folder, "c/1")
    (photo, *_) = portraits(folder)
    stamp = encoded._stamp(photo)
    assert stamp
    cache.write({stamp: Found(vector("a", "b") * 2)})
    assert cache.read() == {}


@pytest.mark.parametrize("vectors", [0, 2])
def test_a_cache_of_more_or_fewer_vectors_than_photos_is_made_anew(
    folder: Path, tmp_path: Path, vectors: int
) -> None:
    cache = Cache(tmp_path / "c", folder, "c/1")
    header = json.dumps({"key": cache._key, "photos": [["ada/1.jpg", 1, 1, [], True]]}).encode()
    rest = header + b"\n" + vector("a", "b").astype("<f4").tobytes() * vectors
    (tmp_path / "c").write_bytes(encoded._first_line(rest) + rest)
    (tmp_path / "c").chmod(0o600)
    assert cache.read() == {}


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_cache_that_others_may_write_is_made_anew(
    folder: Path, tmp_path: Path, mode: int
) -> None:
    run(folder, tmp_path / "c")
    (tmp_path / "c").chmod(mode)
    assert run(folder, tmp_path / "c")[0] == list(FILES)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600


def test_only_its_owner_can_read_it(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run(folder, tmp_path / "c")
    finally:
        os.umask(before)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"people", "c"}


@pytest.mark.parametrize("content", [b"a photo", b"PK\x03\x04", b"facauth-encodin"])
def test_another_file_is_not_written_over(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UsageProblem, match="it is another kind of file"):
        run(folder, tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent/c", "its folder cannot be written"),
        ("people", "not a regular file"),
        ("fifo", "not a regular file"),
    ],
)
def test_where_no_cache_can_be(folder: Path, tmp_path: Path, name: str, said: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageProblem, match=said):
        run(folder, tmp_path / name)


def test_a_full_disk_leaves_the_old_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    filled(folder, "cy/1.jpg")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageProblem, match="No space left on device"):
        run(folder, tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"people", "c"}
