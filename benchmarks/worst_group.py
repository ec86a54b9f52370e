"""Ways to compare faces, judged by what they cost where no group has a higher false match rate.

    python benchmarks/worst_group.py FOLDER [--cache FILE] [--processes N] [--photos K] [--splits N]

FOLDER holds PERSON/IMAGE, such as LFW; encodings come from recognition.py, whose cache it shares.
For each way: FNMR at the threshold at which women, men (groups.py) and everybody together have at
most the FMR of the column; and the FNMR at everybody's own threshold, which hides the worst group.
Every person, and every pair of people, weighs the same. Below the rate that 30 pairs show, a
threshold goes on as in calibration.py.

Whatever a way learns, it learns from people other than the two that are compared: the people are
dealt into FOLDS parts, and photos of parts i and j are compared by what all others teach. Pairs of
people whose names are known to be wrong are left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from calibration import FIT_FROM, FOLDS, WRONG_LABELS, at_most
from groups import groups_of
from numpy.typing import NDArray
from recognition import encoded, setting

from facauth.measure.calibrating import EVERYBODY, FMRS, deviates
from facauth.measure.comparisons import SEED, Matrix, unit
from facauth.measure.matching import MIN_PAIRS, Bools, Floats, Ints

ASKED = (1e-3, 1e-4, 1e-5)
DRAWS = 4  # templates of each person, for more than one photo
TOP_SHARE = 0.15  # of the comparisons in a group; what the rates of FMRS need
TOP = 20  # of a cohort, for adaptive normalisation


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """All photos with a face."""

    dlib: Matrix  # (photos, 128), unit vectors as the networks give them
    sface: Matrix  # (photos, 128)
    person: Ints  # (photos,)
    groups: dict[str, Bools]  # (people,)
    wrong: list[tuple[int, int]]  # pairs of people


Space = Callable[[Photos, Bools], Matrix]  # photos, and which may be learnt from -> vectors


def joined(dlib: Matrix, sface: Matrix, weight: float) -> Matrix:
    """One vector, dlib's cosine with this weight in the similarity."""
    both = [weight**0.5 * unit(dlib), (1 - weight) ** 0.5 * unit(sface)]
    return np.hstack(both).astype(np.float32)


def person_means(vectors: Matrix, person: Ints) -> Matrix:
    """Unit means of each person."""
    _, number = np.unique(person, return_inverse=True)
    sums = np.zeros((number.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, number, vectors)
    return unit(sums)


def stored(photos: Photos, _: Bools, weight: float) -> Matrix:
    """As the networks give them."""
    return joined(photos.dlib, photos.sface, weight)


def centred(photos: Photos, known: Bools, weight: float, share: float = 1.0) -> Matrix:
    """Less the mean of people."""
    halves = [
        each - share * person_means(each[known], photos.person[known]).mean(0)
        for each in (photos.dlib, photos.sface)
    ]
    return joined(halves[0], halves[1], weight)


def less_directions(photos: Photos, known: Bools, weight: float, number: int) -> Matrix:
    """Centred, with half of what lies in the directions in which people differ most."""
    halves = []
    for each in (photos.dlib, photos.sface):
        means = person_means(each[known], photos.person[known])
        moved, centre = each - means.mean(0), means - means.mean(0)
        axes = np.linalg.eigh(centre.T @ centre)[1][:, ::-1][:, :number].astype(np.float32)
        halves.append(moved - 0.5 * (moved @ axes) @ axes.T)
    return joined(halves[0], halves[1], weight)


def whitened(photos: Photos, known: Bools, weight: float, power: float) -> Matrix:
    """Centred, with directions in which people differ much made shorter."""
    halves = []
    for each in (photos.dlib, photos.sface):
        means = person_means(each[known], photos.person[known])
        centre = means - means.mean(0)
        values, axes = np.linalg.eigh(centre.T @ centre / len(centre))
        scale = (values / values.mean() + 0.1) ** (-power / 2)
        halves.append((((each - means.mean(0)) @ axes) * scale).astype(np.float32))
    return joined(halves[0], halves[1], weight)


WAYS: dict[str, tuple[Space, bool]] = {  # whether scores are normalised with a cohort
    **{f"as stored, dlib {w:g}": (partial(stored, weight=w), False) for w in (0.75, 0.5, 0.3)},
    **{f"centred, dlib {w:g}": (partial(centred, weight=w), False) for w in (0.3, 0.2, 0.15, 0.1)},
    "centred by .8, dlib .2": (partial(centred, weight=0.2, share=0.8), False),
    "less 2 directions, dlib .2": (partial(less_directions, weight=0.2, number=2), False),
    "whitened a little, dlib .2": (partial(whitened, weight=0.2, power=0.25), False),
    **{
        f"as stored, dlib {w:g}, adaptive S-norm": (partial(stored, weight=w), True)
        for w in (0.75, 0.5)
    },
}


def normalised(templates: Matrix, probes: Matrix, cohort: Matrix) -> Matrix:
    """Scores by mean and deviation of the TOP most alike of a cohort, of either side."""
    made = np.zeros((len(templates), len(probes)), np.float32)
    scores = templates @ probes.T
    for rows, turned in ((templates, False), (probes, True)):
        near = np.partition(rows @ cohort.T, -TOP, axis=1)[:, -TOP:]
        mean, deviation = near.mean(1), near.std(1)
        if turned:
            made += (scores - mean[None]) / deviation[None] / 2
        else:
            made += (scores - mean[:, None]) / deviation[:, None] / 2
    return made


def drawn(person: Ints, k: int) -> Ints:
    """(templates, k): photos."""
    if k == 1:
        return np.arange(len(person))[:, None]
    random = np.random.default_rng(SEED)
    owners = np.flatnonzero(np.bincount(person) >= k).repeat(DRAWS).tolist()
    photos = [np.flatnonzero(person == owner) for owner in owners]
    return np.stack([random.choice(each, k, replace=False) for each in photos])


def scores_of(photos: Photos, way: tuple[Space, bool], members: Ints, fold: Ints) -> Matrix:
    """(templates, photos): each by what people of other parts teach."""
    space, with_cohort = way
    owner, person = photos.person[members[:, 0]], photos.person
    scores = np.zeros((len(members), len(person)), np.float32)
    for i, j in combinations_with_replacement(range(FOLDS), 2):
        known = ~np.isin(fold[person], (i, j))
        vectors = space(photos, known)
        for one, other in {(i, j), (j, i)}:
            rows = np.flatnonzero(fold[owner] == one)
            columns = np.flatnonzero(fold[person] == other)
            templates, probes = unit(vectors[members[rows]].sum(1)), vectors[columns]
            if with_cohort:
                cohort = person_means(vectors[known], person[known])
                scores[np.ix_(rows, columns)] = normalised(templates, probes, cohort)
            else:
                scores[np.ix_(rows, columns)] = templates @ probes.T
    return scores


def thresholds(scores: Matrix, weight: Floats, pairs: Ints, of: float) -> Floats:
    """(ASKED,): of impostor comparisons; weight: of each, `of` altogether; pairs: of people."""
    order = np.argsort(-scores)
    rate = weight[order].cumsum() / of
    place = np.searchsorted(rate, FMRS * (1 + 1e-9), side="right")
    falling = np.append(scores[order], np.nan)
    measured = falling[np.minimum(place, len(order))]
    first = np.sort(np.unique(pairs[order], return_index=True)[1])
    shown = rate[first[MIN_PAIRS - 1]]
    fit = (shown <= FMRS) & (FMRS <= FIT_FROM * 1.01)
    slope = np.polyfit(deviates(FMRS[fit]), measured[fit], 1)[0]
    last = np.flatnonzero(fit)[-1]
    beyond = measured[last] + slope * (deviates(FMRS) - deviates(FMRS[[last]]))
    kept = np.where(shown <= FMRS, measured, beyond)
    return np.array([kept[np.isclose(FMRS, fmr)][0] for fmr in ASKED])


def judged(photos: Photos, scores: Matrix, members: Ints) -> tuple[Floats, Floats]:
    """(ASKED,): FNMR at the strictest group's thresholds, and at everybody's."""
    owner, person = photos.person[members[:, 0]], photos.person
    people, count = int(person.max()) + 1, np.bincount(person)
    templates = np.bincount(owner, minlength=people)
    same = owner[:, None] == person
    own = same.copy()
    for photo in members.T:
        own[np.arange(len(members)), photo] = False
    apart = ~same
    for a, b in photos.wrong:
        for one, other in ((a, b), (b, a)):
            apart[np.ix_(owner == one, person == other)] = False
    limits: dict[str, Floats] = {}
    for name, part in {EVERYBODY: np.ones(people, bool), **photos.groups}.items():
        here = apart & part[owner][:, None] & part[person]
        floor = np.quantile(scores[here][::5], 1 - TOP_SHARE)
        row, column = np.nonzero(here & (scores >= floor))
        low, high = np.minimum(owner[row], person[column]), np.maximum(owner[row], person[column])
        enrolled = int((part & (templates > 0)).sum())
        weight = 1.0 / (templates[owner[row]] * count[person[column]])
        of = float(enrolled * (int(part.sum()) - 1))
        limits[name] = thresholds(scores[row, column], weight, low * people + high, of)
    row, column = np.nonzero(own)
    weight = 1.0 / np.bincount(owner[row], minlength=people)[owner[row]]
    number = len(np.unique(owner[row]))

    def missed(at: Floats) -> Floats:
        return np.array([weight[scores[row, column] < limit].sum() / number for limit in at])

    strict: Floats = np.max(list(limits.values()), axis=0)
    return missed(strict), missed(limits[EVERYBODY])


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PERSON/IMAGE")
    parser.add_argument("--cache", type=Path, help="npz file to keep the encodings in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--photos", type=int, default=1, help="enrolled, of each person")
    parser.add_argument("--splits", type=int, default=2, help="times that people are dealt")
    chosen = parser.parse_args()
    made = at_most(encoded(chosen.folder, chosen.cache, chosen.processes), 6)
    names = [file.split("/")[0] for file in np.array(made.files)[made.found].tolist()]
    people, person = np.unique(names, return_inverse=True)
    place = {name: number for number, name in enumerate(people.tolist())}
    wrong = [(place[a], place[b]) for a, b in WRONG_LABELS if a in place and b in place]
    halves = unit(made.dlib[made.found]), unit(made.sface[made.found])
    photos = Photos(*halves, person, groups_of(people.tolist()), wrong)
    for name, text in setting(chosen.folder, made).items():
        print(f"{name:10} {text}")
    print(f"FNMR, %, {chosen.photos} enrolled: strictest group's FMR | everybody's, at {ASKED}")
    members = drawn(person, chosen.photos)
    for name, way in WAYS.items():
        found: list[NDArray[np.float64]] = []
        for split in range(chosen.splits):
            fold = np.random.default_rng(SEED + split).integers(0, FOLDS, len(people))
            scores = scores_of(photos, way, members, fold)
            found.append(np.concatenate(judged(photos, scores, members)))
        cells = [f"{100 * value:6.2f}" for value in np.mean(found, axis=0)]
        print(f"  {name:36}", *cells[:3], " |", *cells[3:], flush=True)


if __name__ == "__main__":
    main()
