"""What is said over HTTP: the envelope of the command line without any number that was measured.

A score that is told to whom it judges is a hill to climb: the next picture can be chosen by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse

from facauth.envelope import Answer, envelope
from facauth.errors import FacauthError, LockedOut, Reason
from facauth.web.refusals import said, status_of

BUSY_S = 5  # after which to ask again: half of what is waiting has been done by then
STOPPED_S = 3600  # until somebody unlocks it, which nobody knows


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, the body, and what else the client is told."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Json(JSONResponse):
    """One line, which does not run into the prompt of a shell."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return super().render(content) + b"\n"


def answered(
    command: str, job: Callable[[Answer], None], own: Mapping[str, int] = MappingProxyType({})
) -> Reply:
    """What a job answers or refuses. What is wrong here, and not with the request, is raised."""
    answer = Answer(command)
    try:
        job(answer)
    except FacauthError as refusal:
        if status_of(refusal, own) == 500:
            raise
        return refused(refusal, answer, own)
    return Reply(200, public(answer))


def refused(
    refusal: FacauthError, answer: Answer, own: Mapping[str, int] = MappingProxyType({})
) -> Reply:
    """A refusal: no, for these reasons. own: as for status_of."""
    answer.refuse(refusal)
    answer.reasons = [said(reason) for reason in refusal.reasons]
    status = status_of(refusal, own)
    headers = {}
    if isinstance(refusal, LockedOut):
        seconds = ceil(refusal.retry_after_s or STOPPED_S)
        headers["Retry-After"] = str(seconds)
    elif status == 503:
        headers["Retry-After"] = str(BUSY_S)
    elif status == 401:
        headers["WWW-Authenticate"] = 'Photo realm="facauth"'  # RFC 9110, 11.6.1: there must be one
    return Reply(status, public(answer), headers)


def failed(command: str | None, number: str) -> Reply:
    """Something is wrong here; the log says what, beside the same number."""
    answer = Answer(command)
    reason = Reason("internal", "something went wrong here", f"tell the operator {number}")
    answer.refuse(FacauthError(reason))
    return Reply(500, public(answer))


def public(answer: Answer) -> dict[str, Any]:
    """The envelope with nothing measured in it: no score, no measure, no time."""
    full = envelope(answer)
    return full | {
        "match": None,
        "liveness": _verdict_of(full["liveness"]),
        "replay": _verdict_of(full["replay"]),
        "quality": None,
        "elapsed_ms": {},
    }


def _verdict_of(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {"verdict": fields["verdict"]}
