"""What the owner of a database can put into a store: facauth refuses it, and never fails itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from engines import InDatabase, Template

from facauth.errors import ExitCode, SetupProblem
from facauth.store.postgres import database, schema, upgrade
from facauth.store.postgres.database import Database, upgraded


@pytest.fixture
def kept(template: Template, tmp_path: Path) -> Iterator[InDatabase]:
    made = InDatabase(template, tmp_path)
    made.prepare()
    yield made
    made.close()
    database.KNOWN.clear()


def refused(kept: InDatabase, *, migrates: bool = False) -> str:
    """The code of the refusal of whoever writes."""
    database.KNOWN.clear()
    with pytest.raises(SetupProblem) as found:
        if migrates:
            upgrade.migrate(kept.place, kept.keys)
        else:
            with kept.opened() as store:
                store.log("list", "listed")
    assert found.value.exit_code is ExitCode.SETUP
    return found.value.reasons[0].code


@pytest.mark.parametrize("time", ["'Infinity'", "'NaN'", "1e18", "253402300799"])
def test_an_impossible_time_is_no_time(kept: InDatabase, time: str) -> None:
    before = kept.rows("SELECT * FROM events")
    kept.change(f"UPDATE state SET clock_s = {time}")
    assert refused(kept) == "store.clock"
    assert kept.rows("SELECT * FROM events") == before


@pytest.mark.parametrize("time", ["'-Infinity'", "-1e300", "0"])
def test_a_time_that_went_back_is_put_right(kept: InDatabase, time: str) -> None:
    kept.change(f"UPDATE state SET clock_s = {time}")
    with kept.opened() as store:
        store.log("list", "listed")
    assert kept.rows("SELECT clock_s BETWEEN 1e9 AND 1e10 FROM state") == [(True,)]


ALTERED = (
    "ALTER TABLE state ALTER version DROP NOT NULL",
    "ALTER TABLE state ALTER version TYPE text",
    "ALTER TABLE state DROP COLUMN changes",
    "ALTER TABLE state DROP CONSTRAINT state_id_check",
    "ALTER TABLE log_head ALTER hash DROP NOT NULL",
    "ALTER TABLE people ALTER name DROP NOT NULL",
    "ALTER TABLE people ADD COLUMN photo bytea",
    "ALTER TABLE people DROP CONSTRAINT people_name_key_key",
    "ALTER TABLE templates ALTER encoding TYPE text USING ''",
    "ALTER TABLE tries ALTER failures TYPE double precision",
    "DROP TABLE tries",
    "ALTER TABLE tries RENAME TO t; CREATE VIEW tries AS SELECT * FROM t",
    "ALTER TABLE state RENAME TO s; CREATE VIEW state AS SELECT * FROM s",
)


@pytest.mark.parametrize("statement", ALTERED)
def test_other_tables_are_not_those_of_facauth(kept: InDatabase, statement: str) -> None:
    for part in statement.split("; "):
        kept.change(part)
    assert refused(kept) == "store.altered"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE state ALTER version DROP NOT NULL; UPDATE state SET version = NULL",
        "DELETE FROM state",
    ],
)
def test_a_store_without_a_version(kept: InDatabase, statement: str) -> None:
    for part in statement.split("; "):
        kept.change(part)
    assert refused(kept) == "store.altered"
    assert refused(kept, migrates=True) == "store.unusable"


def test_what_an_administrator_may_add(kept: InDatabase) -> None:
    kept.change("CREATE INDEX mine ON events (at)")
    kept.change("ALTER TABLE people SET (autovacuum_vacuum_scale_factor = 0.1)")
    kept.change("CREATE TABLE notes (text text)")
    database.KNOWN.clear()
    with kept.opened() as store:
        store.log("list", "listed")


def test_every_table_is_looked_at() -> None:
    made = re.findall(r"CREATE TABLE (\w+)", " ".join(sum(schema.MIGRATIONS, ())))
    assert [name for name in made if f"'{name}'" not in schema.SHAPE] == []


def test_a_transaction_is_not_within_another(kept: InDatabase) -> None:
    """PostgreSQL only warns; the end of the inner one would end the outer one."""
    with (
        pytest.raises(RuntimeError),
        kept.opened() as store,
        store.transaction() as change,
    ):
        change.log("list", "listed")
        with store.snapshot():
            pass
    assert kept.rows("SELECT * FROM events") == []


def test_a_change_that_was_given_up_is_not_taken_for_done(kept: InDatabase) -> None:
    """After an error PostgreSQL answers COMMIT with ROLLBACK, and no error."""
    with (
        pytest.raises(SetupProblem, match="did not take the change"),
        upgraded(kept.place) as (db, _, _),
    ):
        assert isinstance(db, Database)
        db.write("UPDATE state SET changes = 99")
        with suppress(SetupProblem):
            db.one("SELECT 1 / 0")
    assert kept.rows("SELECT changes = 99 FROM state") == [(False,)]


def test_a_clock_that_was_ahead_once_is_told(kept: InDatabase) -> None:
    with kept.opened() as store:
        assert store.warnings == []
    kept.change("UPDATE state SET clock_s = extract(epoch FROM clock_timestamp()) + 3600")
    with kept.opened() as store:
        store.log("list", "listed")
        (warning,) = store.warnings
    assert re.search(r" is 3(600|59\d) s behind a time that it told before", warning)
    kept.change("UPDATE state SET clock_s = 0")  # as docs/how-to/servers.md says
    with kept.opened() as store:
        store.log("list", "listed")
        assert store.warnings == []
