"""Servers of several machines on one store in PostgreSQL are as one: docs/how-to/servers.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import many
import pytest
from following import Act, actor, drawn, send
from many import APP, STORE_OWNER, Faces
from serving import BARACK, BARACK_AGAIN, EILEEN, JOE, Served, serving

from facauth.errors import Conflict
from facauth.settings import LIMITS
from facauth.store.sealing import Template

if TYPE_CHECKING:
    from facauth.networks import Networks

pytestmark = pytest.mark.slow
BEHIND = ("--behind-proxy", "--per-minute", "1000000")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    with many.store(tmp_path_factory.mktemp("faces")) as made:
        yield made


def machine(faces: Faces, folder: Path) -> dict[str, str]:
    """The environment of a server on a machine of its own: its copy of the key is there."""
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(faces.key.read_bytes())
    return faces.environment(APP) | {"FACAUTH_KEY_FILE": str(key)}


@pytest.fixture(scope="module")
def two(faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """Two machines. The operator's token is copied from the first to the second."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    with serving(first, *BEHIND, env=machine(faces, first)) as one:
        token = Path("home/config/facauth/operator.token")
        (second / token).parent.mkdir(parents=True, mode=0o700)
        (second / token).touch(mode=0o600)
        (second / token).write_text((first / token).read_text())
        with serving(second, *BEHIND, env=machine(faces, second)) as other:
            assert one.register("Barack", BARACK).status_code == 200
            yield one, other


@pytest.fixture(autouse=True)
def _unlocked(faces: Faces) -> Iterator[None]:
    yield
    with faces.opened(APP) as store, store.transaction() as change:
        change.unlock(None)
        for row in store.people():
            change.unlock(store.person(row.name).uid)


def codes(answer: Any) -> list[str]:
    return [reason["code"] for reason in answer.json()["reasons"]]


def removed(server: Served, name: str) -> int:
    return server.call("DELETE", f"/people/{name}", headers=server.operator).status_code


def test_what_one_did_the_other_knows_at_once(two: tuple[Served, Served]) -> None:
    one, other = two
    assert other.sign_in(BARACK_AGAIN).json()["person"] == "Barack"
    assert codes(other.register("Barry", BARACK)) == ["face.enrolled_elsewhere"]
    assert other.register("Eileen", EILEEN).status_code == 200
    people = one.get("/people/", headers=one.operator).json()["people"]
    assert {row["name"]: row["photos"] for row in people} == {"Barack": 1, "Eileen": 1}
    assert one.sign_in(EILEEN, "Eileen").json()["verdict"] == "attack"  # the same picture
    assert removed(one, "Eileen") == 200
    assert removed(other, "Eileen") == 404
    assert other.sign_in(EILEEN, "Eileen").status_code == 401


def test_who_is_removed_at_one_is_refused_at_the_other(two: tuple[Served, Served]) -> None:
    one, other = two
    for remover, asked in (two, two[::-1]):
        assert asked.sign_in(BARACK_AGAIN).status_code == 200
        assert removed(remover, "Barack") == 200
        assert asked.sign_in(BARACK_AGAIN).status_code == 401
        assert asked.sign_in(BARACK_AGAIN, "Barack").status_code == 401
        assert one.register("Barack", BARACK).status_code == 200
        assert other.sign_in(BARACK_AGAIN).status_code == 200


@pytest.mark.parametrize("claimed", [None, "Ada"])
def test_who_is_removed_elsewhere_in_the_middle_of_a_sign_in_is_not_let_in(
    faces: Faces, claimed: str | None
) -> None:
    """Two sessions in the place of two servers: one looks at a photo meanwhile."""
    with faces.opened(APP) as here, faces.opened(APP) as elsewhere:
        ada = elsewhere.person("Ada")
        with elsewhere.transaction() as change:
            ada.add(change, "test/1", [Template(bytes(1024), None, accepted_spoof=False)])
        with pytest.raises(Conflict, match="removed just now"), here.attempt(claimed) as attempt:
            uid = here.person("Ada").uid
            with elsewhere.transaction() as change:
                ada.remove(change)
            attempt.accept(uid)
    (last,) = faces.rows("SELECT verdict, reasons FROM facauth.events ORDER BY id DESC LIMIT 1")
    assert last == ("conflict", "name.changed")


def test_failures_count_together(two: tuple[Served, Served]) -> None:
    asked = cycle(two)
    for number in range(LIMITS.max_failures):
        assert next(asked).sign_in(JOE, "Barack").status_code == 401, number
    for server in two:
        assert server.sign_in(BARACK_AGAIN, "Barack").status_code == 429
    assert (
        two[1].call("POST", "/unlock/", data={"name": "Barack"}, headers=two[1].operator).is_success
    )
    assert two[0].sign_in(BARACK_AGAIN, "Barack").status_code == 200


def test_a_challenge_of_one_is_answered_at_the_other(
    two: tuple[Served, Served], networks: Networks
) -> None:
    one, other = two
    act: Act = actor(networks)
    challenge = drawn(one)
    answer = send(other, *act(challenge), challenge=challenge["id"])
    assert (answer.status_code, answer.json()["person"]) == (200, "Barack"), answer.text
    for server in two:  # it is used up for both
        assert codes(send(server, *act(challenge), challenge=challenge["id"])) == [
            "challenge.expired"
        ]


def test_an_operators_session_is_valid_on_both_and_ends_on_one(two: tuple[Served, Served]) -> None:
    """As the page says: what is ended is noted on one machine, so that a stolen copy lives on."""
    one, other = two
    began = one.call("POST", "/session", data={"token": one.token})
    cookie = {"Cookie": began.headers["Set-Cookie"].partition(";")[0]}
    for server in two:
        assert server.get("/people/", headers=cookie).status_code == 200
    page = one.get("/operator/", headers=cookie).text
    (csrf,) = set(re.findall(r'name="csrf" type="hidden" value="(.+?)"', page))
    assert one.call("POST", "/session/end", headers=cookie, data={"csrf": csrf}).is_success
    assert one.get("/people/", headers=cookie).status_code == 403
    assert other.get("/people/", headers=cookie).status_code == 200


def test_servers_refuse_until_they_have_the_new_key(
    faces: Faces, two: tuple[Served, Served], tmp_path: Path
) -> None:
    """They need no restart."""
    old = faces.key.read_bytes()
    faces.command(STORE_OWNER, "key", "rotate")
    assert faces.key.read_bytes() != old
    for server in two:
        answer = server.sign_in(BARACK_AGAIN)
        assert (answer.status_code, codes(answer)) == (500, ["internal"])
        assert server.log()[-1]["problem"] == "key.wrong_file"
    faces.command(STORE_OWNER, "key", "export", str(tmp_path / "key"))
    for server in two:
        (server.folder / "key").write_bytes((tmp_path / "key").read_bytes())
        assert server.sign_in(BARACK_AGAIN).json()["person"] == "Barack"


def test_a_server_outlives_its_database(faces: Faces, two: tuple[Served, Served]) -> None:
    one, _ = two
    faces.cluster.stop()
    try:
        assert one.get("/healthz").text == "ok\n"
        answer = one.sign_in(BARACK_AGAIN)
        assert (answer.status_code, codes(answer)) == (503, ["store.unreachable"])
        assert str(faces.cluster.port) not in answer.text  # no address for clients
        assert int(answer.headers["Retry-After"]) > 0
        assert one.log()[-1]["problem"] == "store.unreachable"
    finally:
        faces.cluster.start()
    assert one.sign_in(BARACK_AGAIN).json()["person"] == "Barack"
