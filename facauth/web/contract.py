"""What the OpenAPI document says of every route: its form, its answers, and all its statuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from facauth.web.form import MULTIPART, URLENCODED

MEANING = {
    200: "Done; for a sign-in: this is the person.",
    303: "The page, which shows what changed.",
    400: "The photo cannot be used: no face, several, too dark, liveness cannot be judged.",
    401: "No match, an attack, or at a sign-in no face: the verdict says which.",
    403: "Not the operator, not sent by the page, or to another name than this machine's.",
    404: "Nobody has this name.",
    408: "The upload took too long.",
    409: "The name or the face is enrolled already, with another face or name.",
    413: "More bytes or pixels than are taken.",
    415: "Not an image that facauth reads, or not the kind of form that is taken here.",
    422: "The form or the name is malformed.",
    429: "Too many failures, or too many requests; Retry-After says how long to wait.",
    500: "Something is wrong with the server; its log says what, beside the same id.",
    503: "Too much is going on; Retry-After says when to come back.",
}


def _nullable(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


_VERDICT = {
    "type": ["object", "null"],
    "properties": {"verdict": {"type": "string"}},
    "required": ["verdict"],
}
_REASON = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("code", "message", "advice")},
    "required": ["code", "message", "advice"],
}
_PROPERTIES: dict[str, Any] = {
    "schema": {"type": "string", "const": "facauth/1"},
    "command": _nullable("string"),
    "ok": {"type": "boolean"},
    "exit_code": {"type": "integer"},
    "verdict": {"type": "string"},
    "person": _nullable("string"),
    "match": {"type": "null"},
    "liveness": _VERDICT,
    "replay": _VERDICT,
    "quality": {"type": "null"},
    "reasons": {"type": "array", "items": _REASON},
    "notes": {"type": "array", "items": {"type": "string"}},
    "elapsed_ms": {"type": "object"},
}
# More fields than these go with some commands, as on the command line.
ENVELOPE = {"type": "object", "properties": _PROPERTIES, "required": list(_PROPERTIES)}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """As FastAPI takes them: each with the envelope, which a browser gets as a page."""
    page = {"schema": {"type": "string"}}
    content = {"application/json": {"schema": ENVELOPE}, "text/html": page}
    return {status: {"description": MEANING[status], "content": content} for status in statuses}


def body(kind: str, **fields: str) -> dict[str, Any]:
    """The form of a request: what each field is for, with a * before those that must be there."""
    properties = {name: _field(name, text) for name, text in fields.items()}
    required = [name for name, text in fields.items() if text.startswith("*")]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _field(name: str, text: str) -> dict[str, Any]:
    field: dict[str, Any] = {"type": "string", "description": text.lstrip("*")}
    if text.startswith("*"):
        field["minLength"] = 1
    if name == "file":
        field["contentMediaType"] = "application/octet-stream"
    return field


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the interface."""

    method: str
    path: str
    command: str  # what the command line calls the same
    summary: str
    statuses: tuple[int, ...]
    form: dict[str, Any] = field(default_factory=dict)


PHOTO = "*A photo of one face: JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF."
OF_A_FORM = (403, 408, 413, 415, 422, 429, 500, 503)
OF_A_PHOTO = (200, 400, 401, *OF_A_FORM)
API = (
    Route(
        "POST",
        "/sign-in/",
        "sign-in",
        "Say who is in a photo, or refuse",
        OF_A_PHOTO,
        form=body(MULTIPART, file=PHOTO, name="Compare with this person only."),
    ),
    Route(
        "POST",
        "/quality/",
        "quality",
        "Say what a photo lacks to be judged, before it is a try",
        (200, 400, *OF_A_FORM),
        form=body(
            MULTIPART,
            file=PHOTO,
            **{"for": "What the photo is meant for: sign-in (the default) or register."},
        ),
    ),
    Route(
        "POST",
        "/register/",
        "register",
        "Enrol a person, or add a photo to one",
        (*OF_A_PHOTO, 409),
        form=body(
            MULTIPART,
            name="*The person's name.",
            file=PHOTO,
            consent="What the person agreed to, kept with the time.",
        ),
    ),
    Route(
        "POST",
        "/spoof-check/",
        "spoof-check",
        "Tell a live face from a photo of one",
        OF_A_PHOTO,
        form=body(MULTIPART, file=PHOTO),
    ),
    Route("GET", "/people/", "list", "List who is enrolled", (200, 403, 429, 500, 503)),
    Route(
        "DELETE",
        "/people/{name:path}",
        "remove",
        "Delete a person and all that is kept of them",
        (200, 403, 404, 422, 429, 500, 503),
    ),
    Route(
        "POST",
        "/session",
        "session",
        "Make this browser the operator's",
        (200, 303, *OF_A_FORM),
        form=body(URLENCODED, token="*What `facauth serve --token` prints."),  # noqa: S106 - its help
    ),
    Route(
        "POST",
        "/session/end",
        "session-end",
        "Make this browser anybody's again",
        (200, 303, *OF_A_FORM),
        form=body(URLENCODED, csrf="As the page has it; whoever sends the token needs none."),
    ),
)
