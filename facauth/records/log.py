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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING

from facauth.errors import shown
from facauth.structs import Broken

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
    append_all(db, anchor, [(command, verdict, reasons, subject, error_rate)])


def append_all(
    db: Database,
    anchor: Anchor,
    added: Sequence[tuple[str, str, str | None, str | None, float | None]],
) -> None:
    """Add entries, each what `append` takes. Call it within a transaction."""
    entries, digest, anchored = _end(db)
    if not _same(anchor(_head(entries, digest)), anchored):
        anchor = _no_anchor  # what follows a break must not mend it: this entry will show it
    at = now()
    for number, entry in enumerate(added, start=entries + 1):
        fields = (number, at, *entry)
        digest = entry_hash(digest, fields)
        db.write(
            f"INSERT INTO events ({FIELDS}, hash, anchor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            *fields,
            digest,
            anchor(digest),
        )
    _set_head(db, entries + len(added), digest, anchor)


def _start(db: Database) -> tuple[int, bytes, bytes | None]:
    """How many entries were pruned, the hash of the last of them, and the anchor of both."""
    return db.one("SELECT entries, hash, anchor FROM log_start") or (0, GENESIS, None)


def prune(db: Database, anchor: Anchor, before: str) -> int:
    """Delete the oldest entries, up to the first that is not older; how many there were.

    The last stays, whatever its age. Call it within a transaction, and for a sound log.
    """
    entries, *_ = _start(db)
    (upto,) = db.one(
        """SELECT max(id) FROM events WHERE id < coalesce(
            (SELECT min(id) FROM events WHERE at >= ?), (SELECT max(id) FROM events))""",
        before,
    ) or (None,)
    if upto is None:
        return 0
    (digest,) = db.one("SELECT hash FROM events WHERE id = ?", upto) or (GENESIS,)
    db.write(
        "INSERT OR REPLACE INTO log_start VALUES (1, ?, ?, ?)",
        *(upto, digest, anchor(_beginning(upto, digest))),
    )
    db.write("DELETE FROM events WHERE id <= ?", upto)
    return int(upto) - entries


def _no_anchor(_: bytes) -> None:
    return None


def _end(db: Database) -> tuple[int, bytes, bytes | None]:
    """How many entries there should be, the hash of the last one, and the anchor of both."""
    return db.one("SELECT entries, hash, anchor FROM log_head") or (0, GENESIS, None)


def _set_head(db: Database, entries: int, digest: bytes, anchor: Anchor) -> None:
    db.write(
        "INSERT OR REPLACE INTO log_head VALUES (1, ?, ?, ?)",
        entries,
        digest,
        anchor(_head(entries, digest)),
    )


def _head(entries: int, digest: bytes) -> bytes:
    return b"head %d " % entries + digest


def _beginning(entries: int, digest: bytes) -> bytes:
    """Of another kind than a head: nobody can take an earlier end for where the log begins."""
    return b"start %d " % entries + digest


def entry_hash(before: bytes, fields: tuple[object, ...]) -> bytes:
    """The hash of an entry: its fields as JSON, after the hash of the entry before it."""
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(before + text.encode(), digest_size=32, person=b"facauth log 1").digest()


def events(db: Database, after: int = 0) -> Iterator[Event]:
    """The entries with a higher id, oldest first; whatever they hold, it is printable."""
    rows = db.all(
        """SELECT e.id, e.at, e.command, e.verdict, e.reasons, p.name, e.error_rate, e.hash
        FROM events e LEFT JOIN people p ON p.uid = e.subject WHERE e.id > ? ORDER BY e.id""",
        after,
    )
    for number, at, command, verdict, reasons, name, error_rate, digest in rows:
        yield Event(
            number,
            shown(at),
            shown(command),
            shown(verdict),
            shown(reasons or "").split(),
            None if name is None else shown(name),
            error_rate if isinstance(error_rate, float) and isfinite(error_rate) else None,
            digest.hex() if isinstance(digest, bytes) else "",
        )


def verify(db: Database, anchor: Anchor) -> tuple[int, Broken | None]:
    """How many entries there are, and the first broken one. Call it within a snapshot."""
    count, last, anchored = _start(db)
    if not _same(anchor(_beginning(count, last)) if count else None, anchored):
        return count, Broken(count + 1, "does not follow what was pruned")
    rows = db.all(f"SELECT {FIELDS}, hash, anchor FROM events ORDER BY id")  # noqa: S608
    for count, row in enumerate(rows, start=count + 1):  # noqa: B020
        *fields, digest, anchored = row
        if fields[0] != count:
            return count, Broken(count, "is missing")
        if digest != entry_hash(last, tuple(map(_storable, fields))):
            return count, Broken(count, "was changed")
        if not _same(anchor(digest), anchored):
            return count, Broken(count, "was not written with the store's key, or follows a break")
        last = digest
    return count, _broken_end(db, anchor, count, last)


def _broken_end(db: Database, anchor: Anchor, count: int, last: bytes) -> Broken | None:
    entries, digest, anchored = _end(db)
    if entries > count:
        return Broken(count + 1, "is missing, at the end")
    if entries < count:
        return Broken(max(entries, 0) + 1, "was added by something else")
    if digest != last or not _same(anchor(_head(entries, last)), anchored):
        return Broken(count + 1, "is missing, or the end was changed")
    return None


def _storable(value: object) -> object:
    """What was stored as bytes, which no field is, equals no text."""
    return value.hex() + " (bytes)" if isinstance(value, bytes) else value


def _same(wanted: bytes | None, found: object) -> bool:
    if wanted is None or not isinstance(found, bytes):
        return wanted is None and found is None
    return hmac.compare_digest(wanted, found)


def anchor_anew(db: Database, before: Anchor, after: Anchor) -> None:
    """Replace every anchor that fits by one of another key; others stay as they are, and show.

    Call it within a transaction.
    """
    for number, digest, anchored in db.all("SELECT id, hash, anchor FROM events"):
        if _same(before(digest), anchored):
            db.write("UPDATE events SET anchor = ? WHERE id = ?", after(digest), number)
    for table, bound in (("log_head", _head), ("log_start", _beginning)):
        for entries, digest, anchored in db.all(f"SELECT entries, hash, anchor FROM {table}"):  # noqa: S608
            if _same(before(bound(entries, digest)), anchored):
                anew = after(bound(entries, digest))
                db.write(f"UPDATE {table} SET anchor = ?", anew)  # noqa: S608


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
