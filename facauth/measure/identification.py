"""Sign-ins without a name, against random galleries of the people of a folder.

As sign_in decides (decision/match.py), with one threshold for all: somebody passes where exactly
one of the enrolled people reaches it, and nobody comes within MIN_MARGIN; otherwise the answer is
"ambiguous", which is a refusal.

FPIR: share of sign-ins of people who are not enrolled that pass for anybody.
FNIR: share of sign-ins of enrolled people, with another photo, that do not pass for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facauth.decision.calibration import Calibration
from facauth.errors import Reason, UsageProblem
from facauth.measure.comparisons import Gallery, reached
from facauth.measure.matching import Bools, Floats, Ints
from facauth.measure.rates import RESAMPLES, SEED, Estimate, estimate
from facauth.settings import MIN_MARGIN, RATES

NOBODY = -1


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


def require_gallery(size: int | None, people: int, calibration: Calibration) -> None:
    """Raises UsageProblem unless somebody is left outside, and the calibration goes so far."""
    if size is None:
        return
    if size >= people:
        message = f"a gallery of {size} leaves nobody outside of {people} people"
        raise UsageProblem(Reason("evaluate.gallery", message, "choose a smaller one"))
    calibration.require_supported(RATES.identify_fpir / size)


def identified(gallery: Gallery, size: int, calibration: Calibration) -> Identification | None:
    """Galleries drawn RESAMPLES times; None where too few people can be enrolled.

    The interval is that of the draws, in each of which the people who sign in are resampled.
    """
    photos, k = gallery.photos_each(), gallery.members.shape[1]
    if size > (photos >= k).sum() or size >= len(photos):
        return None
    fmr = RATES.identify_fpir / size
    threshold = float(calibration.min_similarity(fmr, np.array([k]))[0])
    hits, random = _Hits.of(gallery, threshold), np.random.default_rng(SEED)
    draws = [_one_draw(gallery, _enrolled(gallery, size, random), hits) for _ in range(RESAMPLES)]
    several = int((photos > k).sum())
    return Identification(
        gallery=size,
        photos=k,
        asked_fpir=RATES.identify_fpir,
        asked_fmr=fmr,
        min_similarity=threshold,
        draws=RESAMPLES,
        strangers=len(photos) - size,
        mates=round(float(np.mean([len(missed) for _, missed in draws]))),
        fpir=_estimate([passed for passed, _ in draws], len(photos), random),
        fnir=_estimate([missed for _, missed in draws], several, random),
    )


def _enrolled(gallery: Gallery, size: int, random: np.random.Generator) -> Ints:
    """(size,): one template each of so many people."""
    people = random.choice(np.flatnonzero(gallery.templates_each()), size, replace=False)
    order = np.argsort(gallery.owner, kind="stable")  # templates of a person together
    first = np.searchsorted(gallery.owner[order], people)
    chosen: Ints = order[first + random.integers(gallery.templates_each()[people])]
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """The comparisons that matter for a decision: photo by photo, the most alike first."""

    template: Ints
    photo: Ints
    clearance: Floats  # similarity over the threshold; not below -MIN_MARGIN

    @classmethod
    def of(cls, gallery: Gallery, threshold: float) -> _Hits:
        template, photo, similarity = reached(gallery, threshold - MIN_MARGIN)
        order = np.lexsort((-similarity, photo))
        return cls(template[order], photo[order], similarity[order] - np.float32(threshold))

    def decided(self, enrolled: Bools) -> tuple[Ints, Ints]:
        """(n,): photos that pass, and the templates they pass for; enrolled: of the templates."""
        kept = enrolled[self.template]
        template, photo, clearance = self.template[kept], self.photo[kept], self.clearance[kept]
        best = np.flatnonzero(np.append(True, photo[1:] != photo[:-1])[: len(photo)])
        photo, clearance = np.append(photo, NOBODY), np.append(clearance, np.float32(0))
        next_one = np.where(photo[best + 1] == photo[best], clearance[best + 1], -np.inf)
        passed = (clearance[best] >= 0) & (
            clearance[best] - next_one > np.maximum(clearance[best], MIN_MARGIN)
        )
        return photo[best[passed]], template[best[passed]]


def _one_draw(gallery: Gallery, chosen: Ints, hits: _Hits) -> tuple[Floats, Floats]:
    """Of each stranger the share of photos that pass; of each mate the share that does not.

    chosen: the templates enrolled.
    """
    enrolled = np.zeros(len(gallery.owner), bool)
    enrolled[chosen] = True
    inside = np.zeros(len(gallery.photos_each()), bool)
    inside[gallery.owner[chosen]] = True
    photo, template = hits.decided(enrolled)
    passed, as_themselves = np.zeros((2, len(gallery.person)), bool)
    passed[photo] = True
    as_themselves[photo] = gallery.owner[template] == gallery.person[photo]
    mate = inside[gallery.person]
    mate[gallery.members[chosen].ravel()] = False  # a photo does not sign in to itself
    nobody = np.zeros(len(inside), np.int64)
    strangers = _by_person(gallery.person, passed, ~inside[gallery.person], nobody)
    failed = nobody if gallery.failed is None else gallery.failed * inside
    return strangers, _by_person(gallery.person, ~as_themselves, mate, failed)


def _by_person(person: Ints, counted: Bools, among: Bools, failed: Ints) -> Floats:
    """(people among,): the share of their photos that count; failed: (people,), more that do."""
    of = np.bincount(person, among) + failed
    shares: Floats = (np.bincount(person, counted & among) + failed)[of > 0] / of[of > 0]
    return shares


def _estimate(draws: list[Floats], people: int, random: np.random.Generator) -> Estimate | None:
    """Mean over the draws that have anybody, and the middle 95 % of them resampled."""
    known = [shares for shares in draws if len(shares)]
    if not known:
        return None
    resampled = [random.choice(shares, len(shares)).mean() for shares in known]
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return estimate(float(np.mean([shares.mean() for shares in known])), low, high, people)
