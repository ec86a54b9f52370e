"""Who is it? Comparison of a probe with everybody enrolled, then one rule that says yes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from facauth.decision.space import AS_STORED, Space
from facauth.errors import NoMatch, Reason, SetupProblem, UsageProblem, shown
from facauth.settings import MIN_MARGIN, RATES
from facauth.structs import Match

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.decision.calibration import Calibration
    from facauth.structs import Encoding, Terms

ENCODING_BYTES = 256 * 4
NEAREST = 64  # people looked at again; more than two only if they are as like as makes no odds
# By more than this no similarity of a Crowd is wrong: half of 1 / 32767 in each of 256 numbers is
# 2.5e-4 at worst (Cauchy and Schwarz), and 256 products of float32 are 2e-5.
ROUNDING = 3e-4


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """People to compare with: for each the mean of all templates, as a unit vector.

    The mean of k photos compares better than the best of k (measurements, Recognition).
    """

    names: tuple[str, ...]
    means: NDArray[np.float32]  # (people, 256), rows of unit length
    photos: NDArray[np.intp]  # (people,), templates of each
    space: Space = AS_STORED  # of the means

    @classmethod
    def of(cls, rows: Sequence[tuple[str, bytes]], space: Space = AS_STORED) -> Self:
        """From (name, encoding) rows, a person's rows together, to means in a space.

        Raises SetupProblem when an encoding is not 256 numbers of unit length.
        """
        import numpy as np

        if not all(isinstance(e, bytes) and len(e) == ENCODING_BYTES for _, e in rows):
            raise _damaged()  # another type: STRICT forbids it, a flipped bit does not ask
        vectors = np.frombuffer(b"".join(encoding for _, encoding in rows), "<f4").reshape(-1, 256)
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(vectors, axis=1)
        if not (np.abs(lengths - 1) < 1e-3).all():  # NaN must fail
            raise _damaged()
        names = np.array([name for name, _ in rows], dtype=object)
        starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])[: len(names)])
        if not len(starts):
            return cls((), vectors, starts, space)
        sums = np.add.reduceat(space.of(vectors), starts)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        if not (lengths > 1e-3).all():  # photos that cancel each other out have no mean
            raise _damaged()
        means = sums / lengths
        return cls(tuple(names[starts]), means, np.diff([*starts, len(names)]), space)

    def __len__(self) -> int:
        """How many people."""
        return len(self.photos)

    def nearest(self, probe: Encoding, fmr: float, calibration: Calibration) -> Gallery:
        """Those among whom the two best are."""
        near = shortlist(self.means @ moved(probe, self.space), self.photos, fmr, calibration)
        names = tuple(self.names[index] for index in near)
        return Gallery(names, self.means[near], self.photos[near], self.space)

    def only(self, name: str) -> Gallery:
        """The one person with this name, or nobody."""
        return self._where([candidate == name for candidate in self.names])

    def without(self, name: str | None) -> Gallery:
        """Everybody else."""
        return self._where([candidate != name for candidate in self.names])

    def _where(self, keep: list[bool]) -> Gallery:
        import numpy as np

        mask = np.array(keep, dtype=bool)
        names = tuple(name for name, kept in zip(self.names, keep, strict=True) if kept)
        return Gallery(names, self.means[mask], self.photos[mask], self.space)


def moved(probe: Encoding, space: Space) -> NDArray[np.float32]:
    """(256,): the probe in the space of those it is compared with."""
    import numpy as np

    (vector,) = space.of(probe.vector[None])
    return np.asarray(vector)


class Block(Protocol):
    """People with consecutive ids, one row each."""

    @property
    def first(self) -> int:
        """The id of the first row."""

    @property
    def photos(self) -> NDArray[np.intp]:
        """(rows,), templates of each; 0: nobody."""

    @property
    def means(self) -> NDArray[np.float32]:
        """(rows, 256), rows of unit length where there is somebody."""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """Very many people: found by means that were made before, compared by their own templates."""

    people: int
    blocks: Iterable[Block]
    # From ids to (name, encoding) rows, in the order of the ids.
    read: Callable[[Sequence[int]], Sequence[tuple[str, bytes]]]
    space: Space = AS_STORED  # of the blocks

    def __len__(self) -> int:
        """How many people."""
        return self.people

    def nearest(self, probe: Encoding, fmr: float, calibration: Calibration) -> Gallery:
        """Those among whom the two best are, as they are enrolled.

        Raises SetupProblem where that is not as the blocks have it.
        """
        import numpy as np

        vector = moved(probe, self.space)
        blocks = [(each.first, each.photos, each.means @ vector) for each in self.blocks]
        photos = np.concatenate([each for _, each, _ in blocks])
        found = np.concatenate([each for *_, each in blocks])
        near = shortlist(found, photos, fmr, calibration)
        ends = np.cumsum([len(each) for _, each, _ in blocks])
        offsets = np.array([first for first, *_ in blocks]) - np.concatenate([[0], ends[:-1]])
        ids = near + offsets[np.searchsorted(ends, near, side="right")]
        near, ids = near[np.argsort(ids)], np.sort(ids)  # as they are read; blocks in any order
        gallery = Gallery.of(self.read(ids.tolist()), self.space)
        same = np.array_equal(gallery.photos, photos[near])
        if not (same and (np.abs(gallery.means @ vector - found[near]) < ROUNDING).all()):
            raise _damaged()
        return gallery


def _damaged() -> SetupProblem:
    advice = "bring back a copy of it with facauth restore"
    return SetupProblem(Reason("store.damaged", "the store holds a damaged encoding", advice))


def compare(
    probe: Encoding, gallery: Gallery | Crowd, fmr: float, calibration: Calibration
) -> Match:
    """The person who clears the threshold best (or misses it least); says no more than that.

    fmr: false match rate of each single comparison. The gallery holds at least one person.
    """
    import numpy as np

    if gallery.space != calibration.space:
        raise ValueError("similarities of one space are no similarities of another")
    near = gallery.nearest(probe, fmr, calibration)
    # Row by row, so that it does not depend on who else is compared, as it would by BLAS.
    similarities = (near.means.astype(np.float64) * moved(probe, near.space)).sum(axis=1)
    thresholds = calibration.min_similarity(fmr, near.photos)
    clearances = similarities - thresholds
    order = np.argsort(-clearances, kind="stable")
    best = int(order[0])
    return Match(
        person=near.names[best],
        similarity=float(similarities[best]),
        min_similarity=float(thresholds[best]),
        fmr=fmr,
        margin=float(clearances[best] - clearances[order[1]]) if len(order) > 1 else None,
        compared=len(gallery),
        photos=int(near.photos[best]),
    )


def shortlist(
    similarities: NDArray[np.float32],
    photos: NDArray[np.intp],
    fmr: float,
    calibration: Calibration,
) -> NDArray[np.intp]:
    """Where the best two surely are: all who come near the second best, NEAREST at most.

    photos: templates of each; 0 is nobody.
    """
    import numpy as np

    clearances = similarities - calibration.min_similarity(fmr, photos)
    clearances[photos == 0] = -np.inf
    if len(clearances) <= 2:
        return np.flatnonzero(photos)
    second = np.delete(clearances, clearances.argmax()).max()
    near = np.flatnonzero(~(clearances < second - 2 * ROUNDING))  # NaN stays, and refuses
    if len(near) > NEAREST:
        near = np.sort(near[np.argpartition(clearances[near], -NEAREST)[-NEAREST:]])
    return near[photos[near] > 0]


def fmr_of_each(gallery: Gallery | Crowd, terms: Terms, min_fmr: float) -> float:
    """The false match rate of each comparison that keeps the rate of the whole sign-in.

    min_fmr: the lowest one that the calibration can promise. Raises UsageProblem for a lower one.
    """
    asked, claimed = terms.rate, terms.claimed is not None
    compared = 1 if claimed else len(gallery)
    lowest = min_fmr * compared
    if asked < lowest * (1 - 1e-9):  # 1e-8 * 1,000 is a little more than 1e-5
        raise UsageProblem(
            Reason(
                "match.unsupported_rate",
                f"a false match rate of {asked:.2g} is below the lowest supported",
                f"use --fmr {_rounded_up(lowest):.2g} or higher"
                + (", or name the person with --as" * (not claimed and asked >= min_fmr)),
            )
        )
    return asked / compared


def _rounded_up(rate: float) -> float:
    """To two digits, so that whoever asks for what is shown gets it."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / step - 1e-8) * step


def require_anybody(gallery: Gallery, store: object) -> None:
    """Raises NoMatch where there is nobody to compare with in this store."""
    if not gallery.names:
        raise NoMatch(
            Reason(
                "match.nobody_enrolled",
                f"nobody with a current photo is enrolled in {shown(store)}",
                "facauth register NAME IMAGE",
            )
        )


def require_current(person: Gallery, name: str) -> None:
    """Raises NoMatch where all photos of the claimed person are of another contract."""
    if not person.names:
        raise NoMatch(
            Reason(
                "match.needs_new_photo",
                f"no photo of {name} can be compared any more: they were made for other networks",
                f"have {name} registered again, with --replace",
            )
        )


def came_near(match: Match, calibration: Calibration) -> bool:
    """Whether the person would match, had they been named: then it was a try to pass for them.

    Not whoever is nearest: a stranger is nearest to somebody, who should not be locked for that.
    """
    import numpy as np

    fmr = max(match.fmr, RATES.verify_fmr)
    return bool(match.similarity >= calibration.min_similarity(fmr, np.array([match.photos]))[0])


def require_match(match: Match, *, claimed: bool) -> None:
    """Raises NoMatch unless exactly one person is similar enough, and nobody nearly as much.

    NaN is not.
    """
    if not match.similarity >= match.min_similarity:
        nobody = f"the face does not match {match.person}" if claimed else "the face matches nobody"
        raise NoMatch(Reason("match.none", nobody, "try another photo, or register"))
    clearance = match.similarity - match.min_similarity
    if match.margin is not None and not match.margin > max(clearance, MIN_MARGIN):
        raise NoMatch(
            Reason("match.ambiguous", "the face matches two people", "name one of them with --as")
        )
