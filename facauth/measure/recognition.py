"""How often faces are told apart right: on these photos' own thresholds, and on facauth's.

A threshold that is set on the photos it is measured on says what the encodings are worth; the
calibration's thresholds say what facauth does with them. Every person weighs the same
(measure/matching.py). Intervals: persons resampled, thresholds set anew in each resample where they
are set on these photos; where no comparison went wrong, or all did, the rule of three.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facauth.decision.calibration import Calibration
from facauth.errors import Reason, UsageProblem
from facauth.measure.comparisons import (
    EDGES,
    Gallery,
    floor_of,
    genuine_comparisons,
    impostor_comparisons,
    impostor_spread,
    mean_templates,
    single_photos,
)
from facauth.measure.encoded import Encodings
from facauth.measure.groups import CrossTabs, cross_tabs
from facauth.measure.identification import Identification, identified
from facauth.measure.matching import (
    MIN_PAIRS,
    Floats,
    Genuine,
    ImpostorTail,
    Ints,
    Resample,
    fnmrs_at,
    matching_pairs,
)
from facauth.measure.rates import Estimate, Method, Rate, estimates, rate

if TYPE_CHECKING:
    from facauth.measure.folders import Portrait

FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
DEPTH = 1.5  # times the highest rate: how far the tail reaches down, for resamples
EER_DEPTH = 3.0  # times the EER, likewise
MAX_SHARE = 0.1  # of the comparisons that are kept for an EER: 100 MB of 27 million
MIN_TAIL = 200_000  # comparisons; of fewer all are kept
MIN_PEOPLE = 10  # with a further photo, for a row on several enrolment photos that nobody asked for
USUAL_PHOTOS = (1, 3)


@dataclass(frozen=True, slots=True)
class Shown:
    """FNMR at a threshold that these photos set."""

    fmr: float
    pairs: int  # of people that match falsely: what the threshold rests on
    min_similarity: float | None  # None, as the next, where fewer than MIN_PAIRS pairs show it
    fnmr: Estimate | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What happens at the threshold that facauth's calibration sets for a rate."""

    asked_fmr: float
    min_similarity: float | None  # None, as the rates, where the calibration supports no such rate
    fmr: Estimate | None
    pairs: int  # of people that match falsely
    fnmr: Estimate | None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What is measured with k enrolment photos."""

    photos: int
    enrolled: int  # people with as many photos
    people: int  # of them, with a photo more: those with genuine comparisons
    genuine: int  # comparisons, ordered, as are the next
    impostor: int
    pairs: int  # different pairs of people compared
    eer: Estimate | None
    shown: tuple[Shown, ...]
    kept: tuple[Kept, ...]
    fmrs: Floats  # (EDGES,): at each of these thresholds
    fnmrs: Floats  # (EDGES,); NaN without genuine comparisons


# ---- comparisons


def gallery_of(found: Encodings, photos: int, *, count_fta: bool = False) -> Gallery | None:
    """Templates of so many photos each; None where nobody has them, or nobody else is there."""
    if len(found.names) < 2 or np.bincount(found.person).max() < photos:
        return None
    made = (
        single_photos(found.vectors, found.person)
        if photos == 1
        else mean_templates(found.vectors, found.person, photos)
    )
    if not count_fta:
        return made
    numbers = [person for person, _ in refused_of(found)]
    return replace(made, failed=np.bincount(numbers, minlength=len(found.names)).astype(np.int64))


def refused_of(found: Encodings) -> list[tuple[int, str]]:
    """(person, file) of each photo that a sign-in refuses, of people who have another."""
    number = {name: place for place, name in enumerate(found.names)}
    known = [photo for photo in found.refused() if photo.person in number]
    return [(number[photo.person], photo.file) for photo in known]


def numbers_of_photos(found: Encodings, wanted: int) -> list[int]:
    """Of enrolment photos: the usual ones, as far as enough people have them, and the wanted."""
    further = np.bincount(found.person) if len(found.person) else np.zeros(0)
    usual = [k for k in USUAL_PHOTOS if k == 1 or (further > k).sum() >= MIN_PEOPLE]
    return sorted({*usual, wanted})


def measured(gallery: Gallery, at_fmr: float, calibration: Calibration) -> Row:
    """At FMRS and one rate more."""
    k = gallery.members.shape[1]
    asked = sorted({*FMRS, at_fmr}, reverse=True)
    limits = calibrated(asked, k, calibration)
    genuine = genuine_comparisons(gallery)
    spread, missed = impostor_spread(gallery), _spread_of(genuine)
    eer = _equal_error_rate(spread, missed)
    tail = impostor_comparisons(gallery, _floor(gallery, spread, [*asked, eer or 0], limits))
    enrolled = int(tail.enrollable.sum())
    own = int((gallery.templates_each() * gallery.photos_each()).sum())
    shown, kept, equal = _rates(genuine, tail, asked, limits)
    return Row(
        photos=k,
        enrolled=enrolled,
        people=len(np.unique(genuine.person)),
        genuine=len(genuine.similarity),
        impostor=len(gallery.owner) * len(gallery.person) - own,
        pairs=_pairs(tail),
        eer=equal or (None if eer is None else Estimate(eer, (0.0, 1.0), Method.NONE)),
        shown=shown,
        kept=kept,
        fmrs=spread,
        fnmrs=missed,
    )


def calibrated(fmrs: list[float], photos: int, calibration: Calibration) -> Floats:
    """(fmrs,): the thresholds of a calibration; NaN for what it does not support."""
    return np.array([_calibrated(fmr, photos, calibration) for fmr in fmrs])


def _calibrated(fmr: float, photos: int, calibration: Calibration) -> float:
    try:
        return float(calibration.min_similarity(fmr, np.array([photos]))[0])
    except UsageProblem:
        return float("nan")


def _floor(gallery: Gallery, spread: Floats, rates: list[float], limits: Floats) -> float:
    """rates: those asked for, the highest first, and the EER."""
    comparisons = len(gallery.owner) * len(gallery.person)
    eer = min(MAX_SHARE, EER_DEPTH * rates[-1])
    share = min(1.0, max(DEPTH * rates[0], eer, MIN_TAIL / comparisons))
    return float(np.nanmin([floor_of(spread, share), *limits]))


def _pairs(tail: ImpostorTail) -> int:
    """Different pairs of people of whom at least one can be enrolled."""
    enrolled, everybody = int(tail.enrollable.sum()), len(tail.enrollable)
    return enrolled * (everybody - enrolled) + enrolled * (enrolled - 1) // 2


# ---- rates


def _rates(
    genuine: Genuine, tail: ImpostorTail, asked: list[float], limits: Floats
) -> tuple[tuple[Shown, ...], tuple[Kept, ...], Estimate | None]:
    fmrs, usable = np.array(asked), np.nan_to_num(limits, nan=np.inf)
    edges = EDGES[tail.floor <= EDGES]

    def rates_of(copies: Ints | None) -> Floats:
        impostors = Resample(tail, copies)
        own = fnmrs_at(genuine, impostors.thresholds_at(fmrs), copies)
        realised = np.where(np.isnan(limits), np.nan, impostors.fmrs_at(usable))
        eer = _equal_error_rate(impostors.fmrs_at(edges), fnmrs_at(genuine, edges, copies))
        equal = [np.nan if eer is None else eer]
        return np.concatenate([own, realised, fnmrs_at(genuine, limits, copies), equal])

    people, n = len(np.unique(genuine.person)), len(asked)
    units = [people] * n + [_pairs(tail)] * n + [people] * n + [people]
    found = estimates(rates_of, units, len(tail.enrollable), os.cpu_count() or 1)
    own, realised, missed = found[:n], found[n : 2 * n], found[2 * n : 3 * n]
    set_here = Resample(tail).thresholds_at(fmrs)
    shown = [_shown(tail, *each) for each in zip(asked, set_here.tolist(), own, strict=True)]
    pairs = [matching_pairs(tail, limit) for limit in usable.tolist()]
    thresholds = [None if np.isnan(limit) else limit for limit in limits.tolist()]
    kept = map(Kept, asked, thresholds, realised, pairs, missed)
    return tuple(shown), tuple(kept), found[-1]


def _shown(tail: ImpostorTail, fmr: float, threshold: float, fnmr: Estimate | None) -> Shown:
    pairs = 0 if np.isnan(threshold) else matching_pairs(tail, threshold)
    if pairs < MIN_PAIRS:
        return Shown(fmr, pairs, None, None)
    return Shown(fmr, pairs, threshold, fnmr)


def _spread_of(genuine: Genuine) -> Floats:
    """(EDGES,): the false non-match rate at each."""
    if not len(genuine.similarity):
        return np.full(len(EDGES), np.nan)
    below = np.searchsorted(EDGES, genuine.similarity, side="right")  # from there on it is missed
    weight = np.bincount(below, genuine.weight, len(EDGES) + 1)[: len(EDGES)]
    rates: Floats = weight.cumsum() / genuine.weight.sum()
    return rates


def _equal_error_rate(fmrs: Floats, fnmrs: Floats) -> float | None:
    """Where the two are equal, or nearest to it.

    None without genuine comparisons, and where the two meet at a lower threshold than these.
    """
    if not (fmrs >= fnmrs).any():  # NaN never is
        return None
    place = int(np.abs(fmrs - fnmrs).argmin())
    return float(fmrs[place] + fnmrs[place]) / 2


# ---- everything


@dataclass(frozen=True, slots=True, eq=False)
class MatchEvaluation:
    """All figures of one folder."""

    people: int
    photos: int  # that are images
    fte: Rate  # of them, those that cannot be used: failures to enrol
    failures: dict[str, int]  # reason code -> photos; a photo may have several
    unreadable: tuple[tuple[Portrait, tuple[str, ...]], ...]  # no images
    at_fmr: float  # the rate that a limit, and the groups, are about
    enrolment_photos: int  # as are these
    count_fta: bool  # whether a photo that a sign-in refuses counts as missed
    rows: tuple[Row, ...]
    gallery: Identification | None
    groups: CrossTabs | None

    @property
    def row(self) -> Row | None:
        """The one with the enrolment photos asked for."""
        return next((row for row in self.rows if row.photos == self.enrolment_photos), None)


def evaluate(
    found: Encodings,
    *,
    calibration: Calibration,
    at_fmr: float,
    photos: int,
    gallery: int | None = None,
    group_of: dict[str, str] | None = None,
    count_fta: bool = False,
) -> MatchEvaluation:
    """The rates of what was encoded; galleries of this size, groups of these files if given.

    count_fta: a photo that a sign-in refuses is one that misses its person.
    """
    found = replace(found, vectors=calibration.space.of(found.vectors))
    numbers = numbers_of_photos(found, photos)
    made = {k: gallery_of(found, k, count_fta=count_fta) for k in numbers}
    own = made[photos]
    (limit,) = calibrated([at_fmr], photos, calibration).tolist()
    good = [(found.names[person], False) for person in found.person.tolist()]
    unreadable = tuple(each for each in found.failed if each[1][0].startswith("image."))
    bad = [(photo.person, True) for photo in found.refused()]
    refused = (codes for _, codes in found.failed if not codes[0].startswith("image."))
    codes = Counter(code for codes in refused for code in codes)
    lost = refused_of(found) if count_fta else []
    return MatchEvaluation(
        people=len({*found.names, *(photo.person for photo, _ in found.failed)}),
        photos=len(good) + len(bad),
        fte=rate([*good, *bad]),
        failures=dict(sorted(codes.items())),
        unreadable=unreadable,
        at_fmr=at_fmr,
        enrolment_photos=photos,
        count_fta=count_fta,
        rows=tuple(measured(each, at_fmr, calibration) for each in made.values() if each),
        gallery=identified(own, gallery, calibration) if own and gallery else None,
        groups=cross_tabs(own, found.files, group_of, limit, lost) if own and group_of else None,
    )


def missed(found: MatchEvaluation, limit: float | None) -> list[Reason]:
    """Why the limit of the FNMR is missed; a rate of which nothing is known keeps to none."""
    if limit is None:
        return []
    kept = found.row.kept if found.row else ()
    fnmr = next((each.fnmr for each in kept if each.asked_fmr == found.at_fmr), None)
    what = f"the FNMR at facauth's threshold for FMR {found.at_fmr:g}"
    if fnmr is None:
        advice = "add photos of people who have one already"
        return [Reason("evaluate.fnmr", f"{what} is unknown", advice)]
    if fnmr.value <= limit:
        return []
    message = f"{what} is {fnmr.value:.2%}, over {limit:.2%}"
    return [Reason("evaluate.fnmr", message, "see the table, or --json")]
