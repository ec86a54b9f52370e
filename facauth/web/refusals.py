"""What only a server refuses, and which HTTP status says so: for these and for all others.

The status of a refusal is that of its reason, if the reason has one, or else of its class. Only
200 means signed in, just as only exit code 0 does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from facauth.errors import (
    Attack,
    Conflict,
    FacauthError,
    LockedOut,
    NoMatch,
    Reason,
    SetupProblem,
    UnusableImage,
    UsageProblem,
)


class Forbidden(UsageProblem):
    """Who asks is not the operator, or cannot be shown to have meant it."""

    verdict = "forbidden"


class TooLarge(UsageProblem):
    """More bytes than are taken in."""


class TooSlow(UsageProblem):
    """The body did not come in time."""


class Busy(SetupProblem):
    """As much is waiting as may wait; try again soon."""

    verdict = "busy"


STATUS: dict[type[FacauthError], int] = {
    NoMatch: 401,
    Attack: 401,
    UnusableImage: 400,
    LockedOut: 429,
    Conflict: 409,
    UsageProblem: 422,
    Forbidden: 403,
    TooSlow: 408,
    TooLarge: 413,
    Busy: 503,
    SetupProblem: 500,
    FacauthError: 500,
}
STATUS_OF_REASON = {
    "name.unknown": 404,
    "image.too_large": 413,
    "image.too_many_pixels": 413,
    "image.too_many_parts": 413,
    "form.media_type": 415,
    "image.empty": 415,
    "image.format": 415,
    "image.heic": 415,
    "match.unsupported_rate": 500,  # it is not the client who chose it
    "store.busy": 503,
    "store.changed": 503,
}
# Of a sign-in alone: so answered the demo that facauth grew from.
SIGN_IN_STATUS = {"face.none": 401}
# Texts that speak of options, commands or paths, as they are said to somebody at a page.
SAID = {
    "face.several": ("several faces were found", None),
    "face.enrolled_elsewhere": (None, "add photos to that name"),
    "image.heic": ("HEIC photos cannot be read here", "give a JPEG"),
    "limit.stopped": (None, "ask the operator to unlock it"),
    "match.nobody_enrolled": ("nobody is enrolled yet", "have somebody registered"),
    "match.ambiguous": (None, "say who you are as well"),
    "match.needs_new_photo": ("the enrolled photos cannot be compared any more", "register again"),
    "store.busy": ("the store is in use", "try again"),
    "store.changed": ("the store was changed", "try again"),
    "name.needs_new_photo": (None, "have the operator replace them on the command line"),
    "name.unknown": (None, "see who is enrolled"),
    "name.other_face": (None, "choose another name"),
    "name.photos_disagree": (None, "have the operator replace them on the command line"),
}


def status_of(refusal: FacauthError, own: Mapping[str, int] = MappingProxyType({})) -> int:
    """The one HTTP status that goes with a refusal.

    own: those of reasons which the route has statuses of its own for.
    """
    statuses = {**STATUS_OF_REASON, **own}
    for reason in refusal.reasons:
        if reason.code in statuses:
            return statuses[reason.code]
    return next(STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS)


def said(reason: Reason) -> Reason:
    """The same reason for somebody who has no command line."""
    message, advice = SAID.get(reason.code, (None, None))
    return Reason(reason.code, message or reason.message, advice or reason.advice)


def forbidden(code: str, message: str, advice: str) -> Forbidden:
    """403."""
    return Forbidden(Reason(code, message, advice))


def malformed(message: str, advice: str) -> UsageProblem:
    """422."""
    return UsageProblem(Reason("form.malformed", message, advice))


def not_of_this_type(kinds: Collection[str]) -> UsageProblem:
    """415."""
    advice = f"send {' or '.join(sorted(kinds))}"
    return UsageProblem(Reason("form.media_type", "this is not the form that is taken", advice))


def busy() -> Busy:
    """503."""
    return Busy(Reason("server.busy", "too much is going on", "try again in a moment"))


def too_large(limit: int) -> TooLarge:
    """413."""
    what = f"over {limit >> 20} MB" if limit >> 20 else f"over {limit:,} bytes"
    return TooLarge(Reason("upload.too_large", f"the upload has {what}", "send a smaller photo"))
