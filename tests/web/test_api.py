"""The API on the real server: the calls of the old demo, and every status there is."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from serving import (
    BARACK,
    BARACK_AGAIN,
    BARACK_LATER,
    EILEEN,
    JOE,
    NOBODY,
    SIMULATED,
    SITE,
    TWO,
    Served,
    sent,
)

from facauth.web.access import Access
from facauth.web.app import make_app
from facauth.web.workers import Workers

if TYPE_CHECKING:
    from conftest import Altered
    from PIL import Image

KEYS = [
    *("schema", "command", "ok", "exit_code", "verdict", "person", "match", "liveness", "replay"),
    *("quality", "reasons", "notes", "elapsed_ms"),
]


def codes(response: httpx.Response) -> list[str]:
    return [reason["code"] for reason in response.json()["reasons"]]


def numbers(value: Any) -> list[float]:
    """Every number that is not whole, anywhere in a body."""
    if isinstance(value, dict):
        return [each for inner in value.values() for each in numbers(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in numbers(inner)]
    return [value] if isinstance(value, float) else []


@pytest.mark.slow
def test_who_is_registered_signs_in(server: Served) -> None:
    answer = server.sign_in(BARACK_AGAIN)
    assert answer.status_code == 200
    assert answer.json() == {
        "schema": "facauth/1",
        "command": "sign-in",
        "ok": True,
        "exit_code": 0,
        "verdict": "signed_in",
        "person": "Barack",
        "match": None,
        "liveness": {"verdict": "live"},
        "replay": {"verdict": "new"},
        "quality": None,
        "reasons": [],
        "notes": [],
        "elapsed_ms": {},
        "retry_after_s": None,
    }


def test_a_claimed_name_is_compared(server: Served) -> None:
    assert server.sign_in(BARACK_AGAIN, "barack").json()["person"] == "Barack"


def test_a_slash_at_the_end_is_optional(server: Served) -> None:
    for path in ("/sign-in", "/sign-in/"):
        answer = server.call("POST", path, files={"file": sent(BARACK_AGAIN)})
        assert (answer.status_code, answer.history) == (200, [])


@pytest.mark.parametrize(
    ("photo", "status", "verdict", "code"),
    [
        (JOE, 401, "no_match", "match.none"),
        (NOBODY, 401, "unusable_image", "face.none"),
        (TWO, 400, "unusable_image", "face.several"),
        (BARACK, 401, "attack", "replay.enrolled_picture"),
        (SIMULATED, 401, "attack", "liveness.presentation_attack"),
        (b"no image at all", 415, "unusable_image", "image.format"),
        (b"", 422, "usage", "form.malformed"),
    ],
)
def test_sign_in_refuses(
    server: Served, photo: str | bytes, status: int, verdict: str, code: str
) -> None:
    answer = server.sign_in(photo)
    assert (answer.status_code, answer.json()["verdict"]) == (status, verdict), answer.text
    assert code in codes(answer)
    assert answer.json()["person"] is None
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("photo", [BARACK_AGAIN, JOE, BARACK, SIMULATED, TWO])
def test_no_score_leaves_the_server(server: Served, photo: str) -> None:
    """Nor a measure, nor how long a stage took; not in words either."""
    for answer in (server.sign_in(photo), server.spoof_check(photo)):
        body = answer.json()
        assert list(body)[: len(KEYS)] == KEYS
        assert numbers(body) == []
        assert all(set(body[each] or {}) <= {"verdict"} for each in ("liveness", "replay"))
        assert (body["match"], body["quality"], body["elapsed_ms"]) == (None, None, {})
        assert "." not in "".join(reason["message"] for reason in body["reasons"])


def lacking(server: Served, photo: str | bytes, **fields: str) -> httpx.Response:
    """What /quality/ says of a photo."""
    return server.call("POST", "/quality/", data=fields, files={"file": sent(photo)})


@pytest.mark.parametrize("photo", [BARACK, BARACK_AGAIN, JOE, SIMULATED])
def test_a_good_photo_lacks_nothing_whoever_and_whatever_it_shows(
    server: Served, photo: str
) -> None:
    answer = lacking(server, photo)
    assert (answer.status_code, answer.json()["verdict"]) == (200, "usable"), answer.text
    body = answer.json()
    assert (body["person"], body["liveness"], body["replay"]) == (None, None, None)


@pytest.mark.parametrize(
    ("share", "light", "purpose", "advice"),
    [
        (1.0, 0.05, "sign-in", "get more light"),
        (0.1, 1.0, "sign-in", "come closer"),
        (0.18, 1.0, "sign-in", None),
        (0.18, 1.0, "register", "come closer"),  # a template is compared with for years
    ],
)
def test_what_a_photo_lacks(
    server: Served, altered: Altered, share: float, light: float, purpose: str, advice: str | None
) -> None:
    made = altered(BARACK, lambda image: changed(image, share, light))
    answer = lacking(server, Path(made).read_bytes(), **{"for": purpose})
    said = [reason["advice"] for reason in answer.json()["reasons"]]
    assert (answer.status_code, advice in said or not said) == (400 if advice else 200, True), said


def changed(image: Image.Image, share: float, light: float) -> Image.Image:
    """Smaller, or darker."""
    size = (round(image.width * share), round(image.height * share))
    return image.resize(size).point(lambda level: level * light)


def test_a_face_that_fills_the_frame_is_sent_away_before_it_is_a_try(
    server: Served, altered: Altered
) -> None:
    """Liveness could not be judged, which a sign-in would say and count."""
    made = altered(BARACK, lambda image: image.crop((195, 220, 485, 640)))
    answer = lacking(server, Path(made).read_bytes())
    assert "liveness.context" in codes(answer)


def test_a_preview_is_no_try(server: Served) -> None:
    with server.keeping.opened() as store:
        before = list(store.events())
        for photo in (NOBODY, JOE, BARACK) * 5:  # which would lock out, were they sign-ins
            lacking(server, photo)
        assert list(store.events()) == before
    assert server.sign_in(BARACK_AGAIN).status_code == 200


@pytest.mark.parametrize(
    ("photo", "fields", "status", "code"),
    [
        (NOBODY, {}, 400, "face.none"),
        (TWO, {}, 400, "face.several"),
        (b"x", {}, 415, "image.format"),
        (BARACK, {"for": "anything"}, 422, "form.malformed"),
    ],
)
def test_no_photo_to_speak_of(
    server: Served, photo: str | bytes, fields: dict[str, str], status: int, code: str
) -> None:
    answer = lacking(server, photo, **fields)
    assert (answer.status_code, codes(answer)) == (status, [code])


@pytest.mark.parametrize("photo", [JOE, NOBODY, TWO, SIMULATED, b"no image"])
@pytest.mark.parametrize("written", ["{}", " {} ", "{}".upper(), "ｂ{}"])
def test_no_answer_tells_whether_a_name_is_enrolled(
    server: Served, photo: str | bytes, written: str
) -> None:
    """Neither status nor headers nor any field, however the name is written."""
    answers = []
    for name in ("barack", "nobody"):
        server.unlock()
        answer = server.sign_in(photo, written.format(name))
        headers = {each: answer.headers.get(each) for each in ("www-authenticate", "retry-after")}
        body = answer.text.lower().replace(name, "somebody")
        answers.append((answer.status_code, headers, body))
    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 401, 415)


@pytest.mark.parametrize("photo", [JOE, NOBODY, SIMULATED])
@pytest.mark.sqlite("a sealed photo is bound to its networks")
def test_no_answer_tells_that_a_name_needs_a_new_photo(server: Served, photo: str) -> None:
    ((contract,),) = server.keeping.rows("SELECT DISTINCT contract FROM templates")
    server.keeping.change("UPDATE templates SET contract = 'older/1'")
    try:
        answers = [server.sign_in(photo, name) for name in ("barack", "nobody")]
    finally:
        server.keeping.change(f"UPDATE templates SET contract = '{contract}'")
        server.unlock()
    told = [(each.status_code, each.text.replace("barack", "nobody")) for each in answers]
    assert told[0] == told[1]


def test_a_name_is_called_as_it_was_typed(server: Served) -> None:
    """And not as it is enrolled, which would tell that it is."""
    (reason,) = server.sign_in(JOE, "BARACK").json()["reasons"]
    assert reason["message"] == "the face does not match BARACK"
    assert server.sign_in(BARACK_AGAIN, "BARACK").json()["person"] == "Barack"


def test_too_many_failures_lock_out(server: Served) -> None:
    answers = [server.sign_in(SIMULATED) for _ in range(6)]  # each is an attack, which counts twice
    assert [each.status_code for each in answers] == [401] * 5 + [429]
    assert codes(answers[-1]) == ["limit.delay"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert answers[-1].json()["retry_after_s"] == int(answers[-1].headers["Retry-After"])


def test_a_person_is_registered_listed_and_removed(server: Served) -> None:
    done = server.register("Eileen", EILEEN, consent="door 3, until June")
    assert (done.status_code, done.json()["photos"]) == (200, 1), done.text
    listed = server.get("/people", headers=server.operator).json()["people"]
    assert [(row["name"], row["consent"]) for row in listed] == [
        ("Barack", None),
        ("Eileen", "door 3, until June"),
    ]
    gone = server.call("DELETE", "/people/Eileen", headers=server.operator)
    assert (gone.status_code, gone.json()["person"]) == (200, "Eileen")
    again = server.call("DELETE", "/people/Eileen", headers=server.operator)
    assert (again.status_code, codes(again)) == (404, ["name.unknown"])


def test_a_name_that_looks_like_another_is_noted(server: Served) -> None:
    alike = "Bar\N{CYRILLIC SMALL LETTER A}ck"
    done = server.register(alike, EILEEN)
    assert (done.status_code, done.json()["person"]) == (200, alike), done.text
    assert done.json()["notes"] == [f"the name {alike} looks like that of Barack"]
    assert server.register("Joe", JOE).json()["notes"] == []
    for name in (alike, "Joe"):
        gone = server.call("DELETE", f"/people/{name}", headers=server.operator)
        assert gone.status_code == 200


@pytest.mark.parametrize("name", ["a/b", "../..", "50 %", "Zoë ☃", "/", "?x=1#y"])
def test_any_name_can_be_removed(server: Served, name: str) -> None:
    from urllib.parse import quote

    assert server.register(name, EILEEN).status_code == 200
    gone = server.call("DELETE", f"/people/{quote(name, safe='')}", headers=server.operator)
    assert (gone.status_code, gone.json()["person"]) == (200, name)


@pytest.mark.parametrize(
    ("name", "photo", "status", "code"),
    [
        ("Somebody", BARACK_LATER, 409, "face.enrolled_elsewhere"),
        ("Barack", JOE, 409, "name.other_face"),
        ("Barack", BARACK, 409, "enrolment.same_picture"),
        ("Joe", NOBODY, 400, "face.none"),
        ("Joe", SIMULATED, 401, "liveness.presentation_attack"),
        ("x" * 129, JOE, 422, "name.invalid"),
        ("", JOE, 422, "form.malformed"),
        ("Joe", b"text", 415, "image.format"),
    ],
)
def test_register_refuses(
    server: Served, name: str, photo: str | bytes, status: int, code: str
) -> None:
    answer = server.register(name, photo)
    assert (answer.status_code, codes(answer)) == (status, [code]), answer.text
    listed = server.get("/people/", headers=server.operator).json()["people"]
    assert [row["name"] for row in listed] == ["Barack"]


@pytest.mark.parametrize(
    ("photo", "status", "verdict"),
    [
        (EILEEN, 200, "live"),
        (SIMULATED, 401, "attack"),
        (NOBODY, 400, "unusable_image"),
    ],
)
def test_spoof_check(server: Served, photo: str, status: int, verdict: str) -> None:
    answer = server.spoof_check(photo)
    assert (answer.status_code, answer.json()["verdict"]) == (status, verdict)


OPEN = {
    *(("GET", each) for each in ("/", "/operator", "/style.css", "/icon.svg", "/docs")),
    *(("GET", f"/{each}.js") for each in ("answer", "camera", "sign-in", "operator")),
    *(("GET", each) for each in ("/openapi.json", "/healthz", "/metrics")),
    ("GET", "/.well-known/jwks.json"),
    *(("POST", each) for each in ("/challenge", "/sign-in", "/quality", "/session")),
}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of everything that can be asked of an application."""
    for route in app.routes:
        assert isinstance(route, APIRoute)  # anything else would not go through the gate
        for method in route.methods or ():
            yield (
                method,
                route.path_format.format(**dict.fromkeys(route.param_convertors, "Barack")),
            )


MADE = make_app(SITE, Workers(SITE), lambda _: None)
CLOSED = sorted(
    (method, path)
    for method, path in routes(MADE)
    if (method.replace("HEAD", "GET"), path.rstrip("/") or "/") not in OPEN
)


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic {}", "Bearer {}x", "{}", "Bearer é"],
)
def test_the_rest_is_for_the_operator(
    server: Served, method: str, path: str, authorization: str | None
) -> None:
    given = None if authorization is None else authorization.format(server.token)
    headers = {} if given is None else {"Authorization": given.encode()}
    answer = server.call(method, path, headers=headers)
    assert (answer.status_code, codes(answer)) == (403, ["operator.required"])
    assert answer.json()["verdict"] == "forbidden"


def test_which_routes_are_closed() -> None:
    """As many as there were when this was written, and those that the document says."""
    assert {path.rstrip("/") for _, path in CLOSED} == {
        *("/register", "/spoof-check", "/people", "/people/Barack", "/session/end"),
        *("/log", "/unlock"),
    }
    documented = {
        (method.upper(), path.rstrip("/").replace("{name}", "Barack"))
        for path, methods in MADE.openapi()["paths"].items()
        for method, said in methods.items()
        if "security" in said
    }
    assert documented == {(method, path.rstrip("/")) for method, path in CLOSED}


def test_a_new_route_is_closed_and_takes_no_form_of_another_page(tmp_path: Path) -> None:
    """Unless it says otherwise; with a session it changes nothing without the page's own token."""
    site = replace(SITE, ended_sessions=tmp_path / "ended")
    app, gate = make_app(site, Workers(site), lambda _: None), Access(site)
    done: list[str] = []

    async def forgotten(request: Request) -> str:
        done.append(request.method)
        return "done"

    app.add_api_route("/new", forgotten, methods=["GET", "POST"])
    session = gate.new_session()
    cookie = {"Cookie": f"{gate.cookie}={session}"}
    asked: list[tuple[str, dict[str, str], int]] = [
        ("GET", {}, 403),
        ("POST", {}, 403),
        ("GET", cookie, 200),
        ("POST", cookie, 403),
        ("POST", cookie | {"X-CSRF-Token": gate.csrf_token(session)}, 200),
        ("POST", {"Authorization": f"Bearer {site.token}"}, 200),
        ("GET", cookie | {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", cookie | {"Host": "elsewhere.test"}, 403),
    ]

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                (await client.request(method, "/new", headers=headers)).status_code
                for method, headers, _ in asked
            ]

    assert asyncio.run(ask()) == [status for *_, status in asked]
    assert done == ["GET", "POST", "POST"]


@pytest.mark.parametrize("content_type", ["", "application/json", "image/jpeg", "multipart", "é"])
@pytest.mark.parametrize("path", ["/sign-in/", "/quality/", "/register/", "/spoof-check/"])
def test_a_photo_comes_as_multipart_only(server: Served, content_type: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {server.token}", b"Content-Type": content_type.encode()}
    answer = server.call("POST", path, content=b"file=x", headers=headers)
    assert (answer.status_code, codes(answer)) == (415, ["form.media_type"])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"'),
        (f"multipart/form-data; boundary={'b' * 999}", b"--b"),
    ],
)
def test_a_malformed_form(server: Served, content_type: str, body: bytes) -> None:
    headers = {"Content-Type": content_type}
    answer = server.call("POST", "/sign-in/", content=body, headers=headers)
    assert (answer.status_code, codes(answer)) == (422, ["form.malformed"])


def test_a_field_must_not_come_twice(server: Served) -> None:
    files = [("file", sent(BARACK_AGAIN)), ("file", sent(JOE))]
    assert server.call("POST", "/sign-in/", files=files).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/sign-in/", 405), ("PUT", "/", 405)],
)
def test_what_is_not_there(server: Served, method: str, path: str, status: int) -> None:
    answer = server.call(method, path)
    assert (answer.status_code, codes(answer)) == (status, [f"http.{status}"])


@pytest.mark.sqlite("is about the file and its folder")
def test_a_damaged_store_is_told_to_the_log_alone(server: Served) -> None:
    kept = server.store.rename(server.store.with_name("kept"))
    wal = server.store.with_name("store.sqlite3-wal")
    try:
        wal.unlink(missing_ok=True)
        server.store.write_bytes(b"no store at all " * 64)
        answer = server.sign_in(BARACK_AGAIN)
    finally:
        server.store.unlink()
        kept.rename(server.store)
    assert (answer.status_code, codes(answer)) == (500, ["internal"])
    number = answer.headers["X-Request-Id"]
    assert number in answer.text
    assert "store" not in answer.text
    (line,) = [line for line in server.log() if line["id"] == number]
    assert line["problem"] == "store.not_a_store"


def test_health_and_metrics(server: Served) -> None:
    assert server.get("/healthz").text == "ok\n"
    assert server.call("HEAD", "/healthz").status_code == 200
    server.sign_in(BARACK_AGAIN)
    shown = server.get("/metrics").text
    assert 'facauth_requests_total{method="POST",route="/sign-in/",status="200"}' in shown
    assert "Barack" not in shown


def test_every_route_is_documented(server: Served) -> None:
    document = server.get("/openapi.json").json()
    documented = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert documented == {
        ("POST", "/sign-in/"),
        ("POST", "/quality/"),
        ("POST", "/register/"),
        ("POST", "/spoof-check/"),
        ("GET", "/people/"),
        ("DELETE", "/people/{name}"),
        ("POST", "/challenge/"),
        ("GET", "/log/"),
        ("POST", "/unlock/"),
        ("POST", "/session"),
        ("POST", "/session/end"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
    }
    assert document["components"]["securitySchemes"]["operator"]["scheme"] == "bearer"


def test_the_log_holds_nothing_of_anybody(server: Served) -> None:
    server.sign_in(BARACK_AGAIN, "Barack")
    server.call("DELETE", "/people/Somebody%20Special?secret=1", headers=server.operator)
    said = server.said()
    assert server.log()
    for word in ("Barack", "Somebody", "Special", "secret", '127.0.0.1"', "score", server.token):
        assert word not in said.replace("http://127.0.0.1", "")
    for line in server.log():
        known = {"time", "method", "route", "status", "duration_ms", "id", "problem", "server"}
        assert set(line) <= known
        if "server" not in line:
            assert line["route"] in ROUTES


ROUTES = {
    *("/", "/operator", "/operator/", "/style.css", "/icon.svg", "/.well-known/jwks.json"),
    *("/answer.js", "/camera.js", "/sign-in.js", "/operator.js"),
    *("/challenge", "/challenge/", "/log", "/log/", "/unlock", "/unlock/"),
    *("/quality", "/quality/", "/docs", "/openapi.json", "/healthz", "/metrics", "(none)"),
    *("/sign-in", "/sign-in/", "/register", "/register/", "/spoof-check", "/spoof-check/"),
    *("/people", "/people/", "/people/{name:path}", "/session", "/session/end"),
}


def test_attempts_are_in_the_stores_own_log(server: Served) -> None:
    with server.keeping.opened() as store:
        before = sum(1 for _ in store.events())
    server.sign_in(BARACK_AGAIN)
    server.sign_in(JOE)
    with server.keeping.opened() as store:
        after = [(event.command, event.verdict) for event in store.events()][before:]
    assert after == [("sign-in", "signed_in"), ("sign-in", "no_match")]


def picture(width: int, height: int) -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.new("L", (width, height)).save(made, "PNG")
    return made.getvalue()


def test_a_bomb_is_too_large(server: Served) -> None:
    bomb = picture(9000, 9000)
    assert len(bomb) < 200_000
    answer = server.sign_in(bomb)
    assert (answer.status_code, codes(answer)) == (413, ["image.too_many_pixels"])


def test_a_truncated_photo_is_unusable(server: Served) -> None:
    from conftest import SAMPLES

    answer = server.sign_in((SAMPLES / BARACK_AGAIN).read_bytes()[:-5000])
    assert (answer.status_code, codes(answer)) == (400, ["image.damaged"])


def test_answers_are_json(server: Served) -> None:
    assert json.loads(server.sign_in(JOE).content)["ok"] is False
