"""register."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import ENCODERS, LIVENESS, bound, policy_of
from facauth.cli.enrolment_options import (
    AcceptSpoof,
    ConsentText,
    NoSignature,
    Purpose,
    note_unchecked,
)
from facauth.cli.options import (
    AllowDuplicate,
    Call,
    Device,
    Images,
    Name,
    Policy,
    UseCamera,
    device_of,
)
from facauth.cli.output import answering
from facauth.cli.wording import counted, more_photos
from facauth.envelope import doubted
from facauth.errors import ExitCode, FacauthError, image_name
from facauth.records import Consent, PersonName

if TYPE_CHECKING:
    from facauth.envelope import Answer
    from facauth.system import System

Replace = Annotated[bool, typer.Option("--replace", help="Delete the photos enrolled so far.")]


OTHER_PHOTO = "to sign in, take another photo: facauth refuses the enrolled photos"


def register(
    call: Call,
    name: Name,
    images: Images = None,
    camera: UseCamera = False,
    device: Device = None,
    replace: Replace = False,
    allow_duplicate: AllowDuplicate = False,
    accept_spoof: AcceptSpoof = False,
    no_signature: NoSignature = False,
    consent: ConsentText = None,
    purpose: Purpose = None,
    policy: Policy = None,
) -> None:
    """Enrol a person with one or more photos, or three from the camera.

    Three photos of different days work best. All photos are enrolled, or none.

    Example: facauth register "Ada Lovelace" monday.jpg tuesday.jpg friday.jpg
    """
    from facauth.structs import EnrolmentTerms

    with answering(call, "photos", "results") as answer:
        filming = device_of(images, camera=camera, device=device)
        note_unchecked(answer, policy, accept_spoof)
        person, agreed = PersonName.parse(name), Consent.parse(consent, purpose)
        asked = EnrolmentTerms(
            policy_of(policy),
            replace=replace,
            allow_duplicate=allow_duplicate,
            accept_spoof=accept_spoof,
            keep_signatures=not no_signature,
            consent=agreed,
        )
        with (
            bound(call, answer, *LIVENESS, *ENCODERS, create=True) as system,
            photos_of(call, system, images, filming, judged=not accept_spoof) as (seen, photos),
            results_of(answer, photos),
        ):
            from facauth import admin, pipeline

            done = pipeline.register(seen, person, photos, asked)
            answer.notes += admin.lookalikes(system.store, done.person)
        answer.show(*done.evidence)
        answer.verdict, answer.person = "registered", done.person
        answer.more["photos"] = done.photos
        answer.lines.append(f"registered {done.person} ({counted(done.photos)})")
        answer.notes += doubted(done.evidence) + more_photos(done.photos)
        if done.photos == len(photos) and not no_signature:
            answer.notes.append(OTHER_PHOTO)


@contextmanager
def photos_of(
    call: Call, system: System, images: list[str] | None, device: str | None, *, judged: bool
) -> Iterator[tuple[System, list[str]]]:
    """The photos' names, and what reads them: files, or the camera at once."""
    if device is None:
        yield system, images or []
        return
    from facauth.cli.camera import photographed

    with photographed(call, system.stages, device, judged=judged) as (stages, photos):
        yield dataclasses.replace(system, stages=stages), photos


@contextmanager
def results_of(answer: Answer, images: Sequence[str]) -> Iterator[None]:
    """On exit, add one result per photo to the answer, if the photos were examined."""
    failed: Sequence[FacauthError | None] = [None] * len(images)
    try:
        yield
    except FacauthError as refusal:
        failed = refusal.photos
        raise
    finally:
        if failed:
            answer.more["results"] = [
                {
                    "image": image_name(image),
                    "verdict": failure.verdict if failure else "usable",
                    "exit_code": int(failure.exit_code if failure else ExitCode.OK),
                    "reasons": [asdict(reason) for reason in failure.reasons] if failure else [],
                }
                for image, failure in zip(images, failed, strict=True)
            ]
