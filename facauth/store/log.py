"""The audit log: events in a chain of hashes, so that no change or deletion goes unnoticed.

An entry's hash is BLAKE2b-256 of the hash before it and of the entry. In an encrypted store each
hash, and the number of entries, is also anchored: hashed with a key, so that nobody without the
key can forge the chain. The log names a person by a random uid. After a removal the uid refers to
nobody, and the chain stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from facauth.errors import Reason, SetupProblem, shown
from facauth.records import Broken

if TYPE_CHECKING:
    from facauth.store.engine import Engine, Mark, Writer

GENESIS = bytes(32)
Anchor = Callable[[bytes], bytes | None]  # data -> its hash with the key; None without a key

FIELDS = "id, at, command, verdict, reasons, subject, error_rate"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry as `log` shows it; times are UTC, ISO 8601."""

    id: int
    at: str
    command: str
    verdict: str
    reasons: list[str]  # codes
    person: str | None  # None: no known person, or a removed one
    error_rate: float | None  # of the sign-in: FMR with a name, FPIR without
    hash: str


def append(
    writer: Writer,
    anchor: Anchor,
    at: str,
    added: Sequence[tuple[str, str, str | None, str | None, float | None]],
) -> None:
    """Add entries: command, verdict, reasons, subject and error rate of each."""
    entries, digest, anchored = _end(writer)
    if not _same(anchor(_head(entries, digest)), anchored):
        anchor = _no_anchor  # an entry after a break has no anchor, so that the break stays visible
    rows = []
    for number, entry in enumerate(added, start=entries + 1):
        fields = (number, at, *entry)
        digest = entry_hash(digest, fields)
        rows.append((*fields, digest, anchor(digest)))
    writer.append(rows)
    end = entries + len(added)
    writer.put_mark("head", (end, digest, anchor(_head(end, digest))))


def prune(writer: Writer, anchor: Anchor, before: str) -> int:
    """Delete the oldest entries of a sound log, up to the first that is not older.

    Returns their number. The last entry always stays.
    """
    entries, *_ = _start(writer)
    last = writer.older_than(before)
    if last is None:
        return 0
    upto, digest = last
    writer.put_mark("start", (upto, digest, anchor(_beginning(upto, digest))))
    writer.delete_entries(upto)
    return upto - entries


def _no_anchor(_: bytes) -> None:
    return None


def _start(engine: Engine) -> Mark:
    """The number of pruned entries, the hash of the last of them, and the anchor of both."""
    return engine.mark("start") or (0, GENESIS, None)


def _end(engine: Engine) -> Mark:
    """The number of entries, the hash of the last one, and the anchor of both, as recorded."""
    return engine.mark("head") or (0, GENESIS, None)


def _head(entries: int, digest: bytes) -> bytes:
    return b"head %d " % entries + digest


def _beginning(entries: int, digest: bytes) -> bytes:
    """Unlike a head, so that an earlier end cannot be passed off as the beginning."""
    return b"start %d " % entries + digest


def entry_hash(before: bytes, fields: tuple[object, ...]) -> bytes:
    """The hash of an entry: its fields as JSON, after the hash of the entry before it."""
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(before + text.encode(), digest_size=32, person=b"facauth log 1").digest()


def events(engine: Engine, after: int = 0) -> Iterator[Event]:
    """The entries with a higher id, oldest first; all texts are made printable."""
    rows = engine.events(after)
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


def verify(engine: Engine, anchor: Anchor) -> tuple[int, Broken | None]:
    """The number of entries, and the first broken one; call it within a snapshot."""
    count, last, anchored = _start(engine)
    if not _same(anchor(_beginning(count, last)) if count else None, anchored):
        return count, Broken(count + 1, "does not follow what was pruned")
    rows = engine.entries()
    for count, row in enumerate(rows, start=count + 1):  # noqa: B020
        *fields, digest, anchored = row
        if fields[0] != count:
            return count, Broken(count, "is missing")
        if digest != entry_hash(last, tuple(map(_storable, fields))):
            return count, Broken(count, "was changed")
        if not _same(anchor(digest), anchored):
            return count, Broken(count, "was not written with the store's key, or follows a break")
        last = digest
    return count, _broken_end(engine, anchor, count, last)


def _broken_end(engine: Engine, anchor: Anchor, count: int, last: bytes) -> Broken | None:
    entries, digest, anchored = _end(engine)
    if entries > count:
        return Broken(count + 1, "is missing, at the end")
    if entries < count:
        return Broken(max(entries, 0) + 1, "was added by something else")
    if digest != last or not _same(anchor(_head(entries, last)), anchored):
        return Broken(count + 1, "is missing, or the end was changed")
    return None


def _storable(value: object) -> object:
    """Bytes, which no field is stored as, become a text that equals no field."""
    return value.hex() + " (bytes)" if isinstance(value, bytes) else value


def _same(wanted: bytes | None, found: object) -> bool:
    if wanted is None or not isinstance(found, bytes):
        return wanted is None and found is None
    return hmac.compare_digest(wanted, found)


def require_sound(engine: Engine, anchor: Anchor) -> None:
    """Raises SetupProblem for a broken log."""
    _, broken = verify(engine, anchor)
    if broken:
        raise broken_log(broken)


def broken_log(broken: Broken) -> SetupProblem:
    """The refusal of a broken log."""
    advice = "keep this store as it is, and compare it with a copy"
    message = f"entry {broken.id} of the log {broken.what}"
    return SetupProblem(Reason("log.broken", message, advice))


def anchor_anew(writer: Writer, before: Anchor, after: Anchor) -> None:
    """Replace valid anchors by those of another key; invalid ones stay and remain visible."""
    for number, *_, digest, anchored in writer.entries():
        if _same(before(digest), anchored):
            writer.set_anchor(number, after(digest))
    entries, digest, anchored = _end(writer)
    if _same(before(_head(entries, digest)), anchored):  # a log without entries has an end too
        writer.put_mark("head", (entries, digest, after(_head(entries, digest))))
    entries, digest, anchored = _start(writer)
    if entries and _same(before(_beginning(entries, digest)), anchored):
        writer.put_mark("start", (entries, digest, after(_beginning(entries, digest))))
