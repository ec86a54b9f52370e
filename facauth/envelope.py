"""What a command answers: the documented JSON envelope, for the command line and for HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from facauth.errors import ExitCode, FacauthError, LockedOut, Reason
from facauth.structs import Liveness, Match, Quality, Replay, Sighting
from facauth.trace import Trace

SCHEMA = "facauth/1"


@dataclass(slots=True)
class Answer:
    """What a command found, as it is filled in by the command and written by `answering`."""

    command: str | None
    trace: Trace = field(default_factory=Trace)
    verdict: str | None = None
    person: str | None = None
    exit_code: ExitCode = ExitCode.OK
    lines: list[str] = field(default_factory=list)  # stdout, for people and simple scripts
    notes: list[str] = field(default_factory=list)  # stderr, unless --quiet
    reasons: Sequence[Reason] = ()
    more: dict[str, Any] = field(default_factory=dict)  # further fields of the envelope

    def refuse(self, refusal: FacauthError) -> None:
        """From now on this is a refusal, and says nothing of what it might have been."""
        self.verdict, self.exit_code = refusal.verdict, refusal.exit_code
        self.reasons, self.lines, self.person = refusal.reasons, [], None
        if isinstance(refusal, LockedOut):
            self.more["retry_after_s"] = refusal.retry_after_s


def turned(trace: Trace) -> list[str]:
    """A note for each photo that was not upright."""
    return [
        f"the photo was turned by {sighting.turned_deg} degrees to find the face"
        for sighting in trace.all(Sighting)
        if sighting.turned_deg
    ]


def doubted(trace: Trace) -> list[str]:
    """A note for each photo that was enrolled though it may not show a live face."""
    from facauth.spoof.verdict import in_doubt

    every = trace.all(Liveness)
    return [
        f"photo {number} of {len(every)} is enrolled in doubt: {reason.message}"
        for number, liveness in enumerate(every, 1)
        for reason in in_doubt(liveness)
    ]


def envelope(answer: Answer) -> dict[str, Any]:
    """The documented JSON object of one answer; fields that do not apply are null."""
    trace = answer.trace
    return {
        "schema": SCHEMA,
        "command": answer.command,
        "ok": answer.exit_code == ExitCode.OK,
        "exit_code": int(answer.exit_code),
        "verdict": answer.verdict,
        "person": answer.person,
        "match": match_fields(trace.last(Match)),
        "liveness": liveness_fields(trace.last(Liveness)),
        "replay": replay_fields(trace.last(Replay)),
        "quality": quality_fields(trace.last(Quality)),
        "reasons": [asdict(reason) for reason in answer.reasons],
        "notes": answer.notes,
        "elapsed_ms": {stage: round(ms, 1) for stage, ms in trace.elapsed_ms.items()},
        **answer.more,
    }


def match_fields(match: Match | None) -> dict[str, Any] | None:
    """Without the person: who is only nearly matched is nobody's business."""
    if match is None:
        return None
    return {
        "similarity": _number(match.similarity),
        "threshold": _number(match.min_similarity),
        "fmr": match.fmr,
        "margin": _number(match.margin),
        "compared": match.compared,
    }


def liveness_fields(liveness: Liveness | None) -> dict[str, Any] | None:
    """The verdict and the numbers behind it."""
    if liveness is None:
        return None
    return {
        "verdict": str(liveness.verdict),
        "live_score": _number(liveness.live_score),
        "threshold": liveness.min_live_score,
        "sure_threshold": liveness.sure_live_score,
        "conditions": {
            condition.name: {
                "value": _number(condition.value),
                "min" if condition.at_least else "max": condition.limit,
                "met": condition.met,
            }
            for condition in liveness.conditions
        },
    }


def replay_fields(replay: Replay | None) -> dict[str, Any] | None:
    """The verdict and the comparison it rests on."""
    if replay is None:
        return None
    return {
        "verdict": str(replay.verdict),
        "compared": replay.compared,
        "part": replay.part,
        "pairs": replay.pairs,
        "inliers": replay.inliers,
        "displacement": _number(replay.displacement),
        "correlation": _number(replay.correlation),
        "mirrored": replay.mirrored,
    }


def quality_fields(quality: Quality | None) -> dict[str, Any] | None:
    """Every measure."""
    if quality is None:
        return None
    return {name: _number(value) for name, value in asdict(quality).items()}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)
