"""Comparison of ways to match a probe against the photos of a person.

    python benchmarks/templates.py FOLDER [--cache FILE] [--processes N]

FOLDER holds PERSON/IMAGE, such as LFW; encodings come from recognition.py, whose cache it shares.
The people are halved HALVINGS times. A way that learns (a cohort, a rotation, a weight)
learns from one half; the rates are those of the other half, and then the halves change places.

- FNMR: at the threshold that gives the tested half the FMR of the column, so that every way is
  compared at the same FMR. People with few photos weigh as much as people with many.
- "less mean": that FNMR less the mean template's, on the same half with the same photos. Its
  interval is 1.96 times the deviation of the halves: half-samples of n people scatter about the
  whole as the whole does about the truth (delete-half jackknife: J. Shao and C. F. J. Wu, Annals of
  Statistics 17, 1989). There are some thirty rows: one that stands out by twice its interval may
  well do so by chance.
- "FMR kept": the FMR that a half has at the threshold that gives FMR 1e-4 on the other half; mean,
  and the span of nine in ten halves. (It says nothing of "dlib weight learnt", which has a scale of
  its own on each half.)

A last table has the same people with one to three registered photos, and with one registered and
the other two learned by sign-in --learn where they are clear, all tried with the same other photos
at the thresholds that are shipped (which were set on these people too).

Pairs of people whose names are known to be wrong (calibration.py) are left out, as from the
calibration that is shipped.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from calibration import WRONG_LABELS, splits
from recognition import Encoded, encoded, failures, setting

from facauth.decision.calibration import shipped
from facauth.decision.learning import match_doubts
from facauth.decision.match import Gallery
from facauth.decision.space import AS_STORED, HALF
from facauth.measure.comparisons import (
    DRAWS,
    SEED,
    Matrix,
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
    fmr_at,
    fnmr_at,
    threshold_at_fmr,
)
from facauth.measure.rates import bootstrap_interval
from facauth.structs import Encoding, Quality

HALVINGS = 10
ENROLMENT_PHOTOS = (1, 3)
FMRS = (1e-4, 1e-5)
TAIL_SHARE = 2e-3  # of all comparisons; what is kept of the impostors
SPACE = shipped().calibration.space
CALIBRATION = replace(shipped().calibration, space=AS_STORED)  # of vectors that are in it already
WEIGHTS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75)
MEASURES = [field.name for field in fields(Quality)]


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """All photos with a face."""

    dlib: Matrix  # (photos, 128), unit vectors in the space of comparison
    sface: Matrix  # (photos, 128), likewise
    agreement: Floats  # (photos,), of SFace's two mirrored views; higher is more alike
    quality: Floats  # (photos, measures)
    person: Ints  # (photos,)
    wrong: frozenset[tuple[int, int]]  # pairs of people who may be one

    @classmethod
    def of(cls, made: Encoded) -> Photos:
        """Number the people."""
        names = [f.split("/")[0] for f, found in zip(made.files, made.found, strict=True) if found]
        people, person = np.unique(names, return_inverse=True)
        number = {name: i for i, name in enumerate(people.tolist())}
        pairs = [(number[a], number[b]) for a, b in WRONG_LABELS if a in number and b in number]
        sface, quality = made.sface[made.found], made.quality[made.found]
        agreement = np.linalg.norm(sface, axis=1)
        wrong = frozenset(pairs + [(b, a) for a, b in pairs])
        centre = np.reshape(SPACE.centre, (2, HALF)).astype(np.float32)
        dlib = unit(unit(made.dlib[made.found]) - centre[0])
        return cls(dlib, unit(unit(sface) - centre[1]), agreement, quality, person, wrong)

    def fused(self, weight: float = SPACE.dlib_weight) -> Matrix:
        """(photos, 256): the encodings with a share of dlib's cosine in the similarity."""
        return np.hstack([weight**0.5 * self.dlib, (1 - weight) ** 0.5 * self.sface])


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The enrolled photos, the probes, and the photos to learn from."""

    photos: Photos
    members: Ints  # (templates, k): photos
    probes: Ints  # (probes,): photos
    known: Ints  # (known,): photos of other people

    @property
    def owner(self) -> Ints:
        """(templates,): person."""
        owners: Ints = self.photos.person[self.members[:, 0]]
        return owners


Way = Callable[[Trial], Matrix]  # (templates, probes), higher is more alike


# --- ways to compare -------------------------------------------------------------------------


def mean_of(vectors: Matrix, trial: Trial, weight: Floats | None = None) -> tuple[Matrix, Matrix]:
    """Unit means of the enrolled photos' vectors, weighted or not, and the probes' vectors."""
    weights = np.ones(len(vectors)) if weight is None else weight
    each = weights[trial.members][:, :, None].astype(np.float32)
    return unit((vectors[trial.members] * each).sum(1)), vectors[trial.probes]


def mean(trial: Trial, dlib_weight: float = SPACE.dlib_weight) -> Matrix:
    """The mean template, which facauth uses."""
    templates, probes = mean_of(trial.photos.fused(dlib_weight), trial)
    return templates @ probes.T


def each_score(trial: Trial) -> Iterator[Matrix]:
    """The scores with each of the k photos."""
    vectors = trial.photos.fused()
    for photo in trial.members.T:
        yield vectors[photo] @ vectors[trial.probes].T


def best(trial: Trial) -> Matrix:
    """The best of k scores."""
    found: Matrix = np.maximum.reduce(list(each_score(trial)))
    return found


def mean_of_scores(trial: Trial) -> Matrix:
    """As the mean, which is not made a unit vector."""
    found: Matrix = np.mean(list(each_score(trial)), axis=0)
    return found


def best_and_mean(trial: Trial) -> Matrix:
    """Half of each."""
    return best(trial) + mean(trial)


def by_measure(trial: Trial, measure: str) -> Matrix:
    """A mean in which sharper, larger or straighter faces weigh more."""
    values = trial.photos.quality[:, MEASURES.index(measure)]
    weight = np.cos(np.radians(values)) ** 2 if measure.endswith("deg") else values
    templates, probes = mean_of(trial.photos.fused(), trial, np.maximum(weight, 1e-3))
    return templates @ probes.T


def by_agreement(trial: Trial) -> Matrix:
    """A mean in which photos weigh more that SFace sees alike in a mirror."""
    templates, probes = mean_of(trial.photos.fused(), trial, trial.photos.agreement**4)
    return templates @ probes.T


def by_consensus(trial: Trial) -> Matrix:
    """A mean in which photos weigh as much as they are like the mean of all."""
    vectors = trial.photos.fused()
    centre, probes = mean_of(vectors, trial)
    like = np.einsum("tkd,td->tk", vectors[trial.members], centre)
    weighted = (vectors[trial.members] * np.maximum(like, 0)[:, :, None] ** 4).sum(1)
    return unit(weighted) @ probes.T


def each_best(trial: Trial) -> Matrix:
    """dlib's mean, and the best of SFace's k scores."""
    templates, probes = mean_of(trial.photos.dlib, trial)
    scores = [trial.photos.sface[p] @ trial.photos.sface[trial.probes].T for p in trial.members.T]
    best_sface: Matrix = np.maximum.reduce(scores)
    return SPACE.dlib_weight * (templates @ probes.T) + (1 - SPACE.dlib_weight) * best_sface


def chosen_weight(trial: Trial) -> Matrix:
    """The mean with the weight that does best on the people who may be learnt from."""
    known = replaced_by_known(trial)
    weights = (*WEIGHTS, SPACE.dlib_weight)
    found = min(weights, key=lambda w: Result.of(known, mean(known, w)).fnmr[0])
    return mean(trial, found)


def replaced_by_known(trial: Trial) -> Trial:
    """The same with the people who may be learnt from, as many photos each."""
    photos, k = trial.photos, trial.members.shape[1]
    members = drawn(photos.person[trial.known], k)
    return Trial(photos, trial.known[members], trial.known, trial.probes)


def halves_as_deviates(trial: Trial) -> tuple[Matrix, Matrix]:
    """dlib's and SFace's scores in deviations of what strangers reach among the known."""
    made = []
    for vectors in (trial.photos.dlib, trial.photos.sface):
        strangers = vectors[trial.known][::2] @ vectors[trial.known][1::2].T
        templates, probes = mean_of(vectors, trial)
        made.append((templates @ probes.T - strangers.mean()) / strangers.std())
    return made[0], made[1]


def lower_half(trial: Trial) -> Matrix:
    """The lower of both deviates: each network must agree."""
    return np.minimum(*halves_as_deviates(trial))


def sum_and_lower_half(trial: Trial) -> Matrix:
    """The sum of both deviates and the lower one."""
    one, other = halves_as_deviates(trial)
    return one + other + np.minimum(one, other)


def cohort(trial: Trial, people: int | None) -> Matrix:
    """(people, 256): the means of people who are enrolled as well."""
    vectors, person = trial.photos.fused(), trial.photos.person[trial.known]
    owners = np.unique(person)[:people]
    k = trial.members.shape[1]
    return unit(np.stack([vectors[trial.known[person == o][:k]].sum(0) for o in owners]))


def normalised(
    trial: Trial, side: str, people: int | None = None, top: int | None = None
) -> Matrix:
    """Scores less their mean with a cohort, over their deviation: of the template (Z), of the probe
    (T), or half of each (S); with `top`, of the most alike only (adaptive S)."""
    templates, probes = mean_of(trial.photos.fused(), trial)
    others = cohort(trial, people)
    scores = templates @ probes.T

    def statistics(rows: Matrix) -> tuple[Matrix, Matrix]:
        alike = rows @ others.T
        if top is not None:
            alike = np.partition(alike, -top, axis=1)[:, -top:]
        return alike.mean(1), alike.std(1)

    made = np.zeros_like(scores)
    if side in "ZS":
        average, deviation = statistics(templates)
        made += (scores - average[:, None]) / deviation[:, None]
    if side in "TS":
        average, deviation = statistics(probes)
        made += (scores - average) / deviation
    return made


def centred(trial: Trial) -> Matrix:
    """The mean after the known people's mean was subtracted."""
    vectors = trial.photos.fused()
    moved = unit(vectors - vectors[trial.known].mean(0))
    templates, probes = mean_of(moved, trial)
    return templates @ probes.T


def centred_apart(trial: Trial, dlib_weight: float) -> Matrix:
    """The same with each network by itself, and the weight that suits what is left of both."""
    known = trial.known
    dlib, sface = (unit(v - v[known].mean(0)) for v in (trial.photos.dlib, trial.photos.sface))
    fused = np.hstack([dlib_weight**0.5 * dlib, (1 - dlib_weight) ** 0.5 * sface])
    templates, probes = mean_of(fused, trial)
    return templates @ probes.T


def whitened(trial: Trial, shrinkage: float, *, within: bool = False) -> Matrix:
    """The mean after a rotation that makes the known photos vary alike in all directions.

    within: only as photos of one person vary (within-class covariance normalisation: A. O. Hatch,
    S. Kajarekar, A. Stolcke, Interspeech 2006). shrinkage: share of the sphere in the covariance.
    """
    vectors, person = trial.photos.fused(), trial.photos.person[trial.known]
    known = vectors[trial.known].astype(np.float64)
    centre = known.mean(0)
    residual = known - centre
    if within:
        _, index, count = np.unique(person, return_inverse=True, return_counts=True)
        means = np.stack([np.bincount(index, column) for column in known.T], 1) / count[:, None]
        several = count[index] > 1
        residual = ((known - means[index]) / np.sqrt(count[index])[:, None])[several]
    covariance = residual.T @ residual / len(residual)
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * sphere)
    rotated = unit(((vectors - centre) @ (axes / np.sqrt(values))).astype(np.float32))
    templates, probes = mean_of(rotated, trial)
    return templates @ probes.T


def reduced(trial: Trial, dimensions: int) -> Matrix:
    """The mean in the directions in which the known photos vary most."""
    vectors = trial.photos.fused()
    centre = vectors[trial.known].mean(0)
    _, _, axes = np.linalg.svd(vectors[trial.known] - centre, full_matrices=False)
    templates, probes = mean_of(unit((vectors - centre) @ axes[:dimensions].T), trial)
    return templates @ probes.T


WAYS: dict[str, Way] = {
    "mean template (ships)": mean,
    "best of k": best,
    "mean of scores": mean_of_scores,
    "best of k + mean": best_and_mean,
    "dlib mean, best SFace": each_best,
    "mean by sharpness": partial(by_measure, measure="sharpness"),
    "mean by eye distance": partial(by_measure, measure="inter_eye_distance_px"),
    "mean by yaw": partial(by_measure, measure="head_pose_yaw_deg"),
    "mean by mirror agreement": by_agreement,
    "mean by consensus": by_consensus,
    **{f"dlib weight {w:g}": partial(mean, dlib_weight=w) for w in WEIGHTS},
    "dlib weight learnt": chosen_weight,
    "lower of both networks": lower_half,
    "sum + lower of both": sum_and_lower_half,
    "Z-norm": partial(normalised, side="Z"),
    "T-norm": partial(normalised, side="T"),
    "S-norm": partial(normalised, side="S"),
    "S-norm, cohort of 100": partial(normalised, side="S", people=100),
    "S-norm, cohort of 20": partial(normalised, side="S", people=20),
    "adaptive S-norm, top 20": partial(normalised, side="S", top=20),
    "adaptive S-norm, top 100": partial(normalised, side="S", top=100),
    "adaptive S-norm, top 300": partial(normalised, side="S", top=300),
    "mean subtracted": centred,
    **{f"both centred, dlib {w:g}": partial(centred_apart, dlib_weight=w) for w in (0.1, 0.2, 0.3)},
    "PCA to 128": partial(reduced, dimensions=128),
    "PCA to 200": partial(reduced, dimensions=200),
    "whitened, shrunk .5": partial(whitened, shrinkage=0.5),
    "whitened, shrunk .9": partial(whitened, shrinkage=0.9),
    "WCCN, shrunk .5": partial(whitened, shrinkage=0.5, within=True),
    "WCCN, shrunk .9": partial(whitened, shrinkage=0.9, within=True),
}


# --- rates -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The rates of one way on one half."""

    fnmr: Floats  # (FMRS,)
    threshold: Floats  # (FMRS,)
    tail: ImpostorTail

    @classmethod
    def of(cls, trial: Trial, scores: Matrix) -> Result:
        """Rates at thresholds of the half's own."""
        genuine, tail = comparisons(trial, scores)
        limits = [threshold_at_fmr(tail, fmr) for fmr in FMRS]
        return cls(np.array([fnmr_at(genuine, x) for x in limits]), np.array(limits), tail)


def comparisons(trial: Trial, scores: Matrix) -> tuple[Genuine, ImpostorTail]:
    """The genuine comparisons, and the most alike of the impostors."""
    people, probe = np.unique(trial.photos.person[trial.probes], return_inverse=True)
    owner = np.searchsorted(people, trial.owner)
    own = owner[:, None] == probe
    unseen = np.ones_like(own)
    for photo in trial.members.T:
        unseen &= photo[:, None] != trial.probes
    row, column = np.nonzero(own & unseen)
    person = owner[row]
    genuine = Genuine(scores[row, column], person, 1.0 / np.bincount(person)[person])
    floor = float(np.quantile(scores.reshape(-1)[::7], 1 - TAIL_SHARE - own.mean()))
    row, column = np.nonzero(~own & (scores >= floor))
    pairs = zip(people[owner[row]].tolist(), people[probe[column]].tolist(), strict=True)
    right = np.array([pair not in trial.photos.wrong for pair in pairs])
    row, column = row[right], column[right]
    order = np.argsort(-scores[row, column], kind="stable")
    row, column = row[order], column[order]
    templates, photos = np.bincount(owner, minlength=len(people)), np.bincount(probe)
    weight = 1.0 / (templates[owner[row]] * photos[probe[column]])
    enrolled, similarity = owner[row], scores[row, column]
    return genuine, ImpostorTail(similarity, enrolled, probe[column], weight, templates > 0, floor)


def drawn(person: Ints, k: int) -> Ints:
    """(templates, k): which photos are enrolled together, as recognition.py has it."""
    vectors = np.ones((len(person), 1), np.float32)
    number = np.unique(person, return_inverse=True)[1]
    made = single_photos(vectors, number) if k == 1 else mean_templates(vectors, number, k)
    return made.members


def trial_of(photos: Photos, k: int, tested: Bools) -> Trial:
    """A trial of these people; ways learn from all others."""
    theirs = np.flatnonzero(tested[photos.person])
    members = theirs[drawn(photos.person[theirs], k)]
    return Trial(photos, members, theirs, np.flatnonzero(~tested[photos.person]))


# --- more photos of the same people, and learned ones ----------------------------------------

MORE_PHOTOS = ("1 photo", "2 photos", "3 photos", "1 photo, 2 offered to --learn")


def more_photos(photos: Photos) -> Iterator[tuple[str, float, Floats, float]]:
    """Of each of MORE_PHOTOS: how many templates, FNMR of each person, FMR; at FMRS[0].

    Tried are, with each of DRAWS random orders of a person's photos, those from the fourth on.
    """
    vectors, random = photos.fused(), np.random.default_rng(SEED)
    owners = np.flatnonzero(np.bincount(photos.person) > 3)
    orders = [
        random.permutation(np.flatnonzero(photos.person == owner))
        for owner in owners.repeat(DRAWS).tolist()
    ]
    for name in MORE_PHOTOS:
        enrolled = [chosen_photos(name, vectors, order) for order in orders]
        means = unit(np.stack([vectors[some].sum(0) for some in enrolled]))
        limits = shipped().calibration.min_similarity(
            FMRS[0], np.array([len(some) for some in enrolled])
        )
        refused = [
            (vectors[order[3:]] @ mean < limit).mean()
            for order, mean, limit in zip(orders, means, limits, strict=True)
        ]
        weight = 1.0 / np.bincount(photos.person)[photos.person]
        passed = (means @ vectors.T >= limits[:, None]) * weight
        passed[photos.person[[order[0] for order in orders]][:, None] == photos.person] = 0
        fmr = passed.sum() / len(orders) / photos.person.max()
        each = np.array(refused).reshape(len(owners), DRAWS).mean(1)
        yield name, sum(map(len, enrolled)) / len(enrolled), each, float(fmr)


def chosen_photos(name: str, vectors: Matrix, order: Ints) -> list[int]:
    """The enrolled photos of a person."""
    if "learn" not in name:
        return [int(photo) for photo in order[: int(name[0])]]
    enrolled = Gallery.of([("", vectors[order[0]].tobytes())])
    found = [int(order[0])]
    for photo in order[1:3].tolist():
        whole = Gallery.of([("", vectors[each].tobytes()) for each in found])
        probe = Encoding("", vectors[photo].copy())
        if not list(
            match_doubts(probe, whole, enrolled, enrolled.without(""), FMRS[0], CALIBRATION)
        ):
            found.append(photo)
    return found


def weighted_mean(each: Floats, copies: Ints) -> Floats:
    """(1,)."""
    return np.array([copies @ each / copies.sum()])


def show_more_photos(photos: Photos) -> None:
    """The last table; intervals: 95 %, people resampled."""
    print(f"\nthe same people, thresholds of FMR {FMRS[0]:g}")
    for name, templates, each, fmr in more_photos(photos):
        resampled = partial(weighted_mean, each)
        low, high = bootstrap_interval(resampled, len(each), resamples=1000, seed=SEED)[:, 0]
        print(
            f"{name:30} {templates:.2f} templates  FNMR {each.mean():.2%} [{low:.2%}, {high:.2%}]"
            f"  FMR {fmr:.1e}  ({len(each)} people)"
        )


# --- the table -------------------------------------------------------------------------------

_photos: list[Photos] = []  # of this process


def rates_of(task: tuple[int, Bools]) -> tuple[Floats, Floats]:
    """(2, ways, FMRS): FNMR on both halves; (2, ways): the FMR kept at FMRS[0]."""
    k, half = task
    (photos,) = _photos
    sides = [trial_of(photos, k, tested) for tested in (half, ~half)]
    fnmr, kept = [], []
    for way in WAYS.values():
        one, other = (Result.of(side, way(side)) for side in sides)
        fnmr.append([one.fnmr, other.fnmr])
        crossed = ((one, other), (other, one))
        kept.append([fmr_at(a.tail, max(b.threshold[0], a.tail.floor)) for a, b in crossed])
    return np.array(fnmr).transpose(1, 0, 2), np.array(kept).T


def keep_photos(photos: Photos) -> None:
    """Once per process."""
    _photos[:] = [photos]


def show(k: int, photos: Photos, fnmr: Floats, kept: Floats) -> None:
    """One table; fnmr: (halves, ways, FMRS), kept: (halves, ways)."""
    several = int((np.bincount(photos.person) > k).sum())
    print(f"\n{k} enrolment photo{'s' * (k > 1)}: {several} people with one more", end="")
    print(f", {len(fnmr)} halves\n{'':26}", end="")
    print(*(f"{f'FNMR at {fmr:.0e}':>14}{'less mean':>20}" for fmr in FMRS), f"{'FMR kept':>24}")
    for i, name in enumerate(WAYS):
        less = fnmr[:, i] - fnmr[:, 0]
        rates = zip(fnmr[:, i].mean(0), less.mean(0), 1.96 * less.std(0), strict=True)
        cells = [f"{rate:14.2%}{by:+12.2%} ± {sure:.2%}" for rate, by, sure in rates]
        low, high = np.quantile(kept[:, i], [0.05, 0.95])
        print(f"{name:26}", *cells, f"   {kept[:, i].mean():.1e} [{low:.1e}, {high:.1e}]")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds PERSON/IMAGE")
    parser.add_argument("--cache", type=Path, help="npz file to keep the encodings in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    made = encoded(chosen.folder, chosen.cache, chosen.processes)
    for name, text in setting(chosen.folder, made).items():
        if name != "intervals":
            print(f"{name:10} {text}")
    print(f"{'no face':10} {failures(made)['no_face']:.3%} of photos: to be added to any FNMR")
    photos = Photos.of(made)
    people = int(photos.person.max()) + 1
    with Pool(chosen.processes, initializer=keep_photos, initargs=(photos,)) as pool:
        for k in ENROLMENT_PHOTOS:
            tasks = [(k, half) for half, _ in splits(people, 0.5, HALVINGS)]
            fnmr, kept = zip(*pool.map(rates_of, tasks, chunksize=1), strict=True)
            show(k, photos, np.concatenate(fnmr), np.concatenate(kept))
    show_more_photos(photos)


if __name__ == "__main__":
    main()
