"""The encodings of a folder of portraits, and the cache that spares making them again.

A cache holds biometric data: only its owner can read it. Its first line is CACHE and the SHA-256
of all that follows: a line of JSON, then the vectors (256 float32 each, little-endian). It is used
by its owner alone, for the same folder, contract and limits, and for photos of the same size and
time; whatever else it holds is made anew.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facauth import __version__
from facauth.errors import Reason, UnusableImage, UsageProblem, shown
from facauth.faces.folder import is_folder
from facauth.faces.quality import require_quality
from facauth.files import read_trusted, write_private
from facauth.measure.matching import Ints
from facauth.settings import DETECTION, SIGN_IN_QUALITY

if TYPE_CHECKING:
    from facauth.measure.folders import Portrait
    from facauth.system import Stages

DIMENSIONS = 256
CACHE = b"facauth-encodings/1"
MAX_BYTES = 2**32  # four million photos
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the stages gave for one photo."""

    vector: Vector | None  # (256,); None where the photo cannot be used
    codes: tuple[str, ...] = ()  # why not


class Look:
    """Encodes one photo after the other, as a sign-in does."""

    def __init__(self, stages: Callable[[], Stages]) -> None:
        self._stages = stages()

    def __call__(self, photo: Portrait) -> Found:
        """Its encoding, or why it has none; raises SetupProblem alone."""
        try:
            with self._stages.look(photo.path) as look:
                subject = look.subject()
                require_quality(subject.quality, SIGN_IN_QUALITY)
        except (UsageProblem, UnusableImage) as error:
            return Found(None, tuple(reason.code for reason in error.reasons))
        return Found(look.encoding().vector)


@dataclass(frozen=True, slots=True, eq=False)
class Encodings:
    """What a folder holds. Persons are numbers, places in `names`; each has a usable photo."""

    names: tuple[str, ...]  # sorted
    files: tuple[str, ...]  # PERSON/IMAGE of each usable photo
    person: Ints  # (files,)
    vectors: Vector  # (files, 256)
    failed: tuple[tuple[Portrait, tuple[str, ...]], ...]  # the others, and why

    @classmethod
    def of(cls, photos: Sequence[Portrait], found: Sequence[Found]) -> Encodings:
        """Of the photos of a folder."""
        both = list(zip(photos, found, strict=True))
        usable = [(photo, each.vector) for photo, each in both if each.vector is not None]
        names = sorted({photo.person for photo, _ in usable})
        number = {name: place for place, name in enumerate(names)}
        vectors = [vector for _, vector in usable]
        return cls(
            tuple(names),
            tuple(photo.file for photo, _ in usable),
            np.array([number[photo.person] for photo, _ in usable], np.int64),
            np.array(vectors, np.float32).reshape(-1, DIMENSIONS),
            tuple((photo, each.codes) for photo, each in both if each.vector is None),
        )

    def refused(self) -> list[Portrait]:
        """The photos that a sign-in refuses; files that are no images are not among them."""
        return [photo for photo, codes in self.failed if not codes[0].startswith("image.")]

    @property
    def failures(self) -> dict[str, int]:
        """Reason code -> photos; a photo may have several."""
        return dict(sorted(Counter(code for _, codes in self.failed for code in codes).items()))


def encodings(
    photos: Sequence[Portrait],
    cache: Cache | None,
    look_at: Callable[[Sequence[Portrait]], Iterable[Found]],
) -> Encodings:
    """Of all photos; look_at is asked for those that the cache does not know."""
    stamps = {photo: _stamp(photo) for photo in photos}
    kept = cache.read() if cache else {}
    found = {photo: kept[at] for photo, at in stamps.items() if at in kept}
    ahead = [photo for photo in photos if photo not in found]
    try:
        found.update(zip(ahead, look_at(ahead), strict=True))
    finally:  # what was found before Ctrl-C need not be made again
        if cache and (ahead or len(kept) > len(photos)):
            cache.write({at: each for photo, each in found.items() if (at := stamps[photo])})
    return Encodings.of(photos, [found[photo] for photo in photos])


# ---- the cache

Stamp = tuple[str, int, int]  # PERSON/IMAGE, bytes, time of the last change in ns


def _stamp(photo: Portrait) -> Stamp | None:
    try:
        of = Path(photo.path).stat()
    except OSError:
        return None
    return photo.file, of.st_size, of.st_mtime_ns


class Cache:
    """The file of a cache, for one folder and one way to encode."""

    def __init__(self, path: Path, folder: Path, contract: str) -> None:
        """Raises UsageProblem where none can be kept; nothing else is ever written over."""
        self._path = path
        made_by = __version__, contract, repr(DETECTION), repr(SIGN_IN_QUALITY)
        text = json.dumps([str(folder.resolve()), *made_by])
        self._key = sha256(text.encode()).hexdigest()
        fault = _fault(path)
        if fault:
            message = f"{shown(path)} cannot be the cache: {fault}"
            raise UsageProblem(Reason("evaluate.cache", message, "name another file"))

    def read(self) -> dict[Stamp | None, Found]:
        """What it knows; nothing if it is damaged, somebody else's, or of something else."""
        try:
            first, end, rest = read_trusted(self._path, MAX_BYTES).partition(b"\n")
            if first + end != _first_line(rest):
                return {}
            line, _, body = rest.partition(b"\n")
            header = json.loads(line)
            return _known(header["photos"], body) if header["key"] == self._key else {}
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return {}

    def write(self, found: dict[Stamp, Found]) -> None:
        """Replace it at once; raises UsageProblem if it cannot be written."""
        photos = [[*at, each.codes, each.vector is not None] for at, each in found.items()]
        header = json.dumps({"key": self._key, "photos": photos}).encode()
        vectors = [
            v.astype("<f4").tobytes() for each in found.values() if (v := each.vector) is not None
        ]
        rest = b"\n".join([header, b"".join(vectors)])
        try:
            write_private(self._path, _first_line(rest) + rest, over=True)
        except OSError as error:
            message = f"{shown(self._path)} cannot be written ({error.strerror})"
            raise UsageProblem(Reason("evaluate.cache", message, "name another file")) from error


def _first_line(rest: bytes) -> bytes:
    return CACHE + b" " + sha256(rest).hexdigest().encode() + b"\n"


def _known(photos: list[list[Any]], body: bytes) -> dict[Stamp | None, Found]:
    """Raises ValueError unless there is a unit vector for each photo that has one."""
    vectors = np.frombuffer(body, "<f4").reshape(-1, DIMENSIONS).astype(np.float32)
    if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all():  # NaN is none
        raise ValueError("not unit vectors")
    if len(vectors) != sum(bool(usable) for *_, usable in photos):
        raise ValueError("not a vector for each usable photo")
    rows, known = iter(vectors), dict[Stamp | None, Found]()
    for file, size, changed_ns, codes, usable in photos:
        vector = next(rows) if usable else None
        known[file, size, changed_ns] = Found(vector, tuple(codes))
    return known


def _fault(path: Path) -> str | None:
    try:
        of = path.lstat()
        if not stat.S_ISREG(of.st_mode):
            return "it is not a regular file"
        with path.open("rb") as file:
            ours = file.read(len(CACHE)) in (CACHE, b"")
    except FileNotFoundError:
        fit = is_folder(path.parent) and os.access(path.parent, os.W_OK)
        return None if fit else "its folder cannot be written"
    except (OSError, ValueError):
        return "it cannot be read"
    return None if ours else "it is another kind of file"
