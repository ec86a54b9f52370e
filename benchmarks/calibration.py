"""The shipped map from similarity to false match rate, and a test of it on other people.

    python benchmarks/calibration.py FOLDER [--cache FILE] [--processes N] [--at-most N] [--write]

FOLDER holds PERSON/IMAGE, such as LFW; encodings come from recognition.py, whose cache it shares.
With --write it replaces facauth/decision/calibration.json, and its hash in the manifest. The tables
are cross-validation over people: calibrated on some, measured on comparisons among all others.

The file also holds the space in which faces are compared (facauth/decision/space.py): its centre is
the mean of all people, and worst_group.py shows why it is what it is.

How the map is made, for each number of enrolment photos (all are compared as their mean), here and
in facauth/measure/calibrating.py:
- Women, men (groups.py) and everybody together have a map each. At each point the strictest counts.
- A rate that at least MIN_PAIRS different pairs of people show is measured: every ordered pair of
  people weighs the same ("rule of 30": G. R. Doddington et al., "The NIST speaker recognition
  evaluation", Speech Communication 31, 2000).
- Below it goes on from the last measured point, on a straight line over the normal deviate of the
  rate, with the slope that the points of single photos from FIT_FROM on have: the group's own, or
  everybody's if that is steeper, for it is measured further down. The alternative, a
  generalised Pareto tail (J. Pickands, Annals of Statistics 3, 1975), is fitted too: table
  "Beyond the data".
- A rate is hardly more than MAX_FACTOR times the one asked: the similarity is at least the upper
  end of the interval that the rate MAX_FACTOR times higher has.
- The means of ever more photos of a person approach a limit, linearly in 1 / photos: the last row.
- Intervals: 95 %, people resampled.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, groupby
from pathlib import Path
from typing import Any

import numpy as np
from groups import groups_of
from numpy.typing import NDArray
from recognition import FACE_RECOGNITION_DISTANCE, Encoded, encoded, setting
from weights import compile as compiling

from facauth.decision import calibration as shipped
from facauth.decision.space import DECIMALS, Space
from facauth.faces.encode import fuse
from facauth.measure.calibrating import (
    EVERYBODY,
    FMRS,
    PHOTOS,
    RESAMPLES,
    SUSPECT_FMR,
    GroupMap,
    Impostors,
    Row,
    deviates,
    galleries,
    impostors,
    lowest_shown,
    strictest,
    suspects,
)
from facauth.measure.comparisons import (
    SEED,
    Gallery,
    floor_for,
    genuine_comparisons,
    mean_templates,
    unit,
)
from facauth.measure.matching import (
    Bools,
    Floats,
    ImpostorTail,
    Ints,
    Resample,
    fmr_at,
    matching_pairs,
    normal_tail,
    pair_weight,
)
from facauth.networks import Checked, Networks
from facauth.settings import CALIBRATION

FIT_FROM = 1e-2
# Chosen after looking at this data's tables, as was the line: from 6 % of the people 3.5 decades
# down, "Beyond the data" has 1.8 times the rate asked on average, on two or three pairs of people.
MAX_DECADES = 3.0  # below the lowest rate that everybody together shows
MAX_FACTOR = 10.0  # the upper end of a rate's interval over the rate, where one is supported
HALVINGS = 30
SPACE_DLIB_WEIGHT = 0.15  # of the similarity; see worst_group.py

# The pairs of suspects() whose pictures show that a name is wrong. All others stay in: two women,
# twin sisters.
WRONG_LABELS = {
    ("Carlos_Ruckauf", "Eduardo_Duhalde"): "the only photo of the first shows the second",
    ("Flor_Montulo", "Nora_Bendijo"): "photos of the two were swapped",
    ("Ruano_Pascual", "Virgina_Ruano_Pascal"): "one person, two spellings",
    ("Talisa_Bratt", "Talisa_Soto"): "one person, maiden name and married name",
}


# --- the map --------------------------------------------------------------------------------


def measured_thresholds(tail: ImpostorTail, people: Ints, fmrs: Floats) -> Floats:
    """The lowest thresholds with these rates; `people`: weight of each person."""
    thresholds = Resample(tail, people).thresholds_at(fmrs)
    if np.isnan(thresholds).any():
        raise ValueError(f"the tail ends before a false match rate of {fmrs.max():g}")
    return thresholds


def slope_of(tail: ImpostorTail, people: Ints, shown: float) -> float:
    """Similarity per normal deviate, over what is measured from FIT_FROM down to `shown`."""
    fmrs = FMRS[(shown <= FMRS) & (FMRS <= FIT_FROM)]
    points = zip(fmrs.tolist(), measured_thresholds(tail, people, fmrs).tolist(), strict=True)
    return normal_tail(dict(points)).stdev


def curve(tail: ImpostorTail, people: Ints, fmrs: Floats, shown: float, slope: float) -> Floats:
    """(fmrs,): thresholds, measured down to `shown`, from there on a line over the deviates."""
    measured = measured_thresholds(tail, people, fmrs[fmrs >= shown])
    beyond = deviates(fmrs[fmrs < shown]) - deviates(fmrs[fmrs >= shown][-1:])
    return np.concatenate([measured, measured[-1] + slope * beyond])


def pareto_curve(tail: ImpostorTail, people: Ints, fmrs: Floats) -> Floats:
    """Thresholds at `fmrs` by a generalised Pareto tail above FIT_FROM, maximum likelihood.

    For each ratio of shape and scale the likeliest shape is known (S. D. Grimshaw, Technometrics
    35, 1993), so one dimension is searched.
    """
    (start,) = measured_thresholds(tail, people, np.array([FIT_FROM]))
    above = tail.similarity > start
    excess, weight = tail.similarity[above] - start, tail.weight[above]
    share, edges = np.histogram(excess, bins=400, weights=weight / weight.sum())
    centre = (edges[1:] + edges[:-1]) / 2
    span = np.linspace(0.002, 1, 500)
    ratio = np.concatenate([-0.999 * span, 3 * span]) / excess.max()
    shapes = np.log1p(np.outer(ratio, centre)) @ share
    best = int(np.argmax(-np.log(shapes / ratio) - shapes))
    grown = np.expm1(shapes[best] * np.log(FIT_FROM / fmrs))
    thresholds: Floats = start + grown / ratio[best]
    return thresholds


def limit(curves: list[Floats]) -> Floats:
    """(..., FMRS): the limit of the rows of PHOTOS for ever more photos: from the last one, with
    the slope that they have over 1 / photos."""
    inverse = 1 / np.array(PHOTOS)
    centred = inverse - inverse.mean()
    slope = np.tensordot(centred, np.stack(curves), 1) / (centred**2).sum()
    further: Floats = curves[-1] - slope / PHOTOS[-1]
    return further


def curves(
    tails: dict[int, ImpostorTail], people: Ints, shown: dict[int, float], least: float = 0.0
) -> Floats:
    """(PHOTOS + 1, FMRS): a curve for each of PHOTOS, then for the limit; least: slope."""
    slope = max(least, slope_of(tails[1], people, shown[1]))
    made = [curve(tails[k], people, FMRS, shown[k], slope) for k in PHOTOS]
    return np.stack([*made, limit(made)])


def map_of(single: Impostors) -> Floats:
    """(FMRS,): the curve of single photos."""
    tail, everybody = single.tail, np.ones(len(single.tail.enrollable), np.int64)
    shown = lowest_shown(tail, everybody)
    return curve(tail, everybody, FMRS, shown, slope_of(tail, everybody, shown))


def sure(similarity: Floats, resampled: Floats) -> Floats:
    """(rows, FMRS): at least the upper end that a rate MAX_FACTOR times higher has."""
    steps = int(np.flatnonzero(np.isclose(FMRS[0] / FMRS, MAX_FACTOR)).item())
    upper = np.quantile(resampled, 0.975, axis=0)
    made = similarity.copy()
    made[:, steps:] = np.maximum(made[:, steps:], upper[:, :-steps])
    return made


def group_map(name: str, data: dict[int, Impostors], part: Bools, least: float) -> GroupMap:
    """For PHOTOS, then for the limit: of these people among each other; least: slope."""
    tails = {k: each.among(part).tail for k, each in data.items()}
    number, members = len(part), np.flatnonzero(part)
    shown = {k: lowest_shown(tail, part.astype(np.int64)) for k, tail in tails.items()}
    random = np.random.default_rng(SEED)
    draws = (members[random.integers(len(members), size=len(members))] for _ in range(RESAMPLES))
    resampled = np.stack(
        [curves(tails, np.bincount(d, minlength=number), shown, least) for d in draws]
    )
    return GroupMap(
        name,
        np.array([*(int(tails[k].enrollable.sum()) for k in PHOTOS), 0]),
        np.array([*(shown[k] for k in PHOTOS), np.inf]),
        sure(curves(tails, part.astype(np.int64), shown, least), resampled),
        resampled,
        tails,
    )


def all_rows(data: dict[int, Impostors], groups: dict[str, Bools]) -> list[Row]:
    """The map for PHOTOS, then for the limit: the strictest of everybody's and the groups'."""
    single = data[1].tail
    everybody = np.ones(len(single.enrollable), bool)
    whole = everybody.astype(np.int64)
    slope = slope_of(single, whole, lowest_shown(single, whole))
    maps = [group_map(EVERYBODY, data, everybody, 0.0)]
    maps += [group_map(name, data, part, slope) for name, part in groups.items()]
    return strictest(maps, [*PHOTOS, None])


def lowest_supported(rows: list[Row], shown: float) -> float:
    """The lowest rate that may be asked for; see MAX_DECADES and MAX_FACTOR.

    shown: the lowest one that everybody together shows, whose slope is the least of all maps.
    """
    deepest = 0.99 * shown / 10**MAX_DECADES
    kept = np.all([row.fmr_interval[1] <= 1.01 * MAX_FACTOR * FMRS for row in rows], axis=0)
    return float(FMRS[kept & (deepest <= FMRS)].min())


# --- does it keep its word? -----------------------------------------------------------------


DEEP: Floats = FMRS[FMRS <= FIT_FROM]


def splits(people: int, share: float, repeats: int) -> Iterator[tuple[Bools, Bools]]:
    """Disjoint parts of the people: to calibrate on, and to measure on."""
    random = np.random.default_rng(SEED)
    for _ in range(repeats):
        part = np.zeros(people, bool)
        part[random.permutation(people)[: round(people * share)]] = True
        yield part, ~part


def halves(people: int) -> Iterator[tuple[Bools, Bools]]:
    """Each half of the people once for either purpose, HALVINGS times."""
    for one, other in splits(people, 0.5, HALVINGS):
        yield one, other
        yield other, one


def at(fmr: float, thresholds: Floats) -> float:
    """The threshold for any rate, as facauth.decision.calibration reads the map."""
    return float(np.interp(-np.log10(fmr), -np.log10(DEEP), thresholds))


def by_line(data: dict[int, Impostors], photos: int, part: Bools, least: float = 0.0) -> Floats:
    """(DEEP,): the thresholds of one map, made with these people alone; least: slope."""
    people = part.astype(np.int64)
    tail, single = data[photos].among(part).tail, data[1].among(part).tail
    slope = max(least, slope_of(single, people, lowest_shown(single, people)))
    return curve(tail, people, DEEP, lowest_shown(tail, people), slope)


def by_strictest(
    data: dict[int, Impostors], photos: int, part: Bools, groups: dict[str, Bools]
) -> Floats:
    """(DEEP,): the thresholds of our map, made with these people alone."""
    single, people = data[1].among(part).tail, part.astype(np.int64)
    slope = slope_of(single, people, lowest_shown(single, people))
    made = [by_line(data, photos, part & each, slope) for each in groups.values()]
    strict: Floats = np.max([by_line(data, photos, part), *made], axis=0)
    return strict


def by_pareto(data: dict[int, Impostors], photos: int, part: Bools) -> Floats:
    """(DEEP,): the thresholds of the alternative."""
    return pareto_curve(data[photos].among(part).tail, part.astype(np.int64), DEEP)


def fpir(each: Impostors, threshold: float, people: Bools, size: int) -> float:
    """The share of strangers who pass for anybody, among `size` of these people with one template
    each; every probe person weighs the same, and `each` holds comparisons among `people` only.

    Exact for galleries that hold each of the others with the chance size / others: 1 - product of
    (1 - chance x share of that person's templates that the photo matches). Where there are fewer
    others than `size`, an upper bound: the sum.
    """
    gallery, tail = each.gallery, each.tail
    n = int((tail.similarity >= threshold).sum())
    number = len(gallery.photos_each())
    code = each.photo[:n].astype(np.int64) * number + tail.enrolled[:n]
    pairs, place = np.unique(code, return_inverse=True)
    matched = np.bincount(place, 1 / gallery.templates_each()[tail.enrolled[:n]], len(pairs))
    photo = pairs // number
    person = gallery.person[photo]
    chance = size / (tail.enrollable.sum() - tail.enrollable[person])
    if chance.max(initial=0) > 1:
        passed = np.bincount(photo, chance * matched, len(gallery.person))
    else:
        passed = 1 - np.exp(np.bincount(photo, np.log1p(-chance * matched), len(gallery.person)))
    of_people = passed / gallery.photos_each()[gallery.person]
    return min(1.0, float(of_people[people[gallery.person]].sum() / people.sum()))


def any_within(raw_dlib: NDArray[np.float32], gallery: Gallery) -> Impostors:
    """face_recognition's rule: a match with any enrolled photo at most so far away. Matches have
    similarity 1."""
    squares = (raw_dlib**2).sum(1)
    near = squares[:, None] + squares - 2 * raw_dlib @ raw_dlib.T <= FACE_RECOGNITION_DISTANCE**2
    rows = [near[members].any(0) for members in gallery.members]
    found = [(i, j) for i, one in enumerate(rows) for j in np.flatnonzero(one).tolist()]
    template, photo = np.array(found).T
    enrolled, probe = gallery.owner[template], gallery.person[photo]
    others = enrolled != probe
    templates = gallery.templates_each()
    weight = 1.0 / (templates[enrolled] * gallery.photos_each()[probe])
    ones = np.ones(len(found), np.float32)
    made = Impostors(
        ImpostorTail(ones, enrolled, probe, weight, templates > 0, 1.0), photo, gallery
    )
    return made.where(others, np.ones(len(templates), bool))


# --- the report -----------------------------------------------------------------------------

ASKED_FMRS: Floats = np.array([1e-3, 1e-4, 1e-5, 1e-6])
GALLERIES = (10, 100, 1000)
ASKED_FPIRS = (1e-3, 1e-2)


def spread(values: Floats) -> str:
    """Mean, and the middle 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    return f"{values.mean():8.2f} [{low:.2f}, {high:.2f}]"


def show_rows(rows: list[Row]) -> None:
    """The map itself."""
    print("\nThe map: similarity at a false match rate, [interval of the rate that it really has]")
    for each in rows:
        print(f"  photos: {each.photos or 'ever more'}; {each.people} people enrolled")
        for i, fmr in enumerate(FMRS.tolist()):
            low, high = each.fmr_interval[:, i]
            shown = np.broadcast_to(each.shown, FMRS.shape)[i]
            basis = f"{each.pairs[i]} pairs" if fmr >= shown else "extrapolated"
            print(
                f"    {fmr:7.1e}  {each.similarity[i]:.4f}  [{low:.1e}, {high:.1e}]"
                f"  {each.groups[i]}, {basis}"
            )


def show_depth(data: dict[int, Impostors]) -> None:
    """How far below the measured rates the map of few people holds."""
    print("\nBeyond the data: FMR among all other people over the rate asked, mean [middle 80 %]")
    print(" " * 52 + "".join(f"{fmr:<22.0e}" for fmr in ASKED_FMRS))
    for photos, share in ((1, 0.5), (1, 0.125), (1, 0.0625), (3, 0.5), (3, 0.125)):
        for name, made_by in (("line", by_line), ("Pareto", by_pareto)):
            ratios, shown = [], []
            for one, other in splits(len(data[1].tail.enrollable), share, 2 * HALVINGS):
                made, test = made_by(data, photos, one), data[photos].among(other).tail
                train, people = data[photos].among(one).tail, other.astype(np.int64)
                shown.append(lowest_shown(train, one.astype(np.int64)))
                limits = [at(fmr, made) for fmr in ASKED_FMRS.tolist()]
                ratios.append([fmr_at(test, limit, people) for limit in limits] / ASKED_FMRS)
            title = f"photos {photos}, {share:6.2%} of people, shown {np.median(shown):.0e}"
            print(f"  {title} {name:7}", *map(spread, np.array(ratios).T))


def show_more(fused: NDArray[np.float32], person: Ints, rows: list[Row]) -> None:
    """Whether the rates of the limit hold for more photos than any measured row has."""
    print("\nMore photos than measured: FMR over the rate asked, [pairs of people]")
    last, beyond = rows[len(PHOTOS) - 1], rows[-1]
    for photos in (8, 10, 15, 20):
        if not (np.bincount(person) > photos).any():
            break
        gallery = mean_templates(fused, person, photos)
        tail = impostors(gallery, float(last.similarity[FMRS == FIT_FROM][0])).tail
        share = PHOTOS[-1] / photos
        limits = share * last.similarity + (1 - share) * beyond.similarity
        cells = []
        for fmr in (1e-2, 1e-3, 1e-4):
            (limit,) = limits[fmr == FMRS].tolist()
            ratio, pairs = fmr_at(tail, limit) / fmr, matching_pairs(tail, limit)
            cells.append(f"{fmr:.0e}: {ratio:.2f} [{pairs}]")
        print(f"  photos {photos}, {int(tail.enrollable.sum())} people enrolled ", *cells)


FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What happens at thresholds that are made without either person of a comparison."""

    tail: ImpostorTail
    matched: Floats  # (FMRS asked, n): of the tail, 1 where a comparison matches
    missed: Floats  # (FMRS asked, people): FNMR; NaN without genuine comparisons

    @classmethod
    def of(
        cls, data: dict[int, Impostors], photos: int, groups: dict[str, Bools], asked: Floats
    ) -> HeldOut:
        """By FOLDS parts of the people."""
        tail = data[photos].tail
        fold = np.random.default_rng(SEED).permutation(len(tail.enrollable)) % FOLDS
        matched = np.zeros((len(asked), len(tail.similarity)))
        genuine = genuine_comparisons(data[photos].gallery)
        missed = np.full((len(asked), len(fold)), np.nan)
        for i, j in combinations_with_replacement(range(FOLDS), 2):
            made = by_strictest(data, photos, ~np.isin(fold, (i, j)), groups)
            enrolled, probe = fold[tail.enrolled], fold[tail.probe]
            here = ((enrolled == i) & (probe == j)) | ((enrolled == j) & (probe == i))
            for place, fmr in enumerate(asked.tolist()):
                matched[place, here] = tail.similarity[here] >= at(fmr, made)
                if i == j:
                    own = fold[genuine.person] == i
                    low = (genuine.similarity[own] < at(fmr, made)) * genuine.weight[own]
                    of = np.bincount(genuine.person[own], low, len(fold))
                    there = np.unique(genuine.person[own])
                    missed[place, there] = of[there]
        return cls(tail, matched, missed)

    def rates(self, part: Bools) -> tuple[Floats, Floats]:
        """(3, FMRS asked): FMR and FNMR of these people, each with a 95 % interval."""
        tail, members = self.tail, np.flatnonzero(part)
        known = ~np.isnan(self.missed[0]) & part

        def rates_of(copies: Ints) -> tuple[Floats, Floats]:
            weight = tail.weight * copies[tail.enrolled] * copies[tail.probe]
            falsely = self.matched @ weight / pair_weight(tail.enrollable, copies)
            n = copies * known
            return falsely, np.nan_to_num(self.missed) @ n / n.sum()

        random, number = np.random.default_rng(SEED), len(part)
        draws = (
            members[random.integers(len(members), size=len(members))] for _ in range(RESAMPLES)
        )
        resampled = [rates_of(np.bincount(draw, minlength=number)) for draw in draws]
        found = rates_of(part.astype(np.int64))
        fmr, fnmr = (
            np.vstack([value, np.quantile([each[i] for each in resampled], [0.025, 0.975], axis=0)])
            for i, value in enumerate(found)
        )
        return fmr, fnmr

    def pairs(self, part: Bools) -> list[int]:
        """(FMRS asked): different pairs of these people that match."""
        tail = self.tail
        low, high = np.minimum(tail.enrolled, tail.probe), np.maximum(tail.enrolled, tail.probe)
        code, here = low * len(part) + high, part[tail.enrolled] & part[tail.probe]
        return [len(np.unique(code[here & (each > 0)])) for each in self.matched]


def group_rates(data: dict[int, Impostors], groups: dict[str, Bools]) -> list[dict[str, Any]]:
    """What the file says of each group: rates at thresholds made without these people."""
    asked, found = ASKED_FMRS[:3], []
    everybody = {EVERYBODY: np.ones(len(data[1].tail.enrollable), bool)}
    for photos in (1, 3):
        held = HeldOut.of(data, photos, groups, asked)
        for name, part in (everybody | groups).items():
            fmr, fnmr = held.rates(part)
            enrolled = int((part & held.tail.enrollable).sum())
            probes = int(part.sum())
            found += [
                {
                    "group": name,
                    "photos": photos,
                    "asked_fmr": of,
                    "pairs": enrolled * (probes - enrolled) + enrolled * (enrolled - 1) // 2,
                    "matched": matched,
                    "fmr": short(fmr[0, i]),
                    "fmr_interval": [short(x) for x in fmr[1:, i]],
                    "people": int((~np.isnan(held.missed[0]) & part).sum()),
                    "fnmr": short(fnmr[0, i]),
                    "fnmr_interval": [short(x) for x in fnmr[1:, i]],
                }
                for i, (of, matched) in enumerate(
                    zip(asked.tolist(), held.pairs(part), strict=True)
                )
            ]
    return found


def short(rate: float) -> float:
    """As the file has it."""
    return float(f"{rate:.2g}")


def show_groups(found: list[dict[str, Any]]) -> None:
    """The same for people."""
    print("\nBy group, at thresholds made without either person: rates [95 %]")
    for each in found:
        (low, high), (least, most) = each["fmr_interval"], each["fnmr_interval"]
        asked = each["asked_fmr"]
        print(
            f"  photos {each['photos']} {each['group']:10} asked {asked:.0e}"
            f"  realised / asked {each['fmr'] / asked:5.2f} [{low / asked:.2f}, {high / asked:.2f}]"
            f"  {each['matched']:6} of {each['pairs']:8} pairs"
            f"  FNMR {each['fnmr']:7.2%} [{least:.2%}, {most:.2%}] of {each['people']} people"
        )


def show_promises(
    data: dict[int, Impostors], raw_dlib: NDArray[np.float32], groups: dict[str, Bools]
) -> None:
    """FPIR with the per-comparison rate FPIR / size, each half by the other's map."""
    print("\nCalibrated on one half of the people, measured on the other: mean [middle 80 %];")
    print("*: an upper bound, for the half has fewer people to enrol")
    everybody = {EVERYBODY: np.ones(len(data[1].tail.enrollable), bool)}
    for photos in (1, 3):
        each = data[photos]
        made = [
            (by_strictest(data, photos, one, groups), other)
            for one, other in halves(len(everybody[EVERYBODY]))
        ]
        for name, part in (everybody | groups).items():
            for asked in ASKED_FPIRS:
                for size in GALLERIES:
                    values = [
                        fpir(each.among(o & part), at(asked / size, m), o & part, size) / asked
                        for m, o in made
                    ]
                    enrolled = int((each.tail.enrollable & part).sum()) // 2
                    title = (
                        f"{name}, FPIR over {asked:.0e} asked, N {size}{'*' * (size > enrolled)}"
                    )
                    print(f"  photos {photos}, {title:45} {spread(np.array(values))}")
        rule = any_within(raw_dlib, each.gallery)
        for size in GALLERIES:
            plain = [fpir(rule.among(other), 1.0, other, size) for _, other in made]
            title = f"FPIR of distance {FACE_RECOGNITION_DISTANCE}, N {size}, %"
            print(f"  photos {photos}, {title:45} {spread(100 * np.array(plain))}")


def fitted_space(dlib: NDArray[np.float32], sface: NDArray[np.float32], person: Ints) -> Space:
    """The mean of people in both halves, each person weighing the same."""
    centres = []
    for half in (unit(dlib), unit(sface)):
        means = np.zeros((person.max() + 1, half.shape[1]))
        np.add.at(means, person, half)
        centres.append(unit(means).mean(0))
    return Space(tuple(np.round(np.concatenate(centres), DECIMALS).tolist()), SPACE_DLIB_WEIGHT)


def as_json(
    photos: Encoded,
    people: list[str],
    found: dict[tuple[int, int], float],
    rows: list[Row],
    space: Space,
    groups: list[dict[str, Any]],
    min_fmr: float,
) -> dict[str, object]:
    """The content of the file."""
    looked_at = named(people, found)
    excluded = [
        {"people": pair, "similarity": round(similarity, 4), "reason": WRONG_LABELS[pair]}
        for pair, similarity in looked_at.items()
        if pair in WRONG_LABELS
    ]
    return {
        "name": CALIBRATION.name,
        "source": CALIBRATION.source,
        "people": len(people),
        "photos": len(photos.files),
        "contract": Networks(Checked(None)).contract,
        "space": space.as_document(),
        "weighing": "every ordered pair of people the same",
        "intervals": f"95 %, {RESAMPLES} resamples of people",
        "min_fmr": min_fmr,
        "excluded": excluded,
        "suspected_and_kept": [pair for pair in looked_at if pair not in WRONG_LABELS],
        "groups": groups,
        "rows": [each.as_json() for each in rows],
    }


def named(people: list[str], found: dict[tuple[int, int], float]) -> dict[tuple[str, str], float]:
    """Name the people, who are numbered in the order of their names."""
    return {(people[a], people[b]): similarity for (a, b), similarity in found.items()}


def deep_enough(data: dict[int, Impostors], rows: list[Row]) -> dict[int, Impostors]:
    """What any part of the people needs for DEEP: comparisons from ten times FIT_FROM on.

    rows: of the strictest group, which for everybody is some three times FIT_FROM.
    """
    (place,) = np.flatnonzero(np.isclose(FMRS, FIT_FROM)) - 2
    return {
        k: each.where(
            each.tail.similarity >= made.similarity[place], np.ones(len(each.tail.enrollable), bool)
        )
        for (k, each), made in zip(data.items(), rows, strict=False)
    }


def show_labels(people: list[str], found: dict[tuple[int, int], float]) -> None:
    """Print the pairs of suspects(), and how they were treated."""
    print(f"\nPairs of people of whom every photo matches one of the other at FMR {SUSPECT_FMR:g}")
    for pair, similarity in named(people, found).items():
        verdict = f"left out: {WRONG_LABELS[pair]}" if pair in WRONG_LABELS else "kept"
        print(f"  {similarity:.4f}  {' / '.join(pair)}: {verdict}")


def at_most(photos: Encoded, number: int) -> Encoded:
    """Some photos of each person, at random: more of the same people say little."""
    random, chosen = np.random.default_rng(1), list[str]()
    for _, files in groupby(photos.files, lambda file: file.partition("/")[0]):
        theirs = list(files)
        chosen += random.permutation(theirs)[:number].tolist()
        random.random(len(theirs))
    kept = np.isin(photos.files, chosen)
    return Encoded(
        tuple(np.array(photos.files)[kept].tolist()),
        photos.found[kept],
        photos.dlib[kept],
        photos.sface[kept],
        photos.quality[kept],
    )


def main() -> None:
    """Make the map, test it, print everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PERSON/IMAGE")
    parser.add_argument("--cache", type=Path, help="npz file to keep the encodings in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--at-most", type=int, default=6, help="photos of a person, at random")
    parser.add_argument("--write", action="store_true", help="replace the shipped map")
    chosen = parser.parse_args()
    photos = at_most(encoded(chosen.folder, chosen.cache, chosen.processes), chosen.at_most)
    names = [file.split("/")[0] for file in np.array(photos.files)[photos.found].tolist()]
    people, person = np.unique(names, return_inverse=True)
    raw_dlib, sface = photos.dlib[photos.found], photos.sface[photos.found]
    space = fitted_space(raw_dlib, sface, person)
    stored = np.stack([fuse(*halves) for halves in zip(raw_dlib, sface, strict=True)])
    fused = space.of(stored)
    groups = groups_of(people.tolist())
    data = {
        k: impostors(g, floor_for(g, 1.5 * FMRS[0])) for k, g in galleries(fused, person).items()
    }
    found = suspects(data[1], map_of(data[1]))
    wrong = [pair for pair in found if tuple(people[list(pair)].tolist()) in WRONG_LABELS]
    data = {k: each.without(wrong) for k, each in data.items()}
    rows = all_rows(data, groups)
    tops = deep_enough(data, rows)
    by_group = group_rates(tops, groups)
    lowest = lowest_supported(rows, lowest_shown(data[1].tail, np.ones(len(people), np.int64)))
    document = as_json(photos, people.tolist(), found, rows, space, by_group, lowest)
    made = json.dumps(document, indent=1) + "\n"
    same = shipped.FILE.is_file() and shipped.FILE.read_text() == made
    if chosen.write:
        shipped.FILE.write_text(made)
        compiling.write_manifest(
            json.loads((compiling.SHIPPED / "manifest.json").read_text())["weights"]
        )
    for name, text in setting(chosen.folder, photos).items():
        print(f"{name:10} {text}")
    print("the shipped map is", "this one" if same else "written" if chosen.write else "ANOTHER")
    show_labels(people.tolist(), found)
    show_rows(rows)
    print(f"  lowest rate supported: {document['min_fmr']:g}")
    show_more(fused, person, rows)
    show_groups(by_group)
    show_promises(tops, raw_dlib, groups)
    show_depth(tops)


if __name__ == "__main__":
    main()
