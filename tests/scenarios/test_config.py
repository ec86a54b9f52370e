"""The settings file, and how doctor shows what is in force, and why; the impossible is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Facauth, Photo, piped

from facauth.structs import NOTHING_COMPARED, ReplayVerdict

BARACK, AGAIN = "obama_2012.jpg", "obama_2010.jpg"


@pytest.fixture
def configure(facauth: Facauth) -> Iterator[Path]:
    """Where the settings file is looked for; what is written there only its owner can change."""
    path = facauth.home / "config" / "facauth" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o022)
    yield path
    os.umask(before)


@pytest.fixture(autouse=True)
def _nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor shows the settings alone."""
    monkeypatch.setattr("facauth.doctor.examine", lambda _: iter(()))


def origins(facauth: Facauth, *options: str) -> dict[str, tuple[str | float | None, str]]:
    settings = facauth("doctor", *options, "--json").json["settings"]
    return {each["key"]: (each["value"], each["origin"]) for each in settings}


def test_without_a_file_there_are_defaults(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    home = facauth.home
    result = facauth("doctor")
    file = home / "config" / "facauth" / "config.toml"
    rows = {
        "settings file": f"none; its place is {file}",
        "setting store": f"{home / 'share' / 'facauth' / 'facauth.sqlite3'} (default)",
        "setting key_file": f"{home / 'config' / 'facauth' / 'facauth.key'} (default)",
        "setting fmr": "0.0001 with --as, 0.001 without (default)",
        "setting camera": "preferred (default)",
        "setting spoof_policy": "default (default)",
    }
    assert result.stdout.splitlines() == [f"ok\t{key}\t{said}\t" for key, said in rows.items()]
    assert result.stderr == ""


def test_a_flag_outweighs_the_environment_that_the_file_and_that_the_default(
    facauth: Facauth, configure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    assert origins(facauth)["fmr"] == (None, "default")
    configure.write_text('# ours\nstore = "~/faces.sqlite3"\n\nfmr = 1e-5\n')
    assert origins(facauth)["store"] == (f"{facauth.home}/faces.sqlite3", f"{configure}, line 2")
    assert origins(facauth)["fmr"] == (1e-5, f"{configure}, line 4")
    monkeypatch.setenv("FACAUTH_FMR", "1e-6")
    assert origins(facauth)["fmr"] == (1e-6, "environment, FACAUTH_FMR")
    assert origins(facauth, "--fmr", "1e-7")["fmr"] == (1e-7, "flag")


def test_a_policy_of_the_file_gives_way_to_a_flag(facauth: Facauth, configure: Path) -> None:
    configure.write_text('spoof_policy = "strict"\n')
    assert origins(facauth)["spoof_policy"] == ("strict", f"{configure}, line 1")
    assert origins(facauth, "--policy", "lenient")["spoof_policy"] == ("lenient", "flag")


def test_options_before_the_command_are_flags_too(
    facauth: Facauth, configure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure.write_text('key_file = "~/of the file"\n')
    settings = facauth("--store", "a", "--key-file", "b", "--json", "doctor").json["settings"]
    assert [(each["value"], each["origin"]) for each in settings[:2]] == [
        ("a", "flag"),
        ("b", "flag"),
    ]
    monkeypatch.setenv("FACAUTH_KEY_FILE", "/c")
    assert origins(facauth)["key_file"] == ("/c", "environment, FACAUTH_KEY_FILE")


@pytest.mark.parametrize(
    "call",
    [("--key-file", "k", "list"), ("--store", "s", "demo"), ("--key-file", "k", "backup", "b")],
)
def test_an_option_before_a_command_that_does_not_take_it_is_refused(
    facauth: Facauth, call: tuple[str, ...]
) -> None:
    """Not ignored: who names a key file expects that it is used."""
    result = facauth(*call, exit_code=2)
    assert f"{call[0]} does not apply to {call[2]}" in result.stderr


def test_the_store_of_the_file_is_used(
    facauth: Facauth, photo: Photo, configure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    configure.write_text('store = "~/faces.sqlite3"\n')
    facauth("register", "Barack", photo(BARACK))
    assert (facauth.home / "faces.sqlite3").is_file()
    assert not (facauth.home / "share").exists()
    assert facauth("sign-in", photo(AGAIN)).stdout == "Barack\n"


def test_the_rate_of_the_file_is_used(facauth: Facauth, photo: Photo, configure: Path) -> None:
    facauth.knows(Barack=photo(BARACK))
    configure.write_text("fmr = 1e-5\n")
    asked = facauth("sign-in", photo(AGAIN), "--json").json
    assert (asked["error_rate"], asked["match"]["fmr"]) == (1e-5, 1e-5)
    assert facauth("sign-in", photo(AGAIN), "--fmr", "0.01", "--json").json["error_rate"] == 0.01


def test_the_policy_of_the_file_is_used(facauth: Facauth, photo: Photo, configure: Path) -> None:
    facauth.knows(Barack=photo(BARACK))
    facauth.bind(replay=lambda *_: replace(NOTHING_COMPARED, verdict=ReplayVerdict.SAME_SITTING))
    facauth("sign-in", photo(AGAIN))
    configure.write_text('spoof_policy = "strict"\n')  # and nothing may be in doubt
    facauth("sign-in", photo(AGAIN), exit_code=4)
    facauth("sign-in", photo(AGAIN), "--policy", "lenient")


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_key_file_of_the_settings_is_where_the_key_is(
    facauth: Facauth, photo: Photo, configure: Path
) -> None:
    facauth.knows(Barack=photo(BARACK))
    configure.write_text('key_file = "~/elsewhere.key"\n')
    assert "is not encrypted" in facauth("sign-in", photo(AGAIN), exit_code=7).stderr
    facauth("key", "init")
    assert (facauth.home / "elsewhere.key").is_file()
    assert facauth("sign-in", photo(AGAIN)).stdout == "Barack\n"
    assert facauth("key", "init", "--passphrase", "--json", exit_code=2).codes == ["usage"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("fmr = 1e-4\ntolerance = 0.6\n", "config.unknown_key", "line 2: there is no setting"),
        ("[match]\nfmr = 1e-4\n", "config.unknown_key", "line 1: there is no setting match"),
        ("\n\n'a b'.c = 1\n", "config.unknown_key", "line 3: there is no setting a b"),
        ("fmr = 0\n", "config.bad_value", "line 1: fmr cannot be 0; give the share"),
        ("fmr = 0.5\n", "config.bad_value", "line 1: fmr cannot be 0.5"),
        ("fmr = nan\n", "config.bad_value", "line 1: fmr cannot be nan"),
        ("fmr = true\n", "config.bad_value", "line 1: fmr cannot be True"),
        ("fmr = '1e-4'\n", "config.bad_value", "line 1: fmr cannot be '1e-4'"),
        (f"fmr = {'9' * 400}\n", "config.bad_value", "line 1: fmr cannot be 999"),
        ("\nstore = 'here.sqlite3'\n", "config.bad_value", "line 2: store cannot be"),
        ("store = 5\n", "config.bad_value", "begins with / or ~"),
        ('store = "/a\\u0000"\n', "config.bad_value", "line 1: store cannot be"),
        (
            "spoof_policy = 'lax'\n",
            "config.bad_value",
            "give one of default, strict, lenient, camera",
        ),
        ("spoof_policy = []\n", "config.bad_value", "line 1: spoof_policy cannot be []"),
        ("fmr = 1e-4\nfmr = 1e-5\n", "config.syntax", "line 2"),
        ("fmr 1e-4\n", "config.syntax", "line 1"),
        pytest.param(
            f"fmr = {'9' * 5000}\n", "config.syntax", "is not valid TOML; correct it", id="digits"
        ),
        pytest.param(f"fmr = {'[' * 50_000}\n", "config.syntax", "is not valid TOML", id="nested"),
    ],
)
@pytest.mark.parametrize("command", [["doctor"], ["list"], ["sign-in", "ada.jpg"]])
def test_what_cannot_be_is_refused_with_the_line(
    facauth: Facauth,
    configure: Path,
    text: str,
    code: str,
    said: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    configure.write_text(text)
    result = facauth(*command, "--json", exit_code=2)
    assert result.codes == [code]
    assert said in result.json["reasons"][0]["message"] + "; " + result.json["reasons"][0]["advice"]


@pytest.mark.parametrize("kind", ["folder", "binary", "huge"])
def test_what_cannot_be_read_is_refused(
    facauth: Facauth, configure: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    if kind == "folder":
        configure.mkdir()
    else:
        configure.write_bytes(b"\xff\xfe" if kind == "binary" else b"#" * 2**21)
    assert facauth("list", "--json", exit_code=7).codes == ["config.unreadable"]


def test_a_pipe_is_not_waited_for(
    facauth: Facauth, configure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACAUTH_STORE")
    with piped(configure):
        assert facauth("list", "--json", exit_code=7).codes == ["config.unreadable"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_one_that_others_can_change_is_refused(
    facauth: Facauth, photo: Photo, configure: Path, mode: int
) -> None:
    facauth("register", "Ada", photo(BARACK))
    configure.write_text('fmr = 0.1\nspoof_policy = "lenient"\n')
    configure.chmod(mode)
    result = facauth("sign-in", photo(AGAIN), "--json", exit_code=7)
    assert result.codes == ["config.exposed"]


def test_an_impossible_rate_in_the_environment_is_refused(
    facauth: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACAUTH_FMR", "0.6")
    result = facauth("sign-in", photo(AGAIN), "--json", exit_code=2)
    assert result.codes == ["match.impossible_rate"]
