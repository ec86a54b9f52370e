"""Limits that an evaluation must keep to, as a gate for automatic checks."""

from __future__ import annotations

from collections.abc import Mapping

from facauth.errors import Reason, UsageProblem, shown
from facauth.measure.rates import Rate, worst


def require_shares(**options: float | None) -> None:
    """Raises UsageProblem unless the value of each option is in [0, 1], or was not given."""
    for name, value in options.items():
        if value is not None and not 0 <= value <= 1:  # NaN is not
            message = f"--{name.replace('_', '-')} is not between 0 and 1"
            raise UsageProblem(Reason("evaluate.rate", message, "give 0.05 for 5 %"))


def missed(code: str, what: str, rates: Mapping[str, Rate], limit: float | None) -> list[Reason]:
    """Why the worst of these rates misses its limit; nothing if it keeps to it, or there is none.

    A rate that could not be measured keeps to no limit.
    """
    if limit is None:
        return []
    unknown = [name for name, each in rates.items() if each.estimate is None]
    name = unknown[0] if unknown else worst(rates)
    if name is None:
        return [Reason(code, f"there is nothing to measure the {what} on", "add photos")]
    estimate = rates[name].estimate
    if estimate is None:
        return [
            Reason(
                code, f"the {what} of {shown(name)} is unknown: nothing was judged", "add photos"
            )
        ]
    if rates[name].within(limit):
        return []
    message = f"the {what} of {shown(name)} is {estimate:.1%}, over {limit:.1%}"
    return [Reason(code, message, "see which photos with --json")]
