"""The contract with scripts: one exit code for each answer, one reason for each refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facauth import errors
from facauth.errors import ExitCode, FacauthError, Reason, shown

CONTRACT = {
    "OK": 0,
    "NO_MATCH": 1,
    "USAGE": 2,
    "ATTACK": 3,
    "UNUSABLE_IMAGE": 4,
    "LOCKED_OUT": 5,
    "CONFLICT": 6,
    "SETUP": 7,
    "PARTIAL": 8,
    "INTERNAL": 70,
    "UNWRITTEN": 74,
    "INTERRUPTED": 130,
}
REASON = Reason("test.code", "it happened", "do this")


def refusals() -> list[type[FacauthError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, FacauthError)
    ]


def test_exit_codes_do_not_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == CONTRACT


def test_no_refusal_looks_like_success() -> None:
    for refusal in refusals():
        assert refusal.exit_code in ExitCode
        assert refusal.exit_code != ExitCode.OK
        assert refusal.verdict


def test_each_refusal_has_its_own_code_and_verdict() -> None:
    assert len(refusals()) >= 7
    assert len({refusal.exit_code for refusal in refusals()}) == len(refusals())
    assert len({refusal.verdict for refusal in refusals()}) == len(refusals())


def test_no_refusal_catches_another() -> None:
    for refusal in refusals():
        assert refusal.__bases__ in {(FacauthError,), (Exception,)}


@pytest.mark.parametrize("kind", refusals())
def test_a_refusal_tells_its_reasons(kind: type[FacauthError]) -> None:
    other = Reason("test.other", "that too", "do that")
    refusal = kind(REASON, other)
    assert refusal.reasons == (REASON, other)
    assert str(refusal) == "it happened; do this | that too; do that"


@given(st.text())
def test_shown_text_is_printable_and_tells_texts_apart(text: str) -> None:
    assert shown(text).isprintable()
    if text.isprintable():
        assert shown(text) == text
    assert shown(shown(text)) == shown(text)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0001", "\\U000e0001"),
        ("Zoë 李 😀", "Zoë 李 😀"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, safe: str) -> None:
    assert shown(text) == safe
