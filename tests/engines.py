"""Where scenarios keep their store: in a file, or in a database of a real server (--engine)."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

from facauth.places import Address, Place
from facauth.store.keys import KeyAccess, KeyKind

if TYPE_CHECKING:
    from postgres import Cluster, Database

    from facauth.store.clock import Clock
    from facauth.store.store import Store


Rows = list[tuple[Any, ...]]
KEY_FILE = Path("config", "facauth", "facauth.key")  # in the home of a scenario
TABLES = ("people", "templates", "events", "tries", "challenges")
ZERO_BYTES = """CREATE FUNCTION public.zero_bytes(count integer) RETURNS bytea
    LANGUAGE sql IMMUTABLE RETURN decode(repeat('00', count), 'hex')"""
KEYS: dict[Path, bytes] = {}  # of stores in databases, as they were handed out


class Keeping(Protocol):
    """The store of one scenario, past facauth."""

    address: str  # as FACAUTH_STORE has it
    missing: str  # what every command says while there is none
    encrypted: bool  # from the start

    @property
    def place(self) -> Place:
        """Where it is."""

    def prepare(self) -> None:
        """Before the first command."""

    def opened(self, *, create: bool = False, clock: Clock | None = None) -> Store:
        """The store, as facauth opens it with its key; use it as a context manager."""

    def rows(self, query: str) -> Rows:
        """What is in the store; nothing if there is no store."""

    def change(self, statement: str) -> None:
        """Do to the store what facauth never would."""

    def remove(self) -> None:
        """As if there had never been a store."""

    def is_there(self) -> bool:
        """Whether there is a store."""

    def is_untouched(self) -> bool:
        """Whether no command has written anything."""

    def everything(self) -> object:
        """A value that is the same as long as nothing is written."""

    def content(self) -> bytes:
        """All that is stored, in some order."""

    def is_alone(self) -> bool:
        """Whether nothing was left beside it."""

    def renew(self) -> None:
        """As before the first command."""

    def keep(self) -> object:
        """The store as it is, for scenarios that begin with the same one."""

    def put(self, kept: Any) -> None:
        """A store that was kept."""

    def close(self) -> None:
        """After the last command."""


class InFile:
    """A SQLite file."""

    encrypted = False

    def __init__(self, path: Path, keys: KeyAccess | None = None) -> None:
        self._path = path
        self._keys = keys or KeyAccess()
        self.address = str(path)
        self.missing = f"there is no store at {path}; facauth register creates it"

    @property
    def place(self) -> Path:
        return self._path

    def prepare(self) -> None:
        """Whoever registers the first person makes the store."""

    def opened(self, *, create: bool = False, clock: Clock | None = None) -> Store:
        from facauth.store.store import Store

        return Store.open(self._path, self._keys, create=create, clock=clock)

    def rows(self, query: str) -> Rows:
        if not self._path.exists():
            return []
        in_use = Path(f"{self._path}-wal").exists()  # otherwise leave no file beside it
        how = "mode=ro" if in_use else "immutable=1"
        with closing(sqlite3.connect(f"file:{self._path}?{how}", uri=True)) as db:
            return db.execute(query).fetchall()

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path)) as db, db:
            db.executescript(statement)

    def remove(self) -> None:
        """There is none yet."""
        assert not self._path.exists()

    def is_there(self) -> bool:
        return self._path.parent.exists()

    def is_untouched(self) -> bool:
        return not self.is_there()

    def everything(self) -> object:
        return [(path, path.stat().st_mode, path.read_bytes()) for path in self._beside()]

    def content(self) -> bytes:
        return b"".join(path.read_bytes() for path in self._beside())

    def is_alone(self) -> bool:
        return self._beside() == [self._path]

    def _beside(self) -> list[Path]:
        return sorted(self._path.parent.iterdir())

    def renew(self) -> None:
        self._path.unlink(missing_ok=True)

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

    encrypted = True

    def __init__(self, template: Template, home: Path) -> None:
        self._template = template
        self._key = home / KEY_FILE
        self._database: Database = template.cluster.named()
        self.keys = KeyAccess(default_key_file=self._key)
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

    def opened(self, *, create: bool = False, clock: Clock | None = None) -> Store:
        from facauth.store.store import Store

        self.prepare()
        return Store.open(self.place, self.keys, create=create, clock=clock)

    def rows(self, query: str) -> Rows:
        return self._database.rows(query) if self.is_there() else []

    def change(self, statement: str) -> None:
        self.prepare()
        self._database.change(translated(statement))

    def remove(self) -> None:
        self.prepare()
        self._database.change("DROP SCHEMA IF EXISTS facauth CASCADE")

    def is_there(self) -> bool:
        self.prepare()
        return bool(self._database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'facauth'"))

    def is_untouched(self) -> bool:
        if not self.is_there():
            return True
        return not any(self.rows(f"SELECT 1 FROM {table}") for table in TABLES)

    def everything(self) -> Rows:
        return [
            row for table in ("key_lock", *TABLES) for row in self.rows(f"SELECT * FROM {table}")
        ]

    def content(self) -> bytes:
        values = [value for row in self.everything() for value in row]
        return b"".join(
            value if isinstance(value, bytes) else str(value).encode() for value in values
        )

    def is_alone(self) -> bool:
        return True

    def renew(self) -> None:
        self.put(self._template.database)

    def keep(self) -> Database:
        kept = self._template.cluster.named()
        kept.create(self._database.name)
        return kept

    def put(self, kept: Database) -> None:
        if self._made:
            self._database.drop()
        else:
            self._key.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._key.touch(mode=0o600)
            self._key.write_bytes(self._template.key_file.read_bytes())
            KEYS[self._key] = self._key.read_bytes()
        self._database.create(kept.name)
        self._made = True

    def close(self) -> None:
        KEYS.pop(self._key, None)
        if self._made:
            self._database.drop()

    @property
    def database(self) -> Database:
        """What holds it."""
        self.prepare()
        return self._database


class Template:
    """An empty store with its key, of which each scenario gets a copy."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        from facauth.store import rekey
        from facauth.store.store import Store

        self.cluster = cluster
        self.database = cluster.named()
        self.database.create()
        self.database.change(ZERO_BYTES)
        self.key_file = folder / "facauth.key"
        keys = KeyAccess(self.key_file)
        # As `key init` does, but without its event: scenarios count events from the first command.
        vault, lock = rekey._new_vault(token_hex(16), KeyKind.FILE, 1, keys)
        with Store.made(Address(self.database.address)) as store, store.transaction() as change:
            change.encrypt(lock, vault)


def handed_out(folder: Path) -> set[Path]:
    """The key files below a folder that are still as they were handed out, with folders of theirs
    that hold nothing else.
    """
    found = set[Path]()
    for key, content in KEYS.items():
        if key.is_relative_to(folder) and key.is_file() and key.read_bytes() == content:
            found.add(key)
            for parent in (key.parent, key.parents[1]):
                if found.issuperset(parent.iterdir()):
                    found.add(parent)
    return found


def translated(statement: str) -> str:
    """SQLite's way to write bytes, in PostgreSQL's."""
    plain = re.sub(r"\bx'([0-9a-f]*)'", r"'\\x\1'::bytea", statement)
    plain = plain.replace("char(", "chr(")
    plain = re.sub(r"(-?)9e999", r"'\1infinity'::float8", plain)
    return re.sub(r"\bzeroblob\(", "public.zero_bytes(", plain)
