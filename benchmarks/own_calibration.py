"""The rates of a local calibration, for random people and for people who look alike.

    python benchmarks/own_calibration.py FOLDER [--cache FILE] [--processes N]

FOLDER holds PERSON/IMAGE, such as LFW; encodings come from recognition.py, whose cache it shares.
Some of the people are calibrated on as `facauth calibrate` does it; the rates are those among all
others of the same kind, for the map shipped and for the local one.

- "Everybody": people drawn at random.
- "Alike": one of GROUPS groups of people whose encodings are near each other (k-means on the mean
  encodings of people). An operator's own people may be like them: of one sex, age or origin.

The shipped map was made of FOLDER if that is LFW, the people measured on included. Pairs that
calibration.py leaves out for their wrong labels are not measured on, but they are calibrated on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from calibration import WRONG_LABELS, spread
from numpy.typing import NDArray
from recognition import encoded, setting

from facauth.decision.calibration import shipped
from facauth.faces.encode import fuse
from facauth.measure.calibrating import FMRS, Impostors, galleries, impostors
from facauth.measure.comparisons import SEED, unit
from facauth.measure.local import local_map
from facauth.measure.matching import Bools, Floats, Ints, Resample

ASKED: Floats = np.array([1e-3, 1e-4, 1e-5])
PHOTOS = (1, 3)
SIZES = (30, 100, 300)
GROUPS = 6
ROUNDS = 50
REPEATS = 20
SMALL_GROUP = SIZES[0]


def groups(vectors: NDArray[np.float32], person: Ints) -> Ints:
    """(people,): the group of each, by k-means on the sphere."""
    means = unit(np.stack([vectors[person == each].mean(0) for each in range(person.max() + 1)]))
    random = np.random.default_rng(SEED)
    centres = means[random.choice(len(means), GROUPS, replace=False)]
    for _ in range(ROUNDS):
        group = (means @ centres.T).argmax(1)
        centres = unit(np.stack([means[group == each].mean(0) for each in range(GROUPS)]))
    return np.asarray(group)


def draws(kind: Bools, size: int) -> Iterator[tuple[Bools, Bools]]:
    """People of a kind to calibrate on, and all others of it."""
    random = np.random.default_rng(SEED)
    for _ in range(REPEATS):
        part = np.zeros(len(kind), bool)
        part[random.choice(np.flatnonzero(kind), size, replace=False)] = True
        yield part, kind & ~part


def thresholds() -> dict[int, Floats]:
    """(FMRS,) by number of photos: the shipped map's."""
    rows = shipped().document["rows"]
    return {
        row["photos"]: np.array([point["similarity"] for point in row["points"]])
        for row in rows
        if row["photos"] in PHOTOS
    }


def ratios(each: Impostors, people: Bools, similarity: Floats) -> Floats:
    """(ASKED,): the FMR among these people over the one asked for."""
    places = [int(np.flatnonzero(np.isclose(FMRS, fmr)).item()) for fmr in ASKED.tolist()]
    found = Resample(each.tail, people.astype(np.int64)).fmrs_at(similarity[places])
    ratio: Floats = found / ASKED
    return ratio


def show(
    title: str,
    vectors: NDArray[np.float32],
    person: Ints,
    data: dict[int, Impostors],
    cases: Iterator[tuple[Bools, Bools]],
) -> None:
    """The rows of one kind and size."""
    found: dict[tuple[str, int], list[Floats]] = {}
    for part, other in cases:
        number = np.cumsum(part) - 1
        mine = part[person]
        local = local_map(vectors[mine], number[person[mine]], shipped())
        made = {row.photos: row.similarity for row in local.rows}
        for k, base in thresholds().items():
            test = data[k].among(other)
            found.setdefault(("shipped", k), []).append(ratios(test, other, base))
            found.setdefault(("local", k), []).append(ratios(test, other, made[k]))
    for (name, k), values in found.items():
        print(f"  {title:34} photos {k} {name:8}", *map(spread, np.array(values).T), flush=True)


def main() -> None:
    """Encode, then print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PERSON/IMAGE")
    parser.add_argument("--cache", type=Path, help="npz file to keep the encodings in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    photos = encoded(chosen.folder, chosen.cache, chosen.processes)
    names = [file.split("/")[0] for file in np.array(photos.files)[photos.found].tolist()]
    people, person = np.unique(names, return_inverse=True)
    both = zip(photos.dlib[photos.found], photos.sface[photos.found], strict=True)
    stored = np.stack([fuse(*halves) for halves in both])
    vectors = shipped().calibration.space.of(stored)
    place = {name: number for number, name in enumerate(people.tolist())}
    wrong = [(place[a], place[b]) for a, b in WRONG_LABELS if a in place and b in place]
    floors = {k: float(each[2]) for k, each in thresholds().items()}
    data = {
        k: impostors(gallery, floors[k]).without(wrong)
        for k, gallery in galleries(vectors, person, PHOTOS).items()
    }
    for name, text in setting(chosen.folder, photos).items():
        print(f"{name:10} {text}")
    print(f"\nFMR among others over the one asked for, mean [middle 80 %] of {REPEATS} draws")
    print(" " * 55, *(f"{fmr:<21.0e}" for fmr in ASKED))
    everybody = np.ones(len(people), bool)
    for size in SIZES:
        title = f"everybody, calibrated on {size}"
        show(title, vectors, person, data, draws(everybody, size))
    group = groups(vectors, person)
    for each in range(GROUPS):
        kind = group == each
        for size in (SMALL_GROUP, int(kind.sum()) // 2):
            title = f"alike, {kind.sum()} people, on {size}"
            show(title, vectors, person, data, draws(kind, size))


if __name__ == "__main__":
    main()
