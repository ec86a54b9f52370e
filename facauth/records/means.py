"""What a large store is searched by: the means of everybody's templates, in blocks of 256 people.

They only nominate: whoever is found by them is compared by their own templates before anything
is decided (decision.match.Crowd). Each change of a person's templates deletes the block in the same
transaction; the next search makes it anew, and whatever cannot be written is used unwritten.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from facauth.errors import SetupProblem
from facauth.records.database import Database, unfit
from facauth.records.vault import Bound, SealBroken, Vault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_PEOPLE = 256
NUMBERS = 256  # of a template
SEARCHED_FROM = 1000  # people: fewer are all read, in less time than a search takes to begin

# Person id, name and encoding of each template, a person's together.
Rows = Sequence[tuple[int, str, bytes]]


class Averages(Protocol):
    """Of some people, in their order."""

    @property
    def means(self) -> NDArray[np.float32]:
        """(people, 256), rows of unit length."""

    @property
    def photos(self) -> NDArray[np.intp]:
        """(people,), templates of each."""


Average = Callable[[Sequence[tuple[str, bytes]]], Averages]  # of (name, encoding) rows


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The people whose ids begin with `first`, one row each."""

    first: int
    photos: NDArray[np.int32]  # (256,), templates of each; 0: nobody
    means: NDArray[np.float32]  # (256, 256), rows of unit length where there is somebody


Memory = dict[int, Block]  # blocks as they were read, by their ids: for a process that lives long


@dataclass(frozen=True, slots=True)
class Templates:
    """Where the means come from: the templates of one contract in one store."""

    db: Database
    vault: Vault | None
    contract: str
    read: Callable[[int, int], Rows]  # those of people from one id to another, verified
    average: Average

    def many(self) -> bool:
        """Whether there are so many people that it is worth it."""
        query = "SELECT DISTINCT person_id FROM templates WHERE contract = ? LIMIT ?"
        (people,) = self.db.one(
            f"SELECT count(*) FROM ({query})",  # noqa: S608
            *(self.contract, SEARCHED_FROM),
        ) or (0,)
        return bool(people >= SEARCHED_FROM)

    def written(self) -> dict[int, int]:
        """The id of each block that there is."""
        return dict(self.db.all("SELECT block, id FROM means WHERE contract = ?", self.contract))

    def numbers(self) -> range:
        """Of all blocks that can have people."""
        first, last = self.db.one(
            """SELECT (SELECT min(person_id) FROM templates WHERE contract = ?1),
            (SELECT max(person_id) FROM templates WHERE contract = ?1)""",
            self.contract,
        ) or (None, None)
        if first is None or last is None:
            return range(0)
        return range(first // BLOCK_PEOPLE, last // BLOCK_PEOPLE + 1)

    def extent(self, number: int) -> tuple[int, int]:
        """How many people a block has, and how many templates."""
        return self.db.one(
            """SELECT count(DISTINCT person_id), count(*) FROM templates
            WHERE contract = ? AND person_id BETWEEN ? AND ?""",
            *(self.contract, *_ids(number)),
        ) or (0, 0)

    def block(self, number: int) -> Block:
        """Made of templates; nothing is written. Raises SetupProblem for damaged ones."""
        import numpy as np

        first, last = _ids(number)
        rows = self.read(first, last)
        averages = self.average([(name, encoding) for _, name, encoding in rows])
        of_whom = np.array(sorted({person for person, _, _ in rows}), np.intp) - first
        photos = np.zeros(BLOCK_PEOPLE, "<i4")
        means = np.zeros((BLOCK_PEOPLE, NUMBERS), "<f4")
        photos[of_whom], means[of_whom] = averages.photos, averages.means
        return Block(first, photos, means)

    def write_missing(self) -> None:
        """Each block in a transaction of its own, while nobody else waits for one."""
        written = self.written()
        for number in self.numbers():
            if number not in written and self.extent(number) != (0, 0):
                with self.db.transaction():
                    self._write(number)

    def _write(self, number: int) -> None:
        block = self.block(number)
        photos, means = block.photos.tobytes(), block.means.tobytes()
        if self.vault:
            means = self.vault.seal_means(means, self.bound(number, photos))
        self.db.write(  # another process may have been first
            "INSERT OR IGNORE INTO means VALUES (?, ?, ?, ?, ?)",
            *(secrets.randbits(63), number, self.contract, photos, means),
        )

    def found(self, number: int, identifier: int, extent: tuple[int, int]) -> Block | None:
        """As it was written; None unless it fits the templates by all that is seen at once.

        Raises SetupProblem for one that something else sealed.
        """
        import numpy as np

        row = self.db.one("SELECT photos, vectors FROM means WHERE id = ?", identifier)
        photos, means = row or (b"", b"")
        if not (isinstance(photos, bytes) and len(photos) == 4 * BLOCK_PEOPLE):
            return None
        if self.vault:
            means = self._unsealed(means, self.bound(number, photos))
        if not (isinstance(means, bytes) and len(means) == 4 * BLOCK_PEOPLE * NUMBERS):
            return None
        rows = np.frombuffer(means, "<f4").reshape(BLOCK_PEOPLE, NUMBERS)
        block = Block(_ids(number)[0], np.frombuffer(photos, "<i4"), rows)
        return block if _fits(block, extent) else None

    def bound(self, number: int, photos: bytes) -> Bound:
        """What a sealed block is bound to."""
        return ["means", self.contract, number, photos.hex()]

    def _unsealed(self, means: bytes, bound: Bound) -> bytes:
        assert self.vault  # noqa: S101
        try:
            return self.vault.unseal_means(means, bound)
        except SealBroken:
            self.db.require_unchanged()  # or else that is why
            what = "was changed by something else: what it is searched by does not fit"
            raise unfit("store.altered", self.db.path, what, "bring back a copy of it") from None


class Blocks:
    """All blocks of one moment, one after the other; use it within the snapshot it was made in."""

    def __init__(self, templates: Templates, memory: Memory | None = None) -> None:
        self._templates, self._memory = templates, memory
        self._written = templates.written()
        kept = memory or {}
        self._kept = {number: kept[each] for number, each in self._written.items() if each in kept}
        others = (number for number in templates.numbers() if number not in self._kept)
        self._extents = {number: templates.extent(number) for number in others}

    @property
    def people(self) -> int:
        """How many can be compared with; counted, whatever the blocks hold."""
        kept = sum(int((block.photos > 0).sum()) for block in self._kept.values())
        return kept + sum(people for people, _ in self._extents.values())

    def __iter__(self) -> Iterator[Block]:
        yield from self._kept.values()
        for number, extent in self._extents.items():
            if extent != (0, 0):
                yield self._block(number, extent)
        if self._memory is not None:
            for gone in self._memory.keys() - self._written.values():
                del self._memory[gone]

    def _block(self, number: int, extent: tuple[int, int]) -> Block:
        identifier = self._written.get(number)
        if identifier is not None:
            block = self._templates.found(number, identifier, extent)
            if block is not None:
                if self._memory is not None:
                    self._memory[identifier] = block
                return block
        return self._templates.block(number)


def refresh(templates: Templates) -> None:
    """Write what is missing, if it can be done at once; who searches does not depend on it."""
    if templates.many():
        with suppress(SetupProblem), templates.db.at_once():
            templates.write_missing()


def forget(db: Database, person: int) -> None:
    """The block of a person no longer fits. Call it within the transaction that is why."""
    db.write("DELETE FROM means WHERE block = ?", person // BLOCK_PEOPLE)


def _ids(number: int) -> tuple[int, int]:
    return number * BLOCK_PEOPLE, (number + 1) * BLOCK_PEOPLE - 1


def _fits(block: Block, extent: tuple[int, int]) -> bool:
    """Written so that NaN does not fit."""
    import numpy as np

    somebody = block.photos > 0
    with np.errstate(all="ignore"):
        lengths = np.einsum("ij,ij->i", block.means, block.means)
        unit = bool(((np.abs(lengths - 1) < 2e-3) | ~somebody).all())
    there = int(somebody.sum()), int(block.photos.sum(dtype=np.int64))
    return unit and there == extent and bool((block.photos >= 0).all())
