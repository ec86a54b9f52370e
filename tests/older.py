"""Stores as an older facauth left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from facauth.store.sqlite.schema import APPLICATION_ID, MIGRATIONS


def make_older(path: Path, version: int = 2) -> None:
    """Turn the store at `path` into one of this version: same people, photos and events."""
    newer = path.read_bytes()
    path.unlink()
    source = path.with_name("newer")
    source.write_bytes(newer)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for step in (step for steps in MIGRATIONS[:version] for step in steps):
            if callable(step):
                step(db)
            else:
                db.execute(step)
        db.execute("ATTACH ? AS newer", (str(source),))
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        same = ("people", "templates", "tries", "key_lock", "log_head", "means")
        for table in there.intersection(same if version < 3 else (*same, "events")):
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})"))
            db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
        if version < 3:
            db.execute(
                """INSERT INTO events SELECT e.id, e.at, e.command, e.verdict, e.reasons, p.id
                FROM newer.events e LEFT JOIN newer.people p ON p.uid = e.subject"""
            )
        db.execute("DETACH newer")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
    source.unlink()
    path.chmod(0o600)
