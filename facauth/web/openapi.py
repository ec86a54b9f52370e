"""The routes of the API as the OpenAPI document and /docs show them: forms, answers, statuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from facauth.web.form import MULTIPART, URLENCODED
from facauth.web.site import WebLimits

STATUS_TEXT = {
    200: "Done. For a sign-in: this is the person.",
    303: "For browsers: the operator's page.",
    400: "The photo cannot be used: no face or several, too dark, or liveness cannot be judged.",
    401: "No match or an attack; for a sign-in also no face. The verdict says which.",
    403: "Not the operator, not sent by the page of this server, or sent to a foreign host name.",
    404: "No enrolled person has this name.",
    408: "The upload took too long.",
    409: "The name is enrolled with another face, or the face with another name.",
    413: "The upload has too many bytes, or the photo too many pixels.",
    415: "Not an image that facauth reads, or not a form of the type below.",
    422: "The form or the name is malformed.",
    429: "Too many failed sign-ins or too many requests. Retry-After says how long to wait.",
    500: "The server has a fault. Its log has the cause, under the id of this answer.",
    503: "The server is busy. Retry-After says when to try again.",
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
# Some commands have further fields, as on the command line.
ENVELOPE = {"type": "object", "properties": _PROPERTIES, "required": list(_PROPERTIES)}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The statuses of a route for FastAPI, each with the envelope as JSON or as a page."""
    page = {"schema": {"type": "string"}}
    content = {"application/json": {"schema": ENVELOPE}, "text/html": page}
    return {status: {"description": STATUS_TEXT[status], "content": content} for status in statuses}


def form_body(media_type: str, **fields: str) -> dict[str, Any]:
    """The form of a request: a description of each field, which begins with * if it is required."""
    properties = {name: _field(name, text) for name, text in fields.items()}
    required = [name for name, text in fields.items() if text.startswith("*")]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if "frame" in fields:
        schema["anyOf"] = [{"required": ["file"]}, {"required": ["frame", "times_ms"]}]
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _field(name: str, text: str) -> dict[str, Any]:
    field: dict[str, Any] = {"type": "string", "description": text.lstrip("*")}
    if text.startswith("*"):
        field["minLength"] = 1
    if name == "file":
        field["contentMediaType"] = "application/octet-stream"
    if name == "frame":
        item = {"type": "string", "contentMediaType": "image/jpeg"}
        field |= {"type": "array", "items": item, "minItems": 1, "maxItems": WebLimits().max_frames}
    return field


CSRF = "The CSRF token of the page. A request with a bearer token needs none."


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the API."""

    method: str
    path: str
    command: str  # the same on the command line
    summary: str
    statuses: tuple[int, ...]
    form: dict[str, Any] = field(default_factory=dict)
    example: str = ""  # of curl, after the address; /docs shows it


PROBE = {
    "file": "A photo of one face (JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF) or a clip.",
    "frame": "In place of a file: up to 80 JPEG frames of a camera, in order of time.",
    "times_ms": "With frames: the time of each since the first, rising: 0,125,250.",
}
OF_A_FORM = (403, 408, 413, 415, 422, 429, 500, 503)
OF_A_PHOTO = (200, 400, 401, *OF_A_FORM)
OF_A_LIST = (200, 303, 403, 429, 500, 503)
API = (
    Route(
        "POST",
        "/challenge/",
        "challenge",
        "Draw the movements that the frames of the next sign-in must show",
        (200, *OF_A_FORM),
        form=form_body(URLENCODED, name="The claimed name, if the sign-in claims one."),
        example='-d name="Ada Lovelace"',
    ),
    Route(
        "POST",
        "/sign-in/",
        "sign-in",
        "Sign a person in by a photo, a clip or the frames of a camera, or refuse",
        OF_A_PHOTO,
        form=form_body(
            MULTIPART,
            **PROBE,
            name="The claimed name: compare with this person only.",
            challenge="The id of the challenge that the frames answer.",
            state="With --on-success: given back in the signed result.",
        ),
        example="-F file=@photo.jpg",
    ),
    Route(
        "POST",
        "/quality/",
        "quality",
        "Check the quality of a photo; does not count as an attempt",
        (200, 400, *OF_A_FORM),
        form=form_body(
            MULTIPART,
            **PROBE,
            **{"for": "The purpose of the photo: sign-in (the default) or register."},
        ),
        example="-F file=@photo.jpg -F for=register",
    ),
    Route(
        "POST",
        "/register/",
        "register",
        "Enrol a person, or add photos to one",
        (*OF_A_PHOTO, 409),
        form=form_body(
            MULTIPART,
            name="*The person's name.",
            **PROBE | {"file": f"{PROBE['file']} Up to 8 photos: repeat the field."},
            consent="The consent that the person gave; stored with the time.",
        ),
        example='-F name="Ada Lovelace" -F file=@monday.jpg -F file=@tuesday.jpg',
    ),
    Route(
        "POST",
        "/spoof-check/",
        "spoof-check",
        "Tell a live face from a photo of one",
        OF_A_PHOTO,
        form=form_body(MULTIPART, **PROBE),
        example="-F file=@photo.jpg",
    ),
    Route("GET", "/people/", "list", "List the enrolled people", OF_A_LIST),
    Route(
        "DELETE",
        "/people/{name:path}",
        "remove",
        "Delete a person with all photos and encodings",
        (200, 403, 404, 422, 429, 500, 503),
    ),
    Route("GET", "/log/", "log", "Show the latest 100 entries of the log", OF_A_LIST),
    Route(
        "POST",
        "/unlock/",
        "unlock",
        "Allow sign-ins again after too many failures",
        (200, 404, *OF_A_FORM),
        form=form_body(
            URLENCODED, name="The person; without it, sign-ins that name nobody.", csrf=CSRF
        ),
        example='-d name="Ada Lovelace"',
    ),
    Route(
        "POST",
        "/session",
        "session",
        "Begin an operator session in this browser",
        (200, 303, *OF_A_FORM),
        form=form_body(URLENCODED, token="*What `facauth serve --token` prints."),  # noqa: S106 - its help
        example='-d token="$TOKEN"',
    ),
    Route(
        "POST",
        "/session/end",
        "session-end",
        "End the operator session of this browser",
        (200, 303, *OF_A_FORM),
        form=form_body(URLENCODED, csrf=CSRF),
    ),
)
# Browsers get the page of the operator in answer to these, everybody else's page otherwise.
FOR_OPERATORS = {route.command for route in API} - {"challenge", "sign-in", "quality"}
EXAMPLES = {(route.method, route.path.replace(":path", "")): route.example for route in API}
