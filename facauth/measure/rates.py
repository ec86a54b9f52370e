"""Error rates with counts and 95 % intervals. Pure functions.

Trials of one person or one set-up are not independent. So where a rate comes from several of
them, the interval comes from resampling them as wholes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Ints = NDArray[np.integer[Any]]

LEVEL = 0.95
RESAMPLES = 1000
SEED = 20261122  # of the resamples: the same photos always give the same interval
HALVINGS = 60  # of [0, 1]: beyond the precision of a float
INTERVAL = "Clopper-Pearson's, 95 %; where nothing or everything went wrong, the rule of three"


class Method(StrEnum):
    """What an interval comes from."""

    NONE = "none"  # nothing was tried
    RULE_OF_THREE = "rule_of_three"  # no trial went wrong, or all of them did
    CLOPPER_PEARSON = "clopper_pearson"  # trials of one person or set-up, taken as independent
    BOOTSTRAP = "bootstrap_by_group"  # whole persons or set-ups, never narrower than the former


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, and the 95 % interval of the rate behind it."""

    count: int  # of the trials, those that the rate is about
    trials: int
    groups: int  # persons or set-ups that the trials come from
    interval: tuple[float, float]
    method: Method

    @property
    def estimate(self) -> float | None:
        """In [0, 1]; None where nothing was tried."""
        return self.count / self.trials if self.trials else None

    def within(self, maximum: float) -> bool:
        """Whether the estimate keeps to a limit; what is not known keeps to none."""
        return self.estimate is not None and self.estimate <= maximum


def rate(trials: Iterable[tuple[str, bool]]) -> Rate:
    """The rate of (group, whether it counts) trials."""
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for group, counted in trials:
        totals[group] += 1
        counts[group] += counted
    count, total = counts.total(), totals.total()
    if total == 0:
        return Rate(0, 0, 0, (0.0, 1.0), Method.NONE)
    low, high = interval(count, total)
    if count in (0, total):
        return Rate(count, total, len(totals), (low, high), Method.RULE_OF_THREE)
    if len(totals) == 1:
        return Rate(count, total, 1, (low, high), Method.CLOPPER_PEARSON)
    by_group = _resampled([counts[group] for group in totals], list(totals.values()))
    widest = min(low, by_group[0]), max(high, by_group[1])
    return Rate(count, total, len(totals), widest, Method.BOOTSTRAP)


def interval(count: int, trials: int) -> tuple[float, float]:
    """Of the rate behind count / trials (trials > 0), the trials being independent.

    Clopper and Pearson's (Biometrika 26, 1934); at none or all of the trials the rule of three
    (Hanley and Lippman-Hand, JAMA 249, 1983).
    """
    three = min(1.0, 3 / trials)
    if count == 0:
        return 0.0, three
    if count == trials:
        return 1 - three, 1.0
    return _lower(count, trials), 1 - _lower(trials - count, trials)


@cache
def _lower(count: int, trials: int) -> float:
    """The rate at which `count` or more of the trials have a chance of (1 - LEVEL) / 2."""
    import numpy as np

    k = np.arange(count, trials + 1)
    logs = np.concatenate([[0.0], np.log(np.arange(1, trials + 1)).cumsum()])  # of factorials
    ways = logs[trials] - logs[k] - logs[trials - k]
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        logs_of = ways + k * math.log(middle) + (trials - k) * math.log1p(-middle)
        below = float(np.exp(logs_of).sum()) < (1 - LEVEL) / 2
        low, high = (middle, high) if below else (low, middle)
    return low


def _resampled(counts: Sequence[int], totals: Sequence[int]) -> tuple[float, float]:
    """The interval of sum(counts) / sum(totals) when groups are drawn again."""
    import numpy as np

    wrong, tried = np.array(counts), np.array(totals)
    low, high = bootstrap_interval(
        lambda copies: np.array([copies @ wrong / (copies @ tried)]),
        len(tried),
        resamples=RESAMPLES,
        seed=SEED,
    )[:, 0]
    return float(low), float(high)


def bootstrap_interval(
    rates_of: Callable[[Ints], Floats],
    groups: int,
    *,
    resamples: int,
    seed: int,
    level: float = LEVEL,
    threads: int = 1,
) -> Floats:
    """(2, rates): the percentile interval of what `rates_of(copies)` gives on resampled groups.

    copies: how often each group, a person for example, is in a resample. One in which a rate is
    NaN says nothing of it; where all are, the interval is.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    draws = (random.integers(groups, size=groups) for _ in range(resamples))
    copies = (np.bincount(draw, minlength=groups) for draw in draws)
    with ThreadPoolExecutor(threads) as pool:  # large arrays: numpy lets them run side by side
        rates = np.stack(list((pool.map if threads > 1 else map)(rates_of, copies)))
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = np.full((2, rates.shape[1]), np.nan)
    for place, of_rate in enumerate(rates.T):
        known = of_rate[~np.isnan(of_rate)]
        if len(known):
            found[:, place] = np.quantile(known, ends)
    return found


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate that weighs every person the same, and its 95 % interval."""

    value: float
    interval: tuple[float, float]
    method: Method


def estimate(value: float, low: float, high: float, units: int) -> Estimate | None:
    """With a bootstrap interval, or what the rule of three leaves open if that is more.

    None for a rate that is NaN. units: persons or pairs of them that the rate comes from.
    """
    if math.isnan(value):
        return None
    if units < 2 or math.isnan(low):
        return Estimate(value, (0.0, 1.0), Method.NONE)
    three = min(1.0, 3 / units)
    method = Method.RULE_OF_THREE if value in (0, 1) else Method.BOOTSTRAP
    return Estimate(value, (min(low, value, 1 - three), max(high, value, three)), method)


def estimates(
    rates_of: Callable[[Ints | None], Floats], units: Sequence[int], groups: int, threads: int = 1
) -> list[Estimate | None]:
    """What `rates_of(copies)` gives, with intervals over resampled groups; None: as they are."""
    low, high = bootstrap_interval(
        rates_of, groups, resamples=RESAMPLES, seed=SEED, threads=threads
    ).tolist()
    found = rates_of(None).tolist()
    return [estimate(*each) for each in zip(found, low, high, units, strict=True)]


def worst(rates: Mapping[str, Rate]) -> str | None:
    """The name with the highest rate; of equal ones the one of which least is known."""
    known = {
        name: (each.estimate, each.interval[1] - each.interval[0])
        for name, each in rates.items()
        if each.estimate is not None
    }
    return max(known, key=lambda name: known[name], default=None)


def passing(live_scores: Sequence[float], thresholds: Floats) -> Floats:
    """(thresholds,): the share of scores at or above each; NaN never is, and none of none is."""
    import numpy as np

    scores = np.sort(np.nan_to_num(np.array(live_scores, np.float64), nan=-np.inf))
    above = len(scores) - np.searchsorted(scores, thresholds, side="left")
    return np.asarray(above / max(1, len(scores)))
