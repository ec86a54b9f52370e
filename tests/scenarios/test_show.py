"""show: all that is kept of a person but what was made of the photos; and the consent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import Facauth, Photo

BARACK, AGAIN, JOE = "obama_2012.jpg", "obama_2010.jpg", "biden_2010.jpg"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
FIELDS = [
    "name",
    "photos",
    "enrolled_at",
    "last_sign_in_at",
    "needs_new_photo",
    "without_signature",
    "accepted_spoof",
    "consent",
    "purpose",
    "consent_at",
    "last_photo_at",
    "learned",
    "failures",
    "locked_out",
    "retry_after_s",
]


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack."""
    facauth.knows(Barack=photo(BARACK))
    return facauth


def record(facauth: Facauth, name: str = "barack") -> dict[str, Any]:
    answer = facauth("show", name, "--json").json
    assert (answer["verdict"], answer["person"]) == ("shown", answer["person_record"]["name"])
    fields: dict[str, Any] = answer["person_record"]
    return fields


def test_a_pipe_gets_a_field_and_its_value_per_line(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Barack", photo(AGAIN), "--accept-spoof", "--no-signature")
    result = enrolled("show", "BARACK")
    fields = dict(line.split("\t") for line in result.stdout.splitlines())
    assert list(fields) == FIELDS
    assert re.fullmatch(TIME, fields.pop("enrolled_at"))
    assert re.fullmatch(TIME, fields.pop("last_photo_at"))
    assert fields == {
        **dict.fromkeys(FIELDS[3:4] + FIELDS[7:10] + FIELDS[14:], ""),
        "name": "Barack",
        "photos": "2",
        "needs_new_photo": "0",
        "without_signature": "1",
        "accepted_spoof": "1",
        "learned": "0",
        "failures": "0",
        "locked_out": "no",
    }


def test_json_holds_the_same_fields_by_type(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(AGAIN))
    fields = record(enrolled)
    assert list(fields) == FIELDS
    assert re.fullmatch(TIME, fields["last_sign_in_at"])
    assert (fields["photos"], fields["consent"], fields["locked_out"]) == (1, None, False)


def test_a_terminal_gets_a_table(enrolled: Facauth) -> None:
    head, *rows = enrolled.on_terminal("show", "Barack", env={"NO_COLOR": "1"}).stdout.splitlines()
    assert re.search("Field.*Value", head)
    assert [row.split()[0] for row in rows] == FIELDS


def test_failures_in_a_row_and_the_lock(enrolled: Facauth, photo: Photo) -> None:
    for _ in range(3):
        enrolled("sign-in", photo(JOE), "--as", "Barack", exit_code=1)
    assert (record(enrolled)["failures"], record(enrolled)["locked_out"]) == (3, False)
    for _ in range(7):
        enrolled("sign-in", photo(JOE), "--as", "Barack", exit_code=1)
    locked = record(enrolled)
    assert (locked["failures"], locked["locked_out"]) == (10, True)
    assert 0 < locked["retry_after_s"] <= 30
    assert "locked_out\tyes\n" in enrolled("show", "Barack").stdout
    enrolled.change("UPDATE tries SET failures = 100")
    stopped = record(enrolled)
    assert (stopped["locked_out"], stopped["retry_after_s"]) == (True, None)


def test_an_unknown_person(enrolled: Facauth) -> None:
    result = enrolled("show", "Ada", exit_code=6)
    assert result.stdout == ""
    assert result.stderr == "facauth: nobody is enrolled as Ada; see facauth list\n"
    answer = enrolled("show", "Ada", "--json", exit_code=6).json
    assert (answer["person_record"], answer["reasons"][0]["code"]) == (None, "name.unknown")
    enrolled("show", "\x1b", exit_code=2)


def test_without_a_store_nobody_is_shown_and_none_is_made(facauth: Facauth) -> None:
    facauth.lacks_store("show", "Ada")
    facauth.knows_nobody()
    facauth("show", "Ada", exit_code=6)


def test_showing_changes_nothing(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    record(enrolled)
    assert enrolled.keeping.everything() == before


# --- consent -------------------------------------------------------------------------------------


def test_consent_is_kept_with_its_time_and_purpose(facauth: Facauth, photo: Photo) -> None:
    agreed = ("--consent", "  signed form 12 ", "--purpose", "door of the cafe\u0301")
    facauth("register", "Barack", photo(BARACK), *agreed)
    fields = record(facauth)
    assert (fields["consent"], fields["purpose"]) == ("signed form 12", "door of the caf\u00e9")
    assert re.fullmatch(TIME, fields["consent_at"])
    assert "consent\tsigned form 12\n" in facauth("show", "Barack").stdout


def test_a_later_photo_without_consent_keeps_what_was_agreed(
    facauth: Facauth, photo: Photo
) -> None:
    facauth("register", "Barack", photo(BARACK), "--consent", "form 12", "--purpose", "door")
    facauth.change("UPDATE people SET consent_at = '2020-01-01T00:00:00+00:00'")
    facauth("register", "Barack", photo(AGAIN))
    facauth("register", "Barack", photo(AGAIN), "--replace")
    fields = record(facauth)
    assert (fields["consent"], fields["purpose"]) == ("form 12", "door")
    assert fields["consent_at"].startswith("2020")
    facauth("register", "Barack", photo(BARACK), "--consent", "form 13")
    fields = record(facauth)
    assert (fields["consent"], fields["purpose"]) == ("form 13", None)
    assert not fields["consent_at"].startswith("2020")


def test_a_refused_photo_leaves_no_consent(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "Barack", photo(JOE), "--consent", "form 12", exit_code=6)
    assert record(enrolled)["consent"] is None


def test_a_purpose_without_consent_is_a_usage_error(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Barack", photo(BARACK), "--purpose", "door", exit_code=2)
    assert result.stderr == "facauth: --purpose is given without --consent; give both\n"
    assert facauth.keeping.is_untouched()


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "\x1b[2J", "x" * 1001, "\udcff"])
@pytest.mark.parametrize("which", ["--consent", "--purpose"])
def test_a_consent_that_cannot_be_kept(
    facauth: Facauth, photo: Photo, which: str, text: str
) -> None:
    others = ["--consent", "yes"] if which == "--purpose" else []
    result = facauth(
        "register", "Barack", photo(BARACK), *others, which, text, "--json", exit_code=2
    )
    assert result.codes == ["consent.invalid"]
    assert facauth.keeping.is_untouched()


def test_a_thousand_characters_are_kept(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(BARACK), "--consent", "\u00e9" * 1000)
    assert record(facauth)["consent"] == "\u00e9" * 1000


def test_what_somebody_else_put_into_the_store_is_escaped(enrolled: Facauth) -> None:
    enrolled.change("UPDATE people SET consent = 'yes' || char(27) || '[2J' || char(9) || 'x'")
    assert "consent\tyes\\x1b[2J\\tx\n" in enrolled("show", "Barack").stdout
    assert "\x1b[2J" not in enrolled.on_terminal("show", "Barack", env={"NO_COLOR": "1"}).stdout
