"""The stages, the store and the calibration of a command, bound once and passed in.

A `Look` runs the stages on one photo, times each of them, and keeps the findings as evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from facauth.decision.calibration import in_force
from facauth.decision.match import Crowd, Gallery, compare, require_anybody, require_current
from facauth.evidence import Evidence, carried
from facauth.faces.detect import only_face, sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.faces.image import strict as strict  # for processes that decode in several threads
from facauth.faces.quality import measure
from facauth.settings import IMAGE
from facauth.spoof.liveness import judge as judge_liveness
from facauth.spoof.replay import judge as judge_replay
from facauth.spoof.signature import CaptureSignature, signature
from facauth.spoof.verdict import enrolled_in_doubt
from facauth.store.sealing import Template
from facauth.structs import Subject

if TYPE_CHECKING:
    from pathlib import Path

    from facauth.decision.calibration import Calibration
    from facauth.networks import Networks
    from facauth.settings import SpoofPolicy
    from facauth.store.store import Store
    from facauth.structs import (
        Encoding,
        EnrolmentTerms,
        Face,
        Liveness,
        Match,
        Pixels,
        Quality,
        Replay,
        Sighting,
    )


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of the pipeline; each gives pixels or numbers. Tests bind others."""

    contract: Callable[[], str]
    calibration: Callable[[], Calibration]  # read anew at each call: once in a command
    decode: Callable[[str], Pixels]
    sight: Callable[[Pixels], Sighting]
    measure: Callable[[Sighting, Face], Quality]
    liveness: Callable[[Sighting, Face, Quality, SpoofPolicy], Liveness]
    encode: Callable[[Sighting, Face], Encoding]
    compare: Callable[[Encoding, Gallery | Crowd, float, Calibration], Match]
    signature: Callable[[Sighting, Face], CaptureSignature]
    replay: Callable[[CaptureSignature, Sequence[CaptureSignature]], Replay]

    @contextmanager
    def look(self, source: str) -> Iterator[Look]:
        """A run of the stages on one photo."""
        look = Look(self, source)
        with carried([look.evidence]):
            yield look


def bind(
    networks: Networks,
    read: Callable[[str], bytes] = read_image,
    *,
    max_pixels: int = IMAGE.max_pixels,
) -> Stages:
    """The real stages.

    read: returns the bytes of a named image; by default names are paths.
    max_pixels: of a photo; see decode.
    """
    return Stages(
        contract=lambda: networks.contract,
        calibration=lambda: in_force().calibration,
        decode=lambda image: decode(read(image), image, max_pixels),
        sight=lambda pixels: sight(pixels, networks.detector),
        measure=measure,
        liveness=partial(judge_liveness, networks=networks),
        encode=partial(encode, networks=networks),
        compare=compare,
        signature=lambda seen, face: signature(seen.pixels, face),
        replay=judge_replay,
    )


def bind_photo(networks: Networks, photo: bytes, *, max_pixels: int) -> Stages:
    """The real stages on the photo in these bytes, whatever its name."""
    return bind(networks, lambda _: photo, max_pixels=max_pixels)


def load(memory: Path | None) -> Networks:
    """All networks, loaded now. Raises SetupProblem.

    memory: the file that remembers which weights were found intact; None hashes them all.
    """
    from facauth.networks import Checked, Networks

    networks = Networks(Checked(memory))
    networks.load()
    return networks


def use_one_thread() -> None:
    """Networks that are loaded from now on run in the thread that calls them."""
    from facauth import networks

    networks.THREADS = 1


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
            require_anybody(gallery, store.path)
            yield gallery


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One photo to be enrolled."""

    look: Look
    encoding: Encoding
    signature: CaptureSignature

    def template(self, asked: EnrolmentTerms) -> Template:
        """The template to store."""
        signature = self.signature.to_bytes() if asked.keep_signatures else None
        liveness = self.look.evidence.liveness
        doubtful = liveness is None or enrolled_in_doubt(liveness)
        return Template(self.encoding.as_bytes(), signature, doubtful)


class Look:
    """The stages on one photo. A refusal that leaves it carries its evidence."""

    def __init__(self, stages: Stages, source: str) -> None:
        self._stages, self._source = stages, source
        self.evidence = Evidence()

    def subject(self) -> Subject:
        """The photo's one face, measured. Raises UsageProblem and UnusableImage."""
        sighting = self.sighting()
        return self.measured(sighting, only_face(sighting))

    def sighting(self) -> Sighting:
        """All faces of the photo. Raises UsageProblem and UnusableImage."""
        found = self.evidence
        with found.timed("decode"):
            pixels = self._stages.decode(self._source)
        with found.timed("detect"):
            found.sighting = self._stages.sight(pixels)
        return found.sighting

    def measured(self, sighting: Sighting, face: Face) -> Subject:
        """One of the faces, measured."""
        found = self.evidence
        with found.timed("quality"):
            found.quality = self._stages.measure(sighting, face)
        return Subject(sighting, face, found.quality)

    def liveness(self, subject: Subject, policy: SpoofPolicy) -> Liveness:
        """Whether the face is live; never refuses by itself."""
        sighting, face, quality = subject.sighting, subject.face, subject.quality
        with self.evidence.timed("liveness"):
            self.evidence.liveness = self._stages.liveness(sighting, face, quality, policy)
        return self.evidence.liveness

    def encoding(self, subject: Subject) -> Encoding:
        """The face as a vector."""
        with self.evidence.timed("encode"):
            self.evidence.encoding = self._stages.encode(subject.sighting, subject.face)
        return self.evidence.encoding

    def match(
        self, probe: Encoding, people: Gallery | Crowd, fmr: float, calibration: Calibration
    ) -> Match:
        """The best match among `people`; never refuses by itself."""
        with self.evidence.timed("match"):
            self.evidence.match = self._stages.compare(probe, people, fmr, calibration)
        return self.evidence.match

    def signature(self, subject: Subject) -> CaptureSignature:
        """The replay signature of the photo."""
        with self.evidence.timed("signature"):
            self.evidence.signature = self._stages.signature(subject.sighting, subject.face)
        return self.evidence.signature

    def replay(self, probe: CaptureSignature, enrolled: Sequence[CaptureSignature]) -> Replay:
        """Whether the photo shows an enrolled picture; never refuses by itself."""
        with self.evidence.timed("replay"):
            self.evidence.replay = self._stages.replay(probe, enrolled)
        return self.evidence.replay
