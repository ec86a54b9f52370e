"""Limits: kept, missed, and unknown, which is missed."""

from __future__ import annotations

import math

import pytest

from facauth.errors import UsageProblem
from facauth.measure.gates import missed, require_shares
from facauth.measure.rates import Rate, rate

NONE, TENTH, UNKNOWN = (rate([("", False)] * 10), rate([("", n < 1) for n in range(10)]), rate([]))


def codes_and_texts(rates: dict[str, object], limit: float | None) -> list[str]:
    return [str(reason) for reason in missed("a.b", "APCER", rates, limit)]  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [None, 0.1, 0.5, 1.0])
def test_a_limit_is_kept_at_or_below_it(limit: float | None) -> None:
    assert missed("a.b", "APCER", {"print": NONE, "screen": TENTH}, limit) == []


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.0999])
def test_the_worst_misses_it(limit: float) -> None:
    (reason,) = missed("a.b", "APCER", {"print": NONE, "screen": TENTH}, limit)
    assert (reason.code, reason.message) == (
        "a.b",
        f"the APCER of screen is 10.0%, over {limit:.1%}",
    )


@pytest.mark.parametrize("rates", [{}, {"print": UNKNOWN}, {"screen": NONE, "print": UNKNOWN}])
def test_what_is_not_known_misses_every_limit(rates: dict[str, object]) -> None:
    assert len(codes_and_texts(rates, 1.0)) == 1
    assert codes_and_texts(rates, None) == []


@pytest.mark.parametrize("found", [TENTH, UNKNOWN])
def test_a_folder_cannot_send_orders_to_the_terminal(found: Rate) -> None:
    (text,) = codes_and_texts({"attack\x1b[2J": found}, 0.0)
    assert text.isprintable()
    assert "attack\\x1b[2J" in text


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan, math.inf])
def test_a_limit_is_a_share(share: float) -> None:
    with pytest.raises(UsageProblem, match="--max-apcer is not between 0 and 1"):
        require_shares(threshold=0.5, max_apcer=share)


def test_shares_and_what_is_not_given_pass() -> None:
    require_shares(threshold=0.0, max_apcer=1.0, max_bpcer=None)
