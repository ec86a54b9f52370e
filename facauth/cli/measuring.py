"""Run the photos of a folder through several processes, for evaluate and calibrate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from facauth.cli.output import progress

if TYPE_CHECKING:
    from facauth.cli.options import Call
    from facauth.measure.encoded import Encodings
    from facauth.measure.folders import Pair, Portrait, Presentation
    from facauth.system import Stages

Photo = TypeVar("Photo", "Presentation", "Pair", "Portrait")
Found = TypeVar("Found")


def found_on(
    call: Call,
    make: Callable[[], Callable[[Photo], Found]],
    photos: Sequence[Photo],
    jobs: int | None,
) -> Iterator[Found]:
    """The result for each photo, in order; a bar shows the progress."""
    from facauth.batch import in_order, jobs_for

    processes = jobs_for([photo.path for photo in photos], jobs)
    with progress(len(photos), wanted=call.shows_progress) as advance:
        for result in in_order(make, photos, processes):
            yield result
            advance()


def encoded_photos(
    call: Call,
    make: Callable[[], Stages],
    folder: Path,
    photos: Sequence[Portrait],
    cache: Path | None,
    *,
    jobs: int | None,
) -> Encodings:
    """The encodings of a folder's portraits, made by several processes or kept in a cache.

    make: returns the stages, in this process or another. Raises UsageProblem for a cache that
    cannot be written, before any photo is read.
    """
    from facauth.measure import encoded

    kept = encoded.Cache(cache, folder, make().contract()) if cache else None
    look = partial(found_on, call, partial(encoded.Look, make), jobs=jobs)
    return encoded.encodings(photos, kept, lambda ahead: look(ahead) if ahead else [])
