"""Kill -9 at a sample of the writes of every operation; at every ninth in the slow test.

What must hold after each kill is in benchmarks/kills.py, which prints the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import killer
import kills
import pytest
from killer import Failed, Mode

WHY_NOT = killer.why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

TOP = Path(__file__).parents[2]
EVERY = 23  # kills of which one is tried; no multiple of the ways to die, so that all come up


@pytest.mark.parametrize("operation", kills.OPERATIONS, ids=lambda each: each.name)
def test_a_killed_operation_is_done_or_not_done(operation: kills.Operation) -> None:
    tally = kills.killed(operation, EVERY)
    assert tally.violations == []
    assert tally.kills > tally.calls / EVERY


@pytest.mark.parametrize("store", kills.LOGS)
def test_a_torn_log_ends_with_its_last_whole_transaction(store: str) -> None:
    tally = kills.torn(store, kills.LOGS[store], every=5)
    assert tally.violations == []
    assert 0 < tally.found_done < tally.kills


@pytest.mark.parametrize("operation", kills.CONTROLS, ids=lambda each: each.name)
def test_what_is_half_done_is_found(operation: kills.Operation) -> None:
    tally = kills.killed(operation, every=3, until=kills.CONTROLS[operation])
    assert kills.is_found(tally, kills.CONTROLS[operation])
    assert len(tally.violations) < tally.kills  # one kill comes before everything


@pytest.mark.slow
def test_the_benchmark_survives_every_ninth_kill() -> None:
    run = subprocess.run(
        [sys.executable, "benchmarks/kills.py", "--every", "9", "--json"],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    figures = json.loads(run.stdout)
    assert sum(each["kills"] for each in figures["kills"]) >= 250
    assert not any(each["violations"] for each in [*figures["kills"], *figures["torn"]])
    assert all(figures["controls"].values())


# --- the killer itself ---------------------------------------------------------------------------


def written(folder: Path) -> Callable[[], None]:
    """Writes in all ways that a store is written, and reads, and writes elsewhere."""

    def work() -> None:
        (folder / "new").mkdir()
        file = os.open(folder / "new" / "a", os.O_CREAT | os.O_RDWR)
        os.write(file, b"0123456789")
        os.fsync(file)
        os.pwrite(file, b"abcd", 3)
        os.ftruncate(file, 8)
        os.fchmod(file, 0o600)
        os.pread(file, 4, 0)
        (folder / "new" / "a").rename(folder / "b")
        (folder / "b").unlink()
        os.close(os.open(folder, os.O_RDONLY))
        os.write(os.open("/dev/null", os.O_WRONLY | os.O_CREAT), b"elsewhere")

    return work


def test_calls_are_what_writes_to_the_folder(tmp_path: Path) -> None:
    found = killer.calls(written(tmp_path), tmp_path)
    assert [(call.name.removesuffix("at"), call.path, call.written_bytes) for call in found] == [
        ("mkdir", "new", None),
        ("open", "new/a", None),
        ("write", "new/a", 10),
        ("fsync", "new/a", None),
        ("pwrite64", "new/a", 4),
        ("ftruncate", "new/a", None),
        ("fchmod", "new/a", None),
        ("rename", "b", None),
        ("unlink", "b", None),
    ]


def test_relative_paths_and_open_folders_are_followed(tmp_path: Path) -> None:
    def work() -> None:
        os.chdir(tmp_path)
        Path("a").mkdir()
        folder = os.open("a", os.O_RDONLY)
        os.mkdir("b", dir_fd=folder)
        os.rmdir("../a/b", dir_fd=folder)
        tmp_path.with_name(f"{tmp_path.name} beside it").mkdir()

    assert [call.path for call in killer.calls(work, tmp_path)] == ["a", "a/b", "a/b"]


@pytest.mark.parametrize(
    ("number", "mode", "left"),
    [
        (0, Mode.BEFORE, {}),
        (0, Mode.AFTER, {"new": None}),
        (1, Mode.BEFORE, {"new": None}),
        (2, Mode.BEFORE, {"new": None, "new/a": b""}),
        (2, Mode.HALF, {"new": None, "new/a": b"01234"}),
        (2, Mode.AFTER, {"new": None, "new/a": b"0123456789"}),
        (4, Mode.HALF, {"new": None, "new/a": b"012ab56789"}),
        (4, Mode.AFTER, {"new": None, "new/a": b"012abcd789"}),
        (5, Mode.AFTER, {"new": None, "new/a": b"012abcd7"}),
        (7, Mode.BEFORE, {"new": None, "new/a": b"012abcd7"}),
        (7, Mode.AFTER, {"new": None, "b": b"012abcd7"}),
        (8, Mode.BEFORE, {"new": None, "b": b"012abcd7"}),
        (8, Mode.AFTER, {"new": None}),
    ],
)
def test_a_kill_is_before_half_way_through_or_after_its_call(
    tmp_path: Path, number: int, mode: Mode, left: dict[str, bytes | None]
) -> None:
    killer.kill(written(tmp_path), tmp_path, number, mode)
    assert left == {
        str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
        for path in tmp_path.rglob("*")
    }


def test_work_that_ends_too_early_is_no_kill(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="ended before its writing call 9"):
        killer.kill(written(tmp_path), tmp_path, 9, Mode.BEFORE)


def test_work_that_fails_is_no_kill(tmp_path: Path) -> None:
    def work() -> None:
        raise RuntimeError("no room for mistakes")

    with pytest.raises(Failed, match="no room for mistakes"):
        killer.calls(work, tmp_path)


def test_a_thread_would_write_unseen(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="a process or a thread"):
        killer.calls(lambda: Thread(target=written(tmp_path)).start(), tmp_path)


def test_nobody_is_left_behind(tmp_path: Path) -> None:
    before = children()
    killer.kill(written(tmp_path), tmp_path, 3, Mode.AFTER)
    assert children() <= before


def children() -> set[str]:
    """Of this process, dead ones included; other tests may have left some that serve them all."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(stat.parent.name)
    return found
