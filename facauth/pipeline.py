"""What sign-in, register, list and spoof-check do, one line a stage. Start reading here.

    capture -> quality -> liveness -> encode -> match -> replay

A stage returns numbers or pixels; a `require_…` beside it is the only place that says no. Liveness
and replay must both agree, and what they leave in doubt goes to `require_beyond_doubt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from facauth.faces.quality import require_quality
from facauth.learning import lesson
from facauth.records.sealing import Template
from facauth.settings import DEFAULT, ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.spoof.liveness import require_judgeable, require_live
from facauth.spoof.replay import require_new_picture
from facauth.spoof.signature import CaptureSignature, read_signatures
from facauth.spoof.verdict import Spoof, require_beyond_doubt, weigh
from facauth.structs import PersonName, Terms

if TYPE_CHECKING:
    from facauth.evidence import Evidence
    from facauth.records.roster import Consent, PersonRow
    from facauth.settings import QualityLimits, SpoofPolicy
    from facauth.structs import Encoding
    from facauth.system import Stages, System


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An accepted sign-in."""

    person: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Registered:
    """A person who has new photos."""

    person: str  # as enrolled
    photos: int  # of the person, earlier ones included
    evidence: tuple[Evidence, ...]  # of each new photo


def terms(
    rate: float | None,
    claimed: str | None = None,
    policy: SpoofPolicy = DEFAULT,
    *,
    largest: bool = False,
    learn: bool = False,
) -> Terms:
    """The terms of a sign-in; see asked_rate. Raises UsageProblem for an impossible rate."""
    return Terms(asked_rate(rate, claimed=claimed is not None), policy, claimed, largest, learn)


def sign_in(system: System, source: str, asked: Terms) -> SignedIn:
    """Who is in the photo (or: is it the claimed person?). Returns only if every stage agreed.

    Raises LockedOut before it looks.
    """
    with (
        system.stages.look(source) as look,
        system.store.attempt(asked.claimed, error_rate=asked.rate) as attempt,
    ):
        subject = look.subject(largest=asked.largest)
        require_quality(subject.quality, SIGN_IN_QUALITY)
        liveness = look.liveness(subject, asked.policy)
        require_live(liveness)
        encoding = look.encoding(subject)
        with candidates(system, asked) as people:
            match = look.match(encoding, people, fmr_of_each(people, asked))
            require_match(match, claimed=asked.claimed is not None)
            enrolled = system.store.enrolled(match.person)
        replay = look.replay(look.signature(subject), read_signatures(enrolled.signatures))
        require_new_picture(replay)
        require_beyond_doubt(liveness, replay, asked.policy)
        taught = lesson(system.store, look.evidence) if asked.learn else None
        look.evidence.learned = attempt.accept(enrolled.uid, taught)
        return SignedIn(match.person, look.evidence)


def register(
    system: System,
    name: PersonName,
    sources: Sequence[str],
    policy: SpoofPolicy = DEFAULT,
    *,
    largest: bool = False,
    replace: bool = False,
    allow_duplicate: bool = False,
    accept_spoof: bool = False,
    keep_signatures: bool = True,
    consent: Consent | None = None,
) -> Registered:
    """Enrol every photo of one person, or none."""
    stages, store, contract = system.stages, system.store, system.stages.contract()
    look = partial(enrolment, stages, policy=policy, largest=largest, accept_spoof=accept_spoof)
    with store.recorded("register"):
        photos = [look(source) for source in sources]
        encodings = [photo.encoding for photo in photos]
        captures = [photo.signature for photo in photos]
        require_one_person(encodings)
        with store.transaction(erasing=replace):
            enrolled = Gallery.of(store.encodings(contract))
            known_as = store.find(name)
            if known_as and not replace:
                require_agreement(store.encodings(contract, known_as), known_as)
                require_same_person(encodings, enrolled.only(known_as), known_as)
            if not allow_duplicate:
                require_nobody_else(encodings, enrolled.without(known_as))
            if replace:
                store.delete_templates(name)
            kept = read_signatures(store.signatures(known_as or name.text))
            compared = [stages.replay(e, [*kept, *captures[:i]]) for i, e in enumerate(captures)]
            require_new_pictures(compared)
            templates = [
                Template(e.as_bytes(), c.to_bytes() if keep_signatures else None, accept_spoof)
                for e, c in zip(encodings, captures, strict=True)
            ]
            count = store.add(name, contract, templates, consent)
            store.log("register", "registered", name=known_as or name.text)
    return Registered(known_as or name.text, count, tuple(photo.evidence for photo in photos))


def list_people(system: System) -> list[PersonRow]:
    """Everybody who is enrolled, by name."""
    return system.store.people(system.stages.contract())


def spoof_check(
    stages: Stages,
    source: str,
    policy: SpoofPolicy = DEFAULT,
    enrolled: Sequence[CaptureSignature] | None = None,
    *,
    largest: bool = False,
) -> Spoof:
    """The spoof part of a sign-in, all of it; raises only where there is no face to speak of.

    enrolled: what to compare with; None where there is nobody.
    """
    with stages.look(source) as look:
        subject = look.subject(largest=largest)
        liveness = look.liveness(subject, policy)
        if enrolled is not None:
            look.replay(look.signature(subject), enrolled)
        return weigh(liveness, look.evidence.replay, policy, look.evidence)


def check_quality(stages: Stages, source: str, limits: QualityLimits) -> Evidence:
    """What a photo lacks, told before it is judged: nothing of who it shows or how alive."""
    with stages.look(source) as look:
        subject = look.subject()
        require_quality(subject.quality, limits)
        require_judgeable(subject)
        return look.evidence


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """What is kept of one photo."""

    encoding: Encoding
    signature: CaptureSignature
    evidence: Evidence


def enrolment(
    stages: Stages, source: str, policy: SpoofPolicy, *, largest: bool = False, accept_spoof: bool
) -> Enrolment:
    """A photo that is live and good enough to be compared with for years."""
    with stages.look(source) as look:
        subject = look.subject(largest=largest)
        require_quality(subject.quality, ENROLMENT_QUALITY)
        if not accept_spoof:
            liveness = look.liveness(subject, policy)
            require_live(liveness)
            require_beyond_doubt(liveness, None, policy)
        return Enrolment(look.encoding(subject), look.signature(subject), look.evidence)


@contextmanager
def candidates(system: System, asked: Terms) -> Iterator[Gallery | Crowd]:
    """The people to compare with, everybody or the claimed person, as they are at one moment."""
    store, contract = system.store, system.stages.contract()
    if asked.claimed is None:
        store.refresh(contract, Gallery.of)
    with store.snapshot():
        if asked.claimed is None and (blocks := store.blocks(contract, Gallery.of)):
            yield Crowd(blocks.people, blocks, partial(store.encodings_of, contract))
            return
        name = None if asked.claimed is None else store.known_as(PersonName.parse(asked.claimed))
        gallery = Gallery.of(store.encodings(contract, name))
        if name is not None:
            require_current(gallery, name)
        require_anybody(gallery, store.path)
        yield gallery
