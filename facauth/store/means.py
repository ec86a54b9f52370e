"""The search blocks of a large store: the means of people's templates, 256 people each.

Blocks only nominate people; the decision compares the templates of those (decision.match.Crowd).
Each change of a person's templates deletes the block in the same transaction. The next search makes
it again; a block that cannot be written is used from memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from facauth.errors import SetupProblem
from facauth.store.engine import Engine, Writer
from facauth.store.faults import RESTORE, unfit
from facauth.store.vault import Bound, SealBroken, Vault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_PEOPLE = 256
NUMBERS = 256  # of a template
MAX_BLOCKS = 2**16  # ids are consecutive: enough for 16 million people
SHELF_BLOCKS = 64  # 16 MB in memory; all of it is copied when one block changes
ASKED_AT_ONCE = 8  # blocks, or more: then one question takes a fifth of the time
SCALE = 32767  # of the stored integers, which have half the length and no NaN
MAX_OFF_UNIT = 2e-3  # of a squared length: 5e-4 by 1 / SCALE, and what Gallery allows
SEARCHED_FROM = 1000  # people; with fewer all templates are read, in .03 s (.04 s if encrypted)

# Person id, name and encoding of each template, a person's together.
Rows = Sequence[tuple[int, str, bytes]]


class Averages(Protocol):
    """The mean encodings of some people, in their order."""

    @property
    def means(self) -> NDArray[np.float32]:
        """(people, 256), rows of unit length."""


Average = Callable[[Sequence[tuple[str, bytes]]], Averages]  # (name, encoding) rows -> means


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The people whose ids begin with `first`, one row each."""

    first: int
    photos: NDArray[np.intp]  # (256,), templates of each; 0: nobody
    means: NDArray[np.float32]  # (256, 256), of unit length where there is somebody, to 1 / SCALE


Slot = tuple[int, int | None]  # the number of a block, and its id if it is stored


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """Consecutive blocks as one, so that a search in memory takes few steps."""

    slots: list[Slot]
    photos: NDArray[np.intp]
    people: int
    means: NDArray[np.float32] | None  # None: not read yet

    def of(self, slot: Slot) -> slice:
        """The rows of one block."""
        place = self.slots.index(slot) * BLOCK_PEOPLE
        return slice(place, place + BLOCK_PEOPLE)


# The blocks that a long-running process keeps; threads may share them. A removed person stays in
# them until the next search.
Memory = dict[int, Shelf]


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one contract in one store, which means are made of."""

    engine: Engine
    vault: Vault | None
    contract: str
    read: Callable[[range], Rows]  # those of people with these ids, verified
    average: Average
    space: str = ""  # in which the means are; "" is that of the templates

    @property
    def kind(self) -> str:
        """Which means these are; those of another space are never used."""
        return f"{self.contract} in {self.space}" if self.space else self.contract

    def many(self) -> bool:
        """Whether there are enough people for blocks."""
        return self.engine.has_people(self.contract, SEARCHED_FROM)

    def written(self) -> dict[int, int]:
        """The ids of the stored blocks, by number."""
        return self.engine.block_ids(self.kind)

    def numbers(self) -> range:
        """The numbers of all blocks that can have people."""
        ids = self.engine.person_ids(self.contract)
        if not ids:
            return range(0)
        numbers = range(ids[0] // BLOCK_PEOPLE, ids[-1] // BLOCK_PEOPLE + 1)
        if len(numbers) > MAX_BLOCKS:
            raise self._damaged()
        return numbers

    def photos(self, number: int) -> NDArray[np.intp]:
        """(256,): how many templates each person of a block has, counted in the store."""
        return self.engine.template_counts(self.contract, _ids(number))

    def photos_between(self, first: int, last: int) -> NDArray[np.intp]:
        """(blocks, 256): the same of consecutive blocks."""
        people = range(_ids(first)[0], _ids(last)[-1] + 1)
        return self.engine.template_counts(self.contract, people).reshape(-1, BLOCK_PEOPLE)

    def made(self, number: int, photos: NDArray[np.intp]) -> Block:
        """A block, made of templates and not stored. Raises SetupProblem for damaged templates."""
        import numpy as np

        means = np.zeros((BLOCK_PEOPLE, NUMBERS), np.float32)
        rows = self.read(_ids(number)) if photos.any() else []
        averages = self.average([(name, encoding) for _, name, encoding in rows]).means
        if len(averages) != (photos > 0).sum():  # templates without a person, or a wrong index
            raise self._damaged()
        means[photos > 0] = averages
        return Block(_ids(number)[0], photos, means)

    def write_missing(self) -> None:
        """Store missing blocks, each in its own transaction, so that others wait briefly."""
        written = self.written()
        for number in self.numbers():
            if number not in written and self.photos(number).any():
                with self.engine.transaction(wait=False) as writer:
                    self._write(writer, self.made(number, self.photos(number)))

    def _write(self, writer: Writer, block: Block) -> None:
        import numpy as np

        number = block.first // BLOCK_PEOPLE
        vectors = np.rint(block.means * SCALE).astype("<i2").tobytes()
        if self.vault:
            vectors = self.vault.seal_means(vectors, self._bound(number, block.photos))
        if self.space:
            writer.delete_blocks(number)  # those of a space that is no longer compared in
        # Has no effect if another process was first.
        writer.put_block(secrets.randbits(63), number, self.kind, vectors)

    def found(self, number: int, photos: NDArray[np.intp], identifier: int) -> Block | None:
        """A stored block; None if its content is implausible.

        Raises SetupProblem for one that was not sealed for these people and photos.
        """
        import numpy as np

        vectors = self.engine.block(identifier)
        if self.vault:
            vectors = self._unsealed(vectors, self._bound(number, photos))
        if len(vectors) != 2 * BLOCK_PEOPLE * NUMBERS:
            return None
        means = np.frombuffer(vectors, "<i2").astype(np.float32).reshape(BLOCK_PEOPLE, NUMBERS)
        means /= SCALE
        squares = np.einsum("ij,ij->i", means, means)
        fits = np.where(photos > 0, np.abs(squares - 1) < MAX_OFF_UNIT, squares == 0)
        return Block(_ids(number)[0], photos, means) if fits.all() else None

    def _unsealed(self, vectors: bytes, bound: Bound) -> bytes:
        assert self.vault  # noqa: S101
        try:
            return self.vault.unseal_means(vectors, bound)
        except SealBroken:
            self.engine.require_unchanged()  # a rotation of the key is another reason
            what = "was changed by another program: its search blocks do not fit its templates"
            raise unfit("store.altered", self.engine.place, what, RESTORE) from None

    def _damaged(self) -> SetupProblem:
        what = "has people and templates that do not belong together"
        return unfit("store.damaged", self.engine.place, what, RESTORE)

    def _bound(self, number: int, photos: NDArray[np.intp]) -> Bound:
        return ["means", self.kind, number, photos.astype("<i4").tobytes().hex()]


class Blocks:
    """All blocks of one snapshot; use it within that snapshot."""

    def __init__(self, templates: Templates, memory: Memory | None = None) -> None:
        self._templates, self._memory = templates, memory
        self._kept = dict(memory or {})
        written = templates.written()
        self._shelves = {
            number: self._shelf(number, [(block, written.get(block)) for block in numbers])
            for number, numbers in groupby(templates.numbers(), lambda block: block // SHELF_BLOCKS)
        }

    @property
    def people(self) -> int:
        """The number of people in the blocks."""
        return sum(shelf.people for shelf in self._shelves.values())

    def __iter__(self) -> Iterator[Block]:
        for number, shelf in self._shelves.items():
            if shelf.means is not None:
                yield Block(shelf.slots[0][0] * BLOCK_PEOPLE, shelf.photos, shelf.means)
            elif self._memory is None:
                yield from (self._block(slot, shelf) for slot in shelf.slots)
            else:
                yield self._remembered(number, shelf, self._memory)
        for gone in self._kept.keys() - self._shelves.keys():
            (self._memory or {}).pop(gone, None)

    def _shelf(self, number: int, slots: list[Slot]) -> Shelf:
        import numpy as np

        kept = self._kept.get(number)
        new = self._counted([slot for slot in slots if slot[1] is None])
        if kept and kept.slots == slots and not any(photos.any() for photos in new.values()):
            return kept
        known = kept.slots if kept else []
        new |= self._counted([slot for slot in slots if slot[1] is not None and slot not in known])
        for slot in slots:
            if slot not in new:
                assert kept  # noqa: S101
                new[slot] = kept.photos[kept.of(slot)]
        photos = np.concatenate([new[slot] for slot in slots])
        return Shelf(slots, photos, int((photos > 0).sum()), None)

    def _counted(self, slots: list[Slot]) -> dict[Slot, NDArray[np.intp]]:
        """How many templates each person has, block by block; many blocks in one question."""
        numbers = [number for number, _ in slots]
        if len(slots) < ASKED_AT_ONCE:
            return {slot: self._templates.photos(slot[0]) for slot in slots}
        whole = self._templates.photos_between(numbers[0], numbers[-1])
        return {slot: whole[slot[0] - numbers[0]] for slot in slots}

    def _remembered(self, number: int, shelf: Shelf, memory: Memory) -> Block:
        import numpy as np

        kept = self._kept.get(number)
        # In column order, numpy's product takes half the time.
        whole = np.empty((len(shelf.photos), NUMBERS), np.float32, order="F")
        for slot in shelf.slots:
            if kept and kept.means is not None and slot in kept.slots and slot[1] is not None:
                whole[shelf.of(slot)] = kept.means[kept.of(slot)]
            else:
                whole[shelf.of(slot)] = self._block(slot, shelf).means
        unwritten = [shelf.of(slot) for slot in shelf.slots if slot[1] is None]
        if not any(shelf.photos[rows].any() for rows in unwritten):
            memory[number] = replace(shelf, means=whole)
        return Block(shelf.slots[0][0] * BLOCK_PEOPLE, shelf.photos, whole)

    def _block(self, slot: Slot, shelf: Shelf) -> Block:
        (number, identifier), photos = slot, shelf.photos[shelf.of(slot)]
        found = identifier is not None and self._templates.found(number, photos, identifier)
        return found or self._templates.made(number, photos)


def refresh(templates: Templates) -> None:
    """Store missing blocks if the store is free; a search does not depend on it."""
    with suppress(SetupProblem):
        templates.write_missing()


def forget(writer: Writer, person: int) -> None:
    """Delete the block of a person whose templates changed."""
    writer.delete_blocks(person // BLOCK_PEOPLE)


def _ids(number: int) -> range:
    return range(number * BLOCK_PEOPLE, (number + 1) * BLOCK_PEOPLE)
