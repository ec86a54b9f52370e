"""What each command does, one line a stage. Start reading here.

    read -> decode -> sight -> only_face -> quality -> liveness -> encode -> match -> replay

A stage returns numbers or pixels; a `require_…` beside it is the only place that says no. Liveness
and replay must both agree, and what they leave in doubt goes to `require_beyond_doubt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from facauth.decision.enrolment import (
    require_agreement,
    require_new_pictures,
    require_nobody_else,
    require_one_person,
    require_same_person,
)
from facauth.decision.match import (
    Gallery,
    asked_rate,
    came_near,
    fmr_of_each,
    require_match,
)
from facauth.faces.detect import only_face
from facauth.faces.quality import require_quality
from facauth.learning import Seen
from facauth.records.sealing import Template
from facauth.settings import DEFAULT, ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.several import each_of
from facauth.spoof.liveness import require_judgeable, require_live
from facauth.spoof.replay import require_new_picture
from facauth.spoof.signature import CaptureSignature, read_signatures
from facauth.spoof.verdict import Spoof, require_beyond_doubt, weigh
from facauth.stages import people
from facauth.structs import PersonName

if TYPE_CHECKING:
    from facauth.records.roster import Consent
    from facauth.records.store import Store
    from facauth.settings import QualityLimits, SpoofPolicy
    from facauth.stages import Stages
    from facauth.structs import Encoding, Face, Match, Quality, Sighting


def sign_in(
    stages: Stages,
    store: Store,
    image: str,
    claimed: str | None = None,
    policy: SpoofPolicy = DEFAULT,
    rate: float | None = None,
    *,
    largest: bool = False,
    skip_liveness: bool = False,
    learn: bool = False,
) -> Match:
    """Who is in the image (or: is it `claimed`?). Returns only if every stage agreed.

    rate: share of strangers that may pass; see asked_rate. Raises LockedOut before it looks.
    """
    asked = asked_rate(rate, claimed=claimed is not None)
    calibration = stages.calibration()
    with store.attempt(claimed, liveness=not skip_liveness, error_rate=asked) as attempt:
        sighting = stages.sight(stages.decode(image))
        if claimed is None:
            store.refresh(stages.contract(), Gallery.of)
        with store.snapshot():  # the signatures are those of the photos that matched
            gallery = people(store, stages.contract(), claimed)
            fmr = fmr_of_each(gallery, asked, calibration.min_fmr, claimed=claimed is not None)
            face = only_face(sighting, largest=largest)
            quality = stages.measure(sighting, face)
            require_quality(quality, SIGN_IN_QUALITY)
            alive = None if skip_liveness else stages.liveness(sighting, face, quality, policy)
            encoding = stages.encode(sighting, face)
            match = stages.compare(encoding, gallery, fmr, calibration)
            signatures = store.signatures(match.person)
            uid = store.uid(match.person)  # whatever becomes of the name
        attempt.came_near(uid if came_near(match, calibration) else None)
        if alive is not None:
            require_live(alive)
        require_match(match, claimed=claimed is not None)
        capture = stages.signature(sighting, face)
        replay = stages.replay(capture, read_signatures(signatures))
        require_new_picture(replay)
        require_beyond_doubt(alive, replay, policy)
        if learn:
            seen = Seen(encoding, capture, quality, alive, replay, match)
            stages.learn(store, seen, partial(attempt.accept, uid), calibration)
        else:
            attempt.accept(uid)
        return match


def register(
    stages: Stages,
    store: Store,
    name: PersonName,
    images: Sequence[str],
    policy: SpoofPolicy = DEFAULT,
    *,
    largest: bool = False,
    replace: bool = False,
    allow_duplicate: bool = False,
    accept_spoof: bool = False,
    keep_signatures: bool = True,
    consent: Consent | None = None,
) -> tuple[str, int]:
    """Enrol every image of one person, or none; the name, and how many templates it then has."""
    look = partial(enrolment, stages, policy=policy, largest=largest, skip_liveness=accept_spoof)
    with store.recorded("register"):
        calibration = stages.calibration()
        encodings, captures = zip(*each_of(images, look), strict=True)
        require_one_person(encodings, calibration)

        def admitted() -> str | None:
            known_as, everybody = store.find(name), store.encodings(stages.contract())
            enrolled = Gallery.of(everybody)
            if known_as and not replace:
                require_agreement(
                    [row for row in everybody if row[0] == known_as], known_as, calibration
                )
                require_same_person(encodings, enrolled.only(known_as), known_as, calibration)
            if not allow_duplicate:
                require_nobody_else(encodings, enrolled.without(known_as), calibration)
            kept = [] if replace else read_signatures(store.signatures(known_as or name.text))
            compared = [stages.replay(e, [*kept, *captures[:i]]) for i, e in enumerate(captures)]
            require_new_pictures(compared)
            return known_as

        with store.judged(admitted, erasing=replace) as known_as:
            if replace:
                store.delete_templates(name)
            templates = [
                Template(e.as_bytes(), c.to_bytes() if keep_signatures else None, accept_spoof)
                for e, c in zip(encodings, captures, strict=True)
            ]
            count = store.add(name, stages.contract(), templates, consent)
            store.log("register", "registered", name=known_as or name.text)
        return known_as or name.text, count


def enrolment(
    stages: Stages,
    image: str,
    policy: SpoofPolicy,
    *,
    largest: bool = False,
    skip_liveness: bool = False,
) -> tuple[Encoding, CaptureSignature]:
    """What is kept of one photo, which is live and good enough to be compared with for years."""
    sighting, face, quality = usable(stages, image, ENROLMENT_QUALITY, largest=largest)
    if not skip_liveness:
        liveness = stages.liveness(sighting, face, quality, policy)
        require_live(liveness)
        require_beyond_doubt(liveness, None, policy)
    return stages.encode(sighting, face), stages.signature(sighting, face)


def usable(
    stages: Stages, image: str, limits: QualityLimits, *, largest: bool = False
) -> tuple[Sighting, Face, Quality]:
    """A photo's one face, which is good enough to be looked at further."""
    sighting = stages.sight(stages.decode(image))
    face = only_face(sighting, largest=largest)
    quality = stages.measure(sighting, face)
    require_quality(quality, limits)
    return sighting, face, quality


def check_quality(stages: Stages, image: str, limits: QualityLimits) -> None:
    """What a photo lacks, told before it is judged: nothing of who it shows or how alive."""
    require_judgeable(*usable(stages, image, limits))


def check_spoof(
    stages: Stages,
    image: str,
    policy: SpoofPolicy = DEFAULT,
    enrolled: Sequence[CaptureSignature] | None = None,
    *,
    largest: bool = False,
) -> Spoof:
    """The spoof part of a sign-in, all of it; raises only where there is no face to speak of."""
    sighting = stages.sight(stages.decode(image))
    face = only_face(sighting, largest=largest)
    liveness = stages.liveness(sighting, face, stages.measure(sighting, face), policy)
    replay = None
    if enrolled is not None:
        replay = stages.replay(stages.signature(sighting, face), enrolled)
    return weigh(liveness, replay, policy)
