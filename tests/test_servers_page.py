"""docs/how-to/servers.md does what it says, with a real server: its SQL, its roles, its files."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import many
import numpy as np
import psycopg
import pytest
from conftest import ROOT, SAMPLES, Facauth
from many import APP, DATABASE, GRANT, PAGE, STORE_OWNER, Faces, block
from postgres import LOOPBACK, free_port
from psycopg.errors import InsufficientPrivilege

from facauth.cli import app as command_line
from facauth.errors import SetupProblem
from facauth.store import means
from facauth.store.postgres.schema import MIGRATIONS
from facauth.store.sealing import Template

# Commands here name their store themselves.
pytestmark = pytest.mark.sqlite

BARACK, BARACK_LATER, JOE = (
    str(SAMPLES / name) for name in ("obama_2009.jpg", "obama_2012.jpg", "biden_2010.jpg")
)
TABLES = set(re.findall(r"CREATE TABLE (\w+)", "\n".join(sum(MIGRATIONS, ()))))


def rights() -> list[tuple[str, str]]:
    """Each right that the page gives, and its table."""
    found = []
    for given, where in re.findall(r"(?s)GRANT ([^;]+?) ON ([^;]+?) TO facauth_app;", GRANT):
        right, _, columns = given.rstrip(")").partition(" (")
        tables = re.split(r",\s+", where)
        if where == "ALL TABLES IN SCHEMA facauth":
            tables = [f"facauth.{table}" for table in sorted(TABLES)]
        if columns:
            each = [f"{right} ({column})" for column in columns.split(", ")]
        else:
            each = right.split(", ")
        found += [(right, table) for right in each for table in tables]
    assert found.pop(0) == ("USAGE", "SCHEMA facauth")
    return found


RIGHTS = rights()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    with many.store(tmp_path_factory.mktemp("faces")) as made:
        yield made


@pytest.fixture(autouse=True)
def _nobody_is_enrolled(faces: Faces) -> Iterator[None]:
    yield
    faces.change("TRUNCATE facauth.people, facauth.templates, facauth.tries, facauth.challenges")


As = Callable[[str], Facauth]


@pytest.fixture
def as_role(facauth: Facauth, monkeypatch: pytest.MonkeyPatch, faces: Faces) -> As:
    """The command line as a role of the page."""

    def as_role(role: str) -> Facauth:
        for name, value in faces.environment(role).items():
            monkeypatch.setenv(name, value)
        return facauth

    return as_role


# --- the servers' role ---------------------------------------------------------------------------

# Commands without a store, and those with a test of their own.
ELSEWHERE = {"compare", "calibrate", "demo", "completion", "evaluate", "serve", "key", "store"}


def everything(folder: Path) -> list[tuple[list[str], int]]:
    """What the servers' role does: the arguments of each command, and its exit code."""
    (folder / "photos").mkdir()
    shutil.copy(JOE, folder / "photos" / "Joe.jpg")
    out = str(folder / "out.facauth")
    return [
        (["register", "Barack", BARACK, "--consent", "by hand"], 0),
        (["enrol", str(folder / "photos")], 0),
        (["sign-in", BARACK_LATER], 0),
        (["sign-in", "--as", "Barack", JOE], 1),
        (["sign-in", "--as", "Barack", "--learn", BARACK_LATER], 0),
        (["challenge"], 0),
        (["sign-in", "--challenge", "unknown", BARACK], 4),
        (["spoof-check", BARACK_LATER], 0),
        (["identify", BARACK_LATER], 0),
        (["list"], 0),
        (["show", "Barack"], 0),
        (["rename", "Barack", "B. Obama"], 0),
        (["unlock"], 0),
        (["unlock", "B. Obama"], 0),
        (["export", "B. Obama", out, "--plain"], 0),
        (["remove", "B. Obama", "--yes"], 0),
        (["import", out], 0),
        (["register", "B. Obama", BARACK, "--replace"], 0),
        (["purge", "--unused-for", "1d", "--yes"], 0),
        (["log"], 0),
        (["log", "--verify"], 0),
        (["doctor"], 0),
        (["migrate"], 0),  # there is nothing to do
        (["backup", str(folder / "backup")], 2),
        (["restore", out], 2),
    ]


def test_the_servers_role_can_do_all_that_servers_do(as_role: As, tmp_path: Path) -> None:
    app, steps = as_role(APP), everything(tmp_path)
    for arguments, exit_code in steps:
        app(*arguments, exit_code=exit_code)
    named = {arguments[0] for arguments, _ in steps}
    assert named | ELSEWHERE == set(command_line.commands)


def test_the_owner_alone_changes_the_key(as_role: As, faces: Faces) -> None:
    as_role(APP)("register", "Barack", BARACK)
    said = as_role(APP)("key", "rotate", exit_code=7)
    assert "does not allow this to its role; give this role the rights" in said.stderr
    as_role(APP)("sign-in", BARACK_LATER)
    as_role(STORE_OWNER)("key", "rotate")
    as_role(APP)("sign-in", BARACK_LATER)
    as_role(APP)("log", "--verify")


def test_the_owner_alone_prunes_the_log(as_role: As, faces: Faces) -> None:
    as_role(APP)("register", "Barack", BARACK)
    with pytest.raises(SetupProblem, match="does not allow this to its role"):
        pruned(faces, APP)
    assert pruned(faces, STORE_OWNER) > 0
    assert len(faces.rows("SELECT 1 FROM facauth.events")) == 2  # the last one, and the pruning
    as_role(APP)("log", "--verify")


def pruned(faces: Faces, role: str) -> int:
    with faces.opened(role) as store, store.transaction() as change:
        return change.prune_log("9999")


# What is refused to somebody who got hold of a server, with its password.
REFUSED = [
    "DROP TABLE facauth.people",
    "DROP SCHEMA facauth CASCADE",
    "ALTER TABLE facauth.people ADD spy TEXT",
    "CREATE TABLE facauth.mine (id INT)",
    "CREATE TABLE public.mine (id INT)",
    "CREATE TEMPORARY TABLE mine (id INT)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION facauth.mine() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "SET ROLE facauth_owner",
    "ALTER ROLE facauth_owner PASSWORD 'x'",
    "ALTER ROLE facauth_app SUPERUSER",
    "TRUNCATE facauth.people CASCADE",
    "TRUNCATE facauth.events",
    "DELETE FROM facauth.events",
    "UPDATE facauth.events SET verdict = 'signed_in'",
    "DELETE FROM facauth.log_head",
    "INSERT INTO facauth.log_start SELECT * FROM facauth.log_head",
    "DELETE FROM facauth.log_start",
    "UPDATE facauth.key_lock SET generation = 1",
    "DELETE FROM facauth.key_lock",
    "INSERT INTO facauth.key_lock SELECT * FROM facauth.key_lock",
    "UPDATE facauth.templates SET encoding = ''",
    "UPDATE facauth.state SET version = 0",
    "DELETE FROM facauth.state",
    "SELECT * FROM other.secrets",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('pg_hba.conf')",
    "COPY facauth.people TO '/tmp/people'",
    "COPY facauth.people TO PROGRAM 'cat'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
]


@pytest.fixture
def _another_schema(faces: Faces) -> Iterator[None]:
    faces.change("CREATE SCHEMA other CREATE TABLE secrets (id INT)")
    yield
    faces.change("DROP SCHEMA other CASCADE")


@pytest.mark.usefixtures("_another_schema")
@pytest.mark.parametrize("statement", REFUSED)
def test_the_servers_role_can_do_nothing_else(faces: Faces, statement: str) -> None:
    with (
        faces.connected(many.ADMINISTRATOR),  # somebody to terminate
        faces.connected(APP) as session,
        pytest.raises(InsufficientPrivilege),
    ):
        session.execute(statement.encode())


@pytest.mark.parametrize("database", ["faces", "postgres"])
def test_nobody_else_comes_in(faces: Faces, database: str) -> None:
    """Neither a role without rights on the database, nor these two into another one."""
    with suppress(psycopg.errors.DuplicateObject):
        faces.change("CREATE ROLE stranger LOGIN SUPERUSER")
    role = "stranger" if database == DATABASE else APP
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(f"postgresql://{role}@{LOOPBACK}:{faces.cluster.port}/{database}")


def test_public_may_not_even_connect(faces: Faces) -> None:
    (rights,) = faces.rows(f"SELECT datacl::text FROM pg_database WHERE datname = '{DATABASE}'")
    assert set(rights[0].strip("{}").split(",")) == {
        "facauth_owner=CTc/facauth_owner",
        "facauth_app=c/facauth_owner",
    }


# --- each right is needed ------------------------------------------------------------------------


def as_servers_do(faces: Faces) -> None:
    """What servers write, in every table, and what they read."""
    with faces.opened(APP) as store:
        ada, bob = store.person("Ada"), store.person("Bob")
        with store.transaction() as change:
            ada.add(change, "test/1", [Template(bytes(1024), b"x", accepted_spoof=False)])
            change.log("register", "registered", uid=ada.uid)
        with suppress(ZeroDivisionError), store.attempt("Ada"):
            raise ZeroDivisionError
        store.take_challenge(store.draw_challenge("Ada").id, "Ada")
        store.refresh("test/1", one_mean)
        assert faces.rows("SELECT 1 FROM facauth.means") == [(1,)]
        assert store.verify_log()[1] is None
        with store.transaction() as change:
            ada.rename(change, bob.asked)
            bob.remove(change)


def one_mean(rows: Sequence[tuple[str, bytes]]) -> Any:
    assert len(rows) == 1
    return SimpleNamespace(means=np.eye(1, 256, dtype=np.float32))


def test_it_can_write_to_every_table(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(means, "SEARCHED_FROM", 1)
    as_servers_do(faces)


@pytest.mark.parametrize(("right", "table"), RIGHTS, ids=str)
def test_every_right_is_needed(
    faces: Faces, monkeypatch: pytest.MonkeyPatch, right: str, table: str
) -> None:
    monkeypatch.setattr(means, "SEARCHED_FROM", 1)
    faces.change(f"REVOKE {right} ON {table} FROM facauth_app")
    try:
        with pytest.raises((SetupProblem, AssertionError)):
            as_servers_do(faces)
    finally:
        faces.change(f"GRANT {right} ON {table} TO facauth_app")


def test_the_tables_are_those_that_every_right_was_tried_for(faces: Faces) -> None:
    found = faces.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'facauth'")
    assert {f"facauth.{table}" for (table,) in found} == {
        table for right, table in RIGHTS if right == "SELECT"
    }


# --- addresses, passwords and the key file -------------------------------------------------------


def test_the_file_of_passwords_is_found_at_home(as_role: As, faces: Faces) -> None:
    app = as_role(APP)
    home = app.home / ".pgpass"
    home.write_text((faces.folder / APP).read_text())
    for mode, exit_code in ((0o600, 0), (0o644, 7)):
        home.chmod(mode)
        found = app.process("list", exit_code=exit_code, env={"PGPASSFILE": ""} | named(faces))
        assert exit_code == 0 or "no password supplied" in found.stderr


def named(faces: Faces) -> dict[str, str]:
    return {"FACAUTH_STORE": faces.address(APP), "FACAUTH_KEY_FILE": str(faces.key)}


def test_a_service_file_can_hold_everything(as_role: As, faces: Faces) -> None:
    app, service = as_role(APP), block("Connect", "ini")
    password = (faces.folder / APP).read_text().strip().rpartition(":")[2]
    for before, after in {
        many.HOST: LOOPBACK,
        "sslmode=verify-full\n": f"port={faces.cluster.port}\npassword={password}\n",
        "sslrootcert=/etc/facauth/ca.pem\n": "",
    }.items():
        assert before in service
        service = service.replace(before, after)
    (app.home / ".pg_service.conf").write_text(service)
    (address,) = re.findall(r"address is then `(.+?)`", PAGE)
    app.process("list", env=named(faces) | {"FACAUTH_STORE": address, "PGPASSFILE": ""})


@pytest.mark.parametrize("secret", ["role:hidden@", "role@"])
def test_an_address_with_a_password_is_refused(as_role: As, faces: Faces, secret: str) -> None:
    address = f"postgresql://{secret}{many.HOST}/faces"
    address += "" if ":" in secret else "?password=hidden"
    said = as_role(APP)("--store", address, "list", exit_code=2)
    assert "the address of a store holds no password" in said.stderr
    assert "hidden" not in said.stdout + said.stderr


def test_verify_full_refuses_a_server_without_tls(as_role: As, faces: Faces) -> None:
    (address,) = re.findall(r"FACAUTH_STORE='(postgresql://facauth_app.+?)'", PAGE)
    place = f"{LOOPBACK}:{faces.cluster.port}"
    said = as_role(APP)("--store", address.replace(many.HOST, place), "list", exit_code=7)
    assert "server does not support SSL" in said.stderr


def test_a_server_needs_the_key_in_a_file_of_its_own(
    as_role: As, faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "facauth.key"
    as_role(APP)("register", "Barack", BARACK)
    as_role(APP)("key", "export", str(copy))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    monkeypatch.setenv("FACAUTH_KEY_FILE", str(copy))
    as_app = as_role(APP)
    as_app("--key-file", str(copy), "sign-in", BARACK_LATER)
    as_app("--key-file", str(tmp_path / "none"), "sign-in", BARACK_LATER, exit_code=7)
    copy.chmod(0o640)
    as_app("--key-file", str(copy), "sign-in", BARACK_LATER, exit_code=7)


def test_of_several_hosts_the_one_that_can_be_written_is_used(as_role: As, faces: Faces) -> None:
    (hosts,) = re.findall(r"(?m)^postgresql://facauth_app@(db1.+?/faces\?.+?)&ssl", PAGE)
    first, second = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{faces.cluster.port}"
    for before, after in (("db1.example.org", first), ("db2.example.org", second)):
        assert before in hosts
        hosts = hosts.replace(before, after)
    as_role(APP)("--store", f"postgresql://{APP}@{hosts}", "register", "Barack", BARACK)
    as_role(APP)("sign-in", BARACK_LATER)


# --- backups -------------------------------------------------------------------------------------


def test_a_dump_is_restored_and_opens_only_with_the_key_of_its_time(
    as_role: As, faces: Faces, tmp_path: Path
) -> None:
    as_role(APP)("register", "Barack", BARACK)
    key = faces.key.read_bytes()
    dump, restore = (block("Back up", "sh", number).splitlines()[0] for number in range(2))
    faces.program(dump, STORE_OWNER, tmp_path)
    as_role(APP)("remove", "Barack", "--yes")
    faces.change(f"DROP DATABASE {DATABASE} WITH (FORCE)", "postgres")
    faces.program(restore, many.ADMINISTRATOR, tmp_path)
    as_role(APP)("sign-in", BARACK_LATER)  # who was removed is enrolled again
    test_public_may_not_even_connect(faces)
    as_role(STORE_OWNER)("key", "rotate")
    as_role(APP)("sign-in", "--as", "Barack", BARACK_LATER)
    faces.change(f"DROP DATABASE {DATABASE} WITH (FORCE)", "postgres")
    faces.program(restore, many.ADMINISTRATOR, tmp_path)
    said = as_role(APP)("sign-in", BARACK_LATER, exit_code=7)
    assert "holds an older or newer key of this store" in said.stderr
    faces.key.write_bytes(key)
    as_role(APP)("sign-in", BARACK_LATER)


# --- the reference -------------------------------------------------------------------------------


def test_the_reference_shows_the_tables_that_key_init_makes(faces: Faces) -> None:
    page = (ROOT / "docs/reference/store.md").read_text()
    (script,) = re.findall(r"(?ms)^```sql\n(CREATE SCHEMA facauth;.*?)^```", page)
    query = """SELECT table_name, column_name, data_type, is_nullable, collation_name, is_identity
        FROM information_schema.columns WHERE table_schema = 'facauth' ORDER BY 1, 2"""
    faces.change("CREATE DATABASE shown")
    faces.psql(script, many.ADMINISTRATOR, "shown")
    shown = psycopg.connect(faces.address(many.ADMINISTRATOR).replace(f"/{DATABASE}", "/shown"))
    with shown:
        assert shown.execute(query).fetchall() == faces.rows(query)


# --- from a file and back ------------------------------------------------------------------------


def test_people_move_from_a_file_and_back(
    facauth: Facauth, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Step by step as the page has it."""
    with many.database(tmp_path_factory.mktemp("moved")) as faces:
        back = str(tmp_path / "back.sqlite3")
        address = faces.address(STORE_OWNER, f"?passfile={faces.folder / STORE_OWNER}")
        app = ["--store", faces.address(APP, f"?passfile={faces.folder / APP}")]
        facauth("register", "Barack", BARACK)
        before = facauth("store", "copy", str(facauth.store), address, exit_code=2)
        assert "run facauth key init first" in before.stderr
        facauth("key", "init")
        facauth("store", "copy", str(facauth.store), address)
        faces.psql(GRANT, STORE_OWNER)
        assert facauth(*app, "sign-in", BARACK_LATER).stdout == "Barack\n"
        facauth(*app, "doctor")
        facauth("store", "copy", address, back)
        found = [facauth("--store", where, "log", "--verify").stdout for where in (app[1], back)]
        assert found[0] == found[1] != facauth("log", "--verify").stdout
        assert facauth("--store", back, "list").stdout == facauth(*app, "list").stdout
