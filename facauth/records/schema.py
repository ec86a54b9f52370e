"""The tables of a store, and how an older store becomes a current one."""

from __future__ import annotations

APPLICATION_ID = 0x66614175  # "faAu": tells a facauth store from any other SQLite file

# Append only. Each entry is one version's statements; a step and its version number are
# committed together, so a killed process leaves the store at a whole version.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
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
            encoding BLOB NOT NULL,         -- 256 float32, little-endian, unit length
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
)
