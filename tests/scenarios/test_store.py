"""The store itself: not there, empty, changed by something else, and a log with an end."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

import pytest
from conftest import Facauth, Photo, change_types, tree
from older import make_older

from facauth.store.person import Person
from facauth.store.sqlite.schema import MIGRATIONS

EILEEN, BARACK, AGAIN, JOE = "collins.png", "obama_2012.jpg", "obama_2010.jpg", "biden_2010.jpg"


def readers(photo: Photo) -> list[tuple[str, ...]]:
    """Every command that needs a store and makes none."""
    return [
        ("sign-in", photo(EILEEN)),
        ("sign-in", photo(EILEEN), "--as", "Ada"),
        ("spoof-check", photo(EILEEN), "--against", "Ada"),
        ("list",),
        ("show", "Ada"),
        ("remove", "Ada", "--yes"),
        ("rename", "Ada", "Eve"),
        ("export", "--all", "out", "--plain"),
        ("purge", "--unused-for", "1d", "--yes"),
        ("purge", "--unused-for", "1d", "--dry-run"),
        ("unlock",),
        ("log",),
        ("log", "--follow"),
        ("log", "--verify"),
        ("log", "--prune-older-than", "1d", "--yes"),
        ("key", "rotate"),
        ("key", "export", "out"),
        ("migrate",),
        ("backup", "out"),
    ]


def test_a_store_that_is_not_there_is_not_an_empty_one(facauth: Facauth, photo: Photo) -> None:
    facauth.keeping.remove()
    for command in readers(photo):
        if command[0] == "backup" and facauth.keeping.encrypted:
            continue  # of a file alone
        result = facauth(*command, exit_code=7)
        said = f"facauth: {facauth.keeping.missing}\n"
        assert (result.stdout, result.stderr) == ("", said), command
    assert facauth.keeping.is_untouched()
    assert tree(facauth.here) == {}


@pytest.mark.parametrize("what", ["a file of 0 bytes", "a link to nowhere"])
@pytest.mark.sqlite("is about the file and its folder")
def test_what_is_there_and_is_no_store(facauth: Facauth, photo: Photo, what: str) -> None:
    facauth.store.parent.mkdir()
    if what == "a link to nowhere":  # to a disk that is not mounted, say
        facauth.store.symlink_to(facauth.home / "absent" / "store")
        code, said = "store.missing", f"there is no store at {facauth.store}"
    else:
        facauth.store.touch()
        code, said = "store.empty", f"{facauth.store} is an empty file"
    for command in (*readers(photo), ("register", "Ada", photo(EILEEN)), ("key", "init")):
        if command[0] == "log" and "--follow" in command:
            continue
        result = facauth(*command, "--json", exit_code=7)
        assert result.codes == [code], command
        assert result.json["reasons"][0]["message"] == said
    checks = facauth("doctor", "--json", exit_code=7).json["checks"]
    assert {check["check"] for check in checks if not check["ok"]} >= {"store"}
    assert tree(facauth.home) == {}
    assert facauth.keeping.is_alone()


# --- changed by something else --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("templates", "REFERENCES people (id)", ""),
        ("templates", "REFERENCES people (id)", "REFERENCES people (id) ON DELETE CASCADE"),
        ("templates", "CHECK (learned IN (0, 1))", ""),
        ("templates", "CHECK (learned IN (0, 1))", "CHECK (learned IN (0, 1, 'x'))"),
        ("people", "AUTOINCREMENT", ""),
        ("key_lock", "CHECK (id = 1)", "CHECK (id = 2)"),
    ],
)
@pytest.mark.sqlite("reads the schema that a file holds")
def test_a_table_without_its_constraints_is_not_facauths(
    facauth: Facauth, photo: Photo, table: str, old: str, new: str
) -> None:
    facauth.knows(Ada=photo(EILEEN))
    change_types(
        facauth.store,
        f"UPDATE sqlite_schema SET sql = replace(sql, '{old.replace(chr(39), chr(39) * 2)}', "
        f"'{new.replace(chr(39), chr(39) * 2)}') WHERE name = '{table}'",
    )
    for command in (("sign-in", photo(EILEEN)), ("remove", "Ada", "--yes"), ("list",)):
        assert facauth(*command, "--json", exit_code=7).codes == ["store.altered"]


@pytest.mark.sqlite("reads the schema that a file holds")
def test_how_statements_are_laid_out_does_not_matter(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Ada=photo(EILEEN))
    change_types(
        facauth.store,
        "UPDATE sqlite_schema SET sql = replace(replace(sql, 'CREATE TABLE people', "
        "'create  table \"people\" /* theirs */'), 'consent TEXT,', 'consent text ,') "
        "WHERE name = 'people'",
    )
    assert facauth("list").stdout.startswith("Ada\t")


def test_a_new_store_is_known_without_another_made_in_memory(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    facauth.knows(Ada=photo(EILEEN))
    monkeypatch.setattr("facauth.store.sqlite.schema._run", None)
    assert facauth("list").stdout.startswith("Ada\t")


def test_numbers_are_never_used_again(facauth: Facauth, photo: Photo) -> None:
    numbers = []
    for name, image in (("Ada", EILEEN), ("Joe", JOE), ("Eve", EILEEN)):
        facauth("register", name, photo(image))
        numbers += facauth.rows("SELECT p.id, t.id FROM people p CROSS JOIN templates t")
        facauth("remove", name, "--yes")
        assert facauth.rows("SELECT count(*) FROM templates") == [(0,)]
    assert numbers == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.sqlite("there are no older stores in a database yet")
def test_stores_of_every_version_can_be_migrated(
    facauth: Facauth, photo: Photo, version: int
) -> None:
    facauth.knows(Barack=photo(BARACK))
    facauth("sign-in", photo(AGAIN))
    last = facauth("list", "--json").json["people"][0]["last_sign_in_at"]
    make_older(facauth.store, version)
    facauth("list", exit_code=7)
    assert f"from version {version} to {len(MIGRATIONS)}" in facauth("migrate").stdout
    assert facauth("list", "--json").json["people"][0]["last_sign_in_at"] == last
    assert facauth("sign-in", photo(AGAIN)).stdout == "Barack\n"
    facauth("log", "--verify")
    assert facauth("doctor", "--json").json["verdict"] == "healthy"


@pytest.mark.sqlite("there are no older stores in a database yet")
def test_an_encrypted_store_is_migrated_with_its_key(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK))
    key = facauth.home / "key"
    facauth("key", "init", "--key-file", str(key))
    make_older(facauth.store, 4)
    before = facauth.keeping.everything()
    assert facauth("migrate", "--json", exit_code=7).codes == ["key.missing"]
    assert facauth.keeping.everything() == before
    facauth("migrate", "--key-file", str(key))
    facauth("log", "--verify", "--key-file", str(key))
    assert facauth("sign-in", photo(AGAIN), "--key-file", str(key)).stdout == "Barack\n"


@pytest.mark.parametrize(
    ("table", "column"),
    [("templates", "signature"), ("templates", "encoding"), ("people", "consent")],
)
@pytest.mark.sqlite("a database limits nothing that one can lift")
def test_a_value_that_is_too_long_is_not_read(
    facauth: Facauth, photo: Photo, table: str, column: str
) -> None:
    facauth.knows(Ada=photo(EILEEN))
    value = "zeroblob(5000000)" if table == "templates" else "hex(zeroblob(2500000))"
    facauth.change(f"UPDATE {table} SET {column} = {value}")
    commands: list[tuple[str, ...]] = [("export", "Ada", "-", "--plain")]
    if column == "encoding":
        commands.append(("sign-in", photo(EILEEN)))
    if column == "consent":
        commands += [("show", "Ada"), ("list",)]
    for command in commands:
        result = facauth(*command, exit_code=7)
        assert result.stdout == ""
        assert " holds a value that is too long; " in result.stderr


def test_a_fault_of_the_program_is_not_blamed_on_the_store(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    facauth.knows(Ada=photo(EILEEN))

    def faulty(*_: object) -> None:
        raise ValueError("of the program's own")

    monkeypatch.setattr(Person, "rename", faulty)
    result = facauth("rename", "Ada", "Eve", exit_code=70)
    assert result.stderr.startswith("facauth: internal error (ValueError); ")
    assert facauth.names() == {"Ada": 1}


# --- a log with an end ----------------------------------------------------------------------------


def test_to_be_told_to_wait_is_an_event_once(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK))
    with facauth.opened() as store:
        now = "{}, {}".format(*store.clock.read_s())  # another machine may have been up for hours
    facauth.change("DELETE FROM tries")
    for subject in ("", facauth.rows("SELECT uid FROM people")[0][0]):
        facauth.change(f"INSERT INTO tries VALUES ('{subject}', 0, 99, {now})")
    for _ in range(3):
        for claim in ((), ("--as", "Barack")):
            facauth("sign-in", photo(AGAIN), *claim, exit_code=5)
    told = [event for event in facauth.events() if "locked_out" in event]
    assert len(told) == 2
    facauth("unlock", "Barack")
    facauth.change("UPDATE tries SET failures = 99")
    facauth("sign-in", photo(AGAIN), "--as", "Barack", exit_code=5)
    assert len([event for event in facauth.events() if "locked_out" in event]) == 3


class Later(datetime):
    """A clock of two days from now."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Later:
        return cls.fromtimestamp(datetime.now(tz).timestamp(), tz) + timedelta(days=2)


@pytest.mark.parametrize(
    "key",
    [(), pytest.param(("--key-file", "the.key"), marks=pytest.mark.sqlite("encrypts a plain one"))],
)
def test_a_pruned_log_is_verified(
    facauth: Facauth, photo: Photo, key: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    facauth.knows(Barack=photo(BARACK))
    if key:
        facauth("key", "init", *key)
    facauth("sign-in", photo(AGAIN), *key)
    known = facauth("list", "--json").json["people"]
    facauth("log", "--prune-older-than", "1d", *key, exit_code=2)  # nobody confirms it
    assert "deleted 0 entries" in facauth("log", "--prune-older-than", "1d", "-y", *key).stdout
    monkeypatch.setattr("facauth.admin.datetime", Later)
    facauth("log", "--prune-older-than", "1d", "--yes", *key)
    monkeypatch.setattr("facauth.admin.datetime", datetime)
    events = facauth("log", "--json").json["events"]
    assert [event["verdict"] for event in events][-1] == "pruned"
    assert events[0]["id"] > 1
    assert facauth("list", "--json").json["people"] == known
    facauth("rename", "Barack", "Obama", *key)
    facauth("log", "--verify", *key)
    if key:
        facauth("key", "rotate", *key)
        facauth("log", "--verify", *key)
    facauth.change("UPDATE log_start SET entries = entries - 1")
    assert facauth("log", "--verify", "--json", *key, exit_code=7).codes == ["log.broken"]
    before = facauth.rows("SELECT id FROM events")
    facauth("log", "--prune-older-than", "1d", "--yes", *key, exit_code=7)
    assert facauth.rows("SELECT id FROM events") == before
