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


@pytest.mark.slow
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
            "facauth: the name cannot be used; give 1 to 128 printable characters\n"
        )
    assert facauth.keeping.is_untouched()


TYPED = {  # as somebody types or pastes it, and the name that it is
    "Persian, non-joiner": ("نامه\u200cای", "نامه\u200cای"),
    "Persian, with a vowel sign": ("نامهِ\u200cای", "نامهِ\u200cای"),
    "Sinhala, joiner": ("ශ\u0dca\u200dරී", "ශ\u0dca\u200dරී"),
    "Kannada, non-joiner": ("ರಾಜ್\u200cಕುಮಾರ್", "ರಾಜ್\u200cಕುಮಾರ್"),
    "a joiner among Latin letters": ("Ada\u200dLove\u200clace", "AdaLovelace"),
    "a joiner at the end": ("نامه\u200c", "نامه"),
    "ideographic space": ("李\u3000小龙", "李 小龙"),
    "no-break space": ("Ada\u00a0Lovelace\u00a0", "Ada Lovelace"),
    "thin space": ("Ada\u2009Lovelace", "Ada Lovelace"),
    "left-to-right mark": ("\u200eAda", "Ada"),
    "soft hyphen": ("Love\u00adlace", "Lovelace"),
    "byte order mark": ("\ufeffAda", "Ada"),
    "a mark within a letter": ("Zoe\u00ad\u0308", "Zoë"),
}


@pytest.mark.parametrize(("typed", "name"), TYPED.values(), ids=TYPED)
def test_what_is_not_seen_makes_no_other_name(
    facauth: Facauth, photo: Photo, typed: str, name: str
) -> None:
    facauth("register", typed, photo(FIRST))
    assert facauth.names() == {name: 1}
    for same in (typed, name, name.replace("\u200c", "").replace("\u200d", "")):
        assert facauth("sign-in", photo(AGAIN), "--as", same).stdout == f"{name}\n"
    facauth("remove", typed, "--yes")
    assert facauth.names() == {}


def test_what_an_older_store_has_is_still_found(facauth: Facauth, photo: Photo) -> None:
    """Printable, though not seen: facauth 0.1 took such names."""
    for name in ("Ada\ufe0f", "Ada\u3164", "Ada  L", "Ada\u0301"):
        facauth("register", name, photo(FIRST))
        stored = unicodedata.normalize("NFC", name)
        assert facauth.names() == {stored: 1}
        assert facauth("sign-in", photo(AGAIN), "--as", name).stdout == f"{stored}\n"
        facauth("remove", name, "--yes")


ALIKE = [
    ("Ada", "Аdа"),  # Cyrillic
    ("Bob", "Воb"),
    ("ADA", "аdа"),  # in lower case
    ("Nora", "Νora"),  # Greek
    ("Ian", "lan"),
    ("O'Neil 10", "O'Neil 1O"),
    ("Ada", "Ａｄａ"),  # wide
    ("Ada", "Ada\ufe0f"),
    ("Ada Lovelace", "Ada  Lovelace"),
]


@pytest.mark.parametrize(("enrolled", "other"), ALIKE)
def test_a_name_that_looks_like_another_is_pointed_out(
    facauth: Facauth, photo: Photo, enrolled: str, other: str
) -> None:
    note = f"the name {other} looks like that of {enrolled}"
    facauth("register", enrolled, photo(FIRST))
    assert f"facauth: {note}\n" in facauth("register", other, photo(JOE)).stderr
    facauth("export", other, "joe", "--plain")
    facauth("remove", other, "--yes")
    assert note in facauth("import", "joe", "--json").json["notes"]
    assert "looks like" not in facauth("rename", other, "Somebody Else").stderr
    assert note in facauth("rename", "Somebody Else", other, "--json").json["notes"]
    assert "looks like" not in facauth("sign-in", photo(AGAIN)).stderr


@pytest.mark.parametrize(("enrolled", "other"), [("Ian", "Lan"), ("Ada", "Adam"), ("Zoë", "Zoe")])
def test_names_that_look_different_are_let_be(
    facauth: Facauth, photo: Photo, enrolled: str, other: str
) -> None:
    facauth("register", enrolled, photo(FIRST))
    assert "looks like" not in facauth("register", other, photo(JOE)).stderr


def test_nobody_can_claim_an_impossible_name(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Ada", photo(FIRST))
    result = facauth("sign-in", photo(AGAIN), "--as", "Ada\u202e", exit_code=2)
    assert (result.stdout, "the name cannot be used" in result.stderr) == ("", True)


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
