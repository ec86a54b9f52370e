"""spoof-check of many photos: folders, several processes, a progress bar, an interruption."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT, SAMPLES, Facauth, Photo

from facauth.batch import MAX_JOBS, jobs_for, photos_in
from facauth.errors import UsageProblem

LIVE = ("biden_2010.jpg", "collins.png", "obama_2009.jpg", "obama_2010.jpg")


@pytest.fixture
def folder(facauth: Facauth) -> Path:
    """A folder of photos, of folders, and of things that are no photos."""
    top = facauth.here / "photos"
    for name in ("b.jpg", "a/2.PNG", "a/1.jpeg", ".hidden.jpg", ".hidden/3.jpg", "a/notes.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLES / "no_face.png", top / name)
    return top


SEEN = ["photos/a/1.jpeg", "photos/a/2.PNG", "photos/b.jpg"]


def test_a_folder_stands_for_the_photos_below_it(facauth: Facauth, folder: Path) -> None:
    result = facauth("spoof-check", "photos", exit_code=4)
    assert result.stdout == "".join(f"{name}: cannot judge (no face was found)\n" for name in SEEN)
    assert result.stderr == ""


def test_folders_and_photos_are_seen_in_the_order_they_are_named(
    facauth: Facauth, folder: Path, photo: Photo
) -> None:
    answer = facauth("spoof-check", photo("collins.png"), "photos/a", "--json", exit_code=4).json
    named = [result["image"] for result in answer["results"]]
    assert named == [photo("collins.png"), *SEEN[:2]]


def test_a_loop_of_links_ends(folder: Path) -> None:
    (folder / "a" / "again").symlink_to(folder)
    (folder / "a" / "copy.jpg").symlink_to(folder / "b.jpg")
    assert photos_in(["photos"]) == [*SEEN[:2], "photos/a/copy.jpg", SEEN[2]]


def test_a_link_to_a_folder_is_that_folder(facauth: Facauth, folder: Path) -> None:
    (facauth.here / "link").symlink_to(folder)
    assert photos_in(["link/"]) == [name.replace("photos", "link") for name in SEEN]


def test_an_empty_folder_is_a_usage_error(facauth: Facauth, folder: Path, photo: Photo) -> None:
    (facauth.here / "empty" / "deep").mkdir(parents=True)
    for more in ([], [photo("collins.png")]):
        result = facauth("spoof-check", "empty", *more, exit_code=2)
        assert (result.stdout, result.stderr) == (
            "",
            "facauth: there are no photos in empty; check the path\n",
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_usage_error(folder: Path) -> None:
    (folder / "a").chmod(0)
    with pytest.raises(UsageProblem, match="photos/a cannot be read"):
        photos_in(["photos"])


@pytest.mark.parametrize("name", ["-", "absent.jpg", "odd\0name", "x" * 300, "x" * 300 + "/y"])
def test_what_is_no_folder_is_left_as_it_is(name: str) -> None:
    assert photos_in([name]) == [name]


def test_a_name_that_is_too_long_is_a_usage_error(facauth: Facauth, photo: Photo) -> None:
    long = "x" * 300
    for command in (["spoof-check"], ["evaluate", "spoof"], ["evaluate", "replay"]):
        result = facauth(*command, long, exit_code=2)
        assert result.stderr.endswith(("; check the path\n", "; name a folder of photos\n")) or (
            f"{long}: cannot judge" in result.stdout
        )


def test_a_few_photos_do_not_repay_further_processes() -> None:
    assert jobs_for(["a.jpg"] * 3, None) == 1
    assert 1 <= jobs_for(["a.jpg"] * 1000, None) <= MAX_JOBS
    assert jobs_for(["a.jpg"] * 3, 64) == 3
    assert jobs_for(["a.jpg", "-"] * 100, 8) == 1  # only one process has a stdin


@pytest.mark.parametrize("jobs", ["0", "-1", "65", "many"])
@pytest.mark.parametrize("command", [("spoof-check",), ("evaluate", "spoof")])
def test_there_are_one_to_64_processes(
    facauth: Facauth, command: tuple[str, ...], jobs: str
) -> None:
    result = facauth(*command, ".", "--jobs", jobs, exit_code=2)
    assert result.stderr.startswith("facauth: invalid value for '--jobs'")


@pytest.mark.slow
def test_several_processes_say_what_one_says(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo("obama_2009.jpg"))
    names = ["two_faces.jpg", *LIVE, "simulated_recapture.jpg", "no_face.png"]
    images = [*map(photo, names), "absent.jpg"]
    command = ("spoof-check", *images, "--against", "Barack", "--json")
    alone = facauth(*command, exit_code=3)
    together = facauth.process(*command, "--jobs", "2", exit_code=3)
    assert together.json["results"] == alone.json["results"]
    assert together.json["elapsed_ms"].keys() == alone.json["elapsed_ms"].keys()
    assert together.stderr == ""


def test_a_weight_that_is_missing_in_another_process_is_the_same_refusal(
    facauth: Facauth, photo: Photo, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    shutil.copytree(
        ROOT / "facauth", installed / "facauth", ignore=shutil.ignore_patterns("live_*", "__py*")
    )
    env = {"PYTHONPATH": str(installed)}
    images = [photo(name) for name in LIVE]
    result = facauth.process("spoof-check", *images, "--jobs", "2", env=env, exit_code=7)
    assert result.stdout == ""
    assert re.fullmatch(r"facauth: .*live_.* is missing; install .*\n", result.stderr)


def test_a_note_says_which_of_several_photos_it_means(facauth: Facauth, photo: Photo) -> None:
    from PIL import Image

    with Image.open(photo("collins.png")) as image:
        image.rotate(180).save(facauth.here / "down.png")
    result = facauth("spoof-check", photo("collins.png"), "down.png")
    assert result.stderr == (
        "facauth: down.png: the photo was turned by 180 degrees to find the face\n"
    )


def test_a_terminal_shows_a_table(facauth: Facauth, photo: Photo) -> None:
    result = facauth.on_terminal("spoof-check", photo("no_face.png"), exit_code=4)
    head, *rows = plain(result.stdout).splitlines()
    assert head.split() == ["Image", "Verdict", "Why"]
    assert "cannot" in rows[0] or "cannot" in "".join(rows)
    assert ": cannot judge" not in result.stdout


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize(
    ("more", "images", "shown"),
    [((), 2, True), ((), 1, False), (("--quiet",), 2, False), (("--json",), 2, False)],
)
def test_a_bar_is_shown_to_who_watches_several_photos(
    facauth: Facauth, photo: Photo, more: tuple[str, ...], images: int, shown: bool
) -> None:
    ours, its = os.openpty()
    command = ("spoof-check", *[photo("no_face.png")] * images, *more)
    process = subprocess.Popen(
        [*PROGRAM, *command],
        cwd=facauth.here,
        env=facauth.environment(),
        stdout=subprocess.DEVNULL,
        stderr=its,
    )
    os.close(its)
    seen = b"".join(pieces(ours))
    os.close(ours)
    assert process.wait(PATIENCE_S) == 4
    assert ("photos" in plain(seen.decode())) is shown


PROGRAM = (sys.executable, "-m", "facauth")


def pieces(terminal: int) -> Iterator[bytes]:
    """Whatever is shown, to the end."""
    try:
        while piece := os.read(terminal, 4096):
            yield piece
    except OSError:
        return


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are seen in /proc")
def test_an_interruption_ends_every_process(facauth: Facauth, photo: Photo) -> None:
    images = [photo(name) for name in LIVE] * 40
    with facauth.start("spoof-check", *images, "--jobs", "2") as process:
        workers = children(process.pid)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")
    assert_gone(workers)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are seen in /proc")
def test_workers_do_not_outlive_who_started_them(facauth: Facauth, photo: Photo) -> None:
    images = [photo(name) for name in LIVE] * 40
    with facauth.start("spoof-check", *images, "--jobs", "2") as process:
        workers = children(process.pid)
        process.kill()
    assert_gone(workers)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are seen in /proc")
def test_a_worker_that_dies_is_an_error_and_no_answer(facauth: Facauth, photo: Photo) -> None:
    images = [photo("two_faces.jpg")] * 400
    with facauth.start("spoof-check", *images, "--jobs", "2") as process:
        workers = children(process.pid)
        os.kill(workers[-1], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (70, b"")
    assert stderr.startswith(b"facauth: internal error (BrokenProcessPool);")
    assert_gone(workers)


def children(parent: int) -> list[int]:
    """The processes it has started, once there are two of them that look at photos."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        tasks = Path(f"/proc/{parent}/task").iterdir()
        found = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        if len(found) >= 3:  # with multiprocessing's own
            return found
        time.sleep(0.05)
    raise AssertionError("no workers were started")


def assert_gone(workers: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
