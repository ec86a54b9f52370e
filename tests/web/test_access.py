"""Tokens, sessions and buckets, without a server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import SITE

from facauth.errors import LockedOut, SetupProblem
from facauth.store.keys import KeyAccess, KeyKind, Lock
from facauth.web import access, ended_sessions
from facauth.web.access import Access, RateLimit, client_address
from facauth.web.jobs import HeldKeys
from facauth.web.refusals import Forbidden

OPEN = Access(SITE)


def test_a_site_does_not_show_its_token() -> None:
    assert SITE.token not in repr(SITE)


def test_a_session_is_good_in_another_process_of_the_same_operator() -> None:
    session = OPEN.new_session()
    assert Access(SITE).is_valid_session(session)
    assert Access(SITE).csrf_token(session) == OPEN.csrf_token(session)
    other = Access(replace(SITE, token="u" * 43))
    assert not other.is_valid_session(session)
    assert other.csrf_token(session) != OPEN.csrf_token(session)


def test_a_session_that_was_ended_is_none_in_any_process(tmp_path: Path) -> None:
    site = replace(SITE, ended_sessions=tmp_path / "config" / "operator.ended")
    here, there = Access(site), Access(site)
    session, another = here.new_session(), here.new_session()
    assert there.is_valid_session(session)
    here.end_session(session)
    for each in (here, there, Access(site)):
        assert not each.is_valid_session(session)
        assert each.is_valid_session(another)
    assert site.ended_sessions.stat().st_mode & 0o777 == 0o700


def test_what_has_run_out_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = replace(SITE, ended_sessions=tmp_path)
    here = Access(site)
    first = here.new_session()
    here.end_session(first)
    ends_at = int(first.partition(".")[0])
    monkeypatch.setattr(access, "time", lambda: ends_at + 1.0)
    monkeypatch.setattr(ended_sessions, "time", lambda: ends_at + 1.0)
    second = here.new_session()
    here.end_session(second)
    assert [each.name for each in tmp_path.iterdir()] == [second.rpartition(".")[0]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_where_nobody_knows_what_ended_there_is_no_session(tmp_path: Path) -> None:
    site = replace(SITE, ended_sessions=tmp_path)
    here = Access(site)
    session = here.new_session()
    tmp_path.chmod(0)
    with pytest.raises(SetupProblem):
        here.is_valid_session(session)


def test_a_file_in_the_place_of_the_folder_ends_no_session_in_secret(tmp_path: Path) -> None:
    site = replace(SITE, ended_sessions=tmp_path / "file")
    site.ended_sessions.write_bytes(b"")
    here = Access(site)
    for asked in (here.is_valid_session, here.end_session):
        with pytest.raises(SetupProblem):
            asked(here.new_session())


def test_a_session_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    session = OPEN.new_session()
    ends_at = int(session.partition(".")[0])
    monkeypatch.setattr(access, "time", lambda: ends_at - 1.0)
    assert OPEN.is_valid_session(session)
    monkeypatch.setattr(access, "time", lambda: float(ends_at))
    assert not OPEN.is_valid_session(session)


def test_no_two_sessions_are_the_same() -> None:
    assert OPEN.new_session() != OPEN.new_session()


def test_a_csrf_token_is_no_session_and_no_session_a_csrf_token() -> None:
    session = OPEN.new_session()
    said = session.rpartition(".")[0]
    assert not OPEN.is_valid_session(f"{said}.{OPEN.csrf_token(said)}")
    with pytest.raises(Forbidden):
        OPEN.require_csrf_token(session, session.rpartition(".")[2])


@given(st.text())
def test_whatever_else_is_no_token_and_no_session(text: str) -> None:
    assert not OPEN.is_token(text)
    assert not OPEN.is_valid_session(text)
    with pytest.raises(Forbidden):
        OPEN.require_csrf_token(OPEN.new_session(), text)
    with pytest.raises(Forbidden):
        OPEN.require_operator({"authorization": f"Bearer {text}"}, {OPEN.cookie: text})


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def taken(buckets: RateLimit, client: str, tries: int) -> int:
    """How many of so many requests are let through."""
    passed = 0
    for _ in range(tries):
        try:
            buckets.take(client)
        except LockedOut:
            continue
        passed += 1
    return passed


def test_a_bucket_is_emptied_and_refilled() -> None:
    clock = Clock()
    buckets = RateLimit(6, 10, clock)
    assert taken(buckets, "a", 9) == 6
    assert taken(buckets, "b", 1) == 1  # which is another's
    with pytest.raises(LockedOut) as refused:
        buckets.take("a")
    assert refused.value.retry_after_s == pytest.approx(10)
    clock.now_s += 10
    assert taken(buckets, "a", 3) == 1
    clock.now_s += 3600
    assert taken(buckets, "a", 9) == 6


def test_no_client_is_remembered_for_ever() -> None:
    clock = Clock()
    buckets = RateLimit(6, 10, clock)
    for client in range(10):
        buckets.take(str(client))
    clock.now_s += 30
    assert taken(buckets, "11", 9) == 6
    assert len(buckets._full_at_s) == 1  # the others' were full again
    for client in range(1000):
        buckets.take(f"x{client}")
    assert len(buckets._full_at_s) <= 10


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the client said the rest
        ("127.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["1.1.1.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["x" * 9999], "127.0.0.1"),
        ("::1", ["2001:db8:1:2:3:4:5:6"], "2001:0db8:0001:0002"),
        ("::1", ["2001:db8:1:2::7"], "2001:0db8:0001:0002"),  # of the same household
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("", [], ""),
    ],
)
def test_whom_a_request_counts_against(peer: str, forwarded_for: list[str], client: str) -> None:
    assert client_address(peer, forwarded_for) == client


def test_a_passphrase_is_turned_into_a_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Lock] = []

    def slow(_: KeyAccess, lock: Lock) -> bytes:
        made.append(lock)
        return b"k" * 32

    monkeypatch.setattr(KeyAccess, "kek", slow)
    first, rotated = (Lock("s", KeyKind.PASSPHRASE, each, b"salt", b"w") for each in (1, 2))
    keys = HeldKeys(None, None, lambda _: "correct horse battery staple")
    assert [keys.kek(lock) for lock in (first, first, rotated)] == [b"k" * 32] * 3
    assert made == [first, rotated]
