"""dlib's five-point predictor, read from its .dat file and written as plain arrays.

The file is dlib's own serialisation of `shape_predictor` (dlib/image_processing/
shape_predictor.h): a mean shape, and per cascade a forest of regression trees, an anchor and an
offset for each feature pixel. Every number in it is packed bit by bit, so dlib takes 60 ms to read
it; the arrays hold the same numbers and are read in 3 ms.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from weights.from_dlib import Reader

VERSION = 1


class Numbers(Reader):
    """Adds what a shape predictor is made of to the reader of dlib's integers."""

    def real(self) -> float:
        """A float: its mantissa and its exponent of two."""
        mantissa, exponent = self.integer(), self.integer()
        return float(np.ldexp(mantissa, exponent))

    def items(self, read: Callable[[], Any]) -> list[Any]:
        """A vector: its length and its items."""
        return [read() for _ in range(self.integer())]

    def column(self) -> list[float]:
        """A matrix of one column: minus its rows, minus its columns, its values."""
        rows, columns = -self.integer(), -self.integer()
        return [self.real() for _ in range(rows * columns)]

    def split(self) -> tuple[int, int, float]:
        """A node: the feature pixel that must be brighter than another one, and by how much."""
        return self.integer(), self.integer(), self.real()

    def tree(self) -> tuple[list[tuple[int, int, float]], list[list[float]]]:
        """The nodes of a tree in breadth-first order, and its leaves."""
        return self.items(self.split), self.items(self.column)

    def offset(self) -> tuple[float, float]:
        """A feature pixel's place, relative to its anchor."""
        return self.real(), self.real()


def predictor(content: bytes) -> bytes:
    """An .npz with the arrays of `facauth.networks.LandmarkForests`."""
    numbers = Numbers(content, 0)
    if numbers.integer() != VERSION:
        raise ValueError("unknown version of a dlib shape predictor")
    mean_shape = numbers.column()
    forests = numbers.items(lambda: numbers.items(numbers.tree))
    anchors = numbers.items(lambda: numbers.items(numbers.integer))
    offsets = numbers.items(lambda: numbers.items(numbers.offset))
    if numbers.position != len(content):
        raise ValueError("a dlib shape predictor goes on after its end")
    nodes = np.array([[splits for splits, _ in trees] for trees in forests])
    file = io.BytesIO()
    np.savez(
        file,
        mean_shape=np.array(mean_shape, "<f4").reshape(-1, 2),
        anchors=np.array(anchors, "u1"),
        offsets=np.array(offsets, "<f4"),
        first=nodes[..., 0].astype("<u2"),
        second=nodes[..., 1].astype("<u2"),
        brighter_by=nodes[..., 2].astype("<f4"),
        leaves=np.array([[leaves for _, leaves in trees] for trees in forests], "<f4"),
    )
    return file.getvalue()
