"""Several servers on one store are as one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import BARACK, BARACK_AGAIN, EILEEN, JOE, Served, serving

from facauth.settings import LIMITS

pytestmark = [pytest.mark.slow, pytest.mark.sqlite("two on one database: test_machines.py")]


@pytest.fixture(scope="module")
def other(one_server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Another one beside it, with an operator of its own."""
    options = ("--store", str(one_server.store), "--per-minute", "1000000")
    with serving(tmp_path_factory.mktemp("other"), *options) as served:
        yield served


def removed(server: Served, name: str) -> int:
    return server.call("DELETE", f"/people/{name}", headers=server.operator).status_code


def test_what_one_did_the_other_knows_at_once(server: Served, other: Served) -> None:
    assert other.sign_in(BARACK_AGAIN).json()["person"] == "Barack"
    assert other.register("Barry", BARACK).json()["reasons"][0]["code"] == "face.enrolled_elsewhere"
    assert other.register("Eileen", EILEEN).status_code == 200
    people = server.get("/people/", headers=server.operator).json()["people"]
    assert {row["name"]: row["photos"] for row in people} == {"Barack": 1, "Eileen": 1}
    assert server.sign_in(EILEEN, "Eileen").json()["verdict"] == "attack"  # the same picture
    assert removed(server, "Eileen") == 200
    assert removed(other, "Eileen") == 404
    assert other.sign_in(EILEEN, "Eileen").status_code == 401


def test_failures_at_one_count_at_the_other(server: Served, other: Served) -> None:
    for number in range(LIMITS.max_failures):
        asked = (server, other)[number % 2]
        assert asked.sign_in(JOE, "Barack").status_code == 401, number
    for asked in (other, server):
        assert asked.sign_in(BARACK_AGAIN, "Barack").status_code == 429


@pytest.mark.parametrize("names", [("Joe", "Joseph"), ("Joe", "Joe")])
def test_a_face_is_registered_once(server: Served, other: Served, names: tuple[str, str]) -> None:
    """However close together: by either server, and then no more."""
    with ThreadPoolExecutor(2) as pool:
        asked = zip((server, other), names, strict=True)
        answers = list(pool.map(lambda each: each[0].register(each[1], JOE), asked))
    people = other.get("/people/", headers=other.operator).json()["people"]
    found = {row["name"]: row["photos"] for row in people if row["name"] != "Barack"}
    for name in found:
        assert removed(server, name) == 200
    assert sorted(each.status_code for each in answers) == [200, 409]
    assert list(found.values()) == [1]
