"""Search without a sign-in: who is in these pictures, and do two photos show one person?

A search compares faces and nothing else. It judges no liveness, counts no attempt and
authenticates nobody: a picture of a person is found as the person is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facauth.decision.calibration import in_force
from facauth.decision.match import Gallery, fmr_of_each, require_match
from facauth.errors import FacauthError, NoMatch, Reason, UnusableImage, UsageProblem
from facauth.faces.quality import require_quality
from facauth.settings import DEFAULT, SIGN_IN_QUALITY
from facauth.several import examine_all
from facauth.store.means import Memory
from facauth.structs import Encoding, Terms

if TYPE_CHECKING:
    from facauth.stages import Stages
    from facauth.structs import Face, Match, Pixels, Sighting
    from facauth.system import System

BoxPx = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One face of a picture; it can be sent to another process."""

    box_px: BoxPx
    encoding: bytes | None  # None: the face is too poor to compare
    reasons: tuple[Reason, ...] = ()  # why


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The faces of a picture, the largest first; boxes lie in the picture as it was turned."""

    image: str
    faces: tuple[SeenFace, ...] = ()
    turned_deg: int = 0  # counter-clockwise
    refusal: FacauthError | None = None  # the picture cannot be read


class See:
    """Finds and encodes the faces of pictures, with networks that are loaded once."""

    def __init__(self, make: Callable[[], Stages]) -> None:
        self._stages = make()

    def __call__(self, image: str) -> Seen:
        """All faces of a picture."""
        try:
            sighting = self._stages.sight(self._stages.decode(image))
        except (UsageProblem, UnusableImage) as refusal:
            return Seen(image, refusal=refusal)
        faces = tuple(self._seen(sighting, face) for face in sighting.faces)
        return Seen(image, faces, sighting.turned_deg)

    def _seen(self, sighting: Sighting, face: Face) -> SeenFace:
        try:
            require_quality(self._stages.measure(sighting, face), SIGN_IN_QUALITY)
        except UnusableImage as poor:
            return SeenFace(face.box_px, None, poor.reasons)
        return SeenFace(face.box_px, self._stages.encode(sighting, face).as_bytes())


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the search says of one face."""

    box_px: BoxPx
    person: str | None  # None: nobody, or not compared
    match: Match | None  # with the person who is most alike; None: not compared
    reasons: tuple[Reason, ...]  # why there is no person


class Known:
    """Everybody enrolled, to be compared with many faces.

    rate: the share of strangers' faces that may be taken for somebody enrolled. Raises NoMatch if
    nobody is enrolled, UsageProblem for a rate that cannot be promised.
    """

    def __init__(self, system: System, rate: float) -> None:
        system.store.memory = system.store.memory or Memory()
        self._system, self._contract = system, system.stages.contract()
        asked = Terms(rate, DEFAULT)
        with system.candidates(None) as people:
            self.people = len(people)
            self._fmr = fmr_of_each(people, asked, system.calibration.min_fmr)
            self._gallery = people if isinstance(people, Gallery) else None

    def who(self, face: SeenFace) -> Found:
        """Whom a face shows."""
        if face.encoding is None:
            return Found(face.box_px, None, None, face.reasons)
        match = self._match(Encoding.of(self._contract, face.encoding))
        try:
            require_match(match, claimed=False)
        except NoMatch as nobody:
            return Found(face.box_px, None, match, nobody.reasons)
        return Found(face.box_px, match.person, match, ())

    def _match(self, encoding: Encoding) -> Match:
        compare, calibration = self._system.stages.compare, self._system.calibration
        if self._gallery is not None:
            return compare(encoding, self._gallery, self._fmr, calibration)
        with self._system.candidates(None) as people:  # very many: read block by block
            return compare(encoding, people, self._fmr, calibration)


# --- two photos ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """Whether two photos show one person."""

    same_person: bool
    match: Match
    fmr_interval: tuple[float, float]  # 95 %, of the rate that the threshold really keeps
    as_alike_fmr: float  # share of strangers who are as alike as these two


def compare(stages: Stages, images: Sequence[str], rate: float) -> Compared:
    """Compare the faces of two photos, at a false match rate; nothing is stored.

    Raises the worst refusal if a photo cannot be used, UsageProblem for a rate that cannot be
    promised.
    """

    def encoded(image: str) -> Encoding:
        with stages.look(image) as look:
            subject = look.subject()
            require_quality(subject.quality, SIGN_IN_QUALITY)
            return look.encoding()

    calibration = stages.calibration()
    calibration.require_supported(rate)
    one, other = examine_all(images, encoded)
    gallery = Gallery.of([("", other.as_bytes())], calibration.space)
    match = stages.compare(one, gallery, rate, calibration)
    as_alike = calibration.fmr_of(match.similarity, match.photos)
    return Compared(_matches(match), match, interval_of(rate), as_alike)


def _matches(match: Match) -> bool:
    try:
        require_match(match, claimed=True)
    except NoMatch:
        return False
    return True


def interval_of(rate: float) -> tuple[float, float]:
    """The 95 % interval of the false match rate that a threshold for `rate` keeps."""
    import numpy as np

    known = in_force()
    at, fmrs = -math.log10(rate), -np.log10(known.calibration.fmrs)
    low, high = (
        float(10 ** np.interp(at, fmrs, ends)) for ends in np.log10(known.fmr_intervals(0))
    )
    return low, high


# --- pictures ------------------------------------------------------------------------------------

LINE_SHARE = 1 / 200  # of the longer side
TEXT_SHARE = 1 / 30
FOUND_RGB, NOBODY_RGB = (0, 160, 60), (200, 60, 0)


def drawn(pixels: Pixels, faces: Sequence[Found]) -> Pixels:
    """The picture with a box, number and name for each face."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(pixels)
    draw, side = ImageDraw.Draw(picture), max(picture.size)
    font = ImageFont.load_default(max(10.0, side * TEXT_SHARE))
    for number, face in enumerate(faces, start=1):
        left, top, width, height = face.box_px
        colour = FOUND_RGB if face.person else NOBODY_RGB
        box = (left, top, left + width, top + height)
        draw.rectangle(box, outline=colour, width=max(1, round(side * LINE_SHARE)))
        label = f"{number} {face.person or ''}".strip()
        inside = draw.textbbox((left, top), label, font, anchor="lb")
        at = (max(0, left), top if inside[1] >= 0 else top + inside[3] - inside[1])
        draw.rectangle(draw.textbbox(at, label, font, anchor="lb"), fill=colour)
        draw.text(at, label, (255, 255, 255), font, anchor="lb")
    return np.asarray(picture, dtype=np.uint8)


def redrawn(stages: Stages, image: str, faces: Sequence[Found]) -> Pixels:
    """The picture, read again and turned as it was when its faces were found."""
    return drawn(stages.sight(stages.decode(image)).pixels, faces)
