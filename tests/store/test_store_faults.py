"""A store that is missing, foreign, damaged, locked, read-only or on a full disk.

The answer is a SetupProblem with a reason code, and nothing is changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from older import make_older

from facauth.decision.match import Gallery
from facauth.errors import FacauthError, SetupProblem
from facauth.records import PersonName
from facauth.store.sealing import Template
from facauth.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from facauth.store.sqlite.upgrade import migrate
from facauth.store.store import Store

TOP = Path(__file__).parents[2]
CONTRACT = "test/1"
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.sqlite3"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can get to; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="facauth-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store with ten people."""
    return made(tmp_path_factory.mktemp("sound") / "people.sqlite3").read_bytes()


def made(path: Path, people: int = 10) -> Path:
    with Store.open(path, create=True) as store, store.transaction() as change:
        for number in range(people):
            name = PersonName.parse(f"person{number}")
            templates = [Template(encoding(n), None, False) for n in (number, number + 1000)]
            store.person(name).add(change, CONTRACT, templates)
            change.log("register", "registered", uid=store.person(name).uid)
    return path


def encoding(seed: int) -> bytes:
    vector = np.random.default_rng(seed).normal(size=256)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below the folder: its mode, and what is in it."""
    return {
        str(file.relative_to(folder)): (
            file.stat().st_mode,
            hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "",
        )
        for file in sorted(folder.rglob("*"))
    }


def refused(path: Path, *, create: bool = False) -> str:
    """The reason code with which a store is refused, which leaves everything as it was."""
    before = snapshot(path.parent)
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path, create=create)
    assert snapshot(path.parent) == before
    (reason,) = refusal.value.reasons
    assert str(reason).isprintable()
    return reason.code


def in_child(
    script: str, *arguments: object, settle: str = "", timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a script that has the store at hand; `settle` runs after all imports."""
    head = (
        "import json, os, sqlite3, sys\n"
        "from pathlib import Path\n"
        "from facauth.errors import FacauthError\n"
        "from facauth.store.sqlite.upgrade import migrate\n"
        "from facauth.store.sqlite import schema as module\n"
        "from facauth.store.sqlite.schema import MIGRATIONS\n"
        "from facauth.store.sealing import Template\n"
        "from facauth.store.store import Store\n"
        "from facauth.records import PersonName\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + settle + "\n" + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=TOP,
        check=False,
    )


DROP_ROOT = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
TRY = """
def attempt(what, *values, **options):
    try:
        with Store.open(Path(sys.argv[1]), create=options.get("create", False)) as store:
            getattr(store, what)(*values)
            return "ok"
    except FacauthError as error:
        return error.reasons[0].code
"""


# --- not a store ---------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\0",
        b"a few words\n",
        b"\xff\xd8\xff\xe0" + b"\0" * 5000,
        b"SQLite format 3\0",
        b"SQLite format 3\0" + b"\0" * 84,
        b"\0" * 4096,
        b"words " * 3000,
    ],
    ids=["x", "zero byte", "note", "jpeg", "magic", "header", "zeros", "text"],
)
def test_any_other_file(path: Path, content: bytes, create: bool) -> None:
    path.write_bytes(content)
    assert refused(path, create=create) in {"store.not_a_store", "store.damaged"}


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE cookies (a)"],
        ["PRAGMA user_version = 1"],
        ["CREATE TABLE cookies (a)", "PRAGMA application_id = 252006674"],
        ["CREATE TABLE people (name)", "PRAGMA user_version = 1"],
    ],
)
def test_another_programs_database(path: Path, statements: list[str], create: bool) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
    assert refused(path, create=create) == "store.not_a_store"


@pytest.mark.parametrize("newer", [1, 1000])
def test_the_store_of_a_newer_version(path: Path, newer: int) -> None:
    with closing(sqlite3.connect(made(path))) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + newer}")
    assert refused(path) == "store.newer"
    assert refused(path, create=True) == "store.newer"


def test_the_store_of_an_impossible_version(path: Path) -> None:
    with closing(sqlite3.connect(made(path))) as db:
        db.execute("PRAGMA user_version = -1")
    before = path.read_bytes()
    with pytest.raises(SetupProblem):
        Store.open(path)
    assert path.read_bytes() == before


PLANTED = {
    "tries forgotten": """CREATE TRIGGER again AFTER INSERT ON tries
        BEGIN UPDATE tries SET failures = 0; END""",
    "photos kept": """CREATE TABLE kept (encoding); CREATE TRIGGER keep BEFORE DELETE ON templates
        BEGIN INSERT INTO kept VALUES (old.encoding); END""",
    "only a table": "CREATE TABLE kept (encoding)",
    "an index": "CREATE INDEX kept ON templates (encoding)",
    "no index": "DROP INDEX templates_learned",
    "a view": """ALTER TABLE tries RENAME TO hidden; CREATE VIEW tries AS
        SELECT subject, round, 0 AS failures, failed_at_s, failed_boot_s FROM hidden""",
    "no types": """DROP TABLE tries; CREATE TABLE tries (subject TEXT PRIMARY KEY,
        round, failures, failed_at_s, failed_boot_s)""",
    "a column": "ALTER TABLE people ADD COLUMN more TEXT",
    "a computed column": """DROP TABLE log_head; CREATE TABLE log_head (id INTEGER PRIMARY KEY,
        entries, hash, anchor AS (null))""",
    "a word in a comment's place": """DROP TABLE log_head; CREATE TABLE log_head (
        id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL,
        hash BLOB NOT NULL, anchor BLOB DEFAULT '-- of the last entry
        ') STRICT""",
}


@pytest.mark.parametrize("how", PLANTED)
def test_what_is_not_ours_in_a_store_of_ours(path: Path, how: str) -> None:
    """Whoever could write it once would have a program in ours for ever."""
    with closing(sqlite3.connect(made(path))) as db:
        db.executescript(PLANTED[how])
    assert refused(path) == "store.altered"
    assert refused(path, create=True) == "store.altered"


@pytest.mark.parametrize("how", PLANTED)
def test_what_is_planted_while_a_store_is_open(path: Path, how: str) -> None:
    with Store.open(made(path)) as store:
        with closing(sqlite3.connect(path)) as db:
            db.executescript(PLANTED[how])
        with pytest.raises(SetupProblem), store.transaction():
            pytest.fail("written to")


def test_a_trigger_in_an_older_store_is_not_migrated(path: Path) -> None:
    make_older(made(path))
    with closing(sqlite3.connect(path)) as db:
        db.executescript(PLANTED["photos kept"])
    with pytest.raises(SetupProblem) as refusal:
        migrate(path)
    assert refusal.value.reasons[0].code == "store.altered"
    assert list(path.parent.glob("*.backup")) == []


def test_comments_of_another_release_are_no_change(path: Path) -> None:
    """The text of a table, comments included, is kept as it was when the store was made."""
    with closing(sqlite3.connect(made(path))) as db:
        db.execute("PRAGMA writable_schema = ON")
        changed = "replace(sql, 'little-endian, unit length; or sealed', 'unit length')"
        db.execute(f"UPDATE sqlite_schema SET sql = {changed} WHERE name = 'templates'")
        db.commit()
        assert db.total_changes == 1
    with Store.open(path) as store:
        assert store.faults() == []


def test_ours_by_its_number_but_without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    with pytest.raises(SetupProblem), Store.open(path) as store:
        store.people()


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "folder behind a link"])
def test_no_file_at_all(path: Path, kind: str, create: bool) -> None:
    makers: dict[str, Callable[[Path], object]] = {
        "folder": Path.mkdir,
        "fifo": os.mkfifo,
        "device": lambda link: link.symlink_to("/dev/null"),
        "folder behind a link": lambda link: link.symlink_to("/"),
    }
    makers[kind](path)
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path, create=create)
    assert refusal.value.reasons[0].code == "store.not_a_store"
    assert len(list(path.parent.iterdir())) == 1


def test_a_link_that_leads_nowhere_is_not_followed(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(SetupProblem):
        Store.open(path, create=True)
    assert not (path.parent / "elsewhere").exists()


def test_a_folder_that_is_a_file(path: Path) -> None:
    path.write_text("not a folder")
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path / "people.sqlite3", create=True)
    assert refusal.value.reasons[0].code == "store.unreadable"


@pytest.mark.parametrize("create", [False, True])
def test_a_name_that_is_too_long(tmp_path: Path, create: bool) -> None:
    with pytest.raises(SetupProblem):
        Store.open(tmp_path / ("n" * 300), create=create)


def test_messages_escape_what_a_terminal_would_obey(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\x07.db"
    path.write_text("no store")
    with pytest.raises(SetupProblem) as refusal:
        Store.open(path)
    assert "\x1b" not in str(refusal.value)
    assert "\\x1b[31mred" in str(refusal.value)


# --- damage --------------------------------------------------------------------------------------


def everything(path: Path) -> None:
    """All that a command reads of a store."""
    with Store.open(path) as store:
        store.people(CONTRACT)
        assert store.person("person3").name
        store.faults()
        Gallery.of(store.encodings(CONTRACT))


def test_a_sound_store_passes(path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    everything(path)


@pytest.mark.slow
def test_flipped_bytes_are_an_answer_or_a_setup_problem(path: Path, sound: bytes) -> None:
    dice, refusals = random.Random(20261122), 0
    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(dice.choice([1, 1, 4, 32])):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            everything(path)
        except FacauthError as error:
            assert isinstance(error, SetupProblem)
            refusals += 1
    assert refusals > 50


def test_every_flipped_byte_of_the_header(path: Path, sound: bytes) -> None:
    for at in range(100):
        damaged = bytearray(sound)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            everything(path)
        except FacauthError as error:
            assert isinstance(error, SetupProblem)


def test_a_truncated_store(path: Path, sound: bytes) -> None:
    for tenth in range(1, 10):
        path.write_bytes(sound[: len(sound) * tenth // 10])
        before = path.read_bytes()
        with pytest.raises(SetupProblem):
            everything(path)
        assert path.read_bytes() == before


def test_pages_of_zeros(path: Path, sound: bytes) -> None:
    page = int.from_bytes(sound[16:18], "big")
    for start in range(page, len(sound), page):
        path.write_bytes(sound[:start] + b"\0" * page + sound[start + page :])
        try:
            everything(path)
        except FacauthError as error:
            assert isinstance(error, SetupProblem)


def test_the_integrity_check_finds_damage(path: Path, sound: bytes) -> None:
    page = int.from_bytes(sound[16:18], "big")
    damaged = bytearray(sound)
    damaged[page * 5 : page * 5 + 40] = bytes(40)
    path.write_bytes(damaged)
    try:
        with Store.open(path) as store:
            assert store.faults()
    except SetupProblem:
        pass


@pytest.mark.parametrize(
    "value",
    [b"", b"\0" * 1024, b"\xff" * 1024, encoding(1)[:-1], encoding(1) + b"\0", encoding(1) * 2],
)
def test_a_damaged_encoding_stops_everything(path: Path, value: bytes) -> None:
    with closing(sqlite3.connect(made(path))) as db:
        db.execute("UPDATE templates SET encoding = ? WHERE id = 3", (value,))
        db.commit()
    with Store.open(path) as store, pytest.raises(SetupProblem) as refusal:
        Gallery.of(store.encodings(CONTRACT))
    assert refusal.value.reasons[0].code == "store.damaged"


@pytest.mark.parametrize("value", [None, 7, "text"])
def test_an_encoding_of_another_type_stops_everything(value: Any) -> None:
    """STRICT forbids it, but a flipped bit in a record's header does not ask."""
    with pytest.raises(SetupProblem):
        Gallery.of([("Ada", encoding(1)), ("Bob", value)])


# --- locked --------------------------------------------------------------------------------------

HOLD = """
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode = " + sys.argv[2])
db.execute("BEGIN EXCLUSIVE")
db.execute("CREATE TABLE IF NOT EXISTS x (y)")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("locking", "writing", "code"),
    [("NORMAL", True, "store.busy"), ("NORMAL", False, "ok"), ("EXCLUSIVE", True, "store.busy")],
)
def test_a_store_that_another_process_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch, locking: str, writing: bool, code: str
) -> None:
    """Readers pass a writer by; writers wait, and say so when they have waited enough."""
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.1)
    made(path)
    command = [sys.executable, "-c", "import sqlite3, sys\n" + HOLD, str(path), locking]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert outcome(path, writing=writing) == code
        holder.communicate("")
    assert outcome(path, writing=True) == "ok"
    with Store.open(path) as store:
        assert len(store.people()) == 10


def outcome(path: Path, *, writing: bool) -> str:
    try:
        with Store.open(path) as store:
            store.people()
            if writing:
                store.log("sign-in", "no_match", "match.none")
    except SetupProblem as error:
        return error.reasons[0].code
    return "ok"


# --- permissions ---------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "what", "code"),
    [
        (0o600, 0o755, "people", "store.not_yours"),
        (0o644, 0o755, "people", "store.not_yours"),
        (0o644, 0o777, "people", "store.not_yours"),
        (0o666, 0o777, "people", "store.not_yours"),
        (0o644, 0o755, "write", "store.not_yours"),
        (0o666, 0o777, "write", "store.not_yours"),
        (0o600, 0o700, "people", "store.unreadable"),
        (0o600, 0o700, "write", "store.unreadable"),
    ],
)
def test_a_store_of_somebody_else(
    public_folder: Path, file_mode: int, folder_mode: int, what: str, code: str
) -> None:
    path = made(public_folder / "people.sqlite3")
    path.chmod(file_mode)
    public_folder.chmod(folder_mode)
    before = snapshot(public_folder)
    call = 'attempt("log", "sign-in", "no_match")' if what == "write" else 'attempt("people")'
    run = in_child(f"{TRY}print({call})", path, settle=DROP_ROOT)
    assert (run.stdout.strip(), run.stderr) == (code, "")
    assert snapshot(public_folder) == before


@as_root
def test_no_store_can_be_made_in_a_folder_of_somebody_else(public_folder: Path) -> None:
    run = in_child(
        f'{TRY}print(attempt("people", create=True))',
        public_folder / "new" / "people.sqlite3",
        settle=DROP_ROOT,
    )
    assert (run.stdout.strip(), run.stderr) == ("store.unreadable", "")
    assert list(public_folder.iterdir()) == []


# --- full disk -----------------------------------------------------------------------------------

FILL = """
path, done, code = Path(sys.argv[1]), 0, "ok"
try:
    for number in range(400):
        with Store.open(path, create=True) as store, store.transaction() as change:
            photo = Template(b"x" * 1024, None, False)
            store.person(f"new{number}").add(change, "test/1", [photo] * 3)
        done += 1
except FacauthError as error:
    code = error.reasons[0].code
print(json.dumps([done, code]))
"""
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"


def check_filled(path: Path, run: subprocess.CompletedProcess[str], already: int) -> None:
    assert run.stderr == ""
    done, code = json.loads(run.stdout)
    assert code in {"store.full", "store.io"}
    with Store.open(path) as store:
        people = store.people()
        assert store.faults() == []
    assert len(people) == done + already
    assert {person.photos for person in people if person.name.startswith("new")} <= {3}


def test_a_limit_on_the_size_of_files(path: Path) -> None:
    made(path)
    check_filled(path, in_child(FILL, path, settle=LIMIT), already=10)


def test_no_room_for_the_first_page(path: Path) -> None:
    none = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    run = in_child(f'{TRY}print(attempt("people", create=True))', path, settle=none)
    assert run.stderr == ""
    assert run.stdout.strip() in {"store.full", "store.io"}
    with Store.open(path, create=True) as store:  # once there is room again
        assert store.people() == []


@as_root
def test_a_full_disk(tmp_path: Path) -> None:
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        path = tmp_path / "people.sqlite3"
        check_filled(path, in_child(FILL, path), already=0)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --- migration -----------------------------------------------------------------------------------

KILLED = """
real = sqlite3.connect
def connect(*values, **options):
    db = real(*values, **options)
    db.create_function("die", 0, lambda: os._exit(9))
    return db
sqlite3.connect = connect
steps, at = [list(step) for step in MIGRATIONS], int(sys.argv[2])
if len(sys.argv) > 3:
    steps.append([sys.argv[3]])
steps[-1].insert(at, "SELECT die()")
module.MIGRATIONS = tuple(map(tuple, steps))
if len(sys.argv) > 3:
    migrate(Path(sys.argv[1]))
Store.open(Path(sys.argv[1]), create=True)
"""
NEXT = "ALTER TABLE people ADD COLUMN note TEXT"


@pytest.mark.parametrize("after", [0, 1, len(MIGRATIONS[-1])])
def test_a_killed_process_leaves_no_half_made_store(path: Path, after: int) -> None:
    run = in_child(KILLED, path, after)
    assert run.returncode == 9, run.stderr
    with Store.open(path, create=True) as store:
        assert store.people() == []
        assert store.faults() == []
    made(path)


@pytest.mark.parametrize("after", [0, 1])
def test_a_killed_upgrade_leaves_the_store_as_it_was(path: Path, after: int) -> None:
    made(path)
    run = in_child(KILLED, path, after, NEXT)
    assert run.returncode == 9, run.stderr
    assert upgraded(path) == (len(MIGRATIONS), False)
    with Store.open(path) as store:
        assert len(store.people()) == 10


def upgraded(path: Path) -> tuple[int, bool]:
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(people)")]
    return version, "note" in columns


def test_a_failed_upgrade_leaves_the_store_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    broken = (*MIGRATIONS, (NEXT, "CREATE TABLE people (again TEXT)"))
    monkeypatch.setattr("facauth.store.sqlite.schema.MIGRATIONS", broken)
    with pytest.raises(SetupProblem):
        migrate(path)
    assert upgraded(path) == (len(MIGRATIONS), False)


def test_an_upgrade_keeps_everybody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)
    monkeypatch.setattr("facauth.store.sqlite.schema.MIGRATIONS", (*MIGRATIONS, (NEXT,)))
    migrate(path)
    with Store.open(path) as store:
        assert len(store.people()) == 10
        assert len(store.encodings(CONTRACT)) == 20
    assert upgraded(path) == (len(MIGRATIONS) + 1, True)


def test_an_upgrade_of_a_held_store_waits_and_then_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("facauth.store.sqlite.schema.MIGRATIONS", (*MIGRATIONS, (NEXT,)))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(SetupProblem) as refusal:
            migrate(path)
    assert refusal.value.reasons[0].code == "store.busy"
    assert upgraded(path) == (len(MIGRATIONS), False)
