"""--fmr: the one number a user chooses, which share of strangers may pass."""

from __future__ import annotations

import pytest
from conftest import Facauth, Photo

EILEEN, JOE, BARACK, AGAIN = "collins.png", "biden_2010.jpg", "obama_2009.jpg", "obama_2010.jpg"


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Eileen and Barack."""
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK))
    return facauth


@pytest.mark.parametrize(
    ("options", "said", "of_each", "share"),
    [
        ([], "matched at a false match rate of 1 in 1,000", 5e-4, 1e-3),
        (["--fmr", "1e-5"], "matched at a false match rate of 1 in 100,000", 5e-6, 1e-5),
        (["--as", "barack"], "matched at a false match rate of 1 in 10,000", 1e-4, 1e-4),
        (
            ["--as", "barack", "--fmr", ".03"],
            "matched at a false match rate of 1 in 33",
            0.03,
            0.03,
        ),
    ],
)
def test_the_rate_is_kept_said_and_logged(
    enrolled: Facauth, photo: Photo, options: list[str], said: str, of_each: float, share: float
) -> None:
    assert said in enrolled("sign-in", photo(AGAIN), *options).stderr
    answer = enrolled("sign-in", photo(AGAIN), *options, "--json").json
    assert answer["match"]["fmr"] == pytest.approx(of_each)
    assert answer["error_rate"] == share
    assert enrolled.rows("SELECT error_rate FROM events ORDER BY id DESC LIMIT 2") == [(share,)] * 2


def test_a_lower_rate_asks_for_more(enrolled: Facauth, photo: Photo) -> None:
    thresholds = [
        enrolled("sign-in", photo(AGAIN), "--fmr", rate, "--json").json["match"]["threshold"]
        for rate in ("1e-2", "1e-3", "1e-5", "1e-7")
    ]
    assert thresholds == sorted(set(thresholds))


def test_the_environment_sets_it_too(
    enrolled: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACAUTH_FMR", "1e-6")
    assert enrolled("sign-in", photo(AGAIN), "--json").json["error_rate"] == 1e-6
    answer = enrolled("sign-in", photo(AGAIN), "--fmr", "1e-2", "--json").json
    assert answer["error_rate"] == 1e-2


@pytest.mark.parametrize(
    ("options", "name_helps"),
    [(["--fmr", "1e-8"], True), (["--fmr", "9e-9"], False), (["--fmr=9e-9", "--as=Barack"], False)],
)
def test_what_cannot_be_promised_is_not(
    enrolled: Facauth, photo: Photo, options: list[str], name_helps: bool
) -> None:
    """Two people have half of the rate each, which is beyond what the calibration supports."""
    result = enrolled("sign-in", photo(AGAIN), *options, "--json", exit_code=2)
    assert result.codes == ["match.unsupported_rate"]
    assert ("with --as" in result.json["reasons"][0]["advice"]) == name_helps
    assert result.json["person"] is None
    assert result.json["match"] is None
    assert enrolled.rows("SELECT failures FROM tries WHERE failures > 0") == []


@pytest.mark.parametrize("rate", ["0", "-1e-4", "0.5", "1", "nan", "inf", "low"])
def test_what_is_no_rate_is_refused(enrolled: Facauth, photo: Photo, rate: str) -> None:
    result = enrolled("sign-in", photo(AGAIN), f"--fmr={rate}", exit_code=2)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_a_refusal_names_no_rate_of_its_own(enrolled: Facauth, photo: Photo) -> None:
    """How far somebody is from passing is what a climber wants to know."""
    result = enrolled("sign-in", photo(JOE), exit_code=1)
    assert result.stderr == "facauth: the face matches nobody; try another photo, or register\n"
