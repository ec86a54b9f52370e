"""Where scenarios keep their store: in a file, or in a database of a real server (--engine)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

from facauth.places import Address, Place
from facauth.store.keys import KeyAccess, KeyKind

if TYPE_CHECKING:
    from postgres import Cluster, Database


Rows = list[tuple[Any, ...]]
KEY_FILE = Path("config", "facauth", "facauth.key")  # in the home of a scenario


class Keeping(Protocol):
    """The store of one scenario, past facauth."""

    address: str  # as FACAUTH_STORE has it
    missing: str  # what every command says while there is none

    @property
    def place(self) -> Place:
        """Where it is."""

    def prepare(self) -> None:
        """Before the first command."""

    def rows(self, query: str) -> Rows:
        """What is in the store; nothing if there is no store."""

    def change(self, statement: str) -> None:
        """Do to the store what facauth never would."""

    def remove(self) -> None:
        """As if there had never been a store."""

    def is_there(self) -> bool:
        """Whether there is a store."""

    def keep(self) -> object:
        """The store as it is, for scenarios that begin with the same one."""

    def put(self, kept: Any) -> None:
        """A store that was kept."""

    def close(self) -> None:
        """After the last command."""


class InFile:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.address = str(path)
        self.missing = f"there is no store at {path}; facauth register creates it"

    @property
    def place(self) -> Path:
        return self._path

    def prepare(self) -> None:
        """Whoever registers the first person makes the store."""

    def rows(self, query: str) -> Rows:
        if not self._path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self._path}?immutable=1", uri=True)) as db:
            return db.execute(query).fetchall()

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path)) as db, db:
            db.execute(statement)

    def remove(self) -> None:
        """There is none yet."""
        assert not self._path.exists()

    def is_there(self) -> bool:
        return self._path.parent.exists()

    def keep(self) -> bytes:
        return self._path.read_bytes()

    def put(self, kept: bytes) -> None:
        self._path.parent.mkdir(mode=0o700)
        self._path.touch(mode=0o600)
        self._path.write_bytes(kept)

    def close(self) -> None:
        """Its folder is pytest's."""


class InDatabase:
    """A database, which holds an empty store from the start: only `key init` makes one."""

    def __init__(self, template: Template, home: Path) -> None:
        self._template = template
        self._key = home / KEY_FILE
        self._database: Database = template.cluster.named()
        self._made = False
        self.address = self._database.address
        self._place = Address(self.address)
        self.missing = f"{self._place} holds no store; facauth key init creates it"

    @property
    def place(self) -> Address:
        return self._place

    def prepare(self) -> None:
        if not self._made:
            self.put(self._template.database)

    def rows(self, query: str) -> Rows:
        return self._database.rows(query) if self.is_there() else []

    def change(self, statement: str) -> None:
        self.prepare()
        self._database.change(statement)

    def remove(self) -> None:
        self.prepare()
        self._database.change("DROP SCHEMA facauth CASCADE")

    def is_there(self) -> bool:
        self.prepare()
        return bool(self._database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'facauth'"))

    def keep(self) -> Database:
        kept = self._template.cluster.named()
        kept.create(self._database.name)
        return kept

    def put(self, kept: Database) -> None:
        if self._made:
            self._database.drop()
        else:
            self._key.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._key.write_bytes(self._template.key_file.read_bytes())
            self._key.chmod(0o600)
        self._database.create(kept.name)
        self._made = True

    def close(self) -> None:
        if self._made:
            self._database.drop()


class Template:
    """An empty store with its key, of which each scenario gets a copy."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        from facauth.store import rekey
        from facauth.store.postgres.engine import PostgresEngine

        self.cluster = cluster
        self.database = cluster.named()
        self.database.create()
        self.key_file = folder / "facauth.key"
        keys = KeyAccess(self.key_file)
        # As `key init` does, but without its event: scenarios count events from the first command.
        _, lock = rekey._new_vault(token_hex(16), KeyKind.FILE, 1, keys)
        engine = PostgresEngine.open(Address(self.database.address), create=True)
        with closing(engine), engine.transaction() as writer:
            row = (lock.store_id, lock.kind, lock.generation, lock.salt, lock.wrapped_master)
            writer.put_lock(row)
