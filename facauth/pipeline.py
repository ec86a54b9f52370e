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
    Crowd,
    Gallery,
    asked_rate,
    fmr_of_each,
    require_anybody,
    require_current,
    require_match,
)
from facauth.faces.detect import only_face
from facauth.faces.quality import require_quality
from facauth.learning import Seen
from facauth.records.sealing import Template
from facauth.settings import DEFAULT, ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.spoof.liveness import require_judgeable, require_live
from facauth.spoof.replay import require_new_picture
from facauth.spoof.signature import CaptureSignature, read_signatures
from facauth.spoof.verdict import Spoof, in_doubt, require_beyond_doubt, require_enrollable, weigh
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
    with store.attempt(claimed, liveness=not skip_liveness, error_rate=asked) as accept:
        sighting = stages.sight(stages.decode(image))
        if claimed is None:
            store.refresh(stages.contract(), Gallery.of)
        with store.snapshot():  # the signatures are those of the photos that matched
            gallery = people(store, stages.contract(), claimed)
            fmr = fmr_of_each(gallery, asked, claimed=claimed is not None)
            face = only_face(sighting, largest=largest)
            quality = stages.measure(sighting, face)
            require_quality(quality, SIGN_IN_QUALITY)
            liveness = None
            if not skip_liveness:
                liveness = stages.liveness(sighting, face, quality, policy)
                require_live(liveness)
            encoding = stages.encode(sighting, face)
            match = stages.compare(encoding, gallery, fmr)
            require_match(match, claimed=claimed is not None)
            enrolled = read_signatures(store.signatures(match.person))
            uid = store.uid(match.person)  # whatever becomes of the name
        capture = stages.signature(sighting, face)
        replay = stages.replay(capture, enrolled)
        require_new_picture(replay)
        require_beyond_doubt(liveness, replay, policy)
        if learn:
            seen = Seen(encoding, capture, quality, liveness, replay, match)
            stages.learn(store, seen, partial(accept, uid))
        else:
            accept(uid)
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
        photos = [look(image) for image in images]
        encodings, captures = [each for each, *_ in photos], [each for _, each, _ in photos]
        require_one_person(encodings)
        with store.transaction(erasing=replace):
            enrolled = Gallery.of(store.encodings(stages.contract()))
            known_as = store.find(name)
            if known_as and not replace:
                require_agreement(store.encodings(stages.contract(), known_as), known_as)
                require_same_person(encodings, enrolled.only(known_as), known_as)
            if not allow_duplicate:
                require_nobody_else(encodings, enrolled.without(known_as))
            if replace:
                store.delete_templates(name)
            kept = read_signatures(store.signatures(known_as or name.text))
            compared = [stages.replay(e, [*kept, *captures[:i]]) for i, e in enumerate(captures)]
            require_new_pictures(compared)
            templates = [
                Template(e.as_bytes(), c.to_bytes() if keep_signatures else None, unchecked)
                for e, c, unchecked in photos
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
) -> tuple[Encoding, CaptureSignature, bool]:
    """What is kept of one photo, which is good enough to be compared with for years.

    The third is whether it is not known that the face is live.
    """
    sighting, face, quality = usable(stages, image, ENROLMENT_QUALITY, largest=largest)
    unchecked = skip_liveness
    if not skip_liveness:
        liveness = stages.liveness(sighting, face, quality, policy.enrolling)
        require_enrollable(liveness, policy)
        unchecked = bool(in_doubt(liveness))
    return stages.encode(sighting, face), stages.signature(sighting, face), unchecked


def usable(
    stages: Stages, image: str, limits: QualityLimits, *, largest: bool = False
) -> tuple[Sighting, Face, Quality]:
    """A photo's one face, which is good enough to be looked at further."""
    sighting = stages.sight(stages.decode(image))
    face = only_face(sighting, largest=largest)
    quality = stages.measure(sighting, face)
    require_quality(quality, limits)
    return sighting, face, quality


def check_quality(stages: Stages, image: str, limits: QualityLimits, *, judgeable: bool) -> None:
    """What a photo lacks, told before it is judged: nothing of who it shows or how alive.

    judgeable: its liveness has to be, too.
    """
    found = usable(stages, image, limits)
    if judgeable:
        require_judgeable(*found)


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


def people(store: Store, contract: str, claimed: str | None) -> Gallery | Crowd:
    """Whom to compare with: everybody, or the claimed person."""
    if claimed is None and (blocks := store.blocks(contract, Gallery.of)):
        return Crowd(blocks.people, blocks, partial(store.encodings_of, contract))
    name = None if claimed is None else store.known_as(PersonName.parse(claimed))
    gallery = Gallery.of(store.encodings(contract, name))
    if name is not None:
        require_current(gallery, name)
    require_anybody(gallery, store.path)
    return gallery
