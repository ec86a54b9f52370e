"""The tables of a store in PostgreSQL, in the schema facauth of a database, and their versions."""

from __future__ import annotations

SCHEMA = "facauth"
OLDEST_SERVER = 140000  # PostgreSQL 14, the oldest that its makers still mend

# Append only, as those of SQLite. Each entry is one version's statements; they and the version are
# committed together. Texts sort by their bytes, as in SQLite, whatever the database's language.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # One row, which every change locks: so changes happen one at a time, in every process of
        # every machine. A low fillfactor lets it be written in place.
        """CREATE TABLE state (
            id SMALLINT PRIMARY KEY CHECK (id = 1),
            version INTEGER NOT NULL,           -- of these tables
            changes BIGINT NOT NULL,            -- of people and templates
            clock_s DOUBLE PRECISION NOT NULL   -- the latest time that was read: it never goes back
        ) WITH (fillfactor = 10)""",
        "INSERT INTO state VALUES (1, 0, 0, extract(epoch FROM clock_timestamp()))",
        """CREATE TABLE key_lock (
            id SMALLINT PRIMARY KEY CHECK (id = 1),
            store_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            generation INTEGER NOT NULL,
            salt BYTEA,
            wrapped_master BYTEA NOT NULL
        )""",
        """CREATE TABLE people (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            uid TEXT COLLATE "C" NOT NULL UNIQUE,
            name TEXT NOT NULL,
            name_key TEXT COLLATE "C" NOT NULL UNIQUE,
            enrolled_at TEXT COLLATE "C" NOT NULL,
            wrapped_key BYTEA,
            consent TEXT,
            purpose TEXT,
            consent_at TEXT COLLATE "C",
            last_sign_in_at TEXT COLLATE "C"
        )""",
        """CREATE TABLE templates (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            person_id BIGINT NOT NULL REFERENCES people (id),
            contract TEXT COLLATE "C" NOT NULL,
            encoding BYTEA NOT NULL,
            signature BYTEA,
            accepted_spoof SMALLINT NOT NULL CHECK (accepted_spoof IN (0, 1)),
            learned SMALLINT NOT NULL CHECK (learned IN (0, 1)),
            enrolled_at TEXT COLLATE "C" NOT NULL
        )""",
        # What is sealed cannot be compressed.
        "ALTER TABLE templates ALTER encoding SET STORAGE EXTERNAL",
        "ALTER TABLE templates ALTER signature SET STORAGE EXTERNAL",
        "CREATE INDEX templates_of_person ON templates (person_id)",
        "CREATE INDEX templates_of_contract ON templates (contract, person_id)",
        "CREATE INDEX templates_learned ON templates (person_id) WHERE learned = 1",
        """CREATE TABLE means (
            id BIGINT PRIMARY KEY,
            block INTEGER NOT NULL,
            contract TEXT COLLATE "C" NOT NULL,
            vectors BYTEA NOT NULL,
            UNIQUE (block, contract)
        )""",
        "ALTER TABLE means ALTER vectors SET STORAGE EXTERNAL",
        """CREATE TABLE tries (
            subject TEXT COLLATE "C" PRIMARY KEY,
            round BIGINT NOT NULL,
            failures BIGINT NOT NULL,
            failed_at_s DOUBLE PRECISION NOT NULL,
            failed_boot_s DOUBLE PRECISION NOT NULL
        )""",
        """CREATE TABLE events (
            id BIGINT PRIMARY KEY,
            at TEXT COLLATE "C" NOT NULL,
            command TEXT NOT NULL,
            verdict TEXT NOT NULL,
            reasons TEXT,
            subject TEXT COLLATE "C",
            error_rate DOUBLE PRECISION,
            hash BYTEA NOT NULL,
            anchor BYTEA
        )""",
        "CREATE INDEX events_of_subject ON events (subject, id)",
        *(
            f"""CREATE TABLE log_{end} (
                id SMALLINT PRIMARY KEY CHECK (id = 1),
                entries BIGINT NOT NULL,
                hash BYTEA NOT NULL,
                anchor BYTEA
            )"""
            for end in ("head", "start")
        ),
        """CREATE TABLE challenges (
            rowid BIGINT GENERATED ALWAYS AS IDENTITY,
            mark BYTEA PRIMARY KEY,
            bound BYTEA NOT NULL,
            prompts TEXT NOT NULL,
            counted TEXT NOT NULL,
            drawn_at_s DOUBLE PRECISION NOT NULL,
            drawn_boot_s DOUBLE PRECISION NOT NULL
        )""",
    ),
)

# Of the newest version: every column with its type, and how many constraints its table has. Only
# then no value can be of a type that facauth never stores, and there is one row of the state.
SHAPE = """SELECT sha256(convert_to(string_agg(concat_ws(' ', c.relname, c.relkind, a.attname,
        format_type(a.atttypid, a.atttypmod), a.attnotnull, (SELECT count(*) FROM pg_constraint k
            WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'p', 'u'))),
        ',' ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"), 'UTF8'))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'facauth')
        AND c.relname = ANY (ARRAY['state', 'key_lock', 'people', 'templates', 'means', 'tries',
            'events', 'log_head', 'log_start', 'challenges'])
        AND a.attnum > 0 AND NOT a.attisdropped"""
NEWEST = "53e63d7fad6b6fde9885de6417fa79efa574297b643d7b445aa7f88ddfd5a047"

# For a session. The database's own search path could lead to tables of another role. A process that
# stands still within a change must not keep the others waiting for ever, and what was acknowledged
# must be on the disk. A warning at a commit says that it is not where it should be.
SESSION = """SELECT
    set_config('search_path', 'facauth, pg_temp', false),
    set_config('lock_timeout', '10s', false),
    set_config('client_min_messages', 'warning', false),
    set_config('idle_in_transaction_session_timeout', '60s', false),
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)"""
STATE = """SELECT s.version, k.store_id, k.generation
    FROM state s LEFT JOIN key_lock k ON true"""
# The time by the server, which never goes back, not even when another server takes over.
CLOCK = "greatest(clock_s, extract(epoch FROM clock_timestamp()))"
READ_CLOCK = f"SELECT {CLOCK} FROM state"  # noqa: S608
MOVE_CLOCK = f"UPDATE state SET clock_s = {CLOCK} RETURNING clock_s"  # noqa: S608
LATE = "SELECT clock_s - extract(epoch FROM clock_timestamp())::float8 FROM state"
