"""Answers over HTTP: the command line's JSON envelope without any measured number.

A client that sees scores can choose the next photo by them, until one is accepted.
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
from facauth.web.refusals import for_client, status_of

BUSY_S = 5  # Retry-After when the server is busy: half of what waits is done by then
STOPPED_S = 3600  # Retry-After when an operator must unlock first, at a time nobody knows
NO_OVERRIDES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body and further headers of an answer."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class JsonLine(JSONResponse):
    """JSON that ends with a newline, for clients in a terminal."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return super().render(content) + b"\n"


def reply_to(
    command: str, job: Callable[[Answer], None], overrides: Mapping[str, int] = NO_OVERRIDES
) -> Reply:
    """The reply of a job, whether it answers or refuses.

    overrides: as for status_of. A fault of this server (status 500) is raised as it is.
    """
    answer = Answer(command)
    try:
        job(answer)
    except FacauthError as refusal:
        if status_of(refusal, overrides) == 500:
            raise
        return refusal_reply(refusal, answer, overrides)
    return Reply(200, public_envelope(answer))


def refusal_reply(
    refusal: FacauthError, answer: Answer, overrides: Mapping[str, int] = NO_OVERRIDES
) -> Reply:
    """The reply for a refusal, with its reasons in words for clients."""
    answer.refuse(refusal)
    answer.reasons = [for_client(reason) for reason in refusal.reasons]
    status = status_of(refusal, overrides)
    headers = {}
    if isinstance(refusal, LockedOut):
        headers["Retry-After"] = str(ceil(refusal.retry_after_s or STOPPED_S))
    elif status == 503:
        headers["Retry-After"] = str(BUSY_S)
    elif status == 401:
        headers["WWW-Authenticate"] = 'Photo realm="facauth"'  # required by RFC 9110, 11.6.1
    return Reply(status, public_envelope(answer), headers)


def fault_reply(command: str | None, request_id: str) -> Reply:
    """The reply for a fault of this server. Only the log has its cause, under the request id."""
    answer = Answer(command)
    advice = f"tell the operator the id {request_id}"
    answer.refuse(FacauthError(Reason("internal", "the server has a fault", advice)))
    return Reply(500, public_envelope(answer))


def public_envelope(answer: Answer) -> dict[str, Any]:
    """The envelope without scores, measures and times."""
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
