"""A calibration made of somebody's own photos: `facauth calibrate`.

A few people cannot show low rates, and a new curve through what they show would lead anywhere.
So a local map is the shipped one, moved. At each rate that enough pairs of people show, its
similarity is the upper end of the 95 % interval of what they measure (people resampled): chance
hardly ever makes it looser, and often a little stricter. Below the lowest such rate the move stays
as it is there. On LFW, groups of people who are alike need no larger one further down
(benchmarks/own_calibration.py), which is no proof for others.

A rate of all people together hides the group for which it is higher. So a local map asks for less
than the shipped one only where it was made group by group.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facauth import __version__
from facauth.errors import Reason, UsageProblem, shown
from facauth.files import make_folders, write_private
from facauth.measure.comparisons import (
    SEED,
    floor_for,
)
from facauth.measure.matching import (
    Floats,
    ImpostorTail,
    Ints,
    Resample,
    matching_pairs,
)

if TYPE_CHECKING:
    from facauth.decision.calibration import InForce

from facauth.measure.calibrating import (
    EVERYBODY,
    FMRS,
    PHOTOS,
    RESAMPLES,
    Row,
    ends,
    galleries,
    impostors,
    lowest_shown,
    rates_at,
    suspects,
)

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
    groups: dict[str, int] = field(default_factory=dict)  # people in each that has a map
    few: dict[str, int] = field(default_factory=dict)  # and in each that has none


def local_map(
    vectors: NDArray[np.float32],
    person: Ints,
    shipped: InForce,
    group: Sequence[str | None] | None = None,
) -> Local:
    """From the encodings (n, 256) of these photos, and the persons (n,) that they show.

    group: (n,); the strictest map of everybody's and the groups' counts, and one may then ask for
    less than the shipped one. Without groups it never does, for it would hide the worst group.
    Raises UsageProblem for fewer than MIN_PEOPLE.
    """
    whole = _map_of(vectors, person, shipped)
    if group is None:
        rows = [_at_least(each, shipped, place) for place, each in enumerate(whole.rows)]
        return replace(whole, rows=rows)
    made, few = {EVERYBODY: whole}, dict[str, int]()
    for name in sorted({each for each in group if each is not None}):
        inside = np.array([each == name for each in group])
        people, number = np.unique(person[inside], return_inverse=True)
        if len(people) < MIN_PEOPLE:
            few[name] = len(people)
        else:
            made[name] = _map_of(vectors[inside], number, shipped)
    return replace(
        whole,
        rows=_strictest_rows({name: each.rows for name, each in made.items()}),
        groups={name: each.people for name, each in made.items()},
        few=few,
    )


def _at_least(row: Row, shipped: InForce, place: int) -> Row:
    """The row with no similarity below the shipped one."""
    similarity = np.maximum(row.similarity, shipped.calibration.similarities[place])
    return replace(row, similarity=similarity)


def _strictest_rows(maps: dict[str, list[Row]]) -> list[Row]:
    """At each point what the group has that asks for most."""
    names, rows = list(maps), list[Row]()
    points = np.arange(len(FMRS))
    for each in zip(*maps.values(), strict=True):
        deciding = np.stack([row.similarity for row in each]).argmax(0)
        least = rows[-1].similarity if rows else 0.0
        similarity = np.stack([row.similarity for row in each])[deciding, points]
        rows.append(
            Row(
                each[0].photos,
                each[0].people,
                np.array([each[one].shown for one in deciding]),
                np.maximum(np.maximum.accumulate(similarity), least),
                np.stack([row.interval for row in each])[deciding, :, points].T,
                np.stack([row.fmr_interval for row in each])[deciding, :, points].T,
                np.stack([row.pairs for row in each])[deciding, points],
                tuple(names[one] for one in deciding),
            )
        )
    return rows


def _map_of(vectors: NDArray[np.float32], person: Ints, shipped: InForce) -> Local:
    people = int(person.max(initial=-1)) + 1
    require_people(people)
    chosen = fair_share(person)
    vectors, person = shipped.calibration.space.of(vectors[chosen]), person[chosen]
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
        "space": shipped.document.get("space"),
        "made": when,
        "facauth": __version__,
        "moved_from": shipped.document["name"],
        "suspected_and_kept": len(made.suspects),
        "local_groups": made.groups,
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
