"""The refusals that only a server has, and the HTTP status and words of every refusal.

The status comes from the reason's code if that has one, else from the refusal's class. Only 200
means signed in, as only exit code 0 does.
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
    """Not the operator, or a request that another site may have forged."""

    verdict = "forbidden"


class TooLarge(UsageProblem):
    """The body has more bytes than the limit."""


class TooSlow(UsageProblem):
    """The body did not arrive in time."""


class Busy(SetupProblem):
    """The server is busy; the client should try again soon."""

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
    "clip.too_many_pixels": 413,
    "form.media_type": 415,
    "image.empty": 415,
    "image.format": 415,
    "image.heic": 415,
    "match.unsupported_rate": 500,  # the operator chose it, not the client
    "store.busy": 503,
    "store.changed": 503,
    # A database that fails over is back soon; another server may reach it now.
    "store.lost": 503,
    "store.read_only": 503,
    "store.unreachable": 503,
}
# Overrides for sign-in: no face as in the demo that facauth is based on; removed, as no match.
SIGN_IN_STATUS = {"face.none": 401, "name.changed": 401}
# Message and advice for clients, where those of the command line speak of options, commands or
# paths. None keeps the text.
CLIENT_TEXTS = {
    "clip.damaged": ("the clip is damaged, cut off or takes too long to decode", None),
    "clip.too_many_pixels": ("the clip has too many pixels", None),
    "face.several": ("several faces were found", None),
    "face.enrolled_elsewhere": (None, "add photos to that name"),
    "image.heic": ("this server cannot read HEIC photos", "send a JPEG"),
    "limit.stopped": (None, "ask the operator to unlock it"),
    "match.nobody_enrolled": ("nobody is enrolled yet", "register a person first"),
    "match.ambiguous": (None, "enter your name as well"),
    "match.needs_new_photo": ("the enrolled photos can no longer be compared", "register again"),
    "store.busy": ("the store is in use", "try again"),
    "store.changed": ("the store was changed", "try again"),
    "store.lost": ("the store does not answer", "try again"),
    "store.read_only": ("the store cannot be written now", "try again"),
    "store.unreachable": ("the store does not answer", "try again"),
    "name.changed": (None, "ask the operator whether you are still enrolled"),
    "name.needs_new_photo": (None, "ask the operator to replace them on the command line"),
    "name.unknown": (None, "look at the list of enrolled people"),
    "name.other_face": (None, "choose another name"),
    "name.photos_disagree": (None, "ask the operator to replace them on the command line"),
}


def status_of(refusal: FacauthError, overrides: Mapping[str, int] = MappingProxyType({})) -> int:
    """The HTTP status of a refusal.

    overrides: statuses by reason code that a route has of its own.
    """
    statuses = {**STATUS_OF_REASON, **overrides}
    for reason in refusal.reasons:
        if reason.code in statuses:
            return statuses[reason.code]
    return next(STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS)


def for_client(reason: Reason) -> Reason:
    """The reason in words for clients, who have no command line."""
    message, advice = CLIENT_TEXTS.get(reason.code, (None, None))
    return Reason(reason.code, message or reason.message, advice or reason.advice)


def forbidden(code: str, message: str, advice: str) -> Forbidden:
    """Status 403."""
    return Forbidden(Reason(code, message, advice))


def malformed(message: str, advice: str) -> UsageProblem:
    """Status 422."""
    return UsageProblem(Reason("form.malformed", message, advice))


def wrong_media_type(kinds: Collection[str]) -> UsageProblem:
    """Status 415."""
    advice = f"send {' or '.join(sorted(kinds))}"
    return UsageProblem(
        Reason("form.media_type", "the body is not a form of the right type", advice)
    )


def busy() -> Busy:
    """Status 503."""
    return Busy(Reason("server.busy", "the server is busy", "try again in a moment"))


def too_large(limit: int) -> TooLarge:
    """Status 413."""
    size = f"{limit >> 20} MB" if limit >> 20 else f"{limit:,} bytes"
    return TooLarge(
        Reason("upload.too_large", f"the upload is over {size}", "send a smaller photo")
    )
