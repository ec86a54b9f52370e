"""The stages of the pipeline, and a look: the stages on one probe, timed, with their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from facauth.challenge import NO_CLIP, basis_of
from facauth.decision.match import Crowd, Gallery
from facauth.errors import Reason, UnusableImage
from facauth.evidence import Evidence, carried
from facauth.faces.detect import only_face, overlap
from facauth.faces.footage import Track
from facauth.faces.quality import require_quality
from facauth.settings import CLIP, DETECTION
from facauth.several import examine_all
from facauth.spoof.signature import CaptureSignature
from facauth.spoof.verdict import enrolled_in_doubt
from facauth.spoof.vote import live_together, replayed_together, worst
from facauth.store.sealing import Template
from facauth.structs import Subject

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.decision.calibration import Calibration
    from facauth.faces.footage import Footage
    from facauth.settings import QualityLimits, SpoofPolicy
    from facauth.structs import (
        Basis,
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
    film: Callable[[str], Track | None]  # None for a still
    follow: Callable[[Footage], Track]
    decode: Callable[[str], Pixels]
    sight: Callable[[Pixels], Sighting]
    measure: Callable[[Sighting, Face], Quality]
    liveness: Callable[[Sighting, Face, Quality, SpoofPolicy], Liveness]
    encode: Callable[[Sighting, Face], Encoding]
    compare: Callable[[Encoding, Gallery | Crowd, float, Calibration], Match]
    signature: Callable[[Sighting, Face], CaptureSignature]
    replay: Callable[[CaptureSignature, Sequence[CaptureSignature]], Replay]

    @contextmanager
    def look(self, source: str | Sequence[str]) -> Iterator[Look]:
        """A run of the stages on one photo or clip, or on several photos together."""
        look = Look(self, [source] if isinstance(source, str) else source)
        with carried([look.evidence]):
            yield look


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One photo to be enrolled."""

    look: Look
    encoding: Encoding
    signatures: list[CaptureSignature]  # of each frame, the best frame's first

    @property
    def signature(self) -> CaptureSignature:
        """The one that is stored."""
        return self.signatures[0]

    def template(self, asked: EnrolmentTerms) -> Template:
        """The template to store."""
        signature = self.signature.to_bytes() if asked.keep_signatures else None
        liveness = self.look.evidence.liveness
        doubtful = liveness is None or enrolled_in_doubt(liveness)
        return Template(self.encoding.as_bytes(), signature, doubtful)


class Look:
    """The stages on one photo, on the frames of one clip, or on several photos.

    A refusal that leaves it carries its evidence.
    """

    def __init__(self, stages: Stages, sources: Sequence[str]) -> None:
        self._stages, self._sources = stages, sources
        self._frames: list[Subject] = []  # the best first
        self._track: Track | None = None
        self._filmed = False
        self.encodings: list[Encoding] = []  # of all frames, the best frame's first
        self.evidence = Evidence()

    @property
    def photos(self) -> bool:
        """Whether these are several photos, each of which must do alone."""
        return len(self._sources) > 1

    def subject(self, limits: QualityLimits | None = None) -> Subject:
        """The face that it is about, measured; of a clip, in its best frame.

        limits: of the quality of each photo, and of the best frame of a clip.
        Raises UsageProblem and UnusableImage.
        """
        found = self.evidence
        if self.photos:
            self._frames = best_first(examine_all(self._sources, partial(self._photo, limits)))
        else:
            track = self._film()
            if track is None:
                self._frames = [self._photo(limits, self._sources[0])]
            else:
                self.evidence.clip = True
                self._frames = best_first(usable(track, self._subject))
        best = self._frames[0]
        found.sighting, found.quality, found.frames = best.sighting, best.quality, len(self._frames)
        if limits and self._track:
            require_quality(best.quality, limits)
        return best

    def _film(self) -> Track | None:
        """The face in a clip, followed once; None for photos."""
        if not (self.photos or self._filmed):
            with self.evidence.timed("decode"):
                self._track = self._stages.film(self._sources[0])
            self._filmed = True
        return self._track

    def _photo(self, limits: QualityLimits | None, source: str) -> Subject:
        found = self.evidence
        with found.timed("decode"):
            pixels = self._stages.decode(source)
        with found.timed("detect"):
            found.sighting = self._stages.sight(pixels)
        subject = self._subject(found.sighting)
        found.quality = subject.quality
        if limits:
            require_quality(subject.quality, limits)
        return subject

    def _subject(self, sighting: Sighting) -> Subject:
        face = only_face(sighting)
        with self.evidence.timed("quality"):
            return Subject(sighting, face, self._stages.measure(sighting, face))

    def basis(self, challenge: Challenge | None) -> Basis:
        """On what a sign-in rests. Raises UnusableImage unless a given challenge is met.

        It comes before the frames are judged: whoever sees the prompts and leaves has not followed
        them, and that counts. Otherwise he could ask until the prompts fit a clip that he has.
        """
        track = self._film()
        if challenge and not track:
            raise UnusableImage(NO_CLIP)
        self.evidence.basis = basis_of(track.poses if track else (), challenge)
        return self.evidence.basis

    def liveness(self, policy: SpoofPolicy) -> Liveness:
        """Whether the face is live; never refuses by itself."""
        with self.evidence.timed("liveness"):
            found = [
                self._stages.liveness(each.sighting, each.face, each.quality, policy)
                for each in self._frames
            ]
            self.evidence.liveness = worst(found) if self.photos else live_together(found, policy)
        return self.evidence.liveness

    def encoding(self) -> Encoding:
        """The face as a vector; of a clip, that of its best frame."""
        with self.evidence.timed("encode"):
            self.encodings = [self._stages.encode(e.sighting, e.face) for e in self._frames]
        self.evidence.encoding = self.encodings[0]
        return self.evidence.encoding

    def match(
        self, probe: Encoding, people: Gallery | Crowd, fmr: float, calibration: Calibration
    ) -> Match:
        """The best match among `people`; never refuses by itself."""
        with self.evidence.timed("match"):
            self.evidence.match = self._stages.compare(probe, people, fmr, calibration)
        return self.evidence.match

    def signatures(self) -> list[CaptureSignature]:
        """The replay signature of each frame, the best frame's first."""
        with self.evidence.timed("signature"):
            found = [self._stages.signature(each.sighting, each.face) for each in self._frames]
            self.evidence.signature = found[0]
        return found

    def replay(
        self, probes: Sequence[CaptureSignature], enrolled: Sequence[CaptureSignature]
    ) -> Replay:
        """Whether any frame shows an enrolled picture; never refuses by itself."""
        with self.evidence.timed("replay"):
            found = [self._stages.replay(probe, enrolled) for probe in probes]
            most = 0 if self.photos else CLIP.max_replays
            self.evidence.replay = replayed_together(found, most)
        return self.evidence.replay


ADVICE = "record 5 seconds or more, with the face in the picture all the time"


def usable(track: Track, measured: Callable[[Sighting], Subject]) -> list[Subject]:
    """The judged frames that show one subject. Raises UnusableImage if they are too few."""
    if not track.length_s >= CLIP.min_length_s:
        message = f"the face is seen for less than {CLIP.min_length_s:g} seconds"
        raise UnusableImage(Reason("clip.too_short", message, ADVICE))
    found, refusals = list[Subject](), list[UnusableImage]()
    for sighting, followed in track.judged:
        try:
            subject = measured(sighting)
            require_followed(subject.face, followed)
            found.append(subject)
        except UnusableImage as refusal:
            refusals.append(refusal)
    if len(found) >= CLIP.min_judged_frames:
        return found
    if refusals:
        raise refusals[0]
    message = f"the clip shows a face in fewer than {CLIP.min_judged_frames} frames"
    raise UnusableImage(Reason("clip.too_few_frames", message, ADVICE))


def require_followed(face: Face, followed: Face) -> None:
    """Raises UnusableImage unless the face that is judged is the one whose movement is measured."""
    if not overlap(face.box_px, followed.box_px) >= DETECTION.nms_iou:
        message = "another face comes before the one that the clip begins with"
        raise UnusableImage(Reason("clip.face_changes", message, "record one person, alone"))


def best_first(frames: list[Subject]) -> list[Subject]:
    """Of the sharper half of the frames, the one that looks most into the camera comes first."""
    sharpest = sorted(frames, key=lambda each: each.quality.sharpness, reverse=True)
    half = sharpest[: len(sharpest) // 2 or 1]

    def aside_deg(each: Subject) -> float:
        return abs(each.quality.head_pose_yaw_deg) + abs(each.quality.head_pose_pitch_deg)

    best = min(half, key=aside_deg)
    return [best, *(each for each in frames if each is not best)]
