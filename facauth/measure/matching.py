"""Error rates of comparisons, with every person weighing the same. Pure functions.

Words and definitions follow ISO/IEC 19795-1 (biometric performance testing): the false match rate
(FMR) is the share of impostor comparisons that match, the false non-match rate (FNMR) the share of
genuine comparisons that do not; a comparison matches when its similarity is at or above the
threshold. Comparisons of one person are not independent, so intervals come from resampling
persons, not comparisons ("subset bootstrap": Bolle, Ratha, Pankanti, "Error analysis of pattern
recognition systems - the subsets bootstrap", Computer Vision and Image Understanding 93(1), 2004).

Persons are numbers from 0. `copies` says how often each of them is in a resample; all ones is the
data as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

# A rate that fewer different pairs of people show says little ("rule of 30": G. R. Doddington et
# al., "The NIST speaker recognition evaluation", Speech Communication 31, 2000).
MIN_PAIRS = 30
ROUNDING = 1e-9  # a sum of weights that misses a rate by less than this share of it meets it


@dataclass(frozen=True, slots=True, eq=False)
class Genuine:
    """Comparisons of two photos of one person, the most alike first.

    The weights of one person sum to 1.
    """

    similarity: Floats  # (n,), falling
    person: Ints  # (n,)
    weight: Floats  # (n,)


@dataclass(frozen=True, slots=True, eq=False)
class ImpostorTail:
    """The impostor comparisons at or above `floor`, the most alike first.

    All comparisons of one (enrolled, probe) pair of persons weigh 1 together, those below the
    floor included; they need not be kept, for what they weigh is known from the persons.
    """

    similarity: Floats  # (n,), falling
    enrolled: Ints  # (n,)
    probe: Ints  # (n,)
    weight: Floats  # (n,)
    enrollable: Bools  # (persons,): who is enrolled; everybody is a probe
    floor: float

    def cut(self, floor: float) -> ImpostorTail:
        """The tail above a higher floor."""
        return replace(self.cut_at(int((self.similarity >= floor).sum())), floor=floor)

    def cut_at(self, kept: int) -> ImpostorTail:
        """Its first comparisons."""
        return ImpostorTail(
            self.similarity[:kept],
            self.enrolled[:kept],
            self.probe[:kept],
            self.weight[:kept],
            self.enrollable,
            self.floor,
        )


def pair_weight(enrollable: Bools, copies: Ints | Floats) -> float:
    """How many ordered pairs of different persons a resample has, copies counted."""
    enrolled = (copies * enrollable).astype(np.float64)
    return float(enrolled.sum() * copies.sum() - (enrolled * copies).sum())


class Resample:
    """The false match rates of one resample, at many thresholds for one pass over the tail."""

    def __init__(self, tail: ImpostorTail, copies: Ints | None = None) -> None:
        """copies: of each person; None: the data as they are."""
        n = np.ones(len(tail.enrollable)) if copies is None else copies.astype(np.float64)
        weight = n.take(tail.enrolled)  # in place from here on: this is what a bootstrap waits for
        weight *= n.take(tail.probe)
        weight *= tail.weight
        self._tail, self._cumulated = tail, np.zeros(len(weight) + 1)
        weight.cumsum(out=self._cumulated[1:])
        self._pairs = pair_weight(tail.enrollable, n)

    def thresholds_at(self, fmrs: Floats) -> Floats:
        """(fmrs,): as threshold_at_fmr; NaN where the tail ends before."""
        allowed = fmrs * self._pairs * (1 + ROUNDING)
        first_too_many = np.searchsorted(self._cumulated[1:], allowed, side="right")
        similarity = self._tail.similarity
        there = first_too_many < len(similarity)
        just_below = np.full(len(fmrs), np.nan, similarity.dtype)
        just_below[there] = similarity[first_too_many[there]]
        found: Floats = np.nextafter(just_below, just_below.dtype.type(np.inf)).astype(np.float64)
        return found

    def fmrs_at(self, thresholds: Floats) -> Floats:
        """(thresholds,): as fmr_at; NaN where only one person is left."""
        if (thresholds < self._tail.floor).any():
            raise ValueError(f"{thresholds.min():g} is below the tail's floor {self._tail.floor:g}")
        matched = np.searchsorted(-self._tail.similarity, -thresholds, side="right")
        with np.errstate(invalid="ignore"):
            rates: Floats = self._cumulated[matched] / np.float64(self._pairs)
        return rates


def threshold_at_fmr(tail: ImpostorTail, fmr: float, copies: Ints | None = None) -> float:
    """The lowest threshold with a false match rate of at most `fmr`.

    Raises ValueError when the tail does not reach down to it.
    """
    (threshold,) = Resample(tail, copies).thresholds_at(np.array([fmr])).tolist()
    if np.isnan(threshold):
        raise ValueError(f"the tail ends before a false match rate of {fmr:g}")
    return float(threshold)


def fmr_at(tail: ImpostorTail, threshold: float, copies: Ints | None = None) -> float:
    """The false match rate at a threshold; raises ValueError when it is below the tail's floor."""
    return float(Resample(tail, copies).fmrs_at(np.array([threshold]))[0])


def fnmr_at(genuine: Genuine, threshold: float, copies: Ints | None = None) -> float:
    """The false non-match rate at a threshold."""
    return float(fnmrs_at(genuine, np.array([threshold]), copies)[0])


def fnmrs_at(genuine: Genuine, thresholds: Floats, copies: Ints | None = None) -> Floats:
    """(thresholds,): as fnmr_at, for several at once.

    NaN for a threshold that is none, and for a resample without genuine comparisons.
    """
    weight = genuine.weight if copies is None else genuine.weight * copies[genuine.person]
    cumulated = np.append(0.0, weight.cumsum())
    matched = np.searchsorted(-genuine.similarity, -thresholds, side="right")
    with np.errstate(invalid="ignore"):
        rates = (cumulated[-1] - cumulated[matched]) / cumulated[-1]
    return np.where(np.isnan(thresholds), np.nan, rates)


def matching_pairs(tail: ImpostorTail, threshold: float) -> int:
    """How many different pairs of persons ever match falsely: what a threshold rests on."""
    matched = tail.similarity >= threshold
    enrolled, probe = tail.enrolled[matched], tail.probe[matched]
    low, high = np.minimum(enrolled, probe), np.maximum(enrolled, probe)
    return len(np.unique(low * len(tail.enrollable) + high))


def normal_tail(thresholds: dict[float, float]) -> NormalDist:
    """The normal distribution whose upper tail fits thresholds by false match rate, least squares.

    To go a little beyond what was measured: impostor similarities above the 99th percentile are
    close to such a tail (on LFW within .002), and a threshold that rests on a handful of pairs
    rests on mislabelled photos.
    """
    deviates = [NormalDist().inv_cdf(1 - fmr) for fmr in thresholds]
    sigma, mean = np.polyfit(deviates, list(thresholds.values()), 1)
    return NormalDist(float(mean), float(sigma))


def best_threshold(similarity: Floats, same: Bools) -> float:
    """The threshold with the fewest errors on labelled pairs."""
    order = np.argsort(-similarity, kind="stable")
    falling = similarity[order]
    gained = np.cumsum(np.where(same[order], 1, -1))
    usable = np.append(falling[1:] < falling[:-1], True)  # a threshold cannot part equals
    best = int(np.argmax(np.where(usable, gained, -len(falling) - 1)))
    return float(falling[best]) if gained[best] > 0 else float(np.inf)


def fold_accuracy(similarity: Floats, same: Bools, fold: Ints) -> float:
    """Mean over folds of the share judged right with the best threshold of the other folds."""
    shares = []
    for held_out in np.unique(fold):
        test = fold == held_out
        threshold = best_threshold(similarity[~test], same[~test])
        shares.append(float(((similarity[test] >= threshold) == same[test]).mean()))
    return float(np.mean(shares))
