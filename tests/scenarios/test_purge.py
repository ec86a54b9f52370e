"""purge: whoever was not used for so long is deleted, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from conftest import Facauth, Photo, fragments

from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.rekey import encrypt
from facauth.store.store import Store

EILEEN, JOE, BARACK, AGAIN = "collins.png", "biden_2010.jpg", "obama_2012.jpg", "obama_2010.jpg"


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def age(facauth: Facauth, name: str, days: float) -> None:
    """As if they had been enrolled, with all their photos, so long ago."""
    facauth.change(f"UPDATE people SET enrolled_at = '{ago(days)}' WHERE name = '{name}'")
    facauth.change(
        f"UPDATE templates SET enrolled_at = '{ago(days)}' WHERE person_id ="
        f" (SELECT id FROM people WHERE name = '{name}')"
    )


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Eileen for 40 days and Barack for 400."""
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK))
    age(facauth, "Eileen", 40)
    age(facauth, "Barack", 400)
    return facauth


def test_whoever_was_not_used_is_deleted(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("purge", "--unused-for", "1y", "--yes")
    name, at = result.stdout.rstrip("\n").split("\t")
    assert (name, at[:10]) == ("Barack", ago(400)[:10])
    kept = "facauth: the database keeps sealed copies of what was deleted"
    assert result.stderr.startswith(kept) if enrolled.keeping.encrypted else not result.stderr
    assert enrolled.names() == {"Eileen": 1}
    assert enrolled.rows("SELECT command, verdict FROM events")[-1] == ("purge", "removed")
    enrolled("sign-in", photo(AGAIN), exit_code=1)


def test_each_is_logged_under_a_name_that_means_nothing_any_more(enrolled: Facauth) -> None:
    uids = {uid for (uid,) in enrolled.rows("SELECT uid FROM people")}
    enrolled("purge", "--unused-for", "30d", "--yes")
    events = enrolled.rows("SELECT verdict, subject FROM events WHERE command = 'purge'")
    assert {uid for _, uid in events} == uids
    assert [verdict for verdict, _ in events] == ["removed", "removed"]
    assert enrolled.names() == {}


@pytest.mark.sqlite("a database keeps what was deleted, sealed, for a while")
def test_of_the_purged_no_byte_is_left(enrolled: Facauth) -> None:
    ((encoding, signature),) = enrolled.rows(
        "SELECT encoding, signature FROM templates WHERE person_id = 2"
    )
    traces = [encoding[:64], b"Barack", *fragments(signature)]
    assert all(trace in enrolled.keeping.content() for trace in traces[:2])
    enrolled("purge", "--unused-for", "1y", "--yes")
    files = enrolled.keeping.content()
    assert [trace for trace in traces if trace in files] == []


def test_a_dry_run_lists_and_deletes_nothing(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    for more in ([], ["--yes"]):
        result = enrolled("purge", "--unused-for", "30d", "--dry-run", *more)
        assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["Barack", "Eileen"]
    answer = enrolled("purge", "--unused-for", "1y", "--dry-run", "--json").json
    assert (answer["verdict"], [row["name"] for row in answer["people"]]) == ("listed", ["Barack"])
    head, row = enrolled.on_terminal("purge", "--unused-for", "1y", "--dry-run").stdout.splitlines()
    assert ("Last used" in head, row.split()[0]) == (True, "Barack")
    assert enrolled.keeping.everything() == before


def test_where_nobody_is_to_go_nothing_is_written(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    result = enrolled("purge", "--unused-for", "3y")  # and nobody has to confirm it
    assert (result.stdout, result.stderr) == ("", "facauth: nobody has been inactive for 3y\n")
    assert enrolled("purge", "--unused-for", "3y", "--quiet").stderr == ""
    answer = enrolled("purge", "--unused-for", "3y", "--json").json
    assert (answer["verdict"], answer["people"]) == ("purged", [])
    assert enrolled.keeping.everything() == before


def test_a_sign_in_is_use(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(AGAIN))
    assert enrolled("purge", "--unused-for", "30d", "--dry-run").stdout.startswith("Eileen\t")


def test_a_failed_sign_in_is_no_use(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(JOE), "--as", "Barack", exit_code=1)
    enrolled("sign-in", photo(BARACK), "--as", "Barack", exit_code=3)
    assert enrolled("purge", "--unused-for", "1y", "--dry-run").stdout.startswith("Barack\t")


def test_a_new_photo_is_use(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Barack", photo(AGAIN))
    assert enrolled("purge", "--unused-for", "30d", "--dry-run").stdout.startswith("Eileen\t")


@pytest.mark.parametrize(
    ("period", "days"), [("30d", 30), ("12w", 84), ("6m", 180), ("3y", 1095), ("100y", 36_500)]
)
def test_periods(facauth: Facauth, photo: Photo, period: str, days: int) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    age(facauth, "Eileen", days - 0.01)
    assert facauth("purge", "--unused-for", period, "--dry-run").stdout == ""
    age(facauth, "Eileen", days + 0.01)
    assert facauth("purge", "--unused-for", period, "--dry-run").stdout.startswith("Eileen\t")


@pytest.mark.parametrize(
    "period",
    ["", "0d", "-1d", "3", "y", "1.5y", "3 y", "3Y", "3y6m", "101y", "99999d", "9" * 400 + "d",
     "\u0663y", "\x1b[2Jd", "30d\n"],
)  # fmt: skip
def test_impossible_periods(enrolled: Facauth, period: str) -> None:
    before = enrolled.keeping.everything()
    result = enrolled("purge", f"--unused-for={period}", "--yes", exit_code=2)
    assert result.stdout == ""
    assert result.stderr.endswith("; give one like 30d, 12w, 6m or 3y\n")
    assert result.stderr[:-1].isprintable()
    assert enrolled.keeping.everything() == before


def test_the_period_must_be_said(enrolled: Facauth) -> None:
    assert enrolled("purge", "--yes", exit_code=2).stderr.startswith("facauth: missing option")


def test_nobody_is_purged_unless_somebody_confirms(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    for given in (b"", b"y\n"):
        result = enrolled("purge", "--unused-for", "1y", exit_code=2, stdin=given)
        assert result.stdout == ""
        assert result.stderr.startswith("facauth: Barack was last active ")
        assert result.stderr.endswith("facauth: confirmation needs a terminal; add --yes\n")
    answer = enrolled("purge", "--unused-for", "1y", "--json", exit_code=2)
    assert (answer.codes, answer.json["people"]) == (["purge.unconfirmed"], None)
    declined = enrolled.on_terminal("purge", "--unused-for", "1y", typed=b"n\n", exit_code=2)
    assert "nothing was deleted" in declined.stderr
    assert enrolled.keeping.everything() == before


def test_somebody_at_a_terminal_confirms(enrolled: Facauth) -> None:
    result = enrolled.on_terminal("purge", "--unused-for", "30d", typed=b"y\n")
    assert "Permanently delete these people?" in result.stderr
    assert enrolled.names() == {}


def test_who_is_used_while_the_question_waits_stays(
    enrolled: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*_: object) -> None:
        enrolled("sign-in", photo(AGAIN))
        age(enrolled, "Eileen", 500)  # and who was not listed is not deleted

    monkeypatch.setattr(import_module("facauth.cli.purge"), "confirm_each", slowly)
    result = enrolled("purge", "--unused-for", "1y")
    assert result.stdout == ""
    assert enrolled.names() == {"Eileen": 1, "Barack": 1}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET enrolled_at = '{soon}' WHERE name = 'Eileen'",
        "UPDATE templates SET enrolled_at = '{soon}' WHERE person_id = 1",
        "UPDATE people SET enrolled_at = 'soon' WHERE name = 'Eileen'",
    ],
)
def test_a_clock_that_cannot_be_right_purges_nobody(enrolled: Facauth, statement: str) -> None:
    enrolled.change(statement.format(soon=ago(-2)))
    before = enrolled.keeping.everything()
    for more in ("--yes", "--dry-run"):
        result = enrolled("purge", "--unused-for", "1y", more, "--json", exit_code=7)
        assert result.codes == ["purge.clock"]
        assert "Eileen" in result.json["reasons"][0]["message"]
    assert enrolled.keeping.everything() == before


def test_clocks_may_differ_a_little(enrolled: Facauth) -> None:
    enrolled.change(f"UPDATE people SET enrolled_at = '{ago(-0.5)}' WHERE name = 'Eileen'")
    assert enrolled("purge", "--unused-for", "1y", "--yes").stdout.startswith("Barack\t")


def test_without_a_store_there_is_nobody_to_purge(facauth: Facauth) -> None:
    facauth.keeping.remove()
    result = facauth("purge", "--unused-for", "1y", "--yes", "--json", exit_code=7)
    assert result.codes == ["store.missing"]
    assert facauth.keeping.is_untouched()


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_in_an_encrypted_store_it_takes_the_key(enrolled: Facauth) -> None:
    """To delete; not to list or to show, which an operator must always be able to."""
    keys = KeyAccess(default_key_file=enrolled.home / "facauth.key")
    encrypt(enrolled.store, KeyKind.FILE, keys)
    before = enrolled.keeping.everything()
    for command in (("list",), ("show", "Barack"), ("migrate",)):
        enrolled(*command)
    assert enrolled("purge", "--unused-for", "1y", "--dry-run").stdout.startswith("Barack\t")
    assert enrolled("purge", "--unused-for", "1y", "--yes", exit_code=7).stdout == ""
    assert enrolled.keeping.everything() == before
    key = ("--key-file", str(enrolled.home / "facauth.key"))
    assert enrolled("purge", "--unused-for", "1y", "--yes", *key).stdout.startswith("Barack\t")
    assert enrolled.names() == {"Eileen": 1}
    with Store.open(enrolled.store, keys) as store:
        assert store.verify_log()[1] is None
