"""calibrate FOLDER and calibrate --show: what is in force, what is said of it, and what refuses."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cheap
import numpy as np
import pytest
from conftest import ROOT, Facauth, Photo, piped, tree
from numpy.typing import NDArray
from plain import PLAIN

from facauth.decision.calibration import FILE, in_force, shipped
from facauth.defaults import local_calibration
from facauth.files import read_trusted
from facauth.structs import Encoding

LFW = ROOT.parent / "shared" / "data" / "lfw"
EILEEN, BARACK = "collins.png", "obama_2010.jpg"
ONE_PHOTO: list[dict[str, Any]] = shipped().document["rows"][0]["points"]
Folder = Callable[..., Path]


def vector(image: str) -> NDArray[np.float32]:
    """The face in FOLDER/NUMBER/IMAGE; strangers are as alike as ALIKE/NUMBER has them."""
    kind, number, photo = Path(image).parts[-3:]
    mean = {"ordinary": 0.652, "alike": 0.7, "same": 0.999}[kind]
    seed = int(number.removeprefix("same as "))
    own = np.random.default_rng(seed).normal(size=100)
    own += 0.3 * np.random.default_rng([seed, len(photo)]).normal(size=100)
    found = np.zeros(256, np.float32)
    found[0] = math.sqrt(mean)
    found[1:101] = math.sqrt(1 - mean) * own / np.linalg.norm(own)
    return found


@pytest.fixture
def folder(facauth: Facauth, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Makes a folder of people whose faces are told by their names."""
    monkeypatch.setattr("facauth.decision.calibration.shipped", lambda: PLAIN)
    cheap.bind_to(
        facauth,
        contract=lambda: shipped().document["contract"],
        encode=lambda sighting, _: Encoding("cheap/1", vector(sighting.pixels)),
    )

    def make(people: int, kind: str = "ordinary", photos: tuple[str, ...] = ("1.jpg",)) -> Path:
        made = facauth.here / kind
        for number in range(people):
            (made / str(number)).mkdir(parents=True)
            for photo in photos:
                (made / str(number) / photo).write_text(photo)
        return made

    return make


def calibrate(facauth: Facauth, *arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """The envelope of a call."""
    words = [str(argument) for argument in arguments]
    folder = [] if "--show" in words else ["--jobs", "1"]
    result = facauth("calibrate", *words, *folder, "--json", exit_code=exit_code)
    assert result.stderr == ""
    found: dict[str, Any] = result.json
    return found


def point(calibration: dict[str, Any], fmr: float = 1e-4, row: int = 0) -> dict[str, Any]:
    (found,) = [each for each in calibration["rows"][row]["points"] if each["fmr"] == fmr]
    return dict(found)


# ---- the shipped one


def test_show_explains_the_one_that_is_shipped(facauth: Facauth) -> None:
    said = facauth("calibrate", "--show").stdout.splitlines()
    assert said[0].startswith("shipped calibration: Labeled Faces in the Wild")
    assert "2339 people, 3963 photos" in said[0]
    assert shipped().document["contract"] in said[1]
    assert str(FILE) in said[2]
    columns, *rows = (line.split("\t") for line in said[3:32])
    assert columns == ["Photos", "Rate", "Similarity", "True rate (95 %)", "Basis"]
    assert [row[:2] for row in rows] == [
        [photos, f"1e-0{n}"] for photos in "1235" for n in range(2, 9)
    ]
    assert rows[2] == ["1", "1e-04", "0.4107", "5.3e-05 to 2.1e-04", rows[2][4]]
    assert rows[2][4] == "measured, 43 pairs of people (women)"
    assert rows[4][4] == "extrapolated (women)"
    columns, *rows = (line.split("\t") for line in said[32:-2])
    assert columns[:4] == ["Group", "Photos", "Rate", "FMR (95 %)"]
    assert [row[:3] for row in rows] == [
        [group, photos, f"1e-0{n}"]
        for photos in "13"
        for group in ("everybody", "women", "men")
        for n in (3, 4, 5)
    ]
    assert rows[4][3:5] == ["9.6e-05 (3.9e-05 to 1.9e-04)", "42 of 171991"]
    assert said[-2:] == [
        "lowest false match rate of one comparison: 1e-08",
        "a store may hold 100000 people for sign-ins at 1e-03",
    ]


def test_show_as_json_has_everything(facauth: Facauth) -> None:
    answer = calibrate(facauth, "--show")
    assert answer["verdict"] == "shown"
    told = answer["calibration"]
    assert told == {
        "kind": "shipped",
        "file": str(FILE),
        "supported_people": 100_000,
        **json.loads(FILE.read_text()),
    }


def test_show_draws_a_table_on_a_terminal(facauth: Facauth) -> None:
    lines = facauth.on_terminal("calibrate", "--show").stdout.splitlines()
    assert any("Similarity" in line and "\t" not in line for line in lines)
    assert max(map(len, (line for line in lines if "e-0" in line and "file" not in line))) <= 88


# ---- a local one


def test_a_folder_of_people_who_are_alike_makes_sign_in_stricter(
    facauth: Facauth, folder: Folder
) -> None:
    before = tree(folder(40, "alike"))
    answer = calibrate(facauth, "alike")
    path = local_calibration()
    assert path
    assert path.is_relative_to(facauth.home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert answer["verdict"] == "calibrated"
    assert answer["suspects"] == []
    assert answer["failures"] == {}
    told = calibrate(facauth, "--show")["calibration"]
    assert told == answer["calibration"]
    assert told == {
        "kind": "local",
        "file": str(path),
        "supported_people": 100_000,
        **json.loads(path.read_text()),
    }
    assert told["people"] == told["photos"] == 40
    assert point(told)["similarity"] > point({"rows": [{"points": ONE_PHOTO}]})["similarity"] + 0.03
    assert tree(facauth.here / "alike") == before
    path.unlink()
    assert calibrate(facauth, "--show")["calibration"]["kind"] == "shipped"


def test_sign_in_asks_for_what_the_local_one_says(
    facauth: Facauth, folder: Folder, photo: Photo
) -> None:
    folder(40, "alike")
    told = calibrate(facauth, "alike")["calibration"]
    facauth.bind()
    facauth.knows(Barack=photo(BARACK))
    match = facauth("sign-in", photo("obama_2012.jpg"), "--as", "Barack", "--json").json["match"]
    assert match["threshold"] == pytest.approx(point(told)["similarity"], abs=1e-4)


def test_it_says_how_wide_the_intervals_are(facauth: Facauth, folder: Folder) -> None:
    folder(30, "alike")
    said = facauth("calibrate", "alike", "--jobs", "1").stdout.splitlines()
    assert said[0] == (
        f"calibrated on 30 people, 30 photos; in force from now on: {local_calibration()}"
    )
    assert said[1] == "Rate\tSimilarity\tShipped\tTrue rate (95 %)\tBasis"
    assert len(said) == 10
    asked, similarity, ours, interval, basis = said[4].split("\t")
    assert (asked, ours, basis) == ("1e-04", "0.7899", "extrapolated")
    assert float(similarity) > float(ours)
    low, high = interval.split(" to ")
    assert float(low) < 1e-4 / 5 < 1e-4 <= float(high)
    assert said[-1] == f"with 30 people the true rate at 1e-04 may be from {low} to {high}"


def test_few_people_as_the_shipped_ones_may_need_none(facauth: Facauth, folder: Folder) -> None:
    folder(30)
    told = facauth("calibrate", "ordinary", "--jobs", "1")
    assert (
        "stricter only because they are few; add people, or delete this calibration" in told.stderr
    )
    folder(30, "alike")
    assert "few" not in facauth("calibrate", "alike", "--jobs", "1").stderr
    assert facauth("calibrate", "ordinary", "--jobs", "1", "--quiet").stderr == ""


def test_out_writes_one_that_is_not_in_force(facauth: Facauth, folder: Folder) -> None:
    folder(30)
    told = facauth("calibrate", "ordinary", "--jobs", "1", "--out", "own.json").stdout
    assert told.splitlines()[0].endswith("written to own.json, not in force")
    assert stat.S_IMODE(Path("own.json").stat().st_mode) == 0o600
    assert calibrate(facauth, "--show")["calibration"]["kind"] == "shipped"
    path = local_calibration()
    assert path
    assert not path.exists()
    before = Path("own.json").read_bytes()
    answer = calibrate(facauth, "ordinary", "--out", "own.json", exit_code=2)
    assert answer["reasons"][0]["code"] == "calibrate.unfit_target"
    assert Path("own.json").read_bytes() == before
    calibrate(facauth, "ordinary", "--out", "absent/own.json", exit_code=2)


def test_a_cache_spares_a_second_look(facauth: Facauth, folder: Folder) -> None:
    folder(30)
    first = calibrate(facauth, "ordinary", "--cache", "kept")["calibration"]
    facauth.bind(film=None, decode=None)  # type: ignore[arg-type]
    again = calibrate(facauth, "ordinary", "--cache", "kept")["calibration"]
    assert again["rows"] == first["rows"]


def test_groups_are_measured_each_and_the_strictest_decides(
    facauth: Facauth, folder: Folder
) -> None:
    made = folder(60)
    names = ["many" if number < 30 else "few" if number < 40 else "rest" for number in range(60)]
    rows = [f"{number},{group}" for number, group in enumerate(names) if group != "rest"]
    (made / "groups.csv").write_text("\n".join(["person,group", *rows]))
    answer = calibrate(facauth, "ordinary")
    told = answer["calibration"]
    assert told["local_groups"] == {"everybody": 60, "many": 30}
    assert {each["group"] for each in told["rows"][0]["points"]} <= {"everybody", "many"}
    assert any("the group few has 10 people" in note for note in answer["notes"])
    text = facauth("calibrate", "--show").stdout
    assert re.search(r"\((everybody|many)\)$", text, re.MULTILINE)
    facauth("calibrate", "ordinary", "--groups", "absent.csv", exit_code=2)


def test_too_few_people_are_refused_before_any_photo_is_looked_at(
    facauth: Facauth, folder: Folder
) -> None:
    folder(24)
    facauth.bind(film=None, decode=None)  # type: ignore[arg-type]
    answer = calibrate(facauth, "ordinary", exit_code=2)
    (reason,) = answer["reasons"]
    assert reason["code"] == "calibrate.too_few"
    assert reason["advice"] == "add 1 more people, for 25 in all"
    assert answer["calibration"] is None


def test_people_without_a_usable_photo_do_not_count(facauth: Facauth, folder: Folder) -> None:
    made = folder(25)
    (made / "7" / "1.jpg").rename(made / "7" / "nobody.jpg")
    answer = calibrate(facauth, "ordinary", exit_code=2)
    assert answer["reasons"][0]["code"] == "calibrate.too_few"
    (made / "7" / "1.jpg").touch()
    answer = calibrate(facauth, "ordinary")
    assert answer["failures"] == {"face.none": 1}
    assert answer["calibration"]["photos"] == 25
    assert "1 photos were left out" in " ".join(answer["notes"])


def test_one_person_under_two_names_is_named_and_left_in(facauth: Facauth, folder: Folder) -> None:
    made = folder(30)
    (made / "same as 7").mkdir()
    (made / "same as 7" / "22.jpg").touch()
    answer = calibrate(facauth, "ordinary")
    (pair,) = answer["suspects"]
    assert pair["people"] == ["7", "same as 7"]
    assert pair["similarity"] > 0.95
    assert answer["calibration"]["people"] == 31
    assert answer["calibration"]["suspected_and_kept"] == 1
    assert "7 and same as 7 may be one person" in " ".join(answer["notes"])
    path = local_calibration()
    assert path
    assert "same as 7" not in path.read_text()


def test_photos_that_make_no_calibration_change_nothing(facauth: Facauth, folder: Folder) -> None:
    folder(25, "same")  # everybody is everybody
    answer = calibrate(facauth, "same", exit_code=2)
    (reason,) = answer["reasons"]
    assert reason["code"] == "calibrate.unfit"
    assert calibrate(facauth, "--show")["calibration"]["kind"] == "shipped"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("folder", "--show"),
        ("--show", "--out", "x"),
        ("--show", "--cache", "x"),
        ("absent",),
        (".",),
    ],
)
def test_calls_that_cannot_be_meant(facauth: Facauth, arguments: tuple[str, ...]) -> None:
    result = facauth("calibrate", *arguments, exit_code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("facauth: ")
    assert tree(facauth.home) == {}


# ---- one that cannot be trusted


def test_a_pipe_in_the_place_of_a_calibration_is_not_waited_for(facauth: Facauth) -> None:
    place = facauth.home / "config" / "facauth" / "calibration.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    with piped(place):
        told = facauth("calibrate", "--show", "--json", exit_code=7)
    assert told.codes == ["calibration.unfit"]


@pytest.fixture
def damaged(facauth: Facauth, photo: Photo) -> Path:
    """A local calibration with a hole in it, and somebody who is enrolled."""
    facauth.knows(Barack=photo(BARACK))
    path = local_calibration()
    assert path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    text = FILE.read_text().replace("0.41068", "NaN")
    assert "NaN" in text
    path.write_text(text)
    return path


def test_a_damaged_one_signs_in_nobody_and_registers_nobody(
    facauth: Facauth, photo: Photo, damaged: Path
) -> None:
    before = facauth.enrolled()
    for call in (
        ("sign-in", photo(BARACK)),
        ("sign-in", photo(BARACK), "--as", "Barack"),
        ("register", "Eileen", photo(EILEEN), "--accept-spoof"),
        ("calibrate", "--show"),
    ):
        answer = facauth(*call, "--json", exit_code=7)
        assert answer.codes == ["calibration.unfit"]
        assert str(damaged) in answer.json["reasons"][0]["message"]
    assert facauth.enrolled() == before
    damaged.unlink()
    facauth("sign-in", photo("obama_2012.jpg"), "--as", "Barack")


COMMANDS = [
    ("sign-in", "ada.jpg"),
    ("sign-in", "ada.jpg", "--as", "Ada", "--learn"),
    ("register", "Bob", "bob.jpg", "bob too.jpg", "--no-signature"),
    ("register", "Ada", "ada too.jpg", "--no-signature"),
    ("import", "Ada"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_decides_by_one_reading_of_it(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """So no two thresholds of one decision come from two files."""
    monkeypatch.setattr("facauth.decision.calibration.shipped", lambda: PLAIN)
    read_anew = {"calibration": lambda: in_force().calibration}
    cheap.bind_to(facauth, signature=cheap.capture, **read_anew)
    cheap.enrol(facauth, "Ada")
    if command[0] == "import":
        facauth("export", *command[1:], "Ada", "--plain")
        facauth("remove", "Ada", "--yes")
    path = local_calibration()
    assert path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(PLAIN.document | {"made": "2026-11-23", "facauth": "0"}))
    read: list[Path] = []

    def noted(file: Path, max_bytes: int) -> bytes:
        read.append(file)
        return read_trusted(file, max_bytes)

    monkeypatch.setattr("facauth.decision.calibration.read_trusted", noted)
    facauth(*command)
    assert read == [path]


def test_a_damaged_one_is_replaced_by_calibrating_anew(
    facauth: Facauth, folder: Folder, damaged: Path
) -> None:
    folder(30)
    told = calibrate(facauth, "ordinary")["calibration"]
    assert told["file"] == str(damaged)
    assert calibrate(facauth, "--show")["calibration"] == told


def test_doctor_says_which_is_in_force(
    facauth: Facauth, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slow in ("_weights", "_self_test", "_parity"):
        monkeypatch.setattr(f"facauth.doctor.{slow}", lambda: "not looked at here")

    def checked(exit_code: int) -> dict[str, Any]:
        checks = facauth("doctor", "--json", exit_code=exit_code).json["checks"]
        (found,) = [each for each in checks if each["check"] == "calibration"]
        return dict(found)

    found = checked(7)
    assert not found["ok"]
    assert "is damaged" in found["detail"]
    assert "delete it" in found["advice"]
    damaged.unlink()
    found = checked(0)
    assert found["ok"]
    assert found["detail"].startswith("shipped: Labeled Faces in the Wild")
    assert "women: FMR 9.6e-05 (3.9e-05 to 1.9e-04, 42 of 171991 pairs)" in found["detail"]


# ---- real photos


@pytest.mark.slow
@pytest.mark.skipif(not LFW.is_dir(), reason="needs LFW in ../shared/data")
def test_a_few_real_people_change_it_little(facauth: Facauth) -> None:
    people = sorted(LFW.iterdir())[100:130]
    Path("thirty").mkdir()
    for person in people:
        Path("thirty", person.name).symlink_to(person.resolve())
    answer = facauth.process("calibrate", "thirty", "--json").json
    told = answer["calibration"]
    assert told["people"] >= 25
    ours = point({"rows": [{"points": ONE_PHOTO}]})["similarity"]
    assert -0.005 < point(told)["similarity"] - ours < 0.035
    assert answer["suspects"] == []
