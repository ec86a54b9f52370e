"""How much tampering with the audit log `facauth log --verify` detects.

    python benchmarks/tampering.py [--json]

A log of 30 entries of all sorts is tampered with in every way below, in a store without encryption
and in one with, and verified each time: every field of every entry set to several other values,
every entry dropped (also with the later ones renumbered, and with the end of the log told), every
cut of the end, every two entries swapped, an entry added in every place, the record of the end
changed, and the whole chain forged by an attacker who has this program and not the key. Without
encryption the last one cannot be detected.

"Named" counts cases in which the first changed entry is the one that is named. If an entry is added
with the fitting hash, and there is no key, the entry after it is named.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from facauth.errors import NoMatch, Reason
from facauth.store import rekey
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.log import GENESIS, entry_hash
from facauth.store.sealing import Template
from facauth.store.store import Store

ENTRIES = 30
PEOPLE = ("Ada", "Bob", "Łucja")
PHOTO = Template(b"x" * 1024, None, accepted_spoof=False)
HASHED = ("id", "at", "command", "verdict", "reasons", "subject", "error_rate")
COLUMNS = (*HASHED, "hash", "anchor")
NO = NoMatch(Reason("match.none", "no", "no"), Reason("match.other", "no", "no"))
NOISE = bytes(range(32))

Row = dict[str, Any]
Head = tuple[int, bytes, bytes | None]  # entries, hash of the last, anchor


@dataclass(frozen=True, slots=True)
class Case:
    """A log after tampering."""

    kind: str
    rows: list[Row]
    head: Head | None
    first: int | None  # the first changed entry; None if there is no single one


def write(folder: Path, *, encrypted: bool) -> tuple[Path, KeyAccess]:
    """A store with ENTRIES events of all sorts, and its key."""
    path, keys = folder / "store.sqlite3", KeyAccess()
    with Store.open(path, create=True) as store:
        for name in PEOPLE:
            with store.transaction() as change:
                store.person(name).add(change, "test/1", [PHOTO])
                change.log("register", "registered", uid=store.person(name).uid)
    if encrypted:
        keys = KeyAccess(folder / "key")
        encrypt(path, keys)
    with Store.open(path, keys) as store:
        for number in range(len(list(store.events())), ENTRIES):
            something(store, PEOPLE[number % 3], number)
    return path, keys


def something(store: Store, name: str, number: int) -> None:
    """Write one event."""
    if number % 4 == 3:
        with suppress(NoMatch), store.attempt(name, error_rate=1e-4):
            raise NO
    elif number % 4 == 2:
        with store.attempt(None, error_rate=1e-3) as attempt:
            attempt.accept(store.person(name).uid)
    else:
        store.log("list", "listed", uid=store.person(name).uid if number % 4 else None)


def encrypt(path: Path, keys: KeyAccess) -> None:
    """A store that is not encrypted yet."""
    rekey.encrypt(path, KeyKind.FILE, keys)


def read(path: Path) -> tuple[list[Row], Head | None]:
    """The log as it is in the file."""
    with closing(sqlite3.connect(path)) as db:
        head = db.execute("SELECT entries, hash, anchor FROM log_head").fetchone()
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM events ORDER BY id")], head


def put(path: Path, rows: list[Row], head: Head | None) -> None:
    """Replace the log."""
    marks = ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("DELETE FROM events")
        db.execute("DELETE FROM log_head")
        db.executemany(
            f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({marks})",
            [[row[column] for column in COLUMNS] for row in rows],
        )
        if head:
            db.execute("INSERT INTO log_head VALUES (1, ?, ?, ?)", head)


def broken(path: Path, keys: KeyAccess) -> int | None:
    """The first broken entry, as `log verify` names it."""
    with Store.open(path, keys) as store:
        found = store.verify_log()[1]
    return found.id if found else None


# --- the ways ------------------------------------------------------------------------------------


def cases(rows: list[Row], head: Head) -> Iterator[Case]:
    """All cases."""
    for way in (changed, dropped, cut, swapped, added, other_ends, made_anew):
        yield from way(rows, head)


def changed(rows: list[Row], head: Head) -> Iterator[Case]:
    """Change each field of each entry."""
    for at, row in enumerate(rows):
        for column in COLUMNS:
            for value in others(row, column, rows):
                new = [*rows[:at], {**row, column: value}, *rows[at + 1 :]]
                first = at + 1 if column != "id" else None
                yield Case(f"field changed: {column}", new, head, first)


def others(row: Row, column: str, rows: list[Row]) -> Iterator[object]:
    """Other values of a field: near ones, those of neighbouring entries, none."""
    value = row[column]
    if column == "id":
        yield from (0, -1, 10**6)
        return
    if isinstance(value, bytes):
        yield from (bytes([value[0] ^ 1]) + value[1:], value[:-1], b"", NOISE)
    elif isinstance(value, str):
        yield from (value + " ", value.swapcase(), "")
    elif isinstance(value, float):
        yield from (value * (1 + 2**-50), 9e999)
    number = int(row["id"])
    near = {other[column] for other in rows if 0 < abs(int(other["id"]) - number) <= 3}
    yield from near - {value, None, ""}
    if value is None:
        yield {"anchor": NOISE, "error_rate": 0.5}.get(column, "")
    elif column in ("reasons", "subject", "error_rate", "anchor"):
        yield None


def dropped(rows: list[Row], head: Head) -> Iterator[Case]:
    """Drop each entry: alone, with later entries renumbered, and with the end adjusted."""
    for at in range(len(rows)):
        left = [*rows[:at], *rows[at + 1 :]]
        yield Case("entry dropped", left, head, at + 1)
        closed = renumbered(left)
        yield Case("entry dropped", closed, head, at + 1)
        yield Case("entry dropped", closed, (head[0] - 1, *head[1:]), at + 1)


def renumbered(rows: list[Row]) -> list[Row]:
    """1, 2, 3 and so on."""
    return [{**row, "id": number} for number, row in enumerate(rows, start=1)]


def cut(rows: list[Row], head: Head) -> Iterator[Case]:
    """The end of the log, with the record of its end kept, lowered, or dropped."""
    for left in range(len(rows)):
        yield Case("end cut off", rows[:left], head, left + 1)
        yield Case("end cut off", rows[:left], (left, *head[1:]), left + 1)
        if left or head[2]:  # without a key a log that is dropped as a whole leaves no trace
            yield Case("end cut off", rows[:left], None, None)


def swapped(rows: list[Row], head: Head) -> Iterator[Case]:
    """Swap each two entries: as a whole, and without their hashes."""
    for one, other in combinations(range(len(rows)), 2):
        new = list(rows)
        new[one], new[other] = rows[other], rows[one]
        yield Case("two entries swapped", renumbered(new), head, one + 1)
        if any(rows[one][column] != rows[other][column] for column in HASHED[1:]):
            for at in (one, other):
                new[at] = {**new[at], **{c: rows[at][c] for c in ("id", "hash", "anchor")}}
            yield Case("two entries swapped", new, head, one + 1)


def added(rows: list[Row], head: Head) -> Iterator[Case]:
    """Add an entry in each place, with the hash of another one and with the fitting one."""
    for at in range(len(rows) + 1):
        new = {**rows[0], "id": at + 1, "verdict": "signed_in"}
        fits = hashed(new, rows[at - 1]["hash"] if at else GENESIS)
        for entry, first in ((new, at + 1), (fits, at + 1 if head[2] else at + 2)):
            after = renumbered([*rows[:at], entry, *rows[at:]])
            yield Case("entry added", after, head, min(first, len(rows) + 1))
    for number in (0, -1, -(2**62)):
        yield Case("entry added", [{**rows[0], "id": number}, *rows], head, None)


def hashed(row: Row, before: bytes) -> Row:
    """The entries with the fitting hashes."""
    return {**row, "hash": entry_hash(before, tuple(row[column] for column in HASHED))}


def other_ends(rows: list[Row], head: Head) -> Iterator[Case]:
    """Change the record of the end: each field, and all of it."""
    entries, digest, anchor = head
    for number in (0, -1, 1, entries - 1, entries + 1, 2**62):
        yield Case("end changed", rows, (number, digest, anchor), None)
    for other in (b"", NOISE, *(row["hash"] for row in rows[:-1])):
        yield Case("end changed", rows, (entries, other, anchor), None)
    for other in (b"", NOISE, *[None] * bool(anchor)):
        yield Case("end changed", rows, (entries, digest, other), None)
    yield Case("end changed", rows, None, None)


FORGERIES: dict[str, Callable[[list[Row]], list[Row]]] = {
    "refusals hidden": lambda rows: [row for row in rows if row["verdict"] != "no_match"],
    "the last entry dropped": lambda rows: rows[:-1],
    "verdicts changed": lambda rows: [{**row, "verdict": "signed_in"} for row in rows],
    "an entry added": lambda rows: [*rows, rows[1]],
    "all entries dropped": lambda rows: rows[:0],
    "the order turned": lambda rows: rows[::-1],
}


def made_anew(rows: list[Row], head: Head) -> Iterator[Case]:
    """Forge all hashes without the key; anchors kept, dropped or guessed."""
    for forge in FORGERIES.values():
        for anchors in ("kept", "dropped", "guessed"):
            last, forged = GENESIS, []
            for row in renumbered(forge(rows)):
                new = hashed(row, last)
                last = new["hash"]
                if anchors != "kept":
                    new["anchor"] = NOISE if anchors == "guessed" and head[2] else None
                forged.append(new)
            yield Case("chain made anew", forged, (len(forged), last, head[2]), None)


# --- the figures ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """The result of one kind of tampering."""

    tried: int = 0
    found: int = 0
    to_be_named: int = 0
    named: int = 0


def tally(folder: Path, *, encrypted: bool) -> dict[str, Found]:
    """Every case, by its kind."""
    path, keys = write(folder, encrypted=encrypted)
    rows, head = read(path)
    if head is None or broken(path, keys) is not None:
        raise SystemExit("the log is broken before anybody was at it")
    told: dict[str, Found] = {}
    for case in cases(rows, head):
        put(path, case.rows, case.head)
        number, seen = broken(path, keys), told.setdefault(case.kind, Found())
        seen.tried += 1
        seen.found += number is not None
        seen.to_be_named += case.first is not None
        seen.named += case.first is not None and number == case.first
    put(path, rows, head)
    if broken(path, keys) is not None:
        raise SystemExit("a log put back is broken")
    return told


def main() -> None:
    """Tamper with both stores and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON objects, one per line")
    options = parser.parse_args()
    if not options.json:
        print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
        print("store\ttampering\ttried\tfound\tnamed")
    for encrypted in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            told = tally(Path(folder), encrypted=encrypted)
        store, sums = "encrypted" if encrypted else "plain", Counter[str]()
        for kind, seen in told.items():
            sums.update(tried=seen.tried, found=seen.found)
            if options.json:
                print(
                    json.dumps(
                        {"store": store, "kind": kind, "tried": seen.tried, "found": seen.found}
                    )
                )
            else:
                named = f"{seen.named} of {seen.to_be_named}" if seen.to_be_named else ""
                print(store, kind, seen.tried, seen.found, named, sep="\t")
        if not options.json:
            print(store, "all", sums["tried"], sums["found"], "", sep="\t")


if __name__ == "__main__":
    main()
