"""Stores for benchmarks: encrypted, in a file or in a PostgreSQL server that is started for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import psycopg
import search
from postgres import Cluster, Database, cluster

from facauth.places import Place, place_of
from facauth.records import PersonName
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import SealedPerson, Template
from facauth.store.store import Store

ENGINES = ("sqlite", "postgres")
# As a server is by default, where tests turn it off.
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "autovacuum": "on",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """An encrypted store."""

    address: str
    key_file: Path
    server: Cluster | None = field(repr=False, default=None)

    @property
    def place(self) -> Place:
        """Where it is."""
        return place_of(self.address)

    @property
    def keys(self) -> KeyAccess:
        """Its key."""
        return KeyAccess(self.key_file)

    @property
    def env(self) -> Mapping[str, str]:
        """What a command needs to find it."""
        return {"FACAUTH_STORE": self.address, "FACAUTH_KEY_FILE": str(self.key_file)}

    def open(self) -> Store:
        """Open it as a command does."""
        return Store.open(self.place, self.keys)


@contextmanager
def kept(engine: str, folder: Path, **settings: str) -> Iterator[Kept]:
    """A new store. settings: of the server, beyond those of DURABLE."""
    key_file = folder / "keys" / "key"
    if engine == "sqlite":
        made = Kept(str(folder / "data" / "store.sqlite3"), key_file)
        rekey.encrypt(made.place, KeyKind.FILE, KeyAccess(None, key_file))
        yield made
        return
    with cluster(**DURABLE | settings) as server, server.database() as database:
        made = Kept(database.address, key_file, server)
        rekey.encrypt(made.place, KeyKind.FILE, KeyAccess(None, key_file))
        yield made


def fill(store: Kept, contract: str, people: int) -> None:
    """So many people more, as search.fill, but in one go where the store is a database."""
    with store.open() as opened:
        if store.server is None:
            search.fill(opened, contract, people)
            return
        crowd = search.sealed_crowd(opened.vault(), contract, people)
        with Database(store.server, store.address.rpartition("/")[2]).connected() as session:
            for rows in crowd:
                _copied(session, contract, rows)


def _copied(
    session: psycopg.Connection, contract: str, rows: list[tuple[SealedPerson, Template]]
) -> None:
    numbers = session.execute(
        "SELECT nextval(pg_get_serial_sequence('people', 'id')) FROM generate_series(1, %s)",
        (len(rows),),
    ).fetchall()
    with session.transaction(), session.cursor() as cursor:
        columns = "id, uid, name, name_key, enrolled_at, wrapped_key"
        with cursor.copy(f"COPY people ({columns}) FROM STDIN") as copy:
            for (number,), (person, _) in zip(numbers, rows, strict=True):
                names = person.name, PersonName.parse(person.name).key
                copy.write_row((number, person.uid, *names, "", person.wrapped_key))
        columns = "person_id, contract, encoding, accepted_spoof, learned, enrolled_at"
        with cursor.copy(f"COPY templates ({columns}) FROM STDIN") as copy:
            for (number,), (_, sealed) in zip(numbers, rows, strict=True):
                copy.write_row((number, contract, sealed.encoding, 0, 0, ""))
        session.execute("UPDATE state SET changes = changes + 1")
