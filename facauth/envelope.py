"""The answer of a command, as the documented JSON envelope, for the command line and HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facauth.errors import ExitCode, FacauthError, LockedOut, Reason
from facauth.evidence import Evidence, evidence_of

if TYPE_CHECKING:
    from facauth.structs import Liveness, Match, Quality, Replay

SCHEMA = "facauth/1"


@dataclass(slots=True)
class Answer:
    """The answer of a command; the command fills it in, and `answering` writes it."""

    command: str | None
    evidence: Evidence = field(default_factory=Evidence)
    verdict: str | None = None
    person: str | None = None
    exit_code: ExitCode = ExitCode.OK
    lines: list[str] = field(default_factory=list)  # stdout, for people and simple scripts
    notes: list[str] = field(default_factory=list)  # stderr, unless --quiet
    how_seen: list[str] = field(default_factory=list)  # notes on the photos; they come last
    reasons: Sequence[Reason] = ()
    more: dict[str, Any] = field(default_factory=dict)  # further fields of the envelope

    def show(self, *found: Evidence) -> None:
        """Add the findings on photos: notes on all of them, and the measures of the last.

        Times are summed.
        """
        elapsed_ms = dict(self.evidence.elapsed_ms)
        for evidence in found:
            self.how_seen += looked_at(evidence)
            for stage, spent in evidence.elapsed_ms.items():
                elapsed_ms[stage] = elapsed_ms.get(stage, 0.0) + spent
            self.evidence = replace(evidence, elapsed_ms=elapsed_ms)

    def refuse(self, refusal: FacauthError) -> None:
        """Turn the answer into a refusal, without lines and person."""
        self.verdict, self.exit_code = refusal.verdict, refusal.exit_code
        self.reasons, self.lines, self.person = refusal.reasons, [], None
        self.show(*evidence_of(refusal))
        if isinstance(refusal, LockedOut):
            self.more["retry_after_s"] = refusal.retry_after_s


def looked_at(evidence: Evidence) -> list[str]:
    """Notes on a photo or clip that was turned, or that shows several faces."""
    seen, quality, notes = evidence.sighting, evidence.quality, []
    what = "clip" if evidence.clip else "photo"
    if seen is not None and seen.turned_deg:
        notes.append(f"the {what} was turned by {seen.turned_deg} degrees to find the face")
    if quality is not None and quality.faces > 1:
        notes.append(f"the {what} shows {quality.faces} faces; only the dominant one counts")
    return notes


def doubted(found: Sequence[Evidence]) -> list[str]:
    """A note for each enrolled photo whose face is not surely live."""
    from facauth.spoof.liveness import UNSURE
    from facauth.spoof.verdict import enrolled_in_doubt

    judged = [(number, each.liveness) for number, each in enumerate(found, 1) if each.liveness]
    return [
        f"photo {number} of {len(found)} is enrolled in doubt: {reason.message}"
        for number, liveness in judged
        if enrolled_in_doubt(liveness)
        for reason in liveness.reasons or (UNSURE,)
    ]


def envelope(answer: Answer) -> dict[str, Any]:
    """The documented JSON object of one answer; fields that do not apply are null."""
    found = answer.evidence
    return {
        "schema": SCHEMA,
        "command": answer.command,
        "ok": answer.exit_code == ExitCode.OK,
        "exit_code": int(answer.exit_code),
        "verdict": answer.verdict,
        "person": answer.person,
        "match": None if not_live(found.liveness) else match_fields(found.match),
        "liveness": liveness_fields(found.liveness),
        "replay": replay_fields(found.replay),
        "quality": quality_fields(found.quality),
        "reasons": [asdict(reason) for reason in answer.reasons],
        "notes": [*answer.notes, *answer.how_seen],
        "elapsed_ms": {stage: round(ms, 1) for stage, ms in found.elapsed_ms.items()},
        **answer.more,
    }


def not_live(liveness: Liveness | None) -> bool:
    """Whether the photo was not judged live; the envelope then hides the match."""
    from facauth.structs import LiveVerdict

    return liveness is not None and liveness.verdict is not LiveVerdict.LIVE


def match_fields(match: Match | None) -> dict[str, Any] | None:
    """Without the person: a refusal does not name the person who nearly matched."""
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
