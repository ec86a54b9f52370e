"""The tables of a store, and how an older store becomes a current one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import blake2b

from facauth.store.log import FIELDS, GENESIS, entry_hash

APPLICATION_ID = 0x66614175  # "faAu": tells a facauth store from any other SQLite file

DAMAGED_ID = 0x66614158  # "faAX": one that was found damaged, and must not be opened

# The hash of what a store of the newest version consists of (`as_made`), which spares every command
# the making of one in memory: 4 ms. With another hash that is what it is compared with.
NEWEST = "2b8fbe68d5d994f8dd65e1dc125ffa19"

# Of SQL: what means nothing, a string, a quoted name, a word, or any other character.
TOKEN = re.compile(
    r"""(?P<nothing>--[^\n]*|/\*.*?(?:\*/|\Z)|\s+) | (?P<text>'(?:[^']|'')*')
    | "(?P<name>[^"]*)" | \w+ | .""",
    re.VERBOSE | re.DOTALL,
)

PEOPLE_INDEXES = (
    "people_uid",
    "templates_of_person",
    "templates_of_contract",
    "templates_learned",
)

Step = str | Callable[[sqlite3.Connection], None]


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


# Append only. Each entry is one version's steps; they and the version number are committed
# together, so a killed process leaves the store at a whole version.
MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    (
        """CREATE TABLE people (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,  -- NFC and case-folded: what names are compared by
            enrolled_at TEXT NOT NULL       -- UTC, ISO 8601, as every time here
        ) STRICT""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY,
            person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            contract TEXT NOT NULL,         -- what made the encoding; others are never compared
            encoding BLOB NOT NULL,         -- 256 float32, little-endian, unit length; or sealed
            enrolled_at TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX templates_of_person ON templates (person_id)",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            command TEXT NOT NULL,
            verdict TEXT NOT NULL,
            reason TEXT,                    -- a reason code; never a score, path or encoding
            person_id INTEGER REFERENCES people (id) ON DELETE SET NULL
        ) STRICT""",
        "CREATE INDEX events_of_person ON events (person_id, verdict, at)",
    ),
    (
        # What finds the photo again (spoof.signature); null where it was not to be kept.
        "ALTER TABLE templates ADD COLUMN signature BLOB",
        # 1: enrolled without a look at liveness.
        "ALTER TABLE templates ADD COLUMN accepted_spoof INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # A random name that stands for the person where the name must be forgotten: in the log.
        "ALTER TABLE people ADD COLUMN uid TEXT NOT NULL DEFAULT ''",
        "UPDATE people SET uid = lower(hex(randomblob(16)))",
        "CREATE UNIQUE INDEX people_uid ON people (uid)",
        "ALTER TABLE people ADD COLUMN wrapped_key BLOB",  # null in a store that is not encrypted
        "ALTER TABLE people ADD COLUMN consent TEXT",
        "ALTER TABLE people ADD COLUMN purpose TEXT",
        "ALTER TABLE people ADD COLUMN consent_at TEXT",
        """CREATE TABLE key_lock (
            id INTEGER PRIMARY KEY CHECK (id = 1),  -- one row where the store is encrypted
            store_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            generation INTEGER NOT NULL,
            salt BLOB,
            wrapped_master BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE tries (
            subject TEXT PRIMARY KEY,       -- a person's uid, or empty: everybody at once
            round INTEGER NOT NULL,         -- goes up with each success
            failures INTEGER NOT NULL,      -- in this round, those under way included
            failed_at_s REAL NOT NULL,      -- when the last was begun, by the clock of the world
            failed_boot_s REAL NOT NULL     -- and by the one since this machine was started
        ) STRICT""",
        "ALTER TABLE events RENAME TO old_events",
        "DROP INDEX events_of_person",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            command TEXT NOT NULL,
            verdict TEXT NOT NULL,
            reasons TEXT,                   -- reason codes; never a score, path or encoding
            subject TEXT,                   -- a person's uid: of who was removed it says nothing
            error_rate REAL,                -- what was asked of a sign-in
            hash BLOB NOT NULL,             -- of the entry before and of this one (store.log)
            anchor BLOB                     -- of the hash, with the key; null if not encrypted
        ) STRICT""",
        "CREATE INDEX events_of_subject ON events (subject, verdict, at)",
        """CREATE TABLE log_head (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            entries INTEGER NOT NULL,
            hash BLOB NOT NULL,             -- of the last entry
            anchor BLOB                     -- of both, with the key
        ) STRICT""",
        chain_old_events,
        "DROP TABLE old_events",
    ),
    (
        # 1: added by a sign-in (--learn), not by register.
        "ALTER TABLE templates ADD COLUMN learned INTEGER NOT NULL DEFAULT 0",
        # What a large store is searched by (store.means): made of templates, and made anew.
        """CREATE TABLE means (
            id INTEGER PRIMARY KEY,         -- random: another one whenever the block is made anew
            block INTEGER NOT NULL,         -- person ids from block * 256 on
            contract TEXT NOT NULL,
            vectors BLOB NOT NULL,          -- 256 x 256 int16, little-endian, by 32767; or sealed
            UNIQUE (block, contract)
        ) STRICT""",
        # Who can be compared is counted without a look at the rows, which are long.
        "CREATE INDEX templates_of_contract ON templates (contract, person_id)",
        "CREATE INDEX templates_learned ON templates (person_id) WHERE learned = 1",
    ),
    (
        # People and templates anew, so that no number is ever used again (AUTOINCREMENT), and so
        # that nobody can be deleted of whom a template is left.
        *(f"DROP INDEX {index}" for index in PEOPLE_INDEXES),
        "ALTER TABLE people RENAME TO old_people",
        "ALTER TABLE templates RENAME TO old_templates",
        """CREATE TABLE people (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uid TEXT NOT NULL UNIQUE,       -- random: stands for the person in the log
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,  -- NFC and case-folded: what names are compared by
            enrolled_at TEXT NOT NULL,
            wrapped_key BLOB,               -- null in a store that is not encrypted
            consent TEXT,
            purpose TEXT,
            consent_at TEXT,
            last_sign_in_at TEXT            -- kept here, for entries of the log may be pruned
        ) STRICT""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id INTEGER NOT NULL REFERENCES people (id),
            contract TEXT NOT NULL,         -- what made the encoding; others are never compared
            encoding BLOB NOT NULL,         -- 256 float32, little-endian, unit length; or sealed
            signature BLOB,                 -- what finds the photo again (spoof.signature), or null
            accepted_spoof INTEGER NOT NULL CHECK (accepted_spoof IN (0, 1)),  -- liveness unseen
            learned INTEGER NOT NULL CHECK (learned IN (0, 1)),  -- 1: added by a sign-in
            enrolled_at TEXT NOT NULL
        ) STRICT""",
        """INSERT INTO people SELECT id, uid, name, name_key, enrolled_at, wrapped_key, consent,
            purpose, consent_at,
            (SELECT max(e.at) FROM events e WHERE e.subject = uid AND e.verdict = 'signed_in')
        FROM old_people""",
        """INSERT INTO templates SELECT id, person_id, contract, encoding, signature,
            accepted_spoof, learned, enrolled_at
        FROM old_templates""",
        "DROP TABLE old_templates",
        "DROP TABLE old_people",
        "CREATE INDEX templates_of_person ON templates (person_id)",
        # Who can be compared is counted without a look at the rows, which are long.
        "CREATE INDEX templates_of_contract ON templates (contract, person_id)",
        "CREATE INDEX templates_learned ON templates (person_id) WHERE learned = 1",
        "DROP INDEX events_of_subject",
        "CREATE INDEX events_of_subject ON events (subject)",
        """CREATE TABLE log_start (
            id INTEGER PRIMARY KEY CHECK (id = 1),  -- one row once older entries were pruned
            entries INTEGER NOT NULL,       -- how many
            hash BLOB NOT NULL,             -- of the last of them
            anchor BLOB                     -- of both, with the key
        ) STRICT""",
    ),
)


def version(db: sqlite3.Connection) -> int:
    """How many of the migrations the store has had."""
    return _pragma(db, "user_version")


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether it says that it is a facauth store."""
    return _pragma(db, "application_id") == APPLICATION_ID


def is_damaged(db: sqlite3.Connection) -> bool:
    """Whether it was found damaged before."""
    return _pragma(db, "application_id") == DAMAGED_ID


def mark_damaged(db: sqlite3.Connection) -> None:
    """Have every facauth refuse it from now on."""
    db.execute(f"PRAGMA application_id = {DAMAGED_ID}")


def generation(db: sqlite3.Connection) -> tuple[int, int, object]:
    """What must stay the same while a store is open: version, tables, and which key opens it."""
    lock = db.execute("SELECT store_id, generation FROM key_lock").fetchone()
    return version(db), _pragma(db, "schema_version"), lock


def make(db: sqlite3.Connection) -> None:
    """Bring a store (or an empty file) to the current version. Call it within a transaction."""
    _take(db, MIGRATIONS[version(db) :])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def as_made(db: sqlite3.Connection) -> bool:
    """Whether there is what its migrations make and nothing else.

    A trigger or a view that somebody planted would be a program of theirs, in ours; and a table
    without its constraints would keep what must go.
    """
    found = version(db), _parts(db)
    if blake2b(repr(found).encode(), digest_size=16).hexdigest() == NEWEST:
        return True
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        _take(made, MIGRATIONS[: version(db)])
        return found[1] == _parts(made)


def _parts(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    """What there is in a store, and what it was made by; not what is attached or temporary.

    How a statement is laid out is up to the release of SQLite, and left out. So are comments,
    quotes round names, and case; not what stands in a string.
    """
    rows = db.execute(
        "SELECT type, name, tbl_name, CAST(coalesce(sql, '') AS TEXT) FROM sqlite_schema"
    )
    return sorted(((*names, _tokens(sql)) for *names, sql in rows), key=repr)


def _tokens(statement: str) -> list[str]:
    tokens = (match for match in re.finditer(TOKEN, statement) if match.lastgroup != "nothing")
    return [match["text"] or (match["name"] or match[0]).casefold() for match in tokens]


def _take(db: sqlite3.Connection, migrations: Sequence[Sequence[Step]]) -> None:
    for step in (step for steps in migrations for step in steps):
        if callable(step):
            step(db)
        else:
            db.execute(step)


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])
