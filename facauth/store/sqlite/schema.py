"""The tables of a store, and the migrations of older stores."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import blake2b

from facauth.store.log import FIELDS, GENESIS, entry_hash

APPLICATION_ID = 0x66614175  # "faAu": tells a facauth store from any other SQLite file

DAMAGED_ID = 0x66614158  # "faAX": one that was found damaged, and must not be opened

# The hash of the tables of the newest version (`as_made`). It saves every command 4 ms: only a
# store with another hash is compared with one that is made in memory.
NEWEST = "33e772e32308847525bb498abd29cb7b"

# Tokens of SQL: blanks and comments, a string, a quoted name, a word, or any other character.
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
            name_key TEXT NOT NULL UNIQUE,  -- NFC and case-folded, for comparisons
            enrolled_at TEXT NOT NULL       -- UTC, ISO 8601, as every time here
        ) STRICT""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY,
            person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            contract TEXT NOT NULL,         -- networks and preprocessing; others are never compared
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
        # The replay signature (spoof.signature); null if it was not to be kept.
        "ALTER TABLE templates ADD COLUMN signature BLOB",
        # 1: enrolled without a liveness check.
        "ALTER TABLE templates ADD COLUMN accepted_spoof INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # A random id, which stands for the person in the log, where the name must not stay.
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
            subject TEXT PRIMARY KEY,       -- a person's uid; empty: sign-ins without a name
            round INTEGER NOT NULL,         -- rises with each success
            failures INTEGER NOT NULL,      -- in this round, with running attempts
            failed_at_s REAL NOT NULL,      -- start of the last one, by the time of day
            failed_boot_s REAL NOT NULL     -- and by the time since the start of the machine
        ) STRICT""",
        "ALTER TABLE events RENAME TO old_events",
        "DROP INDEX events_of_person",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            command TEXT NOT NULL,
            verdict TEXT NOT NULL,
            reasons TEXT,                   -- reason codes; never a score, path or encoding
            subject TEXT,                   -- a person's uid; after a removal it refers to nobody
            error_rate REAL,                -- the highest that a sign-in accepts
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
        # The search blocks of a large store (store.means): made of templates, and made again.
        """CREATE TABLE means (
            id INTEGER PRIMARY KEY,         -- random; a block that is made again has another one
            block INTEGER NOT NULL,         -- person ids from block * 256 on
            contract TEXT NOT NULL,
            vectors BLOB NOT NULL,          -- 256 x 256 int16, little-endian, by 32767; or sealed
            UNIQUE (block, contract)
        ) STRICT""",
        # The comparable people are counted without reading the rows, which are long.
        "CREATE INDEX templates_of_contract ON templates (contract, person_id)",
        "CREATE INDEX templates_learned ON templates (person_id) WHERE learned = 1",
    ),
    (
        # New tables: ids are never used again (AUTOINCREMENT), and a person with templates cannot
        # be deleted.
        *(f"DROP INDEX {index}" for index in PEOPLE_INDEXES),
        "ALTER TABLE people RENAME TO old_people",
        "ALTER TABLE templates RENAME TO old_templates",
        """CREATE TABLE people (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uid TEXT NOT NULL UNIQUE,       -- random: stands for the person in the log
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,  -- NFC and case-folded, for comparisons
            enrolled_at TEXT NOT NULL,
            wrapped_key BLOB,               -- null in a store that is not encrypted
            consent TEXT,
            purpose TEXT,
            consent_at TEXT,
            last_sign_in_at TEXT            -- kept here, because the log may be pruned
        ) STRICT""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id INTEGER NOT NULL REFERENCES people (id),
            contract TEXT NOT NULL,         -- networks and preprocessing; others are never compared
            encoding BLOB NOT NULL,         -- 256 float32, little-endian, unit length; or sealed
            signature BLOB,                 -- replay signature (spoof.signature), or null
            accepted_spoof INTEGER NOT NULL CHECK (accepted_spoof IN (0, 1)),  -- 1: unchecked
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
        # The comparable people are counted without reading the rows, which are long.
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
    (
        """CREATE TABLE challenges (           -- drawn, and not yet used
            mark BLOB NOT NULL UNIQUE,      -- digest of the id
            bound BLOB NOT NULL,            -- digest of the id and the claimed name
            prompts TEXT NOT NULL,          -- JSON
            counted TEXT NOT NULL,          -- JSON: the subject's tries before, or null
            drawn_at_s REAL NOT NULL,       -- by the time of day
            drawn_boot_s REAL NOT NULL      -- and by the time since the start of the machine
        ) STRICT""",
    ),
)


def version(db: sqlite3.Connection) -> int:
    """The number of migrations that the store has had."""
    return _pragma(db, "user_version")


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether the file is marked as a facauth store."""
    return _pragma(db, "application_id") == APPLICATION_ID


def is_damaged(db: sqlite3.Connection) -> bool:
    """Whether the file is marked as damaged."""
    return _pragma(db, "application_id") == DAMAGED_ID


def mark_damaged(db: sqlite3.Connection) -> None:
    """Mark the file as damaged, so that every facauth refuses it."""
    db.execute(f"PRAGMA application_id = {DAMAGED_ID}")


def generation(db: sqlite3.Connection) -> tuple[int, int, object]:
    """The state that must not change while a store is open: version, tables and lock."""
    lock = db.execute("SELECT store_id, generation FROM key_lock").fetchone()
    return version(db), _pragma(db, "schema_version"), lock


def make(db: sqlite3.Connection) -> None:
    """Bring a store or an empty file to the current version; call it within a transaction."""
    _run(db, MIGRATIONS[version(db) :])
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def as_made(db: sqlite3.Connection) -> bool:
    """Whether the file has exactly what its migrations make.

    A planted trigger or view would be foreign code, and a table without its constraints would keep
    data that must be deleted.
    """
    found = version(db), _parts(db)
    if blake2b(repr(found).encode(), digest_size=16).hexdigest() == NEWEST:
        return True
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        _run(made, MIGRATIONS[: version(db)])
        return found[1] == _parts(made)


def _parts(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    """The tables, indexes, triggers and views of a store, each with the tokens of its statement.

    Layout depends on the release of SQLite and does not count. Comments, quotes round names and
    case do not count either; the content of strings does.
    """
    rows = db.execute(
        "SELECT type, name, tbl_name, CAST(coalesce(sql, '') AS TEXT) FROM sqlite_schema"
    )
    return sorted(((*names, _tokens(sql)) for *names, sql in rows), key=repr)


def _tokens(statement: str) -> list[str]:
    tokens = (match for match in re.finditer(TOKEN, statement) if match.lastgroup != "nothing")
    return [match["text"] or (match["name"] or match[0]).casefold() for match in tokens]


def _run(db: sqlite3.Connection, migrations: Sequence[Sequence[Step]]) -> None:
    for step in (step for steps in migrations for step in steps):
        if callable(step):
            step(db)
        else:
            db.execute(step)


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])
