"""What a new user meets: near names, local times, and a sign that the program works."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import cheap
import pytest
from conftest import PATIENCE_S, Facauth, Photo

from facauth.cli import spinner
from facauth.names import near

PEOPLE = ["Barack Obama", "Joe Biden", "Eileen Collins", "Grace Hopper", "Jo"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Barak", ["Barack Obama"]),
        ("barack  obama", ["Barack Obama"]),
        ("Bidden", ["Joe Biden"]),
        ("Eilen Colins", ["Eileen Collins"]),
        ("joe", ["Joe Biden", "Jo"]),
        ("Ada", []),
        ("", []),
    ],
)
def test_near_names(asked: str, found: list[str]) -> None:
    assert near(asked, PEOPLE) == found


def test_at_most_three_names_are_near() -> None:
    assert len(near("person 1", [f"person {number}" for number in range(100)])) == 3


@pytest.fixture
def store(facauth: Facauth) -> Facauth:
    cheap.bind_to(facauth)
    cheap.enrol(facauth, "Ada", "Bob")
    facauth("rename", "Ada", "Ada Lovelace")
    return facauth


@pytest.mark.parametrize(
    "command",
    [
        "show Lovelac",
        "rename Lovelac Ada",
        "remove Lovelac --yes",
        "unlock Lovelac",
        "export Lovelac x.json --plain",
        "log --person Lovelac",
        "sign-in ada.jpg --as Lovelac",
        "spoof-check ada.jpg --against Lovelac",
    ],
)
def test_an_unknown_name_is_answered_by_near_ones(store: Facauth, command: str) -> None:
    result = store(*command.split(), exit_code=6)
    assert result.stderr.endswith(
        "facauth: nobody is enrolled as Lovelac; did you mean Ada Lovelace?\n"
    )
    assert store(*command.split(), "--json", exit_code=6).codes == ["name.unknown"]


def test_a_name_that_is_near_to_nobody_keeps_its_advice(store: Facauth) -> None:
    assert store("show", "Zoe", exit_code=6).stderr == (
        "facauth: nobody is enrolled as Zoe; see facauth list\n"
    )


def test_the_note_of_register_comes_with_a_first_photo_alone(
    facauth: Facauth, photo: Photo
) -> None:
    note = "to sign in, take another photo: facauth refuses the enrolled photos"
    first, second = photo("obama_2009.jpg"), photo("obama_2010.jpg")
    assert note in facauth("register", "Barack", first).stderr
    assert note not in facauth("register", "Barack", second).stderr
    assert note not in facauth("register", "Joe", photo("biden_2010.jpg"), "--no-signature").stderr


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "shown"),
    [("today", 1), ("yesterday", 2), ("1h", 1), ("90min", 1), ("3d", 2), ("2w", 3), ("0min", 0)],
)
def test_since_takes_how_long_ago(facauth: Facauth, since: str, shown: int) -> None:
    facauth.knows_nobody()
    now = datetime.now(UTC)
    for ago in (timedelta(days=9), timedelta(days=1), timedelta(seconds=1)):
        add_event(facauth, (now - ago).isoformat(timespec="seconds"))
    assert len(facauth("log", "--since", since).stdout.splitlines()) == shown


def add_event(facauth: Facauth, at: str) -> None:
    facauth.change(
        "INSERT INTO events (id, at, command, verdict, hash)"
        f" VALUES ((SELECT count(*) FROM events) + 1, '{at}', 'unlock', 'unlocked', x'00')"
    )


def test_times_are_local_on_a_terminal_alone(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Joe=photo("biden_2010.jpg"))
    zone = {"TZ": "XYZ-5"}
    (row,) = facauth("list", "--json").json["people"]
    there = datetime.fromisoformat(row["enrolled_at"]) + timedelta(hours=5)
    full, short = (f"{there:%Y-%m-%d %H:%M}{seconds} XYZ" for seconds in (f":{there:%S}", ""))
    for command, local in ((("list",), short), (("show", "Joe"), full), (("log",), full)):
        seen = re.sub(r"\s+", " ", facauth.on_terminal(*command, env=zone).stdout)
        assert local in seen
        piped = facauth.process(*command, env=zone).stdout
        assert row["enrolled_at"] in piped
        assert "XYZ" not in piped


# --- a spinner -----------------------------------------------------------------------------------


def on_tty(script: str) -> str:
    """What a Python script writes to a terminal as stderr."""
    ours, its = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", script], stderr=its, env=env) as process:
        process.wait(PATIENCE_S)
        os.close(its)
        said = b""
        try:
            while block := os.read(ours, 4096):
                said += block
        except OSError:  # Linux says so at the end
            pass
    os.close(ours)
    return said.decode()


SPIN = """
import sys, time
from facauth.cli import output, spinner
output.prepare_streams()
with spinner.spinning("working", wanted={wanted}):
    time.sleep({seconds})
    {then}
"""


def test_a_spinner_turns_from_half_a_second_on_and_goes() -> None:
    said = on_tty(SPIN.format(wanted=True, seconds=0.9, then=""))
    assert said.startswith(f"{spinner.ERASE}| working{spinner.ERASE}/ working")
    assert said.endswith(spinner.ERASE)


@pytest.mark.parametrize(("wanted", "seconds"), [(True, 0.1), (False, 0.7)])
def test_there_is_no_spinner(wanted: bool, seconds: float) -> None:
    assert on_tty(SPIN.format(wanted=wanted, seconds=seconds, then="")) == ""


def test_what_is_written_ends_the_spinner() -> None:
    then = 'output.complain("a note"); time.sleep(0.4)'
    said = on_tty(SPIN.format(wanted=True, seconds=0.7, then=then))
    assert said.endswith(f"{spinner.ERASE}facauth: a note\r\n")


def test_a_pipe_sees_no_spinner(facauth: Facauth, photo: Photo) -> None:
    began = time.monotonic()
    result = facauth.process("compare", photo("obama_2009.jpg"), photo("obama_2010.jpg"))
    assert time.monotonic() > began
    assert "\x1b" not in result.stderr
