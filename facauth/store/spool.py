"""Templates that wait to be stored, in a temporary file that nobody can read later.

The file has no name, and its content is sealed with a key that stays in memory. So a crash leaves
nothing readable behind, and thousands of waiting photos take little memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from facauth.store.vault import new_key, seal, unseal


@dataclass(frozen=True, slots=True)
class Waiting:
    """The place of a template in the file."""

    start: int
    length: int


class Spool:
    """A sealed temporary file. Use it as a context manager."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115  __exit__ closes it
        self._key = new_key()
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, plain: bytes) -> Waiting:
        """Append some bytes."""
        place = Waiting(self._end, 0)
        sealed = seal(self._key, plain, ("spool", place.start))
        self._file.seek(place.start)
        self._file.write(sealed)
        self._end += len(sealed)
        return Waiting(place.start, len(sealed))

    def take(self, place: Waiting) -> bytes:
        """The bytes at a place. Raises SealBroken if the file was changed."""
        self._file.seek(place.start)
        return unseal(self._key, self._file.read(place.length), ("spool", place.start))
