"""Values are checked once, when they are made, and do not change."""

from __future__ import annotations

import unicodedata
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth.errors import UsageProblem
from facauth.records import PersonName
from facauth.structs import Encoding, LiveVerdict, Quality


def unit() -> Encoding:
    return Encoding("test/1", np.eye(256, dtype=np.float32)[3])


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text", "key"),
    [
        ("Ada", "Ada", "ada"),
        ("  Ada Lovelace\n", "Ada Lovelace", "ada lovelace"),
        ("Zoe\u0308", "Zoë", "zoë"),
        ("Straße", "Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("李小龍", "李小龍", "李小龍"),
        ("-x", "-x", "-x"),
        ("x" * 128, "x" * 128, "x" * 128),
        ("O'Brien; DROP TABLE", "O'Brien; DROP TABLE", "o'brien; drop table"),
    ],
)
def test_a_name_as_shown_and_as_compared(raw: str, text: str, key: str) -> None:
    name = PersonName.parse(raw)
    assert (name.text, name.key) == (text, key)


@pytest.mark.parametrize(
    "raw",
    ["", " ", "\n\t", "x" * 129, "a\nb", "a\0b", "\x1b[31m", "\u202eada", "\u200b", "\udcff"],
)
def test_what_is_no_name(raw: str) -> None:
    with pytest.raises(UsageProblem) as refusal:
        PersonName.parse(raw)
    (reason,) = refusal.value.reasons
    assert reason.code == "name.invalid"
    assert str(reason).isprintable()


@pytest.mark.slow
@given(st.text(max_size=140))
def test_a_name_stays_what_it_is(raw: str) -> None:
    try:
        name = PersonName.parse(raw)
    except UsageProblem:
        return
    assert PersonName.parse(name.text) == name
    assert name.text.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert 1 <= len(name.text) <= 128
    assert PersonName.parse(unicodedata.normalize("NFD", name.text)).key == name.key
    name.text.encode()  # what SQLite and a terminal get


@given(st.text(max_size=140))
def test_a_name_of_an_older_store_is_the_same_name(raw: str) -> None:
    """As facauth 0.1 had it: trimmed, NFC, printable."""
    old = unicodedata.normalize("NFC", raw.strip())
    if 1 <= len(old) <= 128 and old.isprintable():
        key = unicodedata.normalize("NFC", old.casefold())
        assert PersonName.parse(old) == PersonName(old, key)


@given(st.text("abcäöüßéAΣσςİı", min_size=1, max_size=8))
def test_case_does_not_make_another_person(raw: str) -> None:
    names = [PersonName.parse(each) for each in (raw, raw.swapcase(), raw.casefold())]
    assert {name.key for name in names} - {names[0].key} == set() or set(raw) & set("İı")


# --- encodings -----------------------------------------------------------------------------------


def test_an_encoding_cannot_be_changed() -> None:
    encoding = unit()
    with pytest.raises(ValueError, match="read-only"):
        encoding.vector[0] = 1
    with pytest.raises(FrozenInstanceError):
        encoding.contract = "other"  # type: ignore[misc]


def test_an_encoding_does_not_compare_by_accident() -> None:
    assert unit() != unit()


def test_stored_bytes_have_one_order() -> None:
    assert unit().as_bytes() == np.eye(256)[3].astype("<f4").tobytes()
    assert len(unit().as_bytes()) == 1024


@pytest.mark.parametrize("length", [0.998, 1.002, 0.0, np.nan, np.inf, -1.2])
def test_an_encoding_is_of_unit_length(length: float) -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="unit length"):
        Encoding("test/1", np.float32(length) * np.eye(256, dtype=np.float32)[0])


# --- others --------------------------------------------------------------------------------------


def test_there_are_three_verdicts() -> None:
    assert {str(verdict) for verdict in LiveVerdict} == {"live", "attack", "cannot_judge"}


def test_quality_is_numbers_only() -> None:
    assert {str(field.type) for field in fields(Quality)} <= {"float", "int"}
