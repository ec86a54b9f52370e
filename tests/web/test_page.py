"""The page as a browser without script uses it: sessions, forms, and what each answer says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, EILEEN, JOE, NOBODY, SIMULATED, Served, sent

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture
def browser(server: Served) -> Iterator[httpx.Client]:
    """With cookies of its own, and no script."""
    with httpx.Client(
        base_url=server.url,
        headers=HTML,
        trust_env=False,
        verify=False,
        timeout=60,
    ) as client:
        yield client


def csrf_of(page: str) -> str:
    (token, *_) = re.findall(r'name="csrf" type="hidden" value="([0-9a-f]{64})"', page)
    return str(token)


def begin(browser: httpx.Client, server: Served) -> str:
    """Become the operator; what the forms of the operator's page send along."""
    done = browser.post("/session", data={"token": server.token})
    assert (done.status_code, done.headers["Location"]) == (303, "/operator/")
    return csrf_of(browser.get("/operator/").text)


def test_anybody_signs_in_with_a_plain_form(browser: httpx.Client) -> None:
    form = {"name": ""}  # as browsers send a field that was left empty
    done = browser.post("/sign-in/", data=form, files={"file": sent(BARACK_AGAIN)})
    assert done.status_code == 200
    assert done.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h2>Signed in as Barack</h2>" in done.text
    assert 'href="/" data-again' in done.text  # and can go on from there


@pytest.mark.parametrize(
    ("photo", "status", "heading", "said"),
    [
        (JOE, 401, "Not signed in", "The face matches nobody"),
        (NOBODY, 401, "Please try again", "No face was found"),
        (BARACK, 401, "This is not a new photo", "This is an enrolled photo"),
        (SIMULATED, 401, "This is not a live face", "This looks like a photo of a screen"),
        (b"x", 415, "Please try again", "This is not an image"),
    ],
)
def test_a_refusal_says_what_to_do(
    browser: httpx.Client, photo: str | bytes, status: int, heading: str, said: str
) -> None:
    done = browser.post("/sign-in/", files={"file": sent(photo)})
    assert done.status_code == status
    assert f"<h2>{heading}</h2>" in done.text
    assert said in done.text
    assert 'role="alert"' in done.text


def test_who_has_the_token_registers_with_plain_forms(
    browser: httpx.Client, server: Served
) -> None:
    assert "register-file" not in browser.get("/operator/").text
    csrf = begin(browser, server)
    form = {"csrf": csrf, "name": "<b>Eileen", "consent": ""}
    done = browser.post("/register/", data=form, files={"file": sent(EILEEN)})
    assert done.status_code == 200
    assert "Registered &lt;b&gt;Eileen" in done.text
    assert 'href="/operator/"' in done.text
    gone = browser.delete("/people/%3Cb%3EEileen", headers={"X-CSRF-Token": csrf})
    assert gone.status_code == 200


def test_the_page_notes_a_name_that_looks_like_another(
    browser: httpx.Client, server: Served
) -> None:
    csrf, alike = begin(browser, server), "Bar\N{CYRILLIC SMALL LETTER A}ck"
    form = {"csrf": csrf, "name": alike}
    done = browser.post("/register/", data=form, files={"file": sent(EILEEN)})
    assert done.status_code == 200
    assert f"Note: the name {alike} looks like that of Barack." in done.text
    gone = browser.delete(f"/people/{alike}", headers={"X-CSRF-Token": csrf})
    assert gone.status_code == 200


def test_several_photos_are_registered_at_once_or_none(
    browser: httpx.Client, server: Served
) -> None:
    form = {"csrf": begin(browser, server), "name": "Eileen"}
    mixed = [("file", sent(EILEEN)), ("file", sent(JOE))]
    done = browser.post("/register/", data=form, files=mixed)
    assert (done.status_code, "show different faces" in done.text) == (409, True)
    unusable = [("file", sent(EILEEN)), ("file", sent(NOBODY))]
    done = browser.post("/register/", data=form, files=unusable)
    assert (done.status_code, "Photo 2: no face was found" in done.text) == (400, True)
    form["name"] = "Barack"
    later = [("file", sent(BARACK_AGAIN)), ("file", sent(BARACK_LATER))]
    done = browser.post("/register/", data=form, files=later)
    assert (done.status_code, "3 photos so far" in done.text) == (200, True)
    names = [row["name"] for row in server.get("/people", headers=server.operator).json()["people"]]
    assert names == ["Barack"]
    gone = browser.delete("/people/Barack", headers={"X-CSRF-Token": form["csrf"]})
    assert gone.status_code == 200
    assert server.register("Barack", BARACK).status_code == 200


@pytest.mark.parametrize("path", ["/", "/?state=abc", "/operator/", "/docs"])
def test_nobody_else_sees_the_enrolled_people(
    browser: httpx.Client, server: Served, path: str
) -> None:
    assert "Barack" not in browser.get(path).text
    browser.cookies.set("facauth", "1.x.y")
    assert "Barack" not in browser.get(path).text


def test_the_operator_sees_people_log_and_lock_outs(browser: httpx.Client, server: Served) -> None:
    for path in ("/people/", "/log/"):
        refused = browser.get(path)
        assert refused.status_code == 403
        assert "Barack" not in refused.text
        assert "operator-token" in refused.text
    csrf = begin(browser, server)
    for path in ("/people/", "/log/"):
        led = browser.get(path)
        assert (led.status_code, led.headers["Location"]) == (303, "/operator/")
    server.unlock()
    for _ in range(11):  # the enrolled photo, which counts once in the first hour
        server.sign_in(BARACK)
    page = browser.get("/operator/").text
    assert ">Barack</span>" in page
    assert "1 photo;" in page
    assert "sign-in: attack</span>" in page
    assert re.search(r"Sign-ins without a name</span>\s*<span[^>]*>1\d failures; waits <b", page)
    done = browser.post("/unlock/", data={"csrf": csrf, "name": ""})
    assert (done.status_code, "Unlocked sign-ins without a name" in done.text) == (200, True)
    page = browser.get("/operator/").text  # the face came near to Barack's, so he waits as well
    assert "Sign-ins without a name" not in page
    assert re.search(r"Barack</span>\s*<span[^>]*>1\d failures", page)
    assert browser.post("/unlock/", data={"csrf": csrf, "name": "Barack"}).status_code == 200
    assert "Nobody is locked out" in browser.get("/operator/").text
    assert server.sign_in(BARACK_AGAIN).status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [("", True), ("aRAc", True), (" Barack ", True), ("x", False), ("<b>", False)],
)
def test_the_operator_searches_people(
    browser: httpx.Client, server: Served, query: str, found: bool
) -> None:
    begin(browser, server)
    page = browser.get("/operator/", params={"q": query}).text
    assert ('data-name="Barack"' in page) == found
    assert ("Nobody has such a name" in page) != found
    assert "<b>" not in page.partition('id="people"')[2].partition("<ul")[0]


def test_the_operators_page_shows_nothing_under_the_name_of_another_site(
    browser: httpx.Client, server: Served
) -> None:
    begin(browser, server)
    for headers in ({"Host": "facauth.test"}, {"Sec-Fetch-Site": "cross-site"}):
        kept = {"Cookie": f"facauth={browser.cookies['facauth']}", **headers}
        answer = browser.get("/operator/", headers=kept)
        assert (answer.status_code, "Barack" in answer.text) == (403, False)


def test_no_page_of_a_visitor_shows_or_asks_for_a_token(
    browser: httpx.Client, server: Served
) -> None:
    begin(browser, server)  # not even to the operator
    pages = [browser.get("/").text, browser.post("/sign-in/", files={"file": sent(JOE)}).text]
    for page in pages:
        assert "token" not in page.lower()
        assert "csrf" not in page
        assert "/operator" not in page


def test_a_caller_gives_a_state_along(browser: httpx.Client) -> None:
    assert 'name="state" type="hidden" value="a-b.c"' in browser.get("/?state=a-b.c").text
    assert 'name="state"' not in browser.get("/").text
    for bad in ("<b>x", "x" * 201, '">x'):
        refused = browser.get("/", params={"state": bad})
        assert (refused.status_code, bad in refused.text) == (422, False)
    done = browser.post("/sign-in/", data={"state": "a-b.c"}, files={"file": sent(JOE)})
    assert 'href="/?state=a-b.c" data-again' in done.text


def test_the_address_of_an_answer_is_the_page_when_it_is_asked_for_again(
    browser: httpx.Client,
) -> None:
    asked = {"/sign-in/": "/", "/session": "/operator/", "/register": "/operator/"}
    for path, page in {**asked, "/unlock/": "/operator/"}.items():
        again = browser.get(path)
        assert (again.status_code, again.headers["Location"]) == (303, page)


def test_a_session_that_ended_is_none(browser: httpx.Client, server: Served) -> None:
    csrf = begin(browser, server)
    assert browser.post("/session/end", data={"csrf": csrf}).status_code == 303
    assert not browser.cookies
    assert browser.get("/people/").status_code == 403


def test_who_kept_the_cookie_of_a_session_that_ended_has_nothing(
    browser: httpx.Client, server: Served
) -> None:
    csrf = begin(browser, server)
    kept = {"Cookie": f"facauth={browser.cookies['facauth']}", "X-CSRF-Token": csrf}
    assert browser.get("/people/", headers=kept).status_code == 303
    browser.post("/session/end", data={"csrf": csrf})
    browser.cookies.clear()
    asked = [("GET", "/people/"), ("DELETE", "/people/Barack"), ("POST", "/session/end")]
    asked += [("GET", "/log/"), ("POST", "/unlock/")]
    assert [browser.request(*each, headers=kept).status_code for each in asked] == [403] * 5
    assert "register-file" not in browser.get("/operator/", headers=kept).text
    again = begin(browser, server)  # another one is not touched by it
    assert again != csrf
    assert browser.get("/people/").status_code == 303


def test_the_cookie(browser: httpx.Client, server: Served) -> None:
    cookie = browser.post("/session", data={"token": server.token}).headers["Set-Cookie"]
    assert re.match(r"facauth=[\w.-]+; HttpOnly; Max-Age=28800; Path=/; SameSite=strict$", cookie)
    assert server.token not in cookie


@pytest.mark.parametrize("csrf", ["", "0" * 64, None, "é"])
def test_a_session_alone_changes_nothing(
    browser: httpx.Client, server: Served, csrf: str | None
) -> None:
    """Another site can have the browser send its cookie (were it not SameSite), but not this."""
    begin(browser, server)
    form = {"name": "Joe"} if csrf is None else {"name": "Joe", "csrf": csrf}
    headers = {} if csrf is None else {b"X-CSRF-Token": csrf.encode()}
    answers = [
        browser.post("/register/", data=form, files={"file": sent(JOE)}),
        browser.post("/session/end", data=form),
        browser.request("DELETE", "/people/Barack", headers=headers),
        browser.post("/unlock/", data=form),
    ]
    assert [each.status_code for each in answers] == [403, 403, 403, 403]
    names = [row["name"] for row in server.get("/people", headers=server.operator).json()["people"]]
    assert names == ["Barack"]


def test_the_csrf_token_is_of_one_session(browser: httpx.Client, server: Served) -> None:
    of_another = begin(browser, server)
    browser.cookies.clear()
    assert begin(browser, server) != of_another
    assert browser.post("/session/end", data={"csrf": of_another}).status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", "é", "x" * 43])
def test_a_wrong_token_begins_nothing(browser: httpx.Client, token: str) -> None:
    done = browser.post("/session", data={"token": token})
    assert done.status_code == (403 if token else 422)
    assert "Set-Cookie" not in done.headers


@pytest.mark.parametrize("change", ["x", "", "9"])
def test_a_session_cannot_be_made_up(browser: httpx.Client, server: Served, change: str) -> None:
    begin(browser, server)
    (cookie,) = browser.cookies.values()
    browser.cookies.clear()
    headers = {"Cookie": f"facauth={change}{cookie[len(change) or 1 :]}"}
    assert browser.get("/people/", headers=headers).status_code == 403


def test_what_another_site_sends_is_refused(server: Served) -> None:
    sign_in = server.sign_in(BARACK_AGAIN, headers={"Sec-Fetch-Site": "cross-site"})
    assert (sign_in.status_code, sign_in.json()["reasons"][0]["code"]) == (403, "operator.csrf")
    assert (
        server.sign_in(BARACK_AGAIN, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("127.0.0.2", 200),
        ("[::1]:8000", 200),
        ("", 200),
        ("facauth.test:8000", 403),
        ("127.0.0.1.facauth.test", 403),
        ("192.0.2.1", 403),
        ("[x]:y", 403),
    ],
)
def test_another_site_does_not_reach_it_by_a_name_of_its_own(
    server: Served, host: str, status: int
) -> None:
    """Which was that site's until the page there had loaded."""
    assert server.get("/metrics", headers={"Host": host}).status_code == status
    done = server.sign_in(BARACK_AGAIN, headers={"Host": host, "Sec-Fetch-Site": "same-origin"})
    assert done.status_code == status


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/operator/", "/style.css", "/sign-in.js", "/docs", "/openapi.json"),
        *("/nothing", "/people/", "/log/", "/metrics", "/.well-known/jwks.json"),
    ],
)
def test_headers_are_on_every_answer(server: Served, path: str) -> None:
    headers = server.get(path).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "camera=(self)" in headers["Permissions-Policy"]
    assert "server" not in headers
    assert "Strict-Transport-Security" not in headers  # by http it means nothing
    assert re.fullmatch("[0-9a-f]{16}", headers["X-Request-Id"])


@pytest.mark.parametrize("path", ["/", "/operator/", "/docs"])
@pytest.mark.parametrize("operator", [False, True])
def test_pages_need_nothing_from_elsewhere(
    browser: httpx.Client, server: Served, path: str, operator: bool
) -> None:
    """Nor what the policy forbids, which a browser would leave out without a word."""
    if operator:
        begin(browser, server)
    page = Elements(browser.get(path).text)
    for tag, attributes in page.found:
        assert tag != "style"
        assert not {each for each in attributes if each == "style" or each.startswith("on")}
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith("/")
    assert all(script.get("src") for script in page.all("script"))


@pytest.mark.parametrize(
    ("path", "operator", "forms"),
    [("/", False, 1), ("/operator/", False, 1), ("/operator/", True, 3)],
)
def test_every_field_has_a_label(
    browser: httpx.Client, server: Served, path: str, operator: bool, forms: int
) -> None:
    if operator:
        begin(browser, server)
    page = Elements(browser.get(path).text)
    labelled = {label["for"] for label in page.all("label")}
    fields = [each for each in page.all("input") if each["type"] != "hidden"]
    assert {field["id"] for field in fields} == labelled
    identifiers = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("form")) == forms


def test_the_docs_name_every_route(server: Served) -> None:
    page = server.get("/docs").text
    document = server.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page
            for field in fields_of(methods[method]):
                assert f"<code>{field}</code>" in page
    assert "Authorization: Bearer $TOKEN" in page


def fields_of(route: dict[str, Any]) -> set[str]:
    bodies = route.get("requestBody", {}).get("content", {}).values()
    return {field for body in bodies for field in body["schema"]["properties"]}


def test_a_look_at_the_head_of_the_page(server: Served) -> None:
    answer = server.call("HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")
