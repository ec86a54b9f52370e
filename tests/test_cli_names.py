"""What a name can be: anything printable, and no two people have the same but for case."""

from __future__ import annotations

import unicodedata

import pytest
from conftest import Facauth, Photo

FIRST, AGAIN, JOE = "obama_2009.jpg", "obama_2010.jpg", "biden_2010.jpg"

ORDINARY = [
    "Ada Lovelace",
    "Zoë Ångström",
    "李小龙",
    "Łucja 🦊",
    "[red]",
    "[bold red]x[/]",
    "=cmd()",
    "@SUM(1)",
    "O'Brien; DROP TABLE people;--",
    '"quoted", with comma',
    "%s {0} \\n",
    "../../etc/passwd",
    "a" * 128,
]
IMPOSSIBLE = {
    "empty": "",
    "only spaces": "   ",
    "129 characters": "a" * 129,
    "a line break": "Ada\nLovelace",
    "a tab": "Ada\tLovelace",
    "an escape sequence": "\x1b[31mAda",
    "a NUL": "Ada\0",
    "right-to-left override": "Ada\u202egpj.exe",
    "a zero-width space": "Ada\u200bLovelace",
    "a lone surrogate": "Ada\udcff",
    "a line separator": "Ada\u2028Lovelace",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_is_just_a_name(facauth: Facauth, photo: Photo, name: str) -> None:
    facauth("register", "--", name, photo(FIRST))
    assert facauth("sign-in", photo(AGAIN)).stdout == f"{name}\n"
    assert facauth("list", "--json").json["people"][0]["name"] == name
    assert facauth("list").stdout.startswith(f"{name}\t1\t")


@pytest.mark.parametrize("name", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_name_is_refused_and_nothing_is_made(
    facauth: Facauth, photo: Photo, name: str
) -> None:
    for command in (
        ("register", name, photo(FIRST)),
        ("remove", name, "--yes"),
        ("rename", name, "Ada"),
        ("rename", "Ada", name),
    ):
        result = facauth(*command, exit_code=2)
        assert result.stdout == ""
        assert result.stderr == (
            "facauth: that name cannot be used; give 1 to 128 printable characters\n"
        )
    assert not facauth.store.parent.exists()


def test_nobody_can_claim_an_impossible_name(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Ada", photo(FIRST))
    result = facauth("sign-in", photo(AGAIN), "--as", "Ada\u202e", exit_code=2)
    assert (result.stdout, "that name cannot be used" in result.stderr) == ("", True)


def test_spaces_around_a_name_do_not_count(facauth: Facauth, photo: Photo) -> None:
    assert facauth("register", "  Ada ", photo(FIRST)).stdout == "registered Ada (1 photo)\n"
    assert facauth("sign-in", photo(AGAIN), "--as", " Ada\n").stdout == "Ada\n"
    assert facauth.names() == {"Ada": 1}


def test_two_spellings_of_one_letter_are_one_name(facauth: Facauth, photo: Photo) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    facauth("register", decomposed, photo(FIRST))
    assert facauth.names() == {composed: 1}
    assert facauth("sign-in", photo(AGAIN), "--as", decomposed).stdout == f"{composed}\n"
    facauth("register", composed, photo(JOE), exit_code=6)


@pytest.mark.parametrize(("enrolled", "same"), [("Ada", "aDA"), ("Strauß", "STRAUSS")])
def test_case_makes_no_other_name(facauth: Facauth, photo: Photo, enrolled: str, same: str) -> None:
    facauth("register", enrolled, photo(FIRST))
    facauth("register", same, photo(JOE), exit_code=6)
    assert facauth("sign-in", photo(AGAIN), "--as", same).stdout == f"{enrolled}\n"
    assert facauth("remove", same, "--yes").stdout == f"removed {enrolled}\n"
    assert facauth.names() == {}


def test_a_name_that_looks_like_an_option_needs_two_dashes(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "--json-x", photo(FIRST), exit_code=2)
    facauth("register", "--", "--json-x", photo(FIRST))
    assert facauth.names() == {"--json-x": 1}
