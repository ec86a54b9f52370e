"""Recognition rates on a folder of photos: FOLDER/PERSON/IMAGE, such as LFW.

    python benchmarks/recognition.py FOLDER [--cache FILE] [--processes N] [--json]

Every photo goes through facauth's own stages, in the order of a sign-in: decode, sight, measure,
align, encode. Of several faces the one nearest to the middle of the frame counts, as is usual on
LFW. Rates weigh every person the same, however many photos there are (measure/matching.py). Photos
without a face count as failures to enrol and nowhere else; the quality limits are counted apart and
refuse nothing here, so that the rates are those of all faces found.

calibration.py makes thresholds of the same encodings.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import math
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facauth import settings
from facauth.decision.calibration import shipped
from facauth.faces import quality
from facauth.faces.detect import sight
from facauth.faces.encode import dlib_half, fuse, sface_half
from facauth.faces.image import decode
from facauth.measure.comparisons import (
    SEED,
    Gallery,
    Matrix,
    floor_for,
    genuine_comparisons,
    impostor_comparisons,
    mean_templates,
    single_photos,
    unit,
)
from facauth.measure.matching import (
    Bools,
    Floats,
    Genuine,
    ImpostorTail,
    Ints,
    Resample,
    fmr_at,
    fnmr_at,
    fnmrs_at,
    fold_accuracy,
    matching_pairs,
    threshold_at_fmr,
)
from facauth.measure.rates import bootstrap_interval
from facauth.networks import Checked, Networks, opencv
from facauth.structs import Face, Quality, Sighting

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
ENROLMENT_PHOTOS = (1, 2, 3, 5)
TABLE_FMRS = (1e-3, 1e-4, 1e-5)
CALIBRATION_FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FACE_RECOGNITION_DISTANCE = 0.6  # its default tolerance: a match at or below it
MIN_PEOPLE = 50  # with photos to enrol and one more; with fewer there is no row
RESAMPLES = 1000
FOLDS = 10
PAIRS_PER_FOLD = 300  # of each kind, as LFW's view 2 has


# --- from photos to encodings ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The results of the stages for each file; rows of files without a face are zero."""

    files: tuple[str, ...]  # PERSON/IMAGE
    found: Bools  # (files,)
    dlib: Matrix  # (files, 128), as the network gives it
    sface: Matrix  # (files, 128), chip and mirrored chip together
    quality: NDArray[np.float64]  # (files, measures), in the order of Quality's fields


Row = tuple[Matrix, Matrix, tuple[float, ...]]


def photos_below(folder: Path) -> tuple[str, ...]:
    """PERSON/IMAGE of every photo, sorted."""
    paths = (path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    return tuple(sorted(path.relative_to(folder).as_posix() for path in paths))


def cache_key(folder: Path, files: tuple[str, ...], contract: str) -> str:
    """Changes with the encoding's contract, the quality measures, and the files and their sizes."""
    sizes = [[file, (folder / file).stat().st_size] for file in files]
    parts = json.dumps([contract, inspect.getsource(quality), sizes])
    return hashlib.sha256(parts.encode()).hexdigest()


def encoded(folder: Path, cache: Path | None, processes: int) -> Encoded:
    """The encodings of all photos, from the cache when it was made of the same."""
    files = photos_below(folder)
    key = cache_key(folder, files, Networks(Checked(None)).contract)
    if cache is not None and cache.is_file():
        with np.load(cache) as kept:
            if str(kept["key"]) == key:
                arrays = (kept[name] for name in ("found", "dlib", "sface", "quality"))
                return Encoded(files, *arrays)
    made = encode_all([folder / file for file in files], files, processes)
    if cache is not None:
        keep(cache, key, made)
    return made


def keep(cache: Path, key: str, made: Encoded) -> None:
    """Write the cache."""
    np.savez(
        cache,
        key=np.array(key),
        found=made.found,
        dlib=made.dlib,
        sface=made.sface,
        quality=made.quality,
    )


def encode_all(paths: list[Path], files: tuple[str, ...], processes: int) -> Encoded:
    """Run the stages on every photo, on several processors."""
    with Pool(processes, initializer=load_networks) as pool:
        rows = list(pool.imap(encode_file, paths, chunksize=16))
    nothing: Row = (np.zeros(128, np.float32), np.zeros(128, np.float32), (0.0,) * MEASURES)
    by_dlib, by_sface, measures = zip(*(row or nothing for row in rows), strict=True)
    found = np.array([row is not None for row in rows])
    return Encoded(files, found, np.stack(by_dlib), np.stack(by_sface), np.array(measures, float))


MEASURES = len(fields(Quality))
_networks: list[Networks] = []  # the one of this worker process


def load_networks() -> None:
    """Load everything once per process; one thread each, for there is a process per processor."""
    networks = Networks(Checked(None))
    _ = networks.detector, networks.landmarks, networks.encode_dlib, networks.encode_sface
    _networks[:] = [networks]
    opencv().setNumThreads(1)


def encode_file(path: Path) -> Row | None:
    """Both encodings and the quality of the face in the middle; None when there is no face."""
    (networks,) = _networks
    sighting = sight(decode(path.read_bytes(), str(path)), networks.detector)
    if not sighting.faces:
        return None
    face = middle_face(sighting)
    by_dlib = dlib_half(sighting.pixels, face, networks)
    by_sface = sface_half(sighting.pixels, face, networks)
    return by_dlib, by_sface, astuple(quality.measure(sighting, face))


def middle_face(sighting: Sighting) -> Face:
    """The face whose box is centred nearest to the middle of the frame."""
    height, width = sighting.pixels.shape[:2]

    def off_centre_px(face: Face) -> float:
        x, y, w, h = face.box_px
        return math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2)

    return min(sighting.faces, key=off_centre_px)


# --- face_recognition's own comparison -----------------------------------------------------


def minus_distance(a: Matrix, b: Matrix) -> Matrix:
    """The Euclidean distance, negated so that higher is more alike."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * (a @ b.T)
    negated: Matrix = -np.sqrt(np.maximum(squares, 0))
    return negated


# --- from comparisons to rates --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:7.2%} [{self.low:.2%}, {self.high:.2%}]"


@dataclass(frozen=True, slots=True)
class Measured:
    """The rates of one encoder with k enrolment photos, by false match rate."""

    encoder: str
    enrolment_photos: int
    people: int  # with genuine comparisons
    enrolled_people: int
    genuine: int  # ordered, as is the next: with one photo each pair counts in both directions
    impostor: int
    fnmr: dict[float, Rate]
    min_similarity: dict[float, float]
    matching_pairs: dict[float, int]  # of people, at min_similarity: the basis


def measured(encoder: str, gallery: Gallery) -> Measured:
    """FNMR at TABLE_FMRS with intervals, and thresholds at CALIBRATION_FMRS."""
    genuine = genuine_comparisons(gallery)
    tail = impostor_comparisons(gallery, floor_for(gallery, 2 * max(CALIBRATION_FMRS)))
    limits = {fmr: threshold_at_fmr(tail, fmr) for fmr in CALIBRATION_FMRS}
    own = int((gallery.templates_each() * gallery.photos_each()).sum())
    return Measured(
        encoder,
        gallery.members.shape[1],
        len(np.unique(genuine.person)),
        int(tail.enrollable.sum()),
        len(genuine.similarity),
        len(gallery.owner) * len(gallery.person) - own,
        fnmr_at_fmrs(genuine, tail),
        limits,
        {fmr: matching_pairs(tail, limit) for fmr, limit in limits.items()},
    )


def fnmr_at_fmrs(genuine: Genuine, tail: ImpostorTail) -> dict[float, Rate]:
    """FNMR at TABLE_FMRS; every resample of persons gets thresholds of its own."""
    top = tail.cut(threshold_at_fmr(tail, 10 * max(TABLE_FMRS)))  # a resample may need more

    def rates_of(copies: Ints | None) -> Floats:
        limits = Resample(top, copies).thresholds_at(np.array(TABLE_FMRS))
        return fnmrs_at(genuine, limits, copies)

    return dict(zip(TABLE_FMRS, with_intervals(rates_of, len(tail.enrollable)), strict=True))


def with_intervals(rates_of: Callable[[Ints | None], Floats], persons: int) -> list[Rate]:
    """Each rate on the data as they are, and its interval over resampled persons."""
    low, high = bootstrap_interval(rates_of, persons, resamples=RESAMPLES, seed=SEED)
    return [Rate(*map(float, rate)) for rate in zip(rates_of(None), low, high, strict=True)]


def distance_rule(raw_dlib: Matrix, person: Ints) -> tuple[Rate, Rate]:
    """FMR and FNMR of face_recognition's default tolerance, on the dlib half as it is."""
    gallery = single_photos(raw_dlib, person, minus_distance)
    limit = -FACE_RECOGNITION_DISTANCE
    genuine, tail = genuine_comparisons(gallery), impostor_comparisons(gallery, limit)

    def rates_of(copies: Ints | None) -> Floats:
        return np.array([fmr_at(tail, limit, copies), fnmr_at(genuine, limit, copies)])

    fmr, fnmr = with_intervals(rates_of, len(tail.enrollable))
    return fmr, fnmr


def labelled_pairs(person: Ints) -> tuple[Ints, Bools, Ints]:
    """(pairs, 2) photos, whether of one person, and the fold of each pair.

    Built like LFW's view 2: people are dealt into FOLDS disjoint folds; a fold has up to
    PAIRS_PER_FOLD genuine pairs (a random person with two photos or more, two random photos) and
    as many impostor pairs (two random people of the fold, a random photo of each); no pair comes
    twice.
    """
    random = np.random.default_rng(SEED)
    photos_of = [np.flatnonzero(person == one) for one in range(person.max() + 1)]
    pairs, same, fold = [], [], []
    for number, people in enumerate(np.array_split(random.permutation(len(photos_of)), FOLDS)):
        members = [photos_of[one] for one in people]
        genuine = distinct_pairs(partial(genuine_pair, random, members), PAIRS_PER_FOLD)
        impostor = distinct_pairs(partial(impostor_pair, random, members), len(genuine))
        pairs += genuine + impostor
        same += [True] * len(genuine) + [False] * len(impostor)
        fold += [number] * (len(genuine) + len(impostor))
    return np.array(pairs), np.array(same), np.array(fold)


def genuine_pair(random: np.random.Generator, photos_of: list[Ints]) -> Ints:
    """Two random photos of a random person who has two."""
    several = [photos for photos in photos_of if len(photos) > 1]
    return random.choice(several[random.integers(len(several))], 2, replace=False)


def impostor_pair(random: np.random.Generator, photos_of: list[Ints]) -> Ints:
    """A random photo of each of two random people."""
    two = random.choice(len(photos_of), 2, replace=False)
    return np.array([random.choice(photos_of[one]) for one in two])


def distinct_pairs(draw: Callable[[], Ints], wanted: int) -> list[tuple[int, int]]:
    """As many different pairs as wanted, or as a patient search finds."""
    pairs: set[tuple[int, int]] = set()
    for _ in range(20 * wanted):
        first, second = sorted(draw().tolist())
        pairs.add((first, second))
        if len(pairs) == wanted:
            break
    return sorted(pairs)


def accuracy(rows: Matrix, person: Ints) -> float:
    """On labelled_pairs, each fold judged with the best threshold of the others."""
    pairs, same, fold = labelled_pairs(person)
    return fold_accuracy((rows[pairs[:, 0]] * rows[pairs[:, 1]]).sum(1), same, fold)


# --- the report -----------------------------------------------------------------------------


def failures(photos: Encoded) -> dict[str, float]:
    """Shares of photos: without a face, with several, and without one or refused by limits."""
    qualities = [Quality(*row) for row in photos.quality[photos.found].tolist()]
    shares_of = {
        "no_face": float((~photos.found).mean()),
        "several_faces": sum(q.faces > 1 for q in qualities) / len(photos.files),
    }
    for name in ("sign_in", "enrolment"):
        limits = getattr(settings, f"{name}_quality".upper())
        refused = sum(not all(ok for ok, _ in quality.judgements(q, limits)) for q in qualities)
        shares_of[name] = shares_of["no_face"] + refused / len(photos.files)
    return shares_of


def setting(folder: Path, photos: Encoded) -> dict[str, str]:
    """The settings of the figures."""
    return {
        "data": folder.name,
        "photos": str(len(photos.files)),
        "people": str(len({file.split("/")[0] for file in photos.files})),
        "python": platform.python_version(),
        "opencv": opencv().__version__,
        "cpu": f"{os.cpu_count()} x {cpu_model()}",
        "contract": Networks(Checked(None)).contract,
        "intervals": f"95 %, {RESAMPLES} resamples of persons, thresholds set anew in each",
    }


def cpu_model() -> str:
    """The processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one run."""

    setting: dict[str, str]
    failures: dict[str, float]
    accuracy: dict[str, float]
    measured: list[Measured]
    distance_rule: tuple[Rate, Rate]  # FMR and FNMR


def report(folder: Path, photos: Encoded) -> Report:
    """Measure everything."""
    names = [
        file.split("/")[0] for file, found in zip(photos.files, photos.found, strict=True) if found
    ]
    person: Ints = np.unique(names, return_inverse=True)[1]
    if (np.bincount(person) > 1).sum() < MIN_PEOPLE:
        sys.exit(f"rates need {MIN_PEOPLE} people with two photos or more; there are fewer")
    raw_dlib, sface = photos.dlib[photos.found], photos.sface[photos.found]
    stored = np.stack([fuse(*halves) for halves in zip(raw_dlib, sface, strict=True)])
    fused = shipped().calibration.space.of(stored)
    encoders = {"dlib": unit(raw_dlib), "sface": unit(sface), "fused": fused}
    rows = [measured(name, single_photos(made, person)) for name, made in encoders.items()]
    enough = [k for k in ENROLMENT_PHOTOS[1:] if (np.bincount(person) > k).sum() >= MIN_PEOPLE]
    rows += [measured("fused", mean_templates(fused, person, k)) for k in enough]
    accuracies = {name: accuracy(made, person) for name, made in encoders.items()}
    rule = distance_rule(raw_dlib, person)
    return Report(setting(folder, photos), failures(photos), accuracies, rows, rule)


def show(figures: Report) -> None:
    """Print the report for people."""
    for name, text in figures.setting.items():
        print(f"{name:10} {text}")
    print("\nshare of photos (with limits: no face, or refused by them)")
    for name, share in figures.failures.items():
        print(f"  {name:14} {share:.2%}")
    show_rates(figures)


def show_rates(figures: Report) -> None:
    """Print accuracies and error rates."""
    print(f"\naccuracy, {FOLDS} folds, at most {PAIRS_PER_FOLD} pairs a kind, people disjoint")
    for name, share in figures.accuracy.items():
        print(f"  {name:6} {share:.4f}")
    print("\nFNMR at FMR" + "".join(f"{fmr:>28.0e}" for fmr in TABLE_FMRS))
    for row in figures.measured:
        print(f"  {row.encoder:6} k={row.enrolment_photos}", *map(str, row.fnmr.values()), sep="  ")
        print(
            f"    {row.people} people, {row.genuine} genuine; "
            f"{row.enrolled_people} enrolled, {row.impostor} impostor comparisons"
        )
    fmr, fnmr = figures.distance_rule
    print(
        f"\ndlib distance <= {FACE_RECOGNITION_DISTANCE} (face_recognition): FMR {fmr}, FNMR {fnmr}"
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PERSON/IMAGE")
    parser.add_argument("--cache", type=Path, help="npz file to keep the encodings in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = report(chosen.folder, encoded(chosen.folder, chosen.cache, chosen.processes))
    if chosen.json:
        print(json.dumps(asdict(figures), indent=1))
    else:
        show(figures)


if __name__ == "__main__":
    main()
