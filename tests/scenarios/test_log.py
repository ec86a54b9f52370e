"""facauth log and log verify: what is shown of what happened, and to whom."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime

import cheap
import pytest
from conftest import PATIENCE_S, Facauth
from tampering import encrypt

from facauth.store.clock import Clock, binding
from facauth.store.keys import KeyAccess

EVENT = {"id", "at", "command", "verdict", "reasons", "person", "error_rate", "hash"}


@pytest.fixture
def busy(facauth: Facauth, monkeypatch: pytest.MonkeyPatch) -> Facauth:
    """A store with events on three days, in a place an hour east of UTC."""
    monkeypatch.setenv("TZ", "XYZ-1")
    time.tzset()
    cheap.bind_to(facauth)
    for day, act in (
        ("2026-11-21T22:59:59+00:00", lambda: cheap.enrol(facauth, "Ada", "Bob")),
        ("2026-11-21T23:00:00+00:00", lambda: facauth("sign-in", "ada.jpg")),
        (
            "2026-11-22T12:30:00+00:00",
            lambda: facauth("sign-in", "bob.jpg", "--as", "ada", exit_code=1),
        ),
        ("2026-11-22T22:59:59+00:00", lambda: facauth("sign-in", "nobody.jpg", exit_code=4)),
        ("2026-11-22T23:00:00+00:00", lambda: facauth("rename", "Ada", "Ada King")),
    ):
        moment_s = datetime.fromisoformat(day).timestamp()
        copy_context().run(_at, moment_s, act)
    return facauth


def _at(moment_s: float, act: Callable[[], object]) -> None:
    binding.set(Clock(lambda: moment_s))
    act()


@pytest.fixture(autouse=True)
def _time_zone() -> Iterator[None]:
    yield
    os.environ.pop("TZ", None)
    time.tzset()


ENTRIES = (
    ("1", "2026-11-21T22:59:59+00:00", "register", "registered", "Ada King", "", ""),
    ("2", "2026-11-21T22:59:59+00:00", "register", "registered", "Bob", "", ""),
    ("3", "2026-11-21T23:00:00+00:00", "sign-in", "signed_in", "Ada King", "", "0.001"),
    ("4", "2026-11-22T12:30:00+00:00", "sign-in", "no_match", "Ada King", "match.none", "0.0001"),
    ("5", "2026-11-22T22:59:59+00:00", "sign-in", "unusable_image", "", "face.none", "0.001"),
    ("6", "2026-11-22T23:00:00+00:00", "rename", "renamed", "Ada King", "", ""),
)


def shown(facauth: Facauth, *options: str) -> list[int]:
    """The numbers of the entries that are shown, the same in JSON as in text."""
    numbers = [int(line.split("\t")[0]) for line in facauth("log", *options).stdout.splitlines()]
    found = facauth("log", *options, "--json").json
    assert (found["ok"], found["verdict"]) == (True, "listed")
    assert [event["id"] for event in found["events"]] == numbers
    return numbers


def test_the_log_is_told_from_the_first_entry_on(busy: Facauth) -> None:
    result = busy("log")
    assert result.stdout.splitlines() == ["\t".join(entry) for entry in ENTRIES]
    assert result.stderr == ""


def test_an_entry_in_json_has_all_that_is_known(busy: Facauth) -> None:
    answer = busy("log", "--json").json
    assert [event["id"] for event in answer["events"]] == [1, 2, 3, 4, 5, 6]
    assert all(set(event) == EVENT for event in answer["events"])
    refused = answer["events"][3]
    assert len(bytes.fromhex(refused.pop("hash"))) == 32
    assert refused == {
        "id": 4,
        "at": "2026-11-22T12:30:00+00:00",
        "command": "sign-in",
        "verdict": "no_match",
        "reasons": ["match.none"],
        "person": "Ada King",
        "error_rate": 0.0001,
    }


def test_a_terminal_gets_a_table(busy: Facauth) -> None:
    result = busy.on_terminal("log", "--verdict", "registered", env={"TZ": "XYZ-1"})
    head, *rows = re.sub("\x1b\\[[0-9;]*m", "", result.stdout).splitlines()
    assert head.split() == ["#", "Time", "Command", "Verdict", "Person", "Reasons", "Error", "rate"]
    local = [
        ("1", "2026-11-21 23:59:59 XYZ", *ENTRIES[0][2:]),
        ("2", "2026-11-21 23:59:59 XYZ", *ENTRIES[1][2:]),
    ]
    assert [row.split() for row in rows] == [" ".join(entry).split() for entry in local]


@pytest.mark.parametrize(
    ("options", "entries"),
    [
        (("--person", "Ada King"), [1, 3, 4, 6]),
        (("--person", "ADA KING"), [1, 3, 4, 6]),
        (("--person", "bob"), [2]),
        (("--verdict", "no_match"), [4]),
        (("--verdict", "nonsense"), []),
        (("--since", "2026-11-22"), [3, 4, 5, 6]),  # midnight is at 23:00 in UTC
        (("--until", "2026-11-22"), [1, 2, 3, 4, 5]),
        (("--since", "2026-11-22", "--until", "2026-11-22"), [3, 4, 5]),
        (("--since", "2026-11-22T13:30"), [4, 5, 6]),
        (("--since", "2026-11-22T13:30:01"), [5, 6]),
        (("--since", "2026-11-22T13:30:00.5"), [5, 6]),
        (("--until", "2026-11-22 13:30"), [1, 2, 3, 4]),
        (("--until", "2026-11-22T13:29:59"), [1, 2, 3]),
        (("--since", "2026-11-22T12:30Z"), [4, 5, 6]),
        (("--since", "2026-11-22T12:30+01:00"), [4, 5, 6]),
        (("--since", "2026-11-22T12:31Z", "--person", "Ada King"), [6]),
        (("--since", "20261123"), [6]),
        (("--since", "2026-W47-7"), [3, 4, 5, 6]),
        (("--since", "2999-01-01"), []),
        (("--until", "1000-01-01"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_entries_are_chosen(busy: Facauth, options: tuple[str, ...], entries: list[int]) -> None:
    assert shown(busy, *options) == entries


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "1m", "-1h", "9999999h",
     "2026-02-30", "2026-13-01", "2026-11-22T25:00", "12:30", "0001-01-01T00:00",
     "9999-12-31T23:59:59-01:00", "2026-11-22T12:30+99:00", "٢٠٢٦-11-22", "1e9", "\x1b[31m"],
)  # fmt: skip
def test_a_time_that_cannot_be_is_a_wrong_call(busy: Facauth, option: str, text: str) -> None:
    result = busy("log", option, text, exit_code=2)
    assert result.stdout == ""
    assert result.stderr.startswith(f"facauth: {option} ")
    assert (
        "is not a time; write it as 2026-11-22, 2026-11-22T09:30, today, 30min, " in result.stderr
    )
    assert "\x1b" not in result.stderr
    answer = busy("log", option, text, "--json", exit_code=2)
    assert (answer.codes, answer.json["events"]) == (["time.impossible"], None)


def test_the_log_of_somebody_unknown_is_a_conflict(busy: Facauth) -> None:
    result = busy("log", "--person", "Ada", exit_code=6)
    assert result.stderr == "facauth: nobody is enrolled as Ada; did you mean Ada King?\n"
    assert busy("log", "--person", "Ada", "--json", exit_code=6).codes == ["name.unknown"]


def test_where_nothing_is_to_be_shown_a_note_says_so(busy: Facauth) -> None:
    result = busy("log", "--verdict", "attack")
    assert (result.stdout, result.stderr) == (
        "",
        (
            f"facauth: the log of {busy.store} has no matching entries\n"
            "facauth: the verdicts in this log: no_match, registered, renamed, signed_in,"
            " unusable_image\n"
        ),
    )
    assert busy("log", "--verdict", "attack", "--quiet").stderr == ""


def test_without_a_store_there_is_no_log_and_none_is_made(facauth: Facauth) -> None:
    facauth.keeping.remove()
    result = facauth("log", exit_code=7)
    assert (result.stdout, result.stderr) == (
        "",
        f"facauth: {facauth.keeping.missing}\n",
    )
    for options in ((), ("--verify",), ("--prune-older-than", "1d", "--yes")):
        assert facauth("log", *options, "--json", exit_code=7).codes == ["store.missing"]
    assert facauth.keeping.is_untouched()


def test_the_log_only_reads(busy: Facauth) -> None:
    before = busy.keeping.everything()
    busy("log")
    busy("log", "--verify")
    assert busy.keeping.everything() == before


def test_who_was_removed_is_not_named(busy: Facauth) -> None:
    busy("remove", "Ada King", "--yes")
    assert "Ada" not in busy("log").stdout + busy("log", "--json").stdout
    assert [line.split("\t")[4] for line in busy("log").stdout.splitlines()] == [
        "", "Bob", "", "", "", "", "",
    ]  # fmt: skip
    assert busy("log", "--verify", "--json").json["entries"] == 7
    cheap.enrol(busy, "Ada King")  # is somebody else
    assert shown(busy, "--person", "Ada King") == [8]


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.sqlite("a database takes no text that is none")
def test_a_store_that_was_tampered_with_cannot_talk_to_the_terminal(
    busy: Facauth, options: tuple[str, ...]
) -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    for column in ("at", "command", "verdict", "reasons"):
        busy.change(f"UPDATE events SET {column} = '{evil}' WHERE id = 3")
    busy.change("UPDATE events SET command = CAST(x'ff0a' AS TEXT), error_rate = 9e999")
    busy.change(f"UPDATE people SET name = '{evil}' WHERE name = 'Bob'")
    result = busy("log", *options)
    assert result.stdout.replace("\n", "").replace("\t", "").isprintable()
    assert len(busy("log", "--json").json["events"]) == 6
    assert len(busy("log").stdout.splitlines()) == 6
    for command in (("unlock", "bob"), ("log", "--person", "bob"), ("log", "--verify")):
        said = busy(*command, exit_code=7)
        assert (said.stdout + said.stderr).replace("\n", "").replace("\t", "").isprintable()


# --- verify ---------------------------------------------------------------------------------------


def test_a_sound_log_says_how_far_it_goes(busy: Facauth) -> None:
    last = busy("log", "--json").json["events"][-1]["hash"]
    result = busy("log", "--verify")
    assert result.stdout == f"sound\t6\t{last}\n"
    note = "the store is not encrypted: anybody who can write it can also forge its log"
    assert result.stderr == ("" if busy.keeping.encrypted else f"facauth: {note}\n")
    assert busy("log", "--verify", "--quiet").stderr == ""
    found = busy("log", "--verify", "--json").json
    assert (found["command"], found["ok"], found["verdict"]) == ("log", True, "sound")
    assert (found["entries"], found["head"], found["broken"]) == (6, last, None)


@pytest.mark.parametrize(
    ("statement", "first", "what"),
    [
        ("UPDATE events SET verdict = 'signed_in' WHERE id = 4", 4, "was changed"),
        ("DELETE FROM events WHERE id = 2", 2, "is missing"),
        ("DELETE FROM events WHERE id > 3", 4, "is missing, at the end"),
        ("UPDATE log_head SET entries = 5", 6, "was added by something else"),
        ("UPDATE log_head SET hash = x'00'", 7, "is missing, or the end was changed"),
    ],
)
@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_the_first_broken_entry_is_named(
    busy: Facauth, statement: str, first: int, what: str
) -> None:
    busy.change(statement)
    result = busy("log", "--verify", exit_code=7)
    assert result.stdout == ""
    assert result.stderr == (
        f"facauth: entry {first} of the log {what}; "
        "keep this store as it is, and compare it with a copy\n"
    )
    answer = busy("log", "--verify", "--json", exit_code=7)
    assert answer.codes == ["log.broken"]
    assert answer.json["broken"] == {"id": first, "what": what}
    assert answer.json["head"] is None
    assert busy("log", "--json").json["ok"]  # it is still shown


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_an_encrypted_log_is_shown_to_all_and_verified_with_the_key(busy: Facauth) -> None:
    key = str(busy.home / "key")
    encrypt(busy.store, KeyAccess(busy.home / "key"))
    assert shown(busy) == [1, 2, 3, 4, 5, 6, 7]
    result = busy("log", "--verify", "--json", exit_code=7)
    assert (result.codes, result.json["entries"]) == (["key.missing"], None)
    result = busy("log", "--verify", "--key-file", key)
    assert (result.stdout[:8], result.stderr) == ("sound\t7\t", "")
    busy.change("UPDATE events SET anchor = x'00' WHERE id = 5")
    result = busy("log", "--verify", "--key-file", key, exit_code=7)
    assert result.stderr.startswith(
        "facauth: entry 5 of the log was not written with the store's key"
    )


@pytest.mark.parametrize("option", [("--person", "Bob"), ("-f",), ("--since", "2026-01-01")])
@pytest.mark.parametrize("purpose", [("--verify",), ("--prune-older-than", "1d", "--yes")])
def test_to_verify_or_prune_takes_no_filter(
    busy: Facauth, option: tuple[str, ...], purpose: tuple[str, ...]
) -> None:
    before = busy.events()
    result = busy("log", *option, *purpose, exit_code=2)
    assert result.stdout == ""
    other = "--follow" if option[0] == "-f" else option[0]
    assert result.stderr == (
        f"facauth: {purpose[0]} and {other} contradict each other; choose one\n"
    )
    assert busy.events() == before


# --- follow ---------------------------------------------------------------------------------------


@contextmanager
def following(facauth: Facauth, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program as it follows the log."""
    with facauth.start("log", "--follow", *options) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    return process.stdout.readline().decode()


def test_events_are_told_as_they_come(busy: Facauth) -> None:
    with following(busy, "--verdict", "renamed") as process:
        assert line_of(process) == "\t".join(ENTRIES[5]) + "\n"
        busy("sign-in", "bob.jpg")
        busy("rename", "Bob", "Robert")
        assert line_of(process).split("\t")[2:5] == ["rename", "renamed", "Robert"]
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=PATIENCE_S)
    assert (rest, process.returncode) == (b"", 130)
    assert complaints.strip() == b""


def test_events_are_told_as_json_lines(busy: Facauth) -> None:
    with following(busy, "--json", "--person", "Bob") as process:
        first = json.loads(line_of(process))
        busy("sign-in", "bob.jpg", "--as", "Bob")
        second = json.loads(line_of(process))
    assert set(first) == set(second) == EVENT
    assert (first["id"], second["id"], second["verdict"]) == (2, 7, "signed_in")


@pytest.mark.sqlite("makes the store by registering somebody")
def test_a_store_that_is_not_there_is_not_waited_for(facauth: Facauth) -> None:
    """It may be on a disk that is not mounted."""
    result = facauth("log", "--follow", exit_code=7)
    assert result.stderr == (f"facauth: {facauth.keeping.missing}\n")
    assert facauth.keeping.is_untouched()
    cheap.enrol(facauth, "Ada")
    with following(facauth) as process:
        assert line_of(process).split("\t")[2:5] == ["register", "registered", "Ada"]


def test_a_reader_that_left_ends_it_though_nothing_happens(busy: Facauth) -> None:
    with following(busy) as process:
        assert [line_of(process)[0] for _ in ENTRIES] == ["1", "2", "3", "4", "5", "6"]
        assert process.stdout
        process.stdout.close()
        assert process.wait(timeout=PATIENCE_S) == -signal.SIGPIPE
        assert process.stderr
        assert process.stderr.read() == b""


def test_whom_to_follow_must_be_known(busy: Facauth) -> None:
    result = busy("log", "--follow", "--person", "Nobody", "--json", exit_code=6)
    assert result.codes == ["name.unknown"]


def test_the_help_says_what_follow_prints(facauth: Facauth) -> None:
    text = " ".join(facauth("log", "--help").stdout.split())
    assert "with --json print one object per line" in text
    assert "local unless it names a zone" in text
