"""Attempt limits as a caller meets them: exit code 5, how long to wait, and unlock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cheap
import pytest
from conftest import Facauth
from tampering import encrypt

from facauth.store.clock import Clock, binding
from facauth.store.keys import KeyAccess

DAY_S = 86_400.0


@dataclass
class World:
    """The two clocks, moved by the test."""

    now_s: float = 1_800_000_000.0
    boot_s: float = 50_000.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, lambda: self.boot_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.boot_s += seconds


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    bound = binding.set(world.clock)
    yield world
    binding.reset(bound)


@pytest.fixture
def enrolled(facauth: Facauth, world: World) -> Facauth:
    """A store that knows Ada and Bob, and photos that are names."""
    cheap.bind_to(facauth)
    cheap.enrol(facauth, "Ada", "Bob")
    return facauth


def fail(facauth: Facauth, times: int, *claim: str) -> None:
    for _ in range(times):
        facauth("sign-in", "stranger.jpg", *claim, exit_code=1)


def locked_for(facauth: Facauth, *arguments: str) -> object:
    """The seconds that a refusal tells to wait."""
    result = facauth("sign-in", *(arguments or ("ada.jpg",)), "--json", exit_code=5)
    return result.json["retry_after_s"]


CLAIMS = pytest.mark.parametrize("claim", [(), ("--as", "Ada")], ids=["anybody", "as Ada"])


@CLAIMS
def test_after_ten_failures_there_is_a_wait(
    enrolled: Facauth, world: World, claim: tuple[str, ...]
) -> None:
    fail(enrolled, 10, *claim)
    world.wait(2.5)
    result = enrolled("sign-in", "ada.jpg", *claim, exit_code=5)
    assert result.stdout == ""
    assert result.stderr == ("facauth: there were too many failed sign-ins; try again in 28 s\n")
    result = enrolled("sign-in", "ada.jpg", *claim, "--json", exit_code=5)
    assert (result.json["verdict"], result.codes) == ("locked_out", ["limit.delay"])
    assert (result.json["retry_after_s"], result.json["person"]) == (28, None)
    assert result.json["elapsed_ms"] == {}
    assert result.stderr == ""
    world.wait(27.4)
    assert locked_for(enrolled, "ada.jpg", *claim) == 1
    world.wait(0.2)
    assert enrolled("sign-in", "ada.jpg", *claim).stdout == "Ada\n"
    fail(enrolled, 10, *claim)


def test_each_further_failure_doubles_the_wait_up_to_an_hour(
    enrolled: Facauth, world: World
) -> None:
    fail(enrolled, 10)
    for wait_s in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert locked_for(enrolled) == wait_s
        world.wait(wait_s)
        fail(enrolled, 1)
    said = enrolled("sign-in", "ada.jpg", exit_code=5).stderr
    assert said == "facauth: there were too many failed sign-ins; try again in 60 min\n"


@pytest.mark.slow
def test_at_last_only_an_operator_helps(enrolled: Facauth, world: World) -> None:
    for _ in range(100):
        world.wait(3600)
        fail(enrolled, 1)
    world.wait(3650 * DAY_S)
    result = enrolled("sign-in", "ada.jpg", exit_code=5)
    assert result.stderr.splitlines()[-1] == (
        "facauth: there were too many failed sign-ins; an operator can run facauth unlock"
    )
    result = enrolled("sign-in", "ada.jpg", "--json", exit_code=5)
    assert (result.codes, result.json["retry_after_s"]) == (["limit.stopped"], None)
    assert enrolled("unlock").stdout == (
        "unlocked sign-ins without --as (100 failures forgotten)\n"
    )
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


@CLAIMS
@pytest.mark.parametrize("stopped", [False, True])
def test_whoever_is_locked_out_is_not_looked_at(
    enrolled: Facauth, world: World, claim: tuple[str, ...], stopped: bool
) -> None:
    fail(enrolled, 10, *claim)
    if stopped:
        enrolled.change("UPDATE tries SET failures = 100")

    def looked(*_: object) -> Any:
        pytest.fail("looked")

    stages = ("decode", "sight", "measure", "liveness", "encode", "compare", "signature", "replay")
    enrolled.bind(**dict.fromkeys(stages, looked))
    before = enrolled.rows("SELECT * FROM tries")
    for image in ("ada.jpg", "absent.jpg", "-"):
        enrolled("sign-in", image, *claim, exit_code=5)
    assert enrolled.rows("SELECT * FROM tries") == before  # nor does it make the wait longer


def test_an_attack_counts_twice(enrolled: Facauth) -> None:
    for _ in range(5):
        enrolled("sign-in", "print of ada.jpg", exit_code=3)
    assert locked_for(enrolled) == 30


def test_a_doubt_counts_and_what_shows_no_face_does_not(enrolled: Facauth) -> None:
    for _ in range(10):
        enrolled("sign-in", "nobody.jpg", exit_code=4)
    for _ in range(10):
        enrolled("sign-in", "doubtful ada.jpg", exit_code=4)
    assert locked_for(enrolled) == 30


def test_a_wrong_call_is_no_try(enrolled: Facauth) -> None:
    fail(enrolled, 9)
    for _ in range(3):
        enrolled("sign-in", "ada.jpg", "--policy", "lax", exit_code=2)
        enrolled("sign-in", "ada.jpg", "--as", "", exit_code=2)
        enrolled("sign-in", "ada.jpg", "--as", "Nobody", exit_code=6)
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


def test_a_bug_is_a_failed_try(enrolled: Facauth) -> None:
    """Of the gravest kind: nobody knows what it was."""

    def broken(*_: object) -> None:
        raise RuntimeError

    cheap.bind_to(enrolled, encode=broken)
    for _ in range(5):
        enrolled("sign-in", "ada.jpg", exit_code=70)
    assert locked_for(enrolled) == 30


@pytest.mark.slow
def test_a_success_forgets_failures(enrolled: Facauth) -> None:
    for _ in range(3):
        fail(enrolled, 9)
        fail(enrolled, 9, "--as", "Ada")
        assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


@pytest.mark.parametrize("photo", ["print of ada.jpg", "doubtful ada.jpg"])
@pytest.mark.parametrize("named", [0, 2, 5])
def test_tries_with_a_name_and_without_one_have_one_budget(
    enrolled: Facauth, world: World, photo: str, named: int
) -> None:
    """Ten in all, attacks twice, until somebody who looks like Ada has to wait: both ways."""
    weight = 2 if photo.startswith("print") else 1
    for number in range(10 // weight):
        claim = ("--as", "Ada") if number < named else ()
        enrolled("sign-in", photo, *claim, exit_code=3 if weight == 2 else 4)
    assert locked_for(enrolled, "ada.jpg", "--as", "Ada") == 30
    assert locked_for(enrolled, "ada.jpg") == 30
    assert enrolled("sign-in", "bob.jpg", "--as", "Bob").stdout == "Bob\n"
    world.wait(30)
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


def test_a_stranger_without_a_name_locks_nobody_who_has_one(enrolled: Facauth) -> None:
    fail(enrolled, 8)
    enrolled("sign-in", "print of stranger.jpg", exit_code=3)
    assert locked_for(enrolled) == 30
    assert enrolled.rows("SELECT count(*) FROM tries WHERE subject <> ''") == [(0,)]
    for name in ("Ada", "Bob"):
        assert enrolled("sign-in", f"{name.lower()}.jpg", "--as", name).stdout == f"{name}\n"


def test_whom_a_refused_photo_comes_near_is_told_nowhere(enrolled: Facauth) -> None:
    told = []
    for photo in ("print of stranger.jpg", "print of ada.jpg"):
        answer = enrolled("sign-in", photo, "--json", exit_code=3)
        assert answer.json["match"] is None
        told.append(
            (answer.stderr, {**answer.json, "elapsed_ms": sorted(answer.json["elapsed_ms"])})
        )
    assert told[0] == told[1]
    events = enrolled("log", "--json").json["events"][-2:]
    assert {(event["verdict"], event["person"]) for event in events} == {("attack", None)}


def test_whoever_is_locked_is_not_let_in_without_a_name(enrolled: Facauth, world: World) -> None:
    fail(enrolled, 10, "--as", "Ada")
    assert locked_for(enrolled, "ada.jpg") == 30
    assert enrolled("sign-in", "bob.jpg").stdout == "Bob\n"
    world.wait(30)
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


@pytest.mark.parametrize(
    ("now_s", "boot_s"),
    [(DAY_S, 0), (-DAY_S, 0), (DAY_S, -49_990), (-DAY_S, -49_990), (DAY_S, 20), (0, DAY_S)],
    ids=["forward", "back", "forward, restarted", "back, restarted", "a bit later", "another boot"],
)
def test_no_clock_that_is_set_shortens_the_wait(
    enrolled: Facauth, world: World, now_s: float, boot_s: float
) -> None:
    fail(enrolled, 10)
    world.now_s += now_s
    world.boot_s += boot_s
    left = locked_for(enrolled)
    assert isinstance(left, int)
    assert 10 <= left <= 30


def test_a_suspended_machine_has_waited(enrolled: Facauth, world: World) -> None:
    fail(enrolled, 10)
    world.wait(DAY_S)  # the clock since boot is the one that goes on
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


def test_another_name_and_other_letters_are_no_way_around(enrolled: Facauth) -> None:
    fail(enrolled, 5, "--as", "ada")
    fail(enrolled, 5, "--as", " ADA")
    assert locked_for(enrolled, "ada.jpg", "--as", "aDa") == 30
    enrolled("rename", "Ada", "Countess")
    assert locked_for(enrolled, "ada.jpg", "--as", "Countess") == 30


def test_a_removed_person_leaves_no_count(enrolled: Facauth) -> None:
    fail(enrolled, 10, "--as", "Ada")
    enrolled("remove", "Ada", "--yes")
    assert enrolled.rows("SELECT * FROM tries") == []
    cheap.enrol(enrolled, "Ada")
    assert enrolled("sign-in", "ada.jpg", "--as", "Ada").stdout == "Ada\n"


def test_without_a_store_there_is_no_limit_and_no_trace(facauth: Facauth, world: World) -> None:
    facauth.keeping.remove()
    cheap.bind_to(facauth)
    for _ in range(12):
        result = facauth("sign-in", "stranger.jpg", exit_code=7)
        assert result.stderr == (f"facauth: {facauth.keeping.missing}\n")
    assert facauth.keeping.is_untouched()


def test_a_row_that_cannot_be_is_explained(enrolled: Facauth) -> None:
    fail(enrolled, 1)
    enrolled.change("UPDATE tries SET failures = -100")
    result = enrolled("sign-in", "ada.jpg", "--json", exit_code=7)
    assert result.codes == ["limit.damaged"]
    result = enrolled("sign-in", "ada.jpg", exit_code=7)
    assert result.stderr == (
        f"facauth: {enrolled.store} holds an impossible count of failed sign-ins; "
        "an operator can run facauth unlock\n"
    )
    assert enrolled("unlock").stdout == (
        "unlocked sign-ins without --as (an impossible number of failures forgotten)\n"
    )
    assert enrolled("sign-in", "ada.jpg").stdout == "Ada\n"


def test_whoever_is_removed_while_they_are_looked_at_does_not_sign_in(enrolled: Facauth) -> None:
    def removed(*_: object) -> None:
        with enrolled.opened() as store, store.transaction() as change:
            store.person("Ada").remove(change)

    cheap.bind_to(enrolled, signature=removed)
    result = enrolled("sign-in", "ada.jpg", "--json", exit_code=6)
    assert (result.codes, result.json["person"]) == (["name.changed"], None)


# --- unlock ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_unlock_forgets_one_persons_failures(enrolled: Facauth) -> None:
    fail(enrolled, 10, "--as", "Ada")
    fail(enrolled, 10)
    result = enrolled("unlock", "ADA")
    assert (result.stdout, result.stderr) == ("unlocked Ada (10 failures forgotten)\n", "")
    assert enrolled("sign-in", "ada.jpg", "--as", "Ada").stdout == "Ada\n"
    assert locked_for(enrolled, "ada.jpg") == 30
    assert enrolled("unlock", "Ada").stdout == "unlocked Ada (0 failures forgotten)\n"
    fail(enrolled, 1, "--as", "Ada")
    assert enrolled("unlock", "Ada", "--quiet").stdout == "unlocked Ada (1 failure forgotten)\n"


def test_unlock_can_be_told_in_json(enrolled: Facauth) -> None:
    fail(enrolled, 3, "--as", "Ada")
    fail(enrolled, 2)
    found = enrolled("unlock", "Ada", "--json").json
    assert (found["verdict"], found["person"], found["failures"]) == ("unlocked", "Ada", 3)
    found = enrolled("unlock", "--json").json
    assert (found["verdict"], found["person"], found["failures"]) == ("unlocked", None, 2)


def test_unlock_is_logged_with_whom_it_was_for(enrolled: Facauth) -> None:
    enrolled("unlock", "Ada")
    enrolled("unlock")
    events = enrolled("log", "--verdict", "unlocked", "--json").json["events"]
    assert [(event["command"], event["person"]) for event in events] == [
        ("unlock", "Ada"),
        ("unlock", None),
    ]


def test_nobody_unlocks_whom_nobody_knows(enrolled: Facauth) -> None:
    fail(enrolled, 10)
    result = enrolled("unlock", "Nobody", exit_code=6)
    assert (result.stdout, result.stderr) == (
        "",
        "facauth: nobody is enrolled as Nobody; see facauth list\n",
    )
    result = enrolled("unlock", "Nobody", "--json", exit_code=6)
    assert (result.codes, result.json["failures"]) == (["name.unknown"], None)
    enrolled("unlock", "no\tname", exit_code=2)
    assert locked_for(enrolled) == 30


def test_unlock_without_a_store_makes_none(facauth: Facauth) -> None:
    facauth.keeping.remove()
    for whom in ((), ("Ada",)):
        result = facauth("unlock", *whom, "--json", exit_code=7)
        assert (result.codes, result.json["failures"]) == (["store.missing"], None)
    assert facauth.keeping.is_untouched()


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_an_encrypted_store_is_unlocked_with_its_key_only(enrolled: Facauth) -> None:
    key = enrolled.home / "key"
    encrypt(enrolled.store, KeyAccess(key))
    for _ in range(10):
        enrolled("sign-in", "stranger.jpg", "--key-file", str(key), exit_code=1)
    before = enrolled.keeping.everything()
    enrolled("unlock", exit_code=7)
    enrolled("unlock", "Ada", exit_code=7)
    enrolled("sign-in", "ada.jpg", exit_code=7)
    assert enrolled.keeping.everything() == before
    enrolled("sign-in", "ada.jpg", "--key-file", str(key), exit_code=5)
    assert "(10 failures" in enrolled("unlock", "--key-file", str(key)).stdout
    assert enrolled("sign-in", "ada.jpg", "--key-file", str(key)).stdout == "Ada\n"
