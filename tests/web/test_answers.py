"""Which status says what, and what is not said at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from facauth.envelope import Answer
from facauth.errors import FacauthError, LockedOut, Reason, SetupProblem, UsageProblem
from facauth.store.faults import unfit
from facauth.web.answers import public_envelope, refusal_reply, reply_to
from facauth.web.openapi import API, STATUS_TEXT, Route
from facauth.web.refusals import CLIENT_TEXTS, STATUS, STATUS_OF_REASON, status_of

SOURCES = Path(__file__).parents[2] / "facauth"


def kinds(kind: type[FacauthError] = FacauthError) -> Iterator[type[FacauthError]]:
    """Every refusal there is."""
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


@pytest.mark.parametrize("kind", [*kinds()])
def test_every_refusal_has_a_status_that_is_no_success(kind: type[FacauthError]) -> None:
    status = status_of(kind(Reason("x", "y", "z")))
    assert status >= 400
    assert status in STATUS_TEXT


def test_the_statuses_are_those_of_the_table() -> None:
    assert {kind.__name__: status for kind, status in STATUS.items()} == {
        "NoMatch": 401,
        "Attack": 401,
        "UnusableImage": 400,
        "LockedOut": 429,
        "Conflict": 409,
        "UsageProblem": 422,
        "Forbidden": 403,
        "TooSlow": 408,
        "TooLarge": 413,
        "Busy": 503,
        "SetupProblem": 500,
        "FacauthError": 500,
    }


@pytest.mark.parametrize("code", [*STATUS_OF_REASON, *CLIENT_TEXTS])
def test_every_reason_that_is_named_exists(code: str) -> None:
    """A code that was renamed would fall back to another status, or to words about options."""
    texts = [path.read_text() for path in SOURCES.rglob("*.py") if path.parent != SOURCES / "web"]
    refusals = (SOURCES / "web" / "refusals.py").read_text()
    assert any(f'"{code}"' in text for text in texts) or f'Reason("{code}",' in refusals


@pytest.mark.parametrize("route", API, ids=lambda route: route.command)
def test_every_route_says_what_each_status_means(route: Route) -> None:
    assert set(route.statuses) <= set(STATUS_TEXT)


def refusing(refusal: FacauthError) -> None:
    def job(_: Answer) -> None:
        raise refusal

    reply_to("sign-in", job)


@pytest.mark.parametrize(
    "refusal",
    [
        SetupProblem(Reason("store.damaged", "/srv/x/store is damaged", "bring back a copy")),
        UsageProblem(Reason("match.unsupported_rate", "less than can be promised", "--fmr 1")),
    ],
)
def test_what_the_operator_did_is_not_told_to_the_client(refusal: FacauthError) -> None:
    with pytest.raises(type(refusal)):
        refusing(refusal)


def test_a_busy_store_is_told_without_its_path() -> None:
    busy = unfit("store.busy", Path("/srv/x/store"), "is held by another process", "try again")
    reply = refusal_reply(busy, Answer("sign-in"))
    assert (reply.status, reply.headers) == (503, {"Retry-After": "5"})
    assert "/srv" not in str(reply.body)


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1"), (29.01, "30"), (None, "3600")])
def test_how_long_to_wait(seconds: float | None, said: str) -> None:
    refusal = LockedOut(Reason("limit.delay", "x", "y"), retry_after_s=seconds)
    assert refusal_reply(refusal, Answer("sign-in")).headers["Retry-After"] == said


def test_no_advice_speaks_of_options_or_commands() -> None:
    for message, advice in CLIENT_TEXTS.values():
        assert not re.search(r"--|facauth |/", f"{message} {advice}")


def test_an_envelope_for_everybody_has_the_fields_of_every_other() -> None:
    from facauth.envelope import envelope

    answer = Answer("sign-in", more={"retry_after_s": None})
    assert list(public_envelope(answer)) == list(envelope(answer))
