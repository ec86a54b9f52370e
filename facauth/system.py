"""The stages, the store and the calibration of a command, bound once and passed in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from facauth.decision.calibration import in_force
from facauth.decision.match import Crowd, Gallery, compare, require_anybody, require_current
from facauth.faces.clip import film, pictures
from facauth.faces.detect import sight
from facauth.faces.encode import encode
from facauth.faces.folder import is_folder
from facauth.faces.footage import Track
from facauth.faces.image import decode, read_image
from facauth.faces.image import strict as strict  # for processes that decode in several threads
from facauth.faces.quality import measure
from facauth.settings import IMAGE
from facauth.spoof.liveness import judge as judge_liveness
from facauth.spoof.replay import judge as judge_replay
from facauth.spoof.signature import signature
from facauth.stages import Enrolment as Enrolment
from facauth.stages import Look as Look
from facauth.stages import Stages as Stages

if TYPE_CHECKING:
    from pathlib import Path

    from facauth.decision.calibration import Calibration
    from facauth.faces.footage import Footage
    from facauth.networks import Networks
    from facauth.store.store import Store
    from facauth.structs import (
        Pixels,
    )


def bind(
    networks: Networks,
    read: Callable[[str], bytes] = read_image,
    *,
    max_pixels: int = IMAGE.max_pixels,
    folders: Callable[[str], bool] = is_folder,
) -> Stages:
    """The real stages.

    read: returns the bytes of a named image; by default names are paths.
    max_pixels: of a photo; see decode. folders: whether a name is that of a folder of frames.
    """
    once = ReadOnce(read)

    def picture(image: str) -> Pixels:
        return decode(once.take(image), image, max_pixels)

    return Stages(
        contract=lambda: networks.contract,
        calibration=lambda: in_force().calibration,
        film=lambda source: follow(film(source, once, picture, folders), networks),
        follow=lambda footage: Track.follow(footage, networks.detector),
        decode=picture,
        sight=lambda pixels: sight(pixels, networks.detector),
        measure=measure,
        liveness=partial(judge_liveness, networks=networks),
        encode=partial(encode, networks=networks),
        compare=compare,
        signature=lambda seen, face: signature(seen.pixels, face),
        replay=judge_replay,
    )


def bind_photo(networks: Networks, photo: bytes, *, max_pixels: int) -> Stages:
    """The real stages on the photo or clip in these bytes, whatever its name.

    The name is never a path, not even where a folder has it.
    """
    return bind(networks, lambda _: photo, max_pixels=max_pixels, folders=lambda _: False)


def bind_footage(networks: Networks, shoot: Callable[[], Footage]) -> Stages:
    """The real stages on the footage of a camera.

    shoot: records it; called within the attempt, so nobody who is locked out is recorded.
    """
    return replace(bind(networks), film=lambda _: follow(shoot(), networks))


def bind_frames(
    networks: Networks, photos: Sequence[bytes], times_s: Sequence[float], *, max_pixels: int
) -> Stages:
    """The real stages on photos as the frames of a clip, each at its time."""
    names = [f"frame {number}" for number in range(len(photos))]
    read = dict(zip(names, photos, strict=True)).__getitem__
    stages = bind(networks, read, max_pixels=max_pixels)
    shoot = partial(pictures, names, times_s, stages.decode)
    return replace(stages, film=lambda _: follow(shoot(), networks))


def follow(footage: Footage | None, networks: Networks) -> Track | None:
    """The face in the footage; None for a still."""
    return None if footage is None else Track.follow(footage, networks.detector)


class ReadOnce:
    """Reads a file, and keeps it until it is taken: stdin can be read only once."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._kept: dict[str, bytes] = {}

    def __call__(self, name: str) -> bytes:
        """The bytes, which `take` will return."""
        self._kept = {name: self._read(name)}
        return self._kept[name]

    def take(self, name: str) -> bytes:
        """The bytes, read now or just before."""
        return self._kept.pop(name, None) or self._read(name)


def load(memory: Path | None) -> Networks:
    """All networks, loaded now. Raises SetupProblem.

    memory: the file that remembers which weights were found intact; None hashes them all.
    """
    from facauth.memory import keep_memory
    from facauth.networks import Checked, Networks

    keep_memory()
    networks = Networks(Checked(memory))
    networks.load()
    return networks


def share_processors(workers: int) -> None:
    """For a process with this many threads that examine photos, each within `on_a_processor`.

    With several of them, networks that are loaded from now on run in the thread that calls them.
    """
    from facauth import networks

    if workers > 1:
        networks.THREADS = 1
    networks.processors = networks.Processors(os.cpu_count() or 1)


def on_a_processor() -> AbstractContextManager[None]:
    """While a photo is examined; what is free beyond that may take a part of the work."""
    from facauth import networks

    return networks.processors.occupied()


@dataclass(frozen=True, slots=True)
class System:
    """Stages, store and calibration of one command."""

    stages: Stages
    store: Store
    calibration: Calibration

    @classmethod
    def of(cls, stages: Stages, store: Store) -> Self:
        """With the calibration in force now. Raises SetupProblem if it is damaged."""
        return cls(stages, store, stages.calibration())

    @contextmanager
    def candidates(self, claimed: str | None) -> Iterator[Gallery | Crowd]:
        """The people to compare with, everybody or the claimed person, of one snapshot.

        Raises NoMatch if there is nobody.
        """
        store, contract, space = self.store, self.stages.contract(), self.calibration.space
        averages = partial(Gallery.of, space=space)
        if claimed is None:
            store.refresh(contract, averages, space.name)
        with store.snapshot():
            if claimed is None and (blocks := store.blocks(contract, averages, space.name)):
                yield Crowd(blocks.people, blocks, partial(store.encodings, contract), space)
                return
            if claimed is None:
                gallery = averages(store.encodings(contract))
            else:
                person = store.person(claimed)
                gallery = averages(person.encodings(contract))
                require_current(gallery, person.name)
            require_anybody(gallery, store.place)
            yield gallery
