"""A large store: the server keeps in memory what it is searched by, and accepts nobody from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import search
from conftest import SAMPLES
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, SITE, Served, command, serving

from facauth.networks import Networks
from facauth.store.means import SEARCHED_FROM
from facauth.store.store import Store
from facauth.structs import Replay
from facauth.system import Stages
from facauth.web import jobs
from facauth.web.form import Form
from facauth.web.probe import Probe, bind
from facauth.web.site import Site, WebLimits
from facauth.web.workers import Bind


def binding(networks: Networks) -> Bind:
    """As a worker binds its stages."""
    return partial(bind, networks, max_pixels=WebLimits().max_pixels)


@pytest.fixture
def crowded(tmp_path: Path, networks: Networks) -> Site:
    """A site whose store has Barack and many others."""
    site = replace(SITE, store=tmp_path / "store.sqlite3", memory={})
    file = (SAMPLES / BARACK).read_bytes()
    with Store.open(site.store, create=True) as store:
        search.fill(store, networks.contract, SEARCHED_FROM)
    assert (
        jobs.register(site, binding(networks), form=Form({"name": "Barack"}, (file,))).status == 200
    )
    return site


def signed_in(site: Site, networks: Networks, photo: str = BARACK_AGAIN) -> str | None:
    with Store.open(site.store) as store, store.transaction() as change:
        change.unlock(None)
    reply = jobs.sign_in(site, binding(networks), form=Form({}, ((SAMPLES / photo).read_bytes(),)))
    person: str | None = reply.body["person"]
    assert (reply.status == 200) == (person is not None)
    return person


def test_what_is_searched_is_kept_and_read_once(
    crowded: Site, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signed_in(crowded, networks) == "Barack"
    kept = dict(crowded.memory)
    assert sum(shelf.people for shelf in kept.values()) == SEARCHED_FROM + 1
    assert signed_in(crowded, networks, BARACK_LATER) == "Barack"
    assert {number: id(shelf) for number, shelf in crowded.memory.items()} == {
        number: id(shelf) for number, shelf in kept.items()
    }


def test_who_was_removed_leaves_the_memory_at_once(crowded: Site, networks: Networks) -> None:
    assert signed_in(crowded, networks) == "Barack"
    assert jobs.remove(crowded, binding(networks), name="Barack").status == 200
    assert crowded.memory == {}
    assert signed_in(crowded, networks) is None
    assert sum(shelf.people for shelf in crowded.memory.values()) == SEARCHED_FROM


def test_who_is_removed_during_the_sign_in_is_no_match(crowded: Site, networks: Networks) -> None:
    """As status and body tell it: 401, no person, and no word on what else the face might be."""
    bound = binding(networks)

    def removing(probes: Mapping[str, Probe]) -> Stages:
        stages = bound(probes)

        def replay(*compared: Any) -> Replay:
            with Store.open(crowded.store) as store, store.transaction() as change:
                store.person("Barack").remove(change)
            return stages.replay(*compared)

        return replace(stages, replay=replay)

    reply = jobs.sign_in(crowded, removing, Form({}, ((SAMPLES / BARACK_AGAIN).read_bytes(),)))
    assert (reply.status, reply.body["person"]) == (401, None)
    assert [reason["code"] for reason in reply.body["reasons"]] == ["name.changed"]


@pytest.fixture
def server(tmp_path: Path, networks: Networks) -> Iterator[Served]:
    """A server with two workers on such a store."""
    with serving(tmp_path, "--workers", "2", "--per-minute", "1000000") as served:
        with Store.open(served.store) as store:
            search.fill(store, networks.contract, SEARCHED_FROM)
        assert served.register("Barack", BARACK).status_code == 200
        yield served


@pytest.mark.slow
def test_whoever_was_removed_is_never_accepted_again(server: Served) -> None:
    """By another process, while both workers have them in memory and look for them."""
    for name in ("Barack", "Barry"):
        if name == "Barry":
            assert server.register(name, BARACK).status_code == 200
        assert {server.sign_in(BARACK_AGAIN).json()["person"] for _ in range(2)} == {name}
        with ThreadPoolExecutor(3) as pool:
            looking = [pool.submit(server.sign_in, BARACK_LATER) for _ in range(4)]
            removed = pool.submit(command, server.folder, "remove", name, "--yes")
            assert removed.result().returncode == 0
            after = [pool.submit(server.sign_in, BARACK_LATER) for _ in range(4)]
        assert {each.result().status_code for each in looking} <= {200, 401, 429}
        assert {each.result().status_code for each in after} <= {401, 429}
        server.unlock()
        assert server.sign_in(BARACK_AGAIN).status_code == 401
