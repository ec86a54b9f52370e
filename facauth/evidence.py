"""The findings of the stages on one photo or clip; results and refusals carry them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from facauth.errors import FacauthError

if TYPE_CHECKING:
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import (
        Basis,
        Encoding,
        Learned,
        Liveness,
        LiveVerdict,
        Match,
        Quality,
        Replay,
        Sighting,
    )


@dataclass(slots=True)
class Evidence:
    """The findings; None for a stage that did not run."""

    clip: bool = False
    frames: int = 0  # that were judged
    basis: Basis | None = None
    sighting: Sighting | None = field(default=None, repr=False)  # of a clip, its best frame
    quality: Quality | None = None
    liveness: Liveness | None = None
    encoding: Encoding | None = field(default=None, repr=False)
    signature: CaptureSignature | None = field(default=None, repr=False)
    match: Match | None = None
    replay: Replay | None = None
    learned: Learned | None = None
    elapsed_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent within to the stage's time, also after an error."""
        start = perf_counter()
        try:
            yield
        finally:
            spent = (perf_counter() - start) * 1000
            self.elapsed_ms[stage] = self.elapsed_ms.get(stage, 0.0) + spent


@contextmanager
def carried(found: Sequence[Evidence]) -> Iterator[None]:
    """Attach the findings on each photo to a refusal."""
    try:
        yield
    except FacauthError as refusal:
        refusal.evidence = refusal.evidence or tuple(found)
        raise


def evidence_of(refusal: FacauthError) -> tuple[Evidence, ...]:
    """The findings before the refusal, one per photo."""
    return tuple(item for item in refusal.evidence if isinstance(item, Evidence))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An accepted sign-in."""

    person: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Checked:
    """A spoof check."""

    verdict: LiveVerdict
    refusal: FacauthError | None  # why the photo may not sign in; None for a live face
    liveness: Liveness
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Registered:
    """An accepted enrolment."""

    person: str  # as enrolled
    photos: int  # of the person, earlier ones included
    evidence: tuple[Evidence, ...]  # of each new photo
