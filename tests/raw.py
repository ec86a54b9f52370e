"""The SQLite database of an open store, for what only a test or a benchmark does to it."""

from __future__ import annotations

from facauth.store.sqlite.database import Database
from facauth.store.sqlite.engine import SqliteEngine
from facauth.store.store import Store


def database(store: Store) -> Database:
    engine = store._opened.engine
    assert isinstance(engine, SqliteEngine)
    return engine.db
