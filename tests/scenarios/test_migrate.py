"""migrate: the store of an older facauth, whole or as it was, and no copy that outlives its use."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Facauth, Photo, fragments, tree
from older import make_older

from facauth.errors import Reason, SetupProblem
from facauth.store.sqlite.schema import MIGRATIONS

pytestmark = pytest.mark.sqlite("there are no older stores in a database yet")

PHOTOS = "person_id, contract, encoding, signature, accepted_spoof, enrolled_at"
EILEEN, BARACK, AGAIN, JOE = "collins.png", "obama_2012.jpg", "obama_2010.jpg", "biden_2010.jpg"


@pytest.fixture
def older(facauth: Facauth, photo: Photo) -> Facauth:
    """A store of version 2 that knows Eileen and Barack."""
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK))
    make_older(facauth.store)
    return facauth


def backup(facauth: Facauth) -> Path:
    return Path(f"{facauth.store}.v2.backup")


def test_an_older_store_is_brought_up_to_date(older: Facauth, photo: Photo) -> None:
    people = older.rows("SELECT * FROM people")
    photos = older.rows(f"SELECT {PHOTOS} FROM templates")
    before = older.store.read_bytes()
    result = older("migrate")
    assert result.stdout == (
        f"migrated {older.store} from version 2 to {len(MIGRATIONS)}\n"
        f"the older store is kept as {backup(older)}\n"
    )
    assert result.stderr == (
        f"facauth: {backup(older)} holds the older store; delete it when you no longer "
        "need it; remove, purge, register --replace and key init also delete it\n"
    )
    assert older.rows("SELECT id, name, name_key, enrolled_at FROM people") == people
    assert older.rows(f"SELECT {PHOTOS} FROM templates") == photos
    assert older("sign-in", photo(AGAIN)).stdout == "Barack\n"
    assert set(tree(older.store.parent)) == {older.store.name, backup(older).name}
    with closing(sqlite3.connect(f"file:{backup(older)}?immutable=1", uri=True)) as db:
        assert db.execute(f"SELECT {PHOTOS} FROM templates").fetchall() == photos
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert older.store.read_bytes() != before


def test_the_migration_is_logged_after_what_was_logged_before(older: Facauth) -> None:
    before = older.rows("SELECT command, verdict FROM events ORDER BY id")
    older("migrate")
    after = older.rows("SELECT command, verdict FROM events ORDER BY id")
    assert after == [*before, ("migrate", "migrated")]
    from facauth.store.store import Store

    with Store.open(older.store) as store:
        assert store.verify_log() == (len(after), None)


def test_the_envelope(older: Facauth) -> None:
    answer = older("migrate", "--json").json
    assert (answer["ok"], answer["verdict"]) == (True, "migrated")
    assert answer["migration"] == {
        "before": 2,
        "after": len(MIGRATIONS),
        "backup": str(backup(older)),
    }
    assert answer["needs_new_photo"] == []
    answer = older("migrate", "--json").json
    assert (answer["ok"], answer["verdict"]) == (True, "up_to_date")
    assert answer["migration"]["backup"] is None


def test_where_nothing_is_to_be_done_nothing_is(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    before = tree(facauth.store.parent)
    for _ in range(2):
        result = facauth("migrate")
        assert (result.stdout, result.stderr) == (f"{facauth.store} is up to date\n", "")
    assert tree(facauth.store.parent) == before


def test_a_first_version_too(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK))
    make_older(facauth.store, version=1)
    assert f"from version 1 to {len(MIGRATIONS)}" in facauth("migrate").stdout
    assert facauth("sign-in", photo(AGAIN)).stdout == "Barack\n"


def test_who_needs_a_new_photo_is_said(older: Facauth) -> None:
    older.change("UPDATE templates SET contract = 'older/1' WHERE person_id = 2")
    result = older("migrate")
    assert result.stdout.endswith("\nBarack needs a new photo\n")
    assert "facauth register NAME IMAGE --replace" in result.stderr
    result = older("migrate")  # and again, though there is nothing to do
    assert result.stdout == f"{older.store} is up to date\nBarack needs a new photo\n"
    assert older("migrate", "--json").json["needs_new_photo"] == ["Barack"]


# --- until then nothing touches it ---------------------------------------------------------------


def test_every_other_command_leaves_an_older_store_alone(older: Facauth, photo: Photo) -> None:
    before = tree(older.store.parent)
    for folder in ("live", "attack"):
        (older.here / folder / "one").mkdir(parents=True)
        (older.here / folder / "one" / "photo.jpg").write_bytes(Path(photo(AGAIN)).read_bytes())
    for command in (
        ("register", "Ada", photo(JOE)),
        ("register", "Barack", photo(AGAIN), "--replace"),
        ("sign-in", photo(AGAIN)),
        ("sign-in", photo(AGAIN), "--as", "Barack"),
        ("list",),
        ("show", "Barack"),
        ("remove", "Barack", "--yes"),
        ("rename", "Barack", "Ada"),
        ("purge", "--unused-for", "1d", "--yes"),
        ("spoof-check", photo(AGAIN), "--against", "Barack"),
        ("evaluate", "spoof", ".", "--store", str(older.store)),
    ):
        result = older(*command, exit_code=7)
        assert result.stdout == ""
        assert result.stderr == (
            f"facauth: {older.store} was made by an older facauth; run facauth migrate\n"
        )
        assert tree(older.store.parent) == before, command


def test_doctor_says_so_too(older: Facauth) -> None:
    before = tree(older.store.parent)
    checks = older("doctor", "--json", exit_code=7).json["checks"]
    (found,) = [check for check in checks if check["check"] == "store"]
    assert (found["ok"], found["advice"]) == (False, "run facauth migrate")
    assert tree(older.store.parent) == before


# --- copies do not outlive what they hold --------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("remove", "Barack", "--yes"),
        ("purge", "--unused-for", "1y", "--yes"),
        ("register", "Barack", AGAIN, "--replace"),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_no_byte_outlives_remove_purge_or_replace(
    older: Facauth, photo: Photo, command: tuple[str, ...], link: bool
) -> None:
    """Of the photo that was enrolled, in any file in the folder: before, and after."""
    ((encoding, signature),) = older.rows(
        "SELECT encoding, signature FROM templates WHERE person_id = 2"
    )
    traces = [*fragments(encoding), *fragments(signature)]
    way = older.home / "linked" / "store" if link else older.store
    if link:
        way.parent.mkdir()
        way.symlink_to(older.store)
    older("migrate", "--store", str(way))
    assert len(found(traces, backup(older))) > 1000
    old = "2020-01-01T00:00:00+00:00"
    older.change(f"UPDATE people SET enrolled_at = '{old}'")
    older.change(f"UPDATE templates SET enrolled_at = '{old}'")
    older(*(photo(word) if word == AGAIN else word for word in command))
    assert not backup(older).exists()
    folders = {older.store.parent, way.parent}
    files = [path for folder in folders for path in folder.iterdir() if not path.is_symlink()]
    assert older.store in files
    assert [found(traces, path) for path in files] == [set()] * len(files)


def found(traces: list[bytes], path: Path) -> set[bytes]:
    content = path.read_bytes()
    return {trace for trace in traces if trace in content}


# --- what cannot be migrated ---------------------------------------------------------------------


def refused(facauth: Facauth, code: str) -> None:
    """Code 7 and this reason; not a byte is changed, and nothing is left behind."""
    before = tree(facauth.store.parent)
    result = facauth("migrate", "--json", exit_code=7)
    assert result.codes == [code]
    assert (result.json["migration"], result.json["needs_new_photo"]) == (None, None)
    result = facauth("migrate", exit_code=7)
    assert result.stdout == ""
    assert result.stderr.startswith("facauth: ")
    assert result.stderr.count("\n") == 1
    assert tree(facauth.store.parent) == before


def test_a_store_that_is_not_there(facauth: Facauth) -> None:
    facauth.store.parent.mkdir()
    refused(facauth, "store.missing")
    assert facauth("migrate", exit_code=7).stderr == (f"facauth: {facauth.keeping.missing}\n")


def test_a_store_of_a_newer_version(older: Facauth) -> None:
    older.change("PRAGMA user_version = 99")
    refused(older, "store.newer")


def test_a_file_of_something_else(facauth: Facauth) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_text("a diary\n" * 1000)
    refused(facauth, "store.not_a_store")
    facauth.store.unlink()
    with closing(sqlite3.connect(facauth.store)) as db, db:
        db.execute("CREATE TABLE people (name TEXT)")
    refused(facauth, "store.not_a_store")
    facauth.store.unlink()
    facauth.store.mkdir()
    refused(facauth, "store.not_a_store")
    facauth.store.rmdir()
    facauth.store.symlink_to("nowhere")
    refused(facauth, "store.missing")


def test_a_damaged_store(older: Facauth) -> None:
    """Nothing is migrated of which no sound copy can be made."""
    content = bytearray(older.store.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    content[page * 3 : page * 4] = b"\xa5" * page
    older.store.write_bytes(content)
    before = tree(older.store.parent)
    result = older("migrate", "--json", exit_code=7)
    assert result.codes[0] in {"store.damaged", "store.backup"}
    assert tree(older.store.parent) == before


def test_a_copy_that_is_not_sound_stops_it(older: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsound(*_: object) -> None:
        raise SetupProblem(Reason("store.backup", "it is no sound copy", "check the disk"))

    monkeypatch.setattr("facauth.store.sqlite.backup._require_sound", unsound)
    refused(older, "store.backup")


def test_a_migration_that_fails_leaves_no_copy(
    older: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*MIGRATIONS, ("CREATE TABLE people (again TEXT)",))
    monkeypatch.setattr("facauth.store.sqlite.schema.MIGRATIONS", broken)
    refused(older, "store.unusable")


def test_a_store_that_is_being_written(older: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facauth.store.sqlite.connection.BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(older.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = older("migrate", "--json", exit_code=7)
        assert result.codes == ["store.busy"]
        other.execute("ROLLBACK")
    assert older.rows("PRAGMA user_version") == [(2,)]
    assert not backup(older).exists()


def test_without_room_for_the_copy_nothing_is_changed(older: Facauth) -> None:
    """A limit on the size of files: the copy is the first file to reach it."""
    before = tree(older.store.parent)
    blocks = older.store.stat().st_size // 1024 - 20
    result = older.shell(f'ulimit -f {blocks}; trap "" XFSZ; "$@" migrate', exit_code=7)
    assert result.stdout == ""
    assert "check disk and free space" in result.stderr
    assert result.stderr.count("\n") == 1
    assert tree(older.store.parent) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("copies", [0.02, 0.5, 1.02, 1.1])
def test_on_a_full_disk_nothing_is_changed(older: Facauth, copies: float) -> None:
    """Room for hardly anything, for half the copy, or for the copy and little of what follows."""
    content = older.store.read_bytes()
    older.store.unlink()
    room = f"size={len(content) + int(copies * len(content))},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", room, "tmpfs", str(older.store.parent)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        older.store.write_bytes(content)
        older.store.chmod(0o600)
        result = older("migrate", "--json", exit_code=7)
        assert result.codes[0] in {"store.full", "store.io"}
        for empty in older.store.parent.glob("*-wal"):  # SQLite may have had no room to tidy up
            assert empty.stat().st_size == 0
        left = {path.name for path in older.store.parent.iterdir()}
        assert left <= {older.store.name, f"{older.store.name}-wal", f"{older.store.name}-shm"}
        assert older.store.read_bytes() == content
    finally:
        subprocess.run(["umount", older.store.parent], check=True)


def test_two_at_once_migrate_it_once(older: Facauth) -> None:
    with older.start("migrate") as one, older.start("migrate") as two:
        said = sorted(process.communicate()[0].decode() for process in (one, two))
    assert (one.returncode, two.returncode) == (0, 0)
    assert said[0].startswith(f"{older.store} is up to date") == (said[0] != said[1])
    assert older.rows("SELECT count(*) FROM events WHERE command = 'migrate'") == [(1,)]
    assert backup(older).exists()


def test_everything_it_makes_is_private_whatever_the_umask(older: Facauth) -> None:
    older.store.chmod(0o644)  # not even the store's own mode is passed on
    result = older.shell('umask 000; "$@" migrate')
    assert f"chmod 600 {older.store}" in result.stderr
    assert stat.S_IMODE(backup(older).stat().st_mode) == 0o600
