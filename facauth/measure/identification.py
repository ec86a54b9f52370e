"""Sign-ins without a name, against random galleries of the people of a folder.

As sign_in decides: with one threshold for all, somebody passes where exactly one of the enrolled
people reaches it; where two do, the answer is "ambiguous", which is a refusal.

FPIR: share of sign-ins of people who are not enrolled that pass for anybody.
FNIR: share of sign-ins of enrolled people, with another photo, that do not pass for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facauth.decision.calibration import calibration
from facauth.errors import Reason, UsageProblem
from facauth.measure.comparisons import Gallery, reached
from facauth.measure.matching import Bools, Floats, Ints
from facauth.measure.rates import RESAMPLES, SEED, Estimate, estimate
from facauth.settings import RATES


@dataclass(frozen=True, slots=True)
class Identification:
    """What was measured on galleries of one size."""

    gallery: int  # people enrolled at a time
    photos: int  # of each of them
    asked_fpir: float
    asked_fmr: float  # of each comparison
    min_similarity: float
    draws: int
    strangers: int  # people left outside, in each draw
    mates: int  # enrolled people with a further photo, on average
    fpir: Estimate | None
    fnir: Estimate | None


def require_gallery(size: int | None, people: int) -> None:
    """Raises UsageProblem unless somebody is left outside, and the calibration goes so far."""
    if size is None:
        return
    if size >= people:
        message = f"a gallery of {size} leaves nobody outside of {people} people"
        raise UsageProblem(Reason("evaluate.gallery", message, "choose a smaller one"))
    calibration().require_supported(RATES.identify_fpir / size)


def identified(gallery: Gallery, size: int) -> Identification | None:
    """Galleries drawn RESAMPLES times; None where too few people can be enrolled.

    The interval is that of the draws, in each of which the people who sign in are resampled.
    """
    enrollable = np.flatnonzero(gallery.templates_each())
    if size > len(enrollable) or size >= len(gallery.photos_each()):
        return None
    k, fmr = gallery.members.shape[1], RATES.identify_fpir / size
    threshold = float(calibration().min_similarity(fmr, np.array([k]))[0])
    template, photo = reached(gallery, threshold)
    random = np.random.default_rng(SEED)
    order = np.argsort(gallery.owner, kind="stable")  # templates of a person together
    starts = np.searchsorted(gallery.owner[order], np.arange(len(gallery.photos_each())))
    rates, drawn_again, mates = [], [], []
    for _ in range(RESAMPLES):
        people = random.choice(enrollable, size, replace=False)
        chosen = order[starts[people] + random.integers(gallery.templates_each()[people])]
        passed, missed = _one_draw(gallery, chosen, template, photo)
        rates.append([np.mean(passed), np.mean(missed) if len(missed) else np.nan])
        drawn_again.append([_mean_of_resample(each, random) for each in (passed, missed)])
        mates.append(len(missed))
    outside = len(gallery.photos_each()) - size
    fpir, fnir = _estimates(np.array(rates), np.array(drawn_again), (outside, max(mates)))
    enrolled_mates = round(float(np.mean(mates)))
    return Identification(
        size,
        k,
        RATES.identify_fpir,
        fmr,
        threshold,
        RESAMPLES,
        outside,
        enrolled_mates,
        fpir,
        fnir,
    )


def _one_draw(gallery: Gallery, chosen: Ints, template: Ints, photo: Ints) -> tuple[Floats, Floats]:
    """Of each stranger the share of photos that pass; of each mate the share that does not.

    chosen: the templates enrolled; (template, photo): all that reach the threshold.
    """
    photos, people = len(gallery.person), len(gallery.photos_each())
    enrolled = np.zeros(len(gallery.owner), bool)
    enrolled[chosen] = True
    inside = np.zeros(people, bool)
    inside[gallery.owner[chosen]] = True
    template, photo = template[enrolled[template]], photo[enrolled[template]]
    only_one = np.bincount(photo, minlength=photos) == 1
    own = gallery.owner[template] == gallery.person[photo]
    of_mate = np.zeros(photos, bool)
    of_mate[photo[own]] = True
    mate = inside[gallery.person]
    mate[gallery.members[chosen].ravel()] = False  # a photo does not sign in to itself
    passed = _by_person(gallery.person, only_one, ~inside[gallery.person])
    return passed, _by_person(gallery.person, ~(only_one & of_mate), mate)


def _by_person(person: Ints, counted: Bools, among: Bools) -> Floats:
    """(people among,): the share of their photos that count."""
    of = np.bincount(person, among)
    shares: Floats = np.bincount(person, counted & among)[of > 0] / of[of > 0]
    return shares


def _mean_of_resample(shares: Floats, random: np.random.Generator) -> float:
    return float(random.choice(shares, len(shares)).mean()) if len(shares) else float("nan")


def _estimates(
    rates: Floats, drawn_again: Floats, units: tuple[int, int]
) -> tuple[Estimate | None, Estimate | None]:
    """Mean over the draws, and the middle 95 % of the resampled ones."""
    found = []
    for drawn, resampled, unit in zip(rates.T, drawn_again.T, units, strict=True):
        known = resampled[~np.isnan(resampled)]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
        mean = np.nanmean(drawn) if len(known) else np.nan
        found.append(estimate(float(mean), float(low), float(high), unit))
    return found[0], found[1]
