"""From comparisons between people to a map from rate to similarity.

What benchmarks/calibration.py makes the shipped map with, and measure/local.py one of your own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facauth.measure.comparisons import (
    BLOCK_ROWS,
    Gallery,
    mean_templates,
    single_photos,
)
from facauth.measure.matching import (
    MIN_PAIRS,
    Bools,
    Floats,
    ImpostorTail,
    Ints,
    matching_pairs,
    pair_weight,
)

if TYPE_CHECKING:
    pass

FMRS: Floats = np.array([float(f"{10 ** (-n / 2):.4g}") for n in range(2, 17)])
PHOTOS = (1, 2, 3, 5)
RESAMPLES = 500
SUSPECT_FMR = 1e-6
EVERYBODY = "everybody"

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
    shown: float | Floats  # the lowest measured rate; (FMRS,) where groups decide
    similarity: Floats
    interval: Floats  # (2, FMRS), of the similarity
    fmr_interval: Floats  # (2, FMRS): of the rate that the similarity really has
    pairs: Ints  # of people that match falsely there
    groups: tuple[str, ...] = ()  # (FMRS,): which group decides, where there are groups

    def as_json(self) -> dict[str, object]:
        """As the file has it."""
        shown = np.broadcast_to(self.shown, FMRS.shape)
        points = [
            {
                "fmr": fmr,
                "similarity": round(float(self.similarity[i]), 5),
                "interval": [round(float(x), 5) for x in self.interval[:, i]],
                "fmr_interval": [float(f"{x:.2g}") for x in self.fmr_interval[:, i]],
                "pairs": int(self.pairs[i]),
                "basis": "measured" if fmr >= shown[i] else "extrapolated",
                **({"group": self.groups[i]} if self.groups else {}),
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


@dataclass(frozen=True, slots=True, eq=False)
class GroupMap:
    """The map of one group of people, and what resamples of these people give; see strictest."""

    name: str
    people: Ints  # (rows,): enrolled
    shown: Floats  # (rows,): the lowest measured rate
    similarity: Floats  # (rows, FMRS)
    resampled: Floats  # (resamples, rows, FMRS): curves
    tails: dict[int, ImpostorTail]  # by number of photos


def strictest(maps: Sequence[GroupMap], photos: Sequence[int | None]) -> list[Row]:
    """At each point the similarity of the group that asks for most.

    photos: of each row. More photos and lower rates never ask for less.
    """
    rows: list[Row] = []
    asked = np.stack([each.similarity for each in maps])
    deciding = asked.argmax(0)
    points = np.arange(len(FMRS))
    for place, k in enumerate(photos):
        chosen = [maps[one] for one in deciding[place]]
        least = rows[-1].similarity if rows else 0.0
        similarity = np.maximum(np.maximum.accumulate(asked[deciding[place], place, points]), least)
        rates = {
            id(each): np.stack([rates_at(similarity, one) for one in each.resampled[:, place]])
            for each in set(chosen)
        }
        pairs = [
            matching_pairs(each.tails[k], value) if k in each.tails else 0
            for each, value in zip(chosen, similarity.tolist(), strict=True)
        ]
        rows.append(
            Row(
                k,
                max(int(each.people[place]) for each in maps),
                np.array([each.shown[place] for each in chosen]),
                similarity,
                np.stack([ends(e.resampled[:, place, i]) for i, e in enumerate(chosen)], axis=1),
                np.stack([ends(rates[id(e)][:, i]) for i, e in enumerate(chosen)], axis=1),
                np.array(pairs),
                tuple(each.name for each in chosen),
            )
        )
    return rows
