"""Many processes on one store at once lose nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Timer

import pytest

from facauth.files import alone
from facauth.store.sealing import Template
from facauth.store.sqlite.schema import MIGRATIONS
from facauth.store.store import Store

TOP = Path(__file__).parents[2]
SAMPLES = TOP / "sample_images"
PROCESSES = 8
PHOTO = Template(b"x" * 1024, None, False)
HEAD = """
import os, sys, time
from pathlib import Path
from facauth.errors import FacauthError
from facauth.store.sqlite import schema as module
from facauth.store.sqlite.schema import MIGRATIONS
from facauth.store.sealing import Template
from facauth.store.store import Store
from facauth.records import PersonName
path, who = Path(sys.argv[1]), sys.argv[2]
PHOTO = Template(b"x" * 1024, None, False)
print("ready", flush=True)
sys.stdin.readline()
"""


def at_once(script: str, path: Path, processes: int = PROCESSES) -> list[tuple[str, str]]:
    """stdout and stderr of processes that begin together, when all have been loaded."""
    running = started(script, path, processes)
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=300) for process in running]


def started(script: str, path: Path, processes: int) -> list[subprocess.Popen[str]]:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HEAD + script, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=TOP,
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return running


ENROL = """
for number in range(5):
    with Store.open(path, create=True) as store, store.transaction() as change:
        name = PersonName.parse(f"p{who}-{number}")
        store.person(name).add(change, "test/1", [PHOTO] * 3)
        change.log("register", "registered", uid=store.person(name).uid)
"""


def test_people_registered_at_once_are_all_there(tmp_path: Path) -> None:
    """All of them find no store, so they also make it and its tables at once."""
    path = tmp_path / "new" / "people.sqlite3"
    answers = at_once(ENROL, path)
    assert answers == [("", "")] * PROCESSES
    with Store.open(path) as store:
        assert [row.photos for row in store.people()] == [3] * 5 * PROCESSES
        assert store.faults() == []
    assert len(rows(path, "SELECT 1 FROM events")) == 5 * PROCESSES


def test_a_store_in_the_making_is_waited_for(tmp_path: Path) -> None:
    """It has its name only when it is whole; whoever makes it holds the folder until then."""
    path = tmp_path / "people.sqlite3"
    with ExitStack() as making, ThreadPoolExecutor(1) as pool:
        making.enter_context(alone(path, AssertionError("somebody else makes it")))
        opening = pool.submit(log_once, path)
        time.sleep(0.3)
        assert not opening.done()
        assert list(tmp_path.iterdir()) == []
        making.close()
        opening.result()
    assert rows(path, "SELECT command FROM events") == [("list",)]


def log_once(path: Path) -> None:
    with Store.open(path, create=True) as store:
        store.log("list", "listed")


def test_a_copy_that_becomes_a_store_is_waited_for(tmp_path: Path) -> None:
    """SQLite does not wait by itself where a file becomes one with a write-ahead log."""
    path = tmp_path / "people.sqlite3"
    Store.open(path, create=True).close()
    with closing(sqlite3.connect(path)) as copy:  # as backup leaves it
        assert copy.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        try:
            log_once(path)
        finally:
            release.join()


ONE_NAME = """
with Store.open(path, create=True) as store, store.transaction() as change:
    print(store.person("Ada").add(change, "test/1", [PHOTO]))
"""


def test_photos_of_one_person_add_up(tmp_path: Path) -> None:
    answers = at_once(ONE_NAME, tmp_path / "people.sqlite3")
    assert sorted(answers) == [(f"{count}\n", "") for count in range(1, PROCESSES + 1)]


FIRST_COME = """
with Store.open(path, create=True) as store, store.transaction() as change:
    taken = [row.name for row in store.people()]
    time.sleep(0.02)
    if not taken:
        store.person("person" + who).add(change, "test/1", [PHOTO])
    print(*taken)
"""


def test_a_check_and_what_follows_from_it_are_one(tmp_path: Path) -> None:
    answers = at_once(FIRST_COME, tmp_path / "people.sqlite3")
    assert sorted(out == "\n" for out, _ in answers) == [False] * (PROCESSES - 1) + [True]
    assert len({out for out, _ in answers if out != "\n"}) == 1


UPGRADE = """
from facauth.store.sqlite.upgrade import migrate
module.MIGRATIONS = (*MIGRATIONS, ("ALTER TABLE people ADD COLUMN note TEXT",))
migrate(path)
with Store.open(path) as store:
    print(len(store.people()))
"""


def test_one_upgrade_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "people.sqlite3"
    with Store.open(path, create=True) as store, store.transaction() as change:
        store.person("Ada").add(change, "test/1", [PHOTO])
    assert at_once(UPGRADE, path) == [("1\n", "")] * PROCESSES
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


CHURN = """
for number in range(10_000):
    name = PersonName.parse(f"p{who}-{number}")
    with Store.open(path, create=True) as store:
        with store.transaction() as change:
            store.person(name).add(change, "test/1", [PHOTO] * 3)
            change.log("register", "registered", uid=store.person(name).uid)
        if number % 2:
            with store.transaction() as change:
                store.person(name).remove(change)
"""


def test_killed_processes_leave_whole_people_behind(tmp_path: Path) -> None:
    path = tmp_path / "people.sqlite3"
    running = started(CHURN, path, 4)
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with Store.open(path) as store:
        assert store.faults() == []
        people = store.people()
        assert people
        assert {row.photos for row in people} == {3}
        with store.transaction() as change:  # and no lock stayed behind
            store.person("last").add(change, "test/1", [PHOTO])


READ = """
seen = []
for _ in range(30):
    with Store.open(path) as store:
        seen.append(len(store.encodings("test/1")) % 3)
    if who < "4":
        with Store.open(path) as store, store.transaction() as change:
            store.person(PersonName.parse(f"w{who}-{len(seen)}")).add(change, "test/1", [PHOTO] * 3)
print(set(seen))
"""


@pytest.mark.slow
def test_readers_see_whole_people_only(tmp_path: Path) -> None:
    path = tmp_path / "people.sqlite3"
    with Store.open(path, create=True):
        pass
    assert at_once(READ, path) == [("{0}\n", "")] * PROCESSES


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


# --- the program itself --------------------------------------------------------------------------

COMMANDS = (
    ("register", "biden", "biden_2010.jpg"),
    ("register", "joe", "biden_2010.jpg"),  # the same face under two names: one must lose
    ("register", "collins", "collins.png"),
    ("register", "obama", "obama_2009.jpg"),
    ("sign-in", "obama_2012.jpg"),
    ("sign-in", "obama_2012.jpg"),
    ("sign-in", "--as", "obama", "obama_2012.jpg"),
    ("sign-in", "--as", "obama", "obama_2012.jpg"),
)


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "FACAUTH_STORE": str(folder / "people.sqlite3"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(TOP),
    }


def facauth(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "facauth", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=SAMPLES,
        env=environment(folder),
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str | None]:
    """Exit code and the person of a command's JSON answer."""
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    answer = json.loads(out)
    assert answer["exit_code"] == process.returncode
    return process.returncode, answer["person"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store in which Obama is enrolled with one photo."""
    assert finished(facauth(tmp_path, "register", "obama", "obama_2010.jpg")) == (0, "obama")
    return tmp_path


@pytest.mark.slow
def test_eight_commands_at_once(folder: Path) -> None:
    running = [facauth(folder, *command) for command in COMMANDS]
    answers = [finished(process) for process in running]
    assert sorted(code for code, _ in answers[:2]) == [0, 6]
    assert answers[2:] == [(0, "collins")] + [(0, "obama")] * 5
    path = folder / "people.sqlite3"
    with Store.open(path) as store:
        photos = {row.name: row.photos for row in store.people()}
        assert store.faults() == []
    winner = "biden" if answers[0][0] == 0 else "joe"
    assert photos == {"collins": 1, "obama": 2, winner: 1}
    check_events(path)


def check_events(path: Path) -> None:
    """One for each command; words only, so neither a score nor a path can be among them."""
    events = rows(path, "SELECT command, verdict, reasons, at FROM events")
    verdicts = sorted(str(verdict) for _, verdict, *_ in events)
    assert verdicts == ["conflict"] + ["registered"] * 4 + ["signed_in"] * 4
    for command, verdict, reason, at in events:
        assert all(re.fullmatch(r"[a-z._-]+", str(word)) for word in (command, verdict))
        assert reason is None or re.fullmatch(r"[a-z._]+", str(reason))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(at))
