"""From comparisons between people to a map from rate to similarity, and to one of your own.

What benchmarks/calibration.py makes the shipped map with, and `facauth calibrate` a local one.

A few people cannot show low rates, and a new curve through what they show would lead anywhere.
So a local map is the shipped one, moved. At each rate that enough pairs of people show, its
similarity is the upper end of the 95 % interval of what they measure (people resampled): chance
hardly ever makes it looser, and often a little stricter. Below the lowest such rate the move stays
as it is there. On LFW, groups of people who are alike need no larger one further down
(benchmarks/own_calibration.py), which is no proof for others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facauth import __version__
from facauth.errors import Reason, UsageProblem, shown
from facauth.files import make_folders, write_private
from facauth.measure.comparisons import (
    BLOCK_ROWS,
    SEED,
    Gallery,
    floor_for,
    mean_templates,
    single_photos,
)
from facauth.measure.matching import (
    MIN_PAIRS,
    Bools,
    Floats,
    ImpostorTail,
    Ints,
    Resample,
    matching_pairs,
    pair_weight,
)

if TYPE_CHECKING:
    from facauth.decision.calibration import InForce

FMRS: Floats = np.array([float(f"{10 ** (-n / 2):.4g}") for n in range(2, 17)])
PHOTOS = (1, 2, 3, 5)
RESAMPLES = 500
SUSPECT_FMR = 1e-6

# --- impostor comparisons -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Impostors:
    """A tail of impostor comparisons, and which photo each probe was."""

    tail: ImpostorTail
    photo: Ints  # (n,)
    gallery: Gallery

    def where(self, kept: Bools, people: Bools) -> Impostors:
        """Some of the comparisons; enrolled are only these people."""
        old = self.tail
        tail = ImpostorTail(
            old.similarity[kept],
            old.enrolled[kept],
            old.probe[kept],
            old.weight[kept],
            old.enrollable & people,
            old.floor,
        )
        return Impostors(tail, self.photo[kept], self.gallery)

    def among(self, people: Bools) -> Impostors:
        """Those between two of these people."""
        return self.where(people[self.tail.enrolled] & people[self.tail.probe], people)

    def without(self, pairs: list[tuple[int, int]]) -> Impostors:
        """Those of all other pairs of people. (That the pairs still count in the denominator
        changes a rate by one in a million.)"""
        number = len(self.tail.enrollable)
        code = self.tail.enrolled * number + self.tail.probe
        codes = [a * number + b for pair in pairs for a, b in (pair, pair[::-1])]
        return self.where(~np.isin(code, codes), np.ones(number, bool))


def impostors(gallery: Gallery, floor: float) -> Impostors:
    """Each template with all photos of other people, from the floor up, the most alike first."""
    blocks = []
    for start in range(0, len(gallery.owner), BLOCK_ROWS):
        owner = gallery.owner[start : start + BLOCK_ROWS]
        similarity = gallery.kernel(gallery.templates[start : start + BLOCK_ROWS], gallery.probes)
        similarity[owner[:, None] == gallery.person[None]] = -np.inf
        row, photo = np.nonzero(similarity >= floor)
        blocks.append((similarity[row, photo], owner[row], photo))
    similarity, enrolled, photo = (np.concatenate(part) for part in zip(*blocks, strict=True))
    falling = np.argsort(-similarity, kind="stable")
    similarity, enrolled, photo = similarity[falling], enrolled[falling], photo[falling]
    probe, templates = gallery.person[photo], gallery.templates_each()
    weight = 1.0 / (templates[enrolled] * gallery.photos_each()[probe])
    tail = ImpostorTail(similarity, enrolled, probe, weight, templates > 0, floor)
    return Impostors(tail, photo, gallery)


def galleries(
    fused: NDArray[np.float32], person: Ints, photos: Sequence[int] = PHOTOS
) -> dict[int, Gallery]:
    """For each number of enrolment photos."""
    return {
        k: single_photos(fused, person) if k == 1 else mean_templates(fused, person, k)
        for k in photos
    }


def pair_codes(tail: ImpostorTail) -> Ints:
    """(n,): one number for each unordered pair of people."""
    low, high = np.minimum(tail.enrolled, tail.probe), np.maximum(tail.enrolled, tail.probe)
    codes: Ints = low.astype(np.int64) * len(tail.enrollable) + high
    return codes


def suspects(single: Impostors, similarity: Floats) -> dict[tuple[int, int], float]:
    """Pairs of people of whom every photo matches one of the other at SUSPECT_FMR, by a map's
    similarities at FMRS; with their highest similarity. By chance there are a few."""
    tail = single.tail
    matched = tail.similarity >= similarity[np.isclose(FMRS, SUSPECT_FMR)]
    photos, found = single.gallery.photos_each(), {}
    codes = pair_codes(tail)[matched]
    for code in dict.fromkeys(codes.tolist()):
        pair = divmod(code, len(photos))
        theirs = codes == code
        if len(set(single.photo[matched][theirs].tolist())) == photos[list(pair)].sum():
            found[pair] = float(tail.similarity[matched][theirs].max())
    return found


# --- the map --------------------------------------------------------------------------------


def deviates(fmrs: Floats) -> Floats:
    """The normal deviates that are exceeded at these rates."""
    return np.array([-NormalDist().inv_cdf(fmr) for fmr in fmrs.tolist()])


def lowest_shown(tail: ImpostorTail, people: Ints, pairs: int = MIN_PAIRS) -> float:
    """The lowest of FMRS that so many different pairs of these people show; inf if they show none
    of them."""
    first = np.sort(np.unique(pair_codes(tail), return_index=True)[1])
    if len(first) < pairs:
        return np.inf
    rate = tail.weight[: first[pairs - 1] + 1].sum() / pair_weight(tail.enrollable, people)
    return float(FMRS[rate <= FMRS].min(initial=np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The map for one number of enrolment photos; arrays are (FMRS,)."""

    photos: int | None  # None: the limit of ever more
    people: int  # enrolled
    shown: float  # the lowest measured rate
    similarity: Floats
    interval: Floats  # (2, FMRS), of the similarity
    fmr_interval: Floats  # (2, FMRS): of the rate that the similarity really has
    pairs: Ints  # of people that match falsely there

    def as_json(self) -> dict[str, object]:
        """As the file has it."""
        points = [
            {
                "fmr": fmr,
                "similarity": round(float(self.similarity[i]), 5),
                "interval": [round(float(x), 5) for x in self.interval[:, i]],
                "fmr_interval": [float(f"{x:.2g}") for x in self.fmr_interval[:, i]],
                "pairs": int(self.pairs[i]),
                "basis": "measured" if fmr >= self.shown else "extrapolated",
            }
            for i, fmr in enumerate(FMRS.tolist())
        ]
        return {"photos": self.photos, "people": self.people, "points": points}


def rates_at(similarity: Floats, thresholds: Floats) -> Floats:
    """The rates that similarities have on another curve, beyond its ends on its last lines."""
    x, z = thresholds, deviates(FMRS)
    rising = np.interp(similarity, x, z)
    rising += np.maximum(similarity - x[-1], 0) * (z[-1] - z[-2]) / (x[-1] - x[-2])
    rising += np.minimum(similarity - x[0], 0) * (z[1] - z[0]) / (x[1] - x[0])
    return np.array([NormalDist().cdf(-value) for value in rising.tolist()])


def ends(resampled: Floats) -> Floats:
    """(2, ...): of the 95 % interval, over the first axis."""
    return np.asarray(np.quantile(resampled, [0.025, 0.975], axis=0))


# --- a local map ----------------------------------------------------------------------------

MIN_PEOPLE = 25  # of 300 pairs, MIN_PAIRS are at the highest rate of the map
# Lower rates than the highest are measured where so many pairs show them. Made of 300 people of
# LFW, a map then has .61 of an FMR of 1e-4 asked for; from 30 pairs on it is .39, from 300 on .65.
SURE_PAIRS = 100
MAX_PHOTOS = 6000  # more of the same people would say little, and take much memory
FLOOR_FMR = 0.5  # of the comparisons that are kept: what resamples of few people need ...
MANY, FLOOR_FMR_OF_MANY = 200, 0.15  # ... and of many


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A map of somebody's own photos."""

    rows: list[Row]  # as the shipped one has them
    people: int
    photos: int
    suspects: dict[tuple[int, int], float]  # pairs of people who may be one; see suspects()


def local_map(vectors: NDArray[np.float32], person: Ints, shipped: InForce) -> Local:
    """From the encodings (n, 256) of these photos, and the persons (n,) that they show.

    Raises UsageProblem for fewer than MIN_PEOPLE.
    """
    people = int(person.max(initial=-1)) + 1
    require_people(people)
    chosen = fair_share(person)
    vectors, person = vectors[chosen], person[chosen]
    enough = {k: (np.bincount(person) >= k).sum() >= MIN_PEOPLE for k in PHOTOS}
    share = FLOOR_FMR if people < MANY else FLOOR_FMR_OF_MANY
    data = {
        k: impostors(gallery, floor_for(gallery, share))
        for k, gallery in galleries(vectors, person, [k for k in PHOTOS if enough[k]]).items()
    }
    rows = moved_rows({k: each.tail for k, each in data.items()}, shipped)
    return Local(rows, people, len(person), suspects(data[1], rows[0].similarity))


def require_people(people: int) -> None:
    """Raises UsageProblem for fewer than MIN_PEOPLE."""
    if people < MIN_PEOPLE:
        message = f"usable photos of {people} people show too little of how alike strangers are"
        advice = f"add {MIN_PEOPLE - people} more people, for {MIN_PEOPLE} in all"
        raise UsageProblem(Reason("calibrate.too_few", message, advice))


def fair_share(person: Ints) -> Ints:
    """The photos to take, in their order: of everybody one, of everybody a second, … MAX_PHOTOS."""
    shuffled = np.random.default_rng(SEED).permutation(len(person))
    turn, people = np.zeros(len(person), np.int64), int(person.max()) + 1
    for each in range(people):
        theirs = shuffled[person[shuffled] == each]
        turn[theirs] = np.arange(len(theirs))
    return np.sort(np.argsort(turn, kind="stable")[: max(MAX_PHOTOS, people)])


def moved_rows(tails: dict[int, ImpostorTail], shipped: InForce) -> list[Row]:
    """The rows of the shipped map, moved by what these comparisons show.

    A number of photos that too few people have moves as the next lower one. More photos and
    lower rates never ask for less.
    """
    rows: list[Row] = []
    moves: Floats = np.zeros((RESAMPLES, len(FMRS)))
    for place, k in enumerate([*PHOTOS, None]):
        base = np.array(shipped.calibration.similarities[place])
        tail, lowest = (tails[k], lowest_sure(tails[k])) if k in tails else (None, np.inf)
        if tail:
            moves = resampled_moves(tail, base, lowest)
        interval = ends(base + moves)
        least = rows[-1].similarity if rows else base * 0
        similarity = np.maximum(np.maximum.accumulate(interval[1]), least)
        fmrs = ends(np.stack([rates_at(similarity, base + move) for move in moves]))
        fmrs[:, lowest > FMRS] *= (shipped.fmr_intervals(place) / FMRS)[:, lowest > FMRS]
        pairs = [matching_pairs(tail, value) if tail else 0 for value in similarity.tolist()]
        people = int(tail.enrollable.sum()) if tail else 0
        rows.append(Row(k, people, lowest, similarity, interval, fmrs, np.array(pairs)))
    return rows


def lowest_sure(tail: ImpostorTail) -> float:
    """The lowest rate to measure at: the highest of FMRS, or one that SURE_PAIRS pairs show."""
    everybody = np.ones(len(tail.enrollable), np.int64)
    return min(float(FMRS[0]), lowest_shown(tail, everybody, SURE_PAIRS))


def resampled_moves(tail: ImpostorTail, base: Floats, lowest: float) -> Floats:
    """(RESAMPLES, FMRS): from `base` to what resamples of the people measure; below the lowest
    measured rate as there."""
    random, number = np.random.default_rng(SEED), len(tail.enrollable)
    measured = FMRS[lowest <= FMRS]
    moves: Floats = np.empty((RESAMPLES, len(FMRS)))
    for move in moves:
        copies = np.bincount(random.integers(number, size=number), minlength=number)
        found = np.fmax(Resample(tail, copies).thresholds_at(measured), tail.floor)
        move[: len(measured)] = found - base[: len(measured)]
        move[len(measured) :] = move[len(measured) - 1]
    return moves


def as_document(made: Local, shipped: InForce, when: str) -> dict[str, Any]:
    """What the file of a local map holds: no encodings, no names. when: ISO 8601."""
    return {
        "name": "local",
        "source": "your own photos",
        "people": made.people,
        "photos": made.photos,
        "contract": shipped.document["contract"],
        "weighing": shipped.document["weighing"],
        "intervals": f"95 %, {RESAMPLES} resamples of people",
        "min_fmr": shipped.calibration.min_fmr,
        "made": when,
        "facauth": __version__,
        "moved_from": shipped.document["name"],
        "suspected_and_kept": len(made.suspects),
        "rows": [row.as_json() for row in made.rows],
    }


def require_target(target: Path) -> None:
    """Raises UsageProblem unless a new file can be made there; asked before anything is done."""
    if os.path.lexists(target):
        raise _unfit_target(target, "there is something already")
    if not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise _unfit_target(target, "its folder cannot be written")


def keep(document: dict[str, Any], target: Path) -> None:
    """Write the file at once, for its owner alone; raises UsageProblem where that cannot be."""
    try:
        make_folders(target)
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        write_private(target, text.encode(), over=True)
    except OSError as error:
        raise _unfit_target(target, str(error.strerror)) from error


def _unfit_target(target: Path, why: str) -> UsageProblem:
    message = f"{shown(target)} cannot be written: {why}"
    return UsageProblem(Reason("calibrate.unfit_target", message, "name another file with --out"))
