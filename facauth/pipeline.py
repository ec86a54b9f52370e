"""Sign-in, register, list and spoof-check, one line per stage. Start reading here.

    subject -> quality -> liveness -> encoding -> match -> replay

A stage returns numbers or pixels; only the `require_…` functions refuse. Liveness and replay must
both pass; `require_beyond_doubt` judges the doubts that they leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from facauth.challenge import require_basis
from facauth.decision.enrolment import require_one_person
from facauth.decision.match import came_near, fmr_of_each, require_match
from facauth.decision.throughout import require_one_face, require_same_person
from facauth.enrolling import admission, enrolment
from facauth.evidence import Checked, Evidence, Registered, SignedIn, carried, evidence_of
from facauth.faces.quality import require_quality
from facauth.learning import lesson
from facauth.settings import DEFAULT, SIGN_IN_QUALITY
from facauth.several import examine_all
from facauth.spoof.liveness import require_judgeable, require_live
from facauth.spoof.replay import require_new_picture
from facauth.spoof.signature import CaptureSignature, read_signatures
from facauth.spoof.verdict import require_beyond_doubt, weigh

if TYPE_CHECKING:
    from facauth.challenge import Challenge
    from facauth.decision.calibration import Calibration
    from facauth.errors import FacauthError
    from facauth.records import PersonName, PersonRow
    from facauth.settings import QualityLimits, SpoofPolicy
    from facauth.stages import Look, Stages
    from facauth.structs import Encoding, EnrolmentTerms, Liveness, Terms
    from facauth.system import System


def sign_in(system: System, source: str | Sequence[str], asked: Terms) -> SignedIn:
    """Identify the person in the photo, clip or photos, or verify the claim.

    Returns only if every stage passes.
    Raises LockedOut before the photo is read.
    """
    store, calibration = system.store, system.calibration
    with (
        system.stages.look(source) as look,
        store.attempt(asked.claimed, asked.challenge, error_rate=asked.rate) as attempt,
    ):
        liveness, encoding = examine(look, attempt.challenge, asked, calibration)
        with system.candidates(asked.claimed) as people:
            fmr = fmr_of_each(people, asked, calibration.min_fmr)
            match = look.match(encoding, people, fmr, calibration)
            enrolled = store.person(match.person).enrolled()
        attempt.came_near(enrolled.uid if came_near(match, calibration) else None)
        require_live(liveness)
        require_match(match, claimed=asked.claimed is not None)
        replay = look.replay(look.signatures(), read_signatures(enrolled.signatures))
        require_new_picture(replay)
        require_beyond_doubt(liveness, replay, asked.policy)
        taught = lesson(store, look.evidence, calibration) if asked.learn else None
        look.evidence.learned = attempt.accept(enrolled.uid, taught)
        return SignedIn(match.person, look.evidence)


def examine(
    look: Look, challenge: Challenge | None, asked: Terms, calibration: Calibration
) -> tuple[Liveness, Encoding]:
    """The stages of a sign-in that need no enrolled person."""
    require_basis(look.basis(challenge), asked.policy)
    look.subject(SIGN_IN_QUALITY)
    liveness, encoding = look.liveness(asked.policy), look.encoding()
    if look.photos:
        require_same_person(look.encodings, calibration)
    else:
        require_one_face(look.encodings, calibration.space)
    return liveness, encoding


def judge_stranger(system: System, source: str, asked: Terms, refusal: FacauthError) -> None:
    """For a name that is unknown or has no photo to compare: refuses as a sign-in does."""
    seen = evidence_of(refusal)
    with carried(seen):
        for liveness in (found.liveness for found in seen if found.liveness):
            require_live(liveness)
            return
    challenge = system.store.take_challenge(asked.challenge, asked.claimed)
    with system.stages.look(source) as look:
        require_live(examine(look, challenge, asked, system.calibration)[0])


def register(
    system: System, name: PersonName, sources: Sequence[str], asked: EnrolmentTerms
) -> Registered:
    """Enrol every photo of one person, or none."""
    store, contract = system.store, system.stages.contract()
    person = store.person(name)
    with store.recorded("register"):
        photos = examine_all(
            sources, partial(enrolment, system.stages, system.calibration, asked=asked)
        )
        with carried([photo.look.evidence for photo in photos]):
            require_one_person([photo.encoding for photo in photos], system.calibration)
            admitted = partial(admission, system, person, photos, asked)
            with store.judged(admitted) as (change, known_as):
                if asked.replace:
                    person.delete_templates(change)
                templates = [photo.template(asked) for photo in photos]
                count = person.add(change, contract, templates, asked.consent)
                change.log("register", "registered", uid=person.uid)
    return Registered(known_as, count, tuple(photo.look.evidence for photo in photos))


def list_people(system: System) -> list[PersonRow]:
    """All enrolled people, by name."""
    return system.store.people(system.stages.contract())


def spoof_check(
    stages: Stages,
    source: str,
    policy: SpoofPolicy = DEFAULT,
    enrolled: Sequence[CaptureSignature] | None = None,
) -> Checked:
    """The liveness and replay checks of a sign-in; raises only without a usable face.

    enrolled: signatures to compare with; None: no replay check.
    """
    with stages.look(source) as look:
        look.subject()
        liveness = look.liveness(policy)
        if enrolled is not None:
            look.replay(look.signatures(), enrolled)
        spoof = weigh(liveness, look.evidence.replay, policy)
        return Checked(spoof.verdict, spoof.refusal, liveness, look.evidence)


def check_quality(stages: Stages, source: str, limits: QualityLimits, *, judged: bool) -> Evidence:
    """Check the quality of a photo; neither the person nor the liveness is judged."""
    with stages.look(source) as look:
        subject = look.subject()
        require_quality(subject.quality, limits)
        if judged:
            require_judgeable(subject)
        return look.evidence
