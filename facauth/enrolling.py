"""What an enrolment asks of each photo, and of the people who are enrolled already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facauth.decision.enrolment import require_admission, require_new_pictures
from facauth.decision.throughout import require_one_face
from facauth.faces.quality import require_quality
from facauth.settings import ENROLMENT_QUALITY
from facauth.spoof.signature import read_signatures
from facauth.spoof.verdict import require_enrollable
from facauth.stages import Enrolment

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.stages import Stages
    from facauth.store.person import Person
    from facauth.structs import EnrolmentTerms
    from facauth.system import System


def enrolment(
    stages: Stages, calibration: Calibration, source: str, asked: EnrolmentTerms
) -> Enrolment:
    """One photo or clip, checked by the limits of enrolment."""
    with stages.look(source) as look:
        subject = look.subject()
        require_quality(subject.quality, ENROLMENT_QUALITY)
        if not asked.accept_spoof:
            require_enrollable(look.liveness(asked.policy), asked.policy)
        encoding = look.encoding()
        require_one_face(look.encodings, calibration.space)
        return Enrolment(look, encoding, look.signatures())


def admission(
    system: System, person: Person, photos: Sequence[Enrolment], asked: EnrolmentTerms
) -> str:
    """The name under which the photos may be enrolled. Raises Conflict if they may not."""
    store, calibration = system.store, system.calibration
    encodings = [photo.encoding for photo in photos]
    known_as, everybody = person.enrolled_as, store.encodings(system.stages.contract())
    require_admission(encodings, everybody, known_as, asked, calibration)
    kept, replays = [] if asked.replace else read_signatures(person.signatures()), []
    for photo in photos:
        replays.append(photo.look.replay(photo.signatures, kept))
        kept.append(photo.signatures[0])
    require_new_pictures(replays)
    return known_as or person.asked.text
