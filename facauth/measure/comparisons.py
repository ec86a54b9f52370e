"""All comparisons between encodings of labelled photos: genuine ones, and the tail of impostors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facauth.measure.matching import Floats, Genuine, ImpostorTail, Ints

Matrix = NDArray[np.float32]
Kernel = Callable[[Matrix, Matrix], Matrix]  # (m, d), (n, d) -> (m, n); higher is more alike

DRAWS = 10  # sets of enrolment photos per person, for more than one photo
SEED = 20261122
BLOCK_ROWS = 1024


def cosine(a: Matrix, b: Matrix) -> Matrix:
    """Of unit vectors."""
    return a @ b.T


def unit(rows: Matrix) -> Matrix:
    """Every row at unit length."""
    scaled: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Templates made of enrolment photos, and all photos as probes."""

    templates: Matrix  # (templates, d)
    owner: Ints  # (templates,): person
    members: Ints  # (templates, k): the photos that each template is made of
    probes: Matrix  # (photos, d)
    person: Ints  # (photos,)
    kernel: Kernel
    failed: Ints | None = None  # (people,): photos that cannot be used and count as missed

    def photos_each(self) -> Ints:
        """How many photos each person has."""
        return np.bincount(self.person)

    def templates_each(self) -> Ints:
        """How many templates each person has."""
        return np.bincount(self.owner, minlength=len(self.photos_each()))


def single_photos(probes: Matrix, person: Ints, kernel: Kernel = cosine) -> Gallery:
    """Every photo enrolled alone."""
    return Gallery(probes, person, np.arange(len(person))[:, None], probes, person, kernel)


def mean_templates(probes: Matrix, person: Ints, k: int) -> Gallery:
    """The renormalised means of k photos of each person who has as many, drawn DRAWS times."""
    random = np.random.default_rng(SEED + k)
    owners = np.flatnonzero(np.bincount(person) >= k).repeat(DRAWS)
    photos_of = {owner: np.flatnonzero(person == owner) for owner in set(owners.tolist())}
    members = np.stack([random.choice(photos_of[int(o)], k, replace=False) for o in owners])
    return Gallery(unit(probes[members].mean(1)), owners, members, probes, person, cosine)


def genuine_comparisons(gallery: Gallery) -> Genuine:
    """Each template with the photos of its person that it is not made of.

    A photo that cannot be used and counts as missed is compared with each template, and matches
    none.
    """
    similarities, persons, weights = [], [], []
    nobody: Ints = np.zeros(len(gallery.photos_each()), np.int64)
    failed = nobody if gallery.failed is None else gallery.failed
    for owner in np.unique(gallery.owner).tolist():
        mine = np.flatnonzero(gallery.owner == owner)
        photos = np.flatnonzero(gallery.person == owner)
        similarity = gallery.kernel(gallery.templates[mine], gallery.probes[photos])
        unseen = ~(photos == gallery.members[mine][:, :, None]).any(1)
        missed = np.full(len(mine) * failed[owner], -np.inf, similarity.dtype)
        compared = np.concatenate([similarity[unseen], missed])
        if len(compared):
            similarities.append(compared)
            persons.append(np.full(len(compared), owner))
            weights.append(np.full(len(compared), 1 / len(compared)))
    if not similarities:
        return Genuine(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0))
    similarity = np.concatenate(similarities)
    falling = np.argsort(-similarity, kind="stable")
    person, weight = np.concatenate(persons)[falling], np.concatenate(weights)[falling]
    return Genuine(similarity[falling], person, weight)


def impostor_comparisons(gallery: Gallery, floor: float) -> ImpostorTail:
    """Each template with all photos of other people, as far as they are at or above the floor."""
    blocks = []
    for start in range(0, len(gallery.owner), BLOCK_ROWS):
        owner = gallery.owner[start : start + BLOCK_ROWS]
        similarity = gallery.kernel(gallery.templates[start : start + BLOCK_ROWS], gallery.probes)
        similarity[owner[:, None] == gallery.person[None]] = -np.inf
        row, column = np.nonzero(similarity >= floor)
        blocks.append((similarity[row, column], owner[row], gallery.person[column]))
    similarity, enrolled, probe = (np.concatenate(part) for part in zip(*blocks, strict=True))
    falling = np.argsort(-similarity, kind="stable")
    enrolled, probe = enrolled[falling], probe[falling]
    weight = 1.0 / (gallery.templates_each()[enrolled] * gallery.photos_each()[probe])
    enrollable = gallery.templates_each() > 0
    return ImpostorTail(similarity[falling], enrolled, probe, weight, enrollable, floor)


def reached(gallery: Gallery, threshold: float) -> tuple[Ints, Ints, Floats]:
    """(n,) templates, photos and similarities of all comparisons at or above a threshold.

    Those of one person are among them, but no photo with a template that it is part of.
    """
    blocks = []
    for start in range(0, len(gallery.owner), BLOCK_ROWS):
        similarity = gallery.kernel(gallery.templates[start : start + BLOCK_ROWS], gallery.probes)
        members = gallery.members[start : start + BLOCK_ROWS]
        similarity[np.arange(len(members))[:, None], members] = -np.inf
        row, photo = np.nonzero(similarity >= threshold)
        blocks.append((row + start, photo, similarity[row, photo]))
    template, photo, similarity = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return template, photo, similarity


EDGES: Floats = np.linspace(-1, 1, 20_001)  # of bins for cosines


def impostor_spread(gallery: Gallery) -> Floats:
    """(EDGES,): the false match rate at each of these thresholds; the kernel must be a cosine."""
    weight, bins = np.zeros(len(EDGES)), len(EDGES) - 1
    of_photo = 1 / gallery.photos_each()[gallery.person]
    for start in range(0, len(gallery.owner), BLOCK_ROWS):
        owner = gallery.owner[start : start + BLOCK_ROWS]
        similarity = gallery.kernel(gallery.templates[start : start + BLOCK_ROWS], gallery.probes)
        place = np.clip((similarity + 1) * (bins / 2), 0, bins).astype(np.int32)
        each = np.outer(1 / gallery.templates_each()[owner], of_photo)
        each[owner[:, None] == gallery.person[None]] = 0
        weight += np.bincount(place.ravel(), each.ravel(), len(EDGES))
    above = weight[::-1].cumsum()[::-1]
    rates: Floats = above / above[0]
    return rates


def floor_for(gallery: Gallery, fmr: float) -> float:
    """A similarity that at least a share `fmr` of impostors reaches, and hardly more."""
    return floor_of(impostor_spread(gallery), fmr)


def floor_of(spread: Floats, fmr: float) -> float:
    """As floor_for, where the impostor_spread is known."""
    enough = np.flatnonzero(spread >= fmr * (1 + 1e-6))
    return float(EDGES[max(0, enough.max(initial=0) - 1)])
