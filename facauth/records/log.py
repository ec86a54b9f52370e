"""The audit log: events in a chain of hashes, so that none can be changed or dropped unnoticed.

An entry's hash is BLAKE2b-256 of the hash before it and of the entry. In an encrypted store each
hash, and the number of entries, is also anchored: hashed with a key, so that nobody without the
key can make the chain anew. A person is named by a random uid only, which means nothing any more
once the person is removed; the chain stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facauth.records.database import Database

GENESIS = bytes(32)
Anchor = Callable[[bytes], bytes | None]  # the hash of something with the key; None without a key

FIELDS = "id, at, command, verdict, reasons, subject, error_rate"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry as `log` shows it; times are UTC, ISO 8601."""

    id: int
    at: str
    command: str
    verdict: str
    reasons: list[str]  # codes
    person: str | None  # None: nobody known, or somebody who was removed
    error_rate: float | None  # what was asked: FMR of a named person, FPIR otherwise
    hash: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that is not as it was written, and what is wrong with it."""

    id: int
    what: str


def append(
    db: Database,
    anchor: Anchor,
    command: str,
    verdict: str,
    reasons: str | None = None,
    subject: str | None = None,
    error_rate: float | None = None,
) -> None:
    """Add one entry. Call it within a transaction."""
    entries, last = db.one("SELECT entries, hash FROM log_head") or (0, GENESIS)
    fields = (entries + 1, now(), command, verdict, reasons, subject, error_rate)
    digest = entry_hash(last, fields)
    db.write(
        f"INSERT INTO events ({FIELDS}, hash, anchor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        *fields,
        digest,
        anchor(digest),
    )
    _set_head(db, entries + 1, digest, anchor)


def _set_head(db: Database, entries: int, digest: bytes, anchor: Anchor) -> None:
    db.write(
        "INSERT OR REPLACE INTO log_head VALUES (1, ?, ?, ?)",
        entries,
        digest,
        anchor(_head(entries, digest)),
    )


def _head(entries: object, digest: bytes) -> bytes:
    return b"head %d " % entries + digest if isinstance(entries, int) else b""


def entry_hash(before: bytes, fields: tuple[object, ...]) -> bytes:
    """The hash of an entry: its fields as JSON, after the hash of the entry before it."""
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(before + text.encode(), digest_size=32, person=b"facauth log 1").digest()


def events(db: Database, after: int = 0) -> Iterator[Event]:
    """The entries with a higher id, oldest first."""
    rows = db.all(
        """SELECT e.id, e.at, e.command, e.verdict, e.reasons, p.name, e.error_rate, e.hash
        FROM events e LEFT JOIN people p ON p.uid = e.subject WHERE e.id > ? ORDER BY e.id""",
        after,
    )
    for number, at, command, verdict, reasons, name, error_rate, digest in rows:
        codes = reasons.split() if isinstance(reasons, str) else []
        shown = digest.hex() if isinstance(digest, bytes) else ""
        yield Event(number, at, command, verdict, codes, name, error_rate, shown)


def verify(db: Database, anchor: Anchor) -> tuple[int, Broken | None]:
    """How many entries there are, and the first broken one. Call it within a snapshot."""
    last, count = GENESIS, 0
    keyed = anchor(b"") is not None
    for count, row in enumerate(
        db.all(f"SELECT {FIELDS}, hash, anchor FROM events ORDER BY id"),  # noqa: S608
        start=1,
    ):
        *fields, digest, anchored = row
        if fields[0] != count:
            return count, Broken(count, "is missing")
        if digest != entry_hash(last, tuple(map(_storable, fields))):
            return count, Broken(count, "was changed")
        if keyed and not _same(anchor(digest), anchored):
            return count, Broken(count, "was not written with the store's key")
        last = digest
    return count, _broken_end(db, anchor, count, last)


def _broken_end(db: Database, anchor: Anchor, count: int, last: bytes) -> Broken | None:
    entries, digest, anchored = db.one("SELECT entries, hash, anchor FROM log_head") or (
        0,
        GENESIS,
        anchor(_head(0, GENESIS)),
    )
    if not isinstance(entries, int) or entries > count:
        return Broken(count + 1, "is missing, at the end")
    if (entries, digest) != (count, last):
        return Broken(entries + 1, "was added by something else")
    if not _same(anchor(_head(entries, last)), anchored):
        return Broken(count + 1, "is missing, or the end was not written with the store's key")
    return None


def _storable(value: object) -> object:
    """What was stored as bytes, which no field is, equals no text."""
    return value.hex() + " (bytes)" if isinstance(value, bytes) else value


def _same(wanted: bytes | None, found: object) -> bool:
    if wanted is None or not isinstance(found, bytes):
        return wanted is None and found is None
    return hmac.compare_digest(wanted, found)


def anchor_anew(db: Database, before: Anchor, after: Anchor) -> None:
    """Replace every anchor that fits by one of another key; one that does not stays, and shows.

    Call it within a transaction.
    """
    for number, digest, anchored in db.all("SELECT id, hash, anchor FROM events"):
        if _same(before(digest), anchored):
            db.write("UPDATE events SET anchor = ? WHERE id = ?", after(digest), number)
    head = db.one("SELECT entries, hash, anchor FROM log_head")
    if head and _same(before(_head(*head[:2])), head[2]):
        _set_head(db, head[0], head[1], after)


def chain_old_events(db: sqlite3.Connection) -> None:
    """Migration to version 3: the events of an older store become the chain's first entries."""
    last, count = GENESIS, 0
    rows = db.execute(
        """SELECT e.at, e.command, e.verdict, e.reason, p.uid
        FROM old_events e LEFT JOIN people p ON p.id = e.person_id ORDER BY e.id"""
    )
    for count, row in enumerate(rows.fetchall(), start=1):
        fields = (count, *row, None)
        last = entry_hash(last, fields)
        db.execute(
            f"INSERT INTO events ({FIELDS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (*fields, last),
        )
    if count:
        db.execute("INSERT INTO log_head VALUES (1, ?, ?, NULL)", (count, last))


def now() -> str:
    """As times are stored."""
    return datetime.now(UTC).isoformat(timespec="seconds")
