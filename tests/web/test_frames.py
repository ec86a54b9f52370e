"""Frames and challenges over HTTP, and what follows a sign-in. A face acts before the server."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from chromium import scene
from following import Act, actor, drawn, send
from PIL import Image
from serving import BARACK, BARACK_AGAIN, JOE, Served, command, sent, serving
from signed import checked

if TYPE_CHECKING:
    from facauth.networks import Networks

CALLER = "https://example.org/done"


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that nobody signs in to with a file, and that sends visitors on."""
    options = ("--policy", "camera", "--on-success", CALLER, "--per-minute", "1000000")
    with serving(tmp_path_factory.mktemp("caller"), *options) as served:
        assert served.register("Barack", BARACK).status_code == 200
        yield served


@pytest.fixture(scope="module")
def act(networks: Networks) -> Act:
    return actor(networks)


def codes(response: httpx.Response) -> list[str]:
    return [reason["code"] for reason in response.json()["reasons"]]


def test_a_challenge_says_what_to_do_and_when(server: Served) -> None:
    challenge = drawn(server)
    assert set(challenge) == {"id", "prompts", "length_s", "expires_s"}
    assert len(challenge["prompts"]) == 2
    assert all(set(prompt) == {"action", "from_s", "to_s"} for prompt in challenge["prompts"])
    assert drawn(server)["id"] != challenge["id"]


@pytest.mark.parametrize("name", ["", "barack", "nobody"])
def test_nobody_who_is_locked_out_gets_a_challenge(server: Served, name: str) -> None:
    """As sign-in says it; names that nobody has are never locked out."""
    ask = {"name": name}
    assert server.call("POST", "/challenge/", data=ask).status_code == 200
    for _ in range(11):
        server.sign_in(BARACK)  # the name that it comes near to waits as well
    answer = server.call("POST", "/challenge/", data=ask)
    if name == "nobody":
        assert answer.status_code == 200
    else:
        assert (answer.status_code, codes(answer)) == (429, ["limit.delay"])
        assert answer.json()["retry_after_s"] == int(answer.headers["Retry-After"])
        assert answer.json()["challenge"] is None


@pytest.mark.slow
def test_who_follows_the_challenge_is_signed_in_and_sent_on(caller: Served, act: Any) -> None:
    challenge = drawn(caller)
    answer = send(caller, *act(challenge), challenge=challenge["id"], state="s-1")
    assert (answer.status_code, answer.json()["person"]) == (200, "Barack"), answer.text
    address = answer.json()["continue_to"]
    assert address.startswith(f"{CALLER}?facauth_result=")
    found = parse_qs(urlsplit(address).query)
    claims = checked(found["facauth_result"][0], caller.get("/.well-known/jwks.json").json())
    assert (claims["sub"], claims["nonce"], claims["basis"]) == ("Barack", "s-1", "challenge")
    assert found["state"] == ["s-1"]
    again = send(caller, *act(challenge), challenge=challenge["id"])  # it is used up
    assert (again.status_code, codes(again)) == (400, ["challenge.expired"])
    assert "continue_to" not in again.json()


@pytest.mark.slow
def test_a_claimed_name_takes_a_challenge_of_its_own(caller: Served, act: Any) -> None:
    challenge = drawn(caller, name="barack")
    answer = send(caller, *act(challenge), challenge=challenge["id"], name="Barack")
    assert answer.status_code == 200, answer.text
    challenge = drawn(caller, name="barack")
    answer = send(caller, *act(challenge), challenge=challenge["id"])
    assert codes(answer) == ["challenge.expired"]
    caller.unlock()


def test_who_sits_still_has_not_followed(caller: Served, act: Any) -> None:
    challenge = drawn(caller)
    frames, _ = act(None)
    times = [
        round(number * 1000 * challenge["length_s"] / len(frames)) for number in range(len(frames))
    ]
    answer = send(caller, frames, ",".join(map(str, times)), challenge=challenge["id"])
    assert (answer.status_code, codes(answer)) == (400, ["challenge.not_followed"])


def test_the_server_asks_for_a_camera(caller: Served, act: Any) -> None:
    for answer in (caller.sign_in(BARACK_AGAIN), send(caller, *act(None))):
        assert (answer.status_code, codes(answer)) == (400, ["challenge.missing"])
    page = caller.get("/").text
    assert "sign-in-file" not in page
    assert "A photo file is not accepted here" in page
    assert "This page signs you in with a camera" in page


def test_frames_without_a_challenge_are_a_clip(server: Served, act: Any) -> None:
    answer = send(server, *act(None))
    assert (answer.status_code, answer.json()["person"]) == (200, "Barack"), answer.text


@pytest.mark.parametrize("path", ["/register/", "/spoof-check/", "/quality/"])
def test_other_routes_take_frames_too(server: Served, act: Any, path: str) -> None:
    frames, times_ms = act(None)
    files = [("frame", ("x.jpg", frame)) for frame in frames]
    data = {"times_ms": times_ms, "name": "Barack", "for": "sign-in"}
    answer = server.call("POST", path, data=data, files=files, headers=server.operator)
    assert answer.status_code == 200, answer.text
    if path == "/register/":
        server.call("DELETE", "/people/Barack", headers=server.operator)
        assert server.register("Barack", BARACK).status_code == 200


@pytest.mark.parametrize(
    ("frames", "times_ms", "status"),
    [
        ([b"x"] * 3, "0,1", 422),
        ([b"x"] * 81, ",".join(map(str, range(81))), 422),
        ([b"x" * 310_000], "0", 413),
        ([b"no picture"] * 3, "0,100,200", 415),
    ],
)
def test_frames_that_are_refused(
    server: Served, frames: list[bytes], times_ms: str, status: int
) -> None:
    assert send(server, frames, times_ms).status_code == status


def test_a_small_frame_with_many_pixels_is_too_large(server: Served) -> None:
    made = io.BytesIO()
    Image.new("L", (3000, 3000)).save(made, "JPEG")
    assert len(made.getvalue()) < 300_000
    answer = send(server, [made.getvalue()] * 3, "0,100,200")
    assert (answer.status_code, codes(answer)) == (413, ["image.too_many_pixels"])


def test_a_folder_of_the_uploads_name_is_nobodys_photo(tmp_path: Path) -> None:
    """The server may run anywhere, also where a folder is called as an upload is in messages."""
    folder = tmp_path / "here"
    for name in ("upload", "photo 1"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            (folder / name / f"{number:02}.jpg").write_bytes(sent(BARACK_AGAIN)[1])
    with serving(tmp_path, cwd=folder) as served:
        assert served.register("Barack", BARACK).status_code == 200
        answer = served.sign_in(JOE)
    assert (answer.status_code, codes(answer)) == (401, ["match.none"])


@pytest.mark.parametrize(
    ("photo", "move", "said"),
    [
        (BARACK_AGAIN, (0, 0), "inside"),
        (BARACK_AGAIN, (300, 0), "left"),
        (BARACK_AGAIN, (-300, 0), "right"),
        (BARACK_AGAIN, (0, 250), "high"),
        ("no_face.png", (0, 0), None),
    ],
)
def test_quality_says_where_the_face_is(
    server: Served, photo: str, move: tuple[int, int], said: str | None
) -> None:
    made = io.BytesIO()
    scene(photo, (777 + move[0], 500 + move[1]), 1000).save(made, "JPEG", quality=80)
    answer = server.call("POST", "/quality/", files={"file": ("x.jpg", made.getvalue())})
    assert answer.json()["position"] == said


def test_a_server_without_a_caller_shows_no_key(server: Served) -> None:
    assert server.get("/.well-known/jwks.json").status_code == 404
    assert "continue_to" not in server.sign_in(BARACK_AGAIN).json()


def test_only_the_operator_sees_the_log_and_unlocks(server: Served) -> None:
    events = server.get("/log/", headers=server.operator).json()["events"]
    assert {"sign-in", "register"} >= {event["command"] for event in events} - {"remove", "unlock"}
    assert len(events) <= 100
    done = server.call("POST", "/unlock/", data={"name": "barack"}, headers=server.operator)
    assert (done.status_code, done.json()["person"]) == (200, "Barack")
    unknown = server.call("POST", "/unlock/", data={"name": "x"}, headers=server.operator)
    assert (unknown.status_code, codes(unknown)) == (404, ["name.unknown"])


def test_an_address_that_no_result_may_be_sent_to(tmp_path: Path) -> None:
    done = command(tmp_path, "serve", "--on-success", "http://example.org/", "--json")
    assert (done.returncode, json.loads(done.stdout)["reasons"][0]["code"]) == (
        2,
        "server.on_success",
    )
