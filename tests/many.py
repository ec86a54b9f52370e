"""The database of docs/how-to/servers.md: made by the SQL of that page, with its two roles."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from conftest import PATIENCE_S, ROOT
from postgres import LOOPBACK, OWNER, QUICK, Cluster, required_programs

from facauth.places import Address
from facauth.store.keys import KeyAccess
from facauth.store.store import Store

PAGE = (ROOT / "docs/how-to/servers.md").read_text()
ADMINISTRATOR, STORE_OWNER, APP = OWNER, "facauth_owner", "facauth_app"
HOST, DATABASE, PASSWORD = "db.example.org", "faces", "THE-PASSWORD"
# As the page has it, but without TLS, for which this server was not built. The first line counts.
HBA = f"""
host  all         {ADMINISTRATOR}         {LOOPBACK}/32  trust
host  {DATABASE}  {STORE_OWNER},{APP}     {LOOPBACK}/32  scram-sha-256
"""


def block(heading: str, language: str, number: int = 0) -> str:
    """The code below a heading of the page."""
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", PAGE)
    blocks: list[str] = re.findall(rf"(?ms)^```{language}\n(.*?)^```", section)
    return blocks[number]


CREATE = block("Create the database", "sql")
GRANT = block("Make the store", "sql")
PASSFILE = block("Connect", "text")


@dataclass(frozen=True, slots=True)
class Faces:
    """The store of the page, with its key in a file."""

    cluster: Cluster
    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "facauth.key"

    def address(self, role: str, parameters: str = "") -> str:
        return f"postgresql://{role}@{LOOPBACK}:{self.cluster.port}/{DATABASE}{parameters}"

    def environment(self, role: str) -> dict[str, str]:
        """What a command needs that runs as this role."""
        return {
            "FACAUTH_STORE": self.address(role),
            "FACAUTH_KEY_FILE": str(self.key),
            "PGPASSFILE": str(self.folder / role),
        }

    def program(self, line: str, role: str, folder: Path) -> None:
        """Run a line of the page, with a program of PostgreSQL, as a role and in a folder."""
        name, *arguments = shlex.split(line)
        given = {"PGHOST": LOOPBACK, "PGPORT": f"{self.cluster.port}", "PGUSER": role}
        done = subprocess.run(
            [required_programs() / name, *arguments],
            env=given | {"PGPASSFILE": str(self.folder / role)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    def psql(self, script: str, role: str, database: str = DATABASE) -> None:
        """Run a script of the page, statement by statement, as somebody types it."""
        program = required_programs() / "psql"
        address = f"postgresql://{role}@{LOOPBACK}:{self.cluster.port}/{database}"
        done = subprocess.run(
            [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", address],
            input=script,
            env={"PGPASSFILE": str(self.folder / role)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    def command(self, role: str, *arguments: str, exit_code: int = 0) -> str:
        """What a command as this role prints, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "facauth", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "HOME": str(self.folder),
                **self.environment(role),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == exit_code, done.stderr
        return done.stdout

    @contextmanager
    def connected(self, role: str, database: str = DATABASE) -> Iterator[psycopg.Connection]:
        """A session of a role; each statement is a transaction."""
        passfile, to = str(self.folder / role), self.address(role)
        with closing(
            psycopg.connect(to, passfile=passfile, dbname=database, autocommit=True)
        ) as session:
            yield session

    def opened(self, role: str) -> Store:
        """The store as a role; use it as a context manager."""
        address = Address(self.address(role, f"?passfile={self.folder / role}"))
        return Store.open(address, KeyAccess(self.key))

    def change(self, statement: str, database: str = DATABASE) -> None:
        """Do what only the administrator may."""
        with self.connected(ADMINISTRATOR, database) as session:
            session.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connected(ADMINISTRATOR) as session:
            return session.execute(query.encode()).fetchall()

    def set_password(self, role: str, host: str = LOOPBACK) -> None:
        """As `\\password` does, and the line of the page for the file of passwords."""
        password = secrets.token_urlsafe()
        self.change(f"ALTER ROLE {role} PASSWORD '{password}'")
        path = self.folder / role
        path.touch(mode=0o600)
        line = PASSFILE
        port = f":{self.cluster.port}:"
        values = {HOST: host, ":5432:": port, APP: role, PASSWORD: password}
        for before, after in values.items():
            assert before in line
            line = line.replace(before, after)
        path.write_text(line)


@contextmanager
def database(folder: Path) -> Iterator[Faces]:
    """The database and its roles, as in the first section; there is no store yet."""
    required_programs()
    cluster = Cluster.made()
    try:
        (cluster.data / "pg_hba.conf").write_text(HBA)
        cluster.start(**QUICK)
        made = Faces(cluster, folder)
        made.psql(CREATE, ADMINISTRATOR, "postgres")
        for role in (STORE_OWNER, APP):
            made.set_password(role)
        yield made
    finally:
        cluster.remove()


@contextmanager
def store(folder: Path) -> Iterator[Faces]:
    """The store, with the rights that the page gives."""
    with database(folder) as made:
        made.command(STORE_OWNER, "key", "init")
        made.psql(GRANT, STORE_OWNER)
        yield made
