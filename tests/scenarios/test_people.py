"""list, remove and rename: who is enrolled, and that the gone are gone."""

from __future__ import annotations

import csv
import re

import pytest
from conftest import Facauth, Photo, fragments

EILEEN, JOE, BARACK, AGAIN = "collins.png", "biden_2010.jpg", "obama_2012.jpg", "obama_2010.jpg"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Eileen and barack."""
    facauth.knows(Eileen=photo(EILEEN), barack=photo(BARACK))
    return facauth


def test_list_shows_everybody_by_name(enrolled: Facauth) -> None:
    result = enrolled("list")
    assert re.fullmatch(rf"barack\t1\t{TIME}\t\nEileen\t1\t{TIME}\t\n", result.stdout)
    assert result.stderr == ""


def test_list_shows_the_last_sign_in(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(JOE), exit_code=1)
    enrolled("sign-in", photo(EILEEN), "--as", "barack", exit_code=1)
    assert [row["last_sign_in_at"] for row in listed(enrolled)] == [None, None]
    enrolled("sign-in", photo(AGAIN))
    barack, eileen = listed(enrolled)
    assert eileen["last_sign_in_at"] is None
    assert re.fullmatch(TIME, str(barack["last_sign_in_at"]))
    assert enrolled("list").stdout.splitlines()[0].endswith(f"\t{barack['last_sign_in_at']}")


def listed(facauth: Facauth) -> list[dict[str, object]]:
    people: list[dict[str, object]] = facauth("list", "--json").json["people"]
    return people


def test_list_counts_the_photos_that_these_networks_cannot_compare(enrolled: Facauth) -> None:
    enrolled.change("UPDATE templates SET contract = 'older/1' WHERE person_id = 1")
    assert [row["needs_new_photo"] for row in listed(enrolled)] == [0, 1]


def outdate(facauth: Facauth, name: str) -> None:
    """As if their photos had been enrolled with other networks."""
    facauth.change(
        "UPDATE templates SET contract = 'older/1' WHERE person_id ="
        f" (SELECT id FROM people WHERE name = '{name}')"
    )


def test_list_says_who_needs_a_new_photo_in_every_layout(enrolled: Facauth) -> None:
    outdate(enrolled, "barack")
    barack, eileen = enrolled("list").stdout.splitlines()
    assert re.fullmatch(rf"barack\t1\t{TIME}\t\tneeds a new photo", barack)
    assert re.fullmatch(rf"Eileen\t1\t{TIME}\t", eileen)  # as ever: four fields
    rows = list(csv.DictReader(enrolled("list", "--format", "csv").stdout.splitlines()))
    assert [row["remark"] for row in rows] == ["needs a new photo", ""]
    for result in (enrolled("list", "--format", "table"), enrolled.on_terminal("list")):
        _, barack, eileen = result.stdout.splitlines()
        assert barack.endswith("needs a new photo")
        assert "needs" not in eileen


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_who_has_one_current_photo_needs_no_other(enrolled: Facauth, photo: Photo) -> None:
    enrolled("register", "barack", photo(AGAIN))
    enrolled.change("UPDATE templates SET contract = 'older/1' WHERE id = 2")
    assert "needs" not in enrolled("list").stdout
    assert [row["needs_new_photo"] for row in listed(enrolled)] == [1, 0]
    assert enrolled("sign-in", photo("obama_2009.jpg")).stdout == "barack\n"


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_photos_of_another_contract_are_never_compared(enrolled: Facauth, photo: Photo) -> None:
    enrolled.change("UPDATE templates SET encoding = zeroblob(1024) WHERE person_id = 2")
    outdate(enrolled, "barack")
    result = enrolled("sign-in", photo(AGAIN), exit_code=1)
    assert result.stderr == "facauth: the face matches nobody; try another photo, or register\n"
    assert enrolled("sign-in", photo("collins.png"), exit_code=3).stdout == ""  # others are


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_a_claim_of_somebody_who_needs_a_new_photo(enrolled: Facauth, photo: Photo) -> None:
    outdate(enrolled, "barack")
    for _ in range(12):  # none of them is a failure
        result = enrolled("sign-in", photo(AGAIN), "--as", "BARACK", "--json", exit_code=1)
        assert result.codes == ["match.needs_new_photo"]
    assert result.json["person"] is None
    message = result.json["reasons"][0]["message"]
    assert (
        message == "no photo of barack can be compared any more: they were made for other networks"
    )
    assert shown(enrolled, "barack")["failures"] == 0


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_somebody_who_needs_a_new_photo_gets_one_by_replace(
    enrolled: Facauth, photo: Photo
) -> None:
    outdate(enrolled, "barack")
    before = enrolled.enrolled()
    result = enrolled("register", "Barack", photo(AGAIN), "--json", exit_code=6)
    assert result.codes == ["name.needs_new_photo"]
    assert "--replace" in result.json["reasons"][0]["advice"]
    assert enrolled.enrolled() == before
    enrolled("register", "Barack", photo(AGAIN), "--replace")
    assert enrolled("sign-in", photo(BARACK), "--as", "barack").stdout == "barack\n"
    assert "needs" not in enrolled("list").stdout


@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_where_all_need_a_new_photo_nobody_signs_in(enrolled: Facauth, photo: Photo) -> None:
    enrolled.change("UPDATE templates SET contract = 'older/1'")
    result = enrolled("sign-in", photo(AGAIN), "--json", exit_code=1)
    assert result.codes == ["match.nobody_enrolled"]


def shown(facauth: Facauth, name: str) -> dict[str, object]:
    record: dict[str, object] = facauth("show", name, "--json").json["person_record"]
    return record


def test_an_empty_list_is_fine(facauth: Facauth) -> None:
    facauth.lacks_store("list")
    facauth.knows_nobody()
    result = facauth("list")
    assert result.stdout == ""
    assert result.stderr == f"facauth: nobody is enrolled in {facauth.store}\n"
    assert facauth("list", "--json").json["people"] == []
    assert (
        facauth("list", "--format", "csv").stdout
        == "name,photos,enrolled_at,last_sign_in_at,remark\n"
    )
    assert facauth("list", "--format", "table").stdout == ""


def test_listing_changes_nothing(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    enrolled("list")
    enrolled("list", "--json")
    assert enrolled.keeping.everything() == before


def test_list_as_csv_can_be_read_back(enrolled: Facauth) -> None:
    enrolled("rename", "Eileen", '=cmd(), "Eileen"')
    rows = list(csv.DictReader(enrolled("list", "--format", "csv").stdout.splitlines()))
    assert [row["name"] for row in rows] == ['=cmd(), "Eileen"', "barack"]
    assert set(rows[0]) == {"name", "photos", "enrolled_at", "last_sign_in_at", "remark"}


def test_list_as_table_has_a_head_and_no_colours_in_a_pipe(enrolled: Facauth) -> None:
    enrolled("rename", "Eileen", "[red]")
    head, *people = enrolled("list", "--format", "table").stdout.splitlines()
    assert head.split() == ["Name", "Photos", "Enrolled", "Last", "sign-in"]
    assert [line.split()[0] for line in people] == ["[red]", "barack"]
    assert "\x1b" not in head


def test_list_does_not_know_other_formats(enrolled: Facauth) -> None:
    result = enrolled("list", "--format", "yaml", exit_code=2)
    assert result.stdout == ""
    assert "'yaml' is not one of 'table', 'plain', 'csv'" in result.stderr


@pytest.mark.slow
def test_a_removed_person_can_no_longer_sign_in(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("remove", "EILEEN", "--yes")
    assert result.stdout == "removed Eileen\n"
    kept = "facauth: the database keeps sealed copies of what was deleted"
    assert result.stderr.startswith(kept) if enrolled.keeping.encrypted else not result.stderr
    assert enrolled.names() == {"barack": 1}
    enrolled("sign-in", photo(EILEEN), exit_code=1)
    enrolled("sign-in", photo(EILEEN), "--as", "Eileen", exit_code=6)
    assert enrolled("sign-in", photo(AGAIN)).stdout == "barack\n"


@pytest.mark.sqlite("a database keeps what was deleted, sealed, for a while")
def test_of_a_removed_person_no_byte_is_left(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(AGAIN))
    ((encoding, signature),) = enrolled.rows(
        "SELECT encoding, signature FROM templates WHERE person_id = 2"
    )
    stored = enrolled.keeping.content()
    assert encoding in stored
    assert sum(piece in stored for piece in fragments(signature)) > 1000
    ((eileen,),) = enrolled.rows("SELECT uid FROM people WHERE id = 1")
    enrolled("remove", "barack", "-y")
    assert enrolled.keeping.is_alone()
    stored = enrolled.keeping.content()
    assert encoding[:64] not in stored
    assert [piece for piece in fragments(signature) if piece in stored] == []
    assert b"barack" not in stored
    assert enrolled.rows("SELECT uid FROM people") == [(eileen,)]
    assert {uid for (uid,) in enrolled.rows("SELECT subject FROM events")} - {eileen} != set()


def test_the_removed_name_and_face_are_free_again(enrolled: Facauth, photo: Photo) -> None:
    enrolled("remove", "Eileen", "--yes")
    enrolled("register", "Eileen", photo(JOE))
    enrolled("register", "Somebody", photo(EILEEN))
    assert sorted(enrolled.names()) == ["Eileen", "Somebody", "barack"]


def test_nobody_is_removed_unless_somebody_confirms(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    for given in (b"", b"y\n", b"yes\n"):
        result = enrolled("remove", "Eileen", exit_code=2, stdin=given)
        assert result.stdout == ""
        assert result.stderr == "facauth: confirmation needs a terminal; add --yes\n"
    assert enrolled.keeping.everything() == before


def test_an_unknown_person_cannot_be_removed(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    for more in ([], ["--yes"]):
        result = enrolled("remove", "Ada", *more, exit_code=6)
        assert (result.stdout, result.stderr) == (
            "",
            "facauth: nobody is enrolled as Ada; see facauth list\n",
        )
    assert enrolled.keeping.everything() == before


def test_without_a_store_nobody_can_be_removed_or_renamed(facauth: Facauth) -> None:
    facauth.lacks_store("remove", "Ada", "--yes")
    facauth.lacks_store("rename", "Ada", "Eileen")
    facauth.knows_nobody()
    facauth("remove", "Ada", "--yes", exit_code=6)
    facauth("rename", "Ada", "Eileen", exit_code=6)


def test_a_renamed_person_keeps_photos_and_history(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(AGAIN))
    before = next(row for row in listed(enrolled) if row["name"] == "barack")
    result = enrolled("rename", "Barack", "Mr President")
    assert (result.stdout, result.stderr) == ("renamed barack to Mr President\n", "")
    assert {**before, "name": "Mr President"} in listed(enrolled)
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Mr President\n"
    enrolled("sign-in", photo(AGAIN), "--as", "Barack", exit_code=6)
    enrolled("sign-in", photo(BARACK), exit_code=3)  # what finds a replay is kept as well


def test_a_taken_name_cannot_be_given(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    result = enrolled("rename", "Eileen", "BARACK", exit_code=6)
    assert result.stdout == ""
    assert result.stderr == "facauth: BARACK is taken; choose another name\n"
    assert enrolled.keeping.everything() == before


def test_an_unknown_person_cannot_be_renamed(enrolled: Facauth) -> None:
    before = enrolled.keeping.everything()
    result = enrolled("rename", "Ada", "Lovelace", exit_code=6)
    assert result.stderr == "facauth: nobody is enrolled as Ada; see facauth list\n"
    assert enrolled.keeping.everything() == before


def test_a_name_can_change_only_its_case(enrolled: Facauth, photo: Photo) -> None:
    enrolled("rename", "barack", "Barack")
    assert enrolled.names() == {"Eileen": 1, "Barack": 1}
    assert enrolled("sign-in", photo(AGAIN)).stdout == "Barack\n"


def test_a_person_can_be_renamed_to_the_same_name(enrolled: Facauth) -> None:
    enrolled("rename", "Eileen", " Eileen ")
    assert enrolled.names() == {"Eileen": 1, "barack": 1}
