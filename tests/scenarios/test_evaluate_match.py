"""evaluate match: what is said of a folder of people, gates, groups, the cache and the plot."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cheap import CONTRACT, FACE, GOOD
from conftest import SAMPLES, TERMINAL_COLUMNS, Facauth, piped, tree
from PIL import Image
from plain import PLAIN
from portraits import filled, vector

from facauth.errors import Reason, UnusableImage
from facauth.structs import Encoding, Sighting

BARACK = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
RATE = {"rate", "interval", "method"}


def decode(image: str) -> str:
    if "broken" in image:
        raise UnusableImage(Reason("image.format", "it is no image", "give one"))
    return image


def sight(image: str) -> Sighting:
    if Path(image).stem == "crowd":
        return Sighting(np.zeros((200, 200, 3), np.uint8), (FACE, FACE), 0)
    faces = 0 if Path(image).stem == "nobody" else 1
    return Sighting(image, (FACE,) * faces, 0)  # type: ignore[arg-type]


def encode(sighting: Sighting, _: object) -> Encoding:
    path = Path(str(sighting.pixels))
    person = path.stem.partition("like_")[2] or path.parent.name
    return Encoding(CONTRACT, vector(person, path.name))


@pytest.fixture
def people(facauth: Facauth) -> Path:
    """Twelve people with four photos each, of whom the names tell what they show."""
    facauth.bind(
        contract=lambda: CONTRACT,
        calibration=lambda: PLAIN.calibration,
        film=lambda _: None,
        decode=decode,
        sight=sight,
        measure=lambda *_: GOOD,
        encode=encode,
    )
    files = [f"p{person:02}/{photo}.jpg" for person in range(12) for photo in range(4)]
    return filled(facauth.here / "people", *files)


def match(facauth: Facauth, folder: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
    arguments = ("evaluate", "match", str(folder), "--json", "--jobs", "1", *options)
    envelope = facauth(*arguments, exit_code=exit_code)
    assert "NaN" not in envelope.stdout
    found: dict[str, Any] = envelope.json
    return found


def test_the_keys_of_the_json_object(facauth: Facauth, people: Path) -> None:
    envelope = match(facauth, people)
    assert (envelope["command"], envelope["verdict"]) == ("evaluate match", "evaluated")
    evaluation = envelope["evaluation"]
    assert set(evaluation) == {
        *("people", "photos", "fte", "failures", "unreadable", "at_fmr", "enrolment_photos"),
        *("count_fta", "rows", "gallery", "groups", "intervals"),
    }
    one, three = evaluation["rows"]
    assert set(one) == {
        *("enrolment_photos", "enrolled", "people", "genuine", "impostor", "pairs", "eer"),
        *("eer_interval", "set_here", "calibrated"),
    }
    assert (one["enrolment_photos"], three["enrolment_photos"]) == (1, 3)
    assert (one["people"], one["genuine"], one["impostor"], one["pairs"]) == (12, 144, 2112, 66)
    for shown, kept in zip(one["set_here"], one["calibrated"], strict=True):
        assert set(shown) == {"fmr", "pairs", "threshold", "fnmr", "unknown"}
        assert set(kept) == {"asked_fmr", "threshold", "fmr", "pairs", "fnmr"}
        assert shown["fmr"] == kept["asked_fmr"]
        assert set(kept["fmr"]) == set(kept["fnmr"]) == RATE
    assert [each["fmr"] for each in one["set_here"]] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert (evaluation["gallery"], evaluation["groups"]) == (None, None)


def test_a_rate_that_few_pairs_show_is_null_with_a_word(facauth: Facauth, people: Path) -> None:
    last = match(facauth, people)["evaluation"]["rows"][0]["set_here"][-1]
    assert last["pairs"] < 30
    assert (last["threshold"], last["fnmr"]) == (None, None)
    assert last["unknown"] == "not shown by so few pairs"


def test_plain_text_when_piped(facauth: Facauth, people: Path) -> None:
    text = facauth("evaluate", "match", str(people), "--jobs", "1", "--gallery", "3").stdout
    lines = text.splitlines()
    assert lines[0] == "12 people, 48 photos; 0 cannot be used (FTE 0.0%, 0.0% to 6.2%)"
    assert lines[2].startswith("1 enrolment photo: EER ")
    assert "3 enrolment photos: EER " in text
    assert "not shown: fewer than 30 pairs of people match" in lines
    assert "Sign-ins to 1000 random galleries of 3 people, 1 enrolment photo each" in lines
    assert max(map(len, lines)) <= TERMINAL_COLUMNS
    assert "\x1b" not in text


def test_a_table_on_a_terminal(facauth: Facauth) -> None:
    folder = facauth.here / "people"
    for person, sample in (("a", BARACK[0]), ("b", "collins.png")):
        (folder / person).mkdir(parents=True)
        shutil.copy(SAMPLES / sample, folder / person / sample)
    (folder / "groups.csv").write_text("person,group\na,x\nb,y\n")
    shown = facauth.on_terminal("evaluate", "match", str(folder), "--gallery", "1").stdout
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert ["FMR", "asked", "pairs", "FMR", "95", "%", "FNMR", "95", "%"] in map(str.split, lines)
    assert max(map(len, lines)) <= TERMINAL_COLUMNS


def test_real_photos_of_one_person_match(facauth: Facauth) -> None:
    folder = facauth.here / "people"
    for person, samples in (("barack", BARACK), ("eileen", ("collins.png",))):
        (folder / person).mkdir(parents=True)
        for sample in samples:
            shutil.copy(SAMPLES / sample, folder / person / sample)
    evaluation = match(facauth, folder, "--max-fnmr", "0")["evaluation"]
    (row,) = evaluation["rows"]
    assert (row["people"], row["genuine"], row["impostor"]) == (1, 6, 6)
    at = {each["asked_fmr"]: each for each in row["calibrated"]}
    assert (at[1e-4]["fmr"]["rate"], at[1e-4]["fnmr"]["rate"]) == (0, 0)
    assert at[1e-4]["fnmr"]["interval"] == [0, 1]  # of one person


# ---- photos that cannot be used


def test_photos_that_cannot_be_used_are_counted_by_reason(facauth: Facauth, people: Path) -> None:
    filled(people, "p00/nobody.jpg", "p00/crowd.jpg", "only/crowd.png", "p01/broken.jpg")
    envelope = match(facauth, people, exit_code=8)
    evaluation = envelope["evaluation"]
    assert (evaluation["people"], evaluation["photos"]) == (13, 51)
    assert evaluation["failures"] == {"face.none": 1, "face.several": 2}
    assert (evaluation["fte"]["count"], evaluation["fte"]["of"]) == (3, 51)
    assert evaluation["unreadable"] == [
        {"image": str(people / "p01/broken.jpg"), "reason": "image.format"}
    ]
    assert envelope["verdict"] == "partial"


def test_nobody_with_two_photos(facauth: Facauth, people: Path) -> None:
    for photo in people.glob("*/[123].jpg"):
        photo.unlink()
    envelope = match(facauth, people)
    (row,) = envelope["evaluation"]["rows"]
    assert (row["people"], row["eer"], row["eer_interval"]) == (0, None, None)
    assert {each["fnmr"] for each in row["calibrated"]} == {None}
    assert envelope["notes"] == ["nobody has 2 usable photos, so the FNMR is unknown; add photos"]
    match(facauth, people, "--max-fnmr", "1", exit_code=1)
    text = facauth("evaluate", "match", str(people), "--jobs", "1").stdout
    assert "1 enrolment photo: EER unknown" in text


@pytest.mark.parametrize("files", [(), ("a.jpg",), ("p/1.jpg", "p/2.jpg"), ("p/1.jpg", "q/1.txt")])
def test_fewer_than_two_people(facauth: Facauth, files: tuple[str, ...]) -> None:
    folder = filled(facauth.here / "few", *files)
    folder.mkdir(exist_ok=True)
    result = facauth("evaluate", "match", str(folder), exit_code=2)
    assert result.stderr == (
        f"facauth: {folder} holds no photos of two people; "
        "make a folder of photos for each of two or more people\n"
    )


def test_two_people_of_whom_one_cannot_be_seen(facauth: Facauth, people: Path) -> None:
    folder = filled(people.parent / "two", "a/1.jpg", "a/2.jpg", "b/nobody.jpg")
    envelope = match(facauth, folder, "--max-fnmr", "1", exit_code=1)
    assert envelope["evaluation"]["rows"] == []
    assert "no two people have usable photos" in envelope["notes"][0]
    facauth("evaluate", "match", str(folder), "--jobs", "1", "--plot", "out.png")


def test_more_enrolment_photos_than_anybody_has(facauth: Facauth, people: Path) -> None:
    envelope = match(facauth, people, "--photos", "5", "--max-fnmr", "1", exit_code=1)
    assert [row["enrolment_photos"] for row in envelope["evaluation"]["rows"]] == [1, 3]
    assert envelope["notes"] == [
        "nobody has 5 usable photos, so nothing is measured with 5 enrolment photos; add photos"
    ]


# ---- limits


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (("--max-fnmr", "1"), []),
        (("--max-fnmr", "0.05"), []),
        (("--max-fnmr", "0.03"), ["evaluate.fnmr"]),
        (("--max-fnmr", "0.03", "--at-fmr", "1e-8", "--photos", "2"), ["evaluate.fnmr"]),
        (("--at-fmr", "1e-8"), []),
    ],
)
def test_gates(facauth: Facauth, people: Path, options: tuple[str, ...], codes: list[str]) -> None:
    filled(people, "p00/like_somebody.jpg")
    envelope = match(facauth, people, *options, exit_code=1 if codes else 0)
    assert [reason["code"] for reason in envelope["reasons"]] == codes
    assert envelope["verdict"] == ("gate_missed" if codes else "evaluated")
    assert envelope["evaluation"]["rows"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-fnmr", "1.5"), "--max-fnmr is not between 0 and 1"),
        (("--max-fnmr", "nan"), "--max-fnmr is not between 0 and 1"),
        (("--at-fmr", "1e-12"), "a false match rate of 1e-12 per comparison cannot be promised"),
        (("--at-fmr", "nan"), "cannot be promised"),
        (("--gallery", "12"), "a gallery of 12 leaves nobody outside of 12 people"),
        (("--gallery", "0"), "invalid value for '--gallery'"),
        (("--photos", "0"), "invalid value for '--photos'"),
        (("--plot", "out.jpg"), "its name does not end in .png"),
        (("--cache", "absent/cache"), "its folder cannot be written"),
        (("--cache", "."), "it is not a regular file"),
    ],
)
def test_options_that_cannot_be_meant_so(
    facauth: Facauth, people: Path, options: tuple[str, ...], said: str
) -> None:
    result = facauth("evaluate", "match", str(people), *options, exit_code=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_a_missed_gate_still_prints_the_rates(facauth: Facauth, people: Path) -> None:
    filled(people, "p00/like_somebody.jpg")
    options = ("--jobs", "1", "--max-fnmr", "0.03")
    result = facauth("evaluate", "match", str(people), *options, exit_code=1)
    assert "facauth's thresholds" in result.stdout.splitlines()
    # of five photos of one of twelve people one is another's: 2 / 5 / 12
    assert result.stderr == (
        "facauth: the FNMR at facauth's threshold for FMR 0.0001 is 3.33%, over 3.00%; "
        "see the table, or --json\n"
    )


# ---- galleries and groups


def test_sign_ins_to_galleries(facauth: Facauth, people: Path) -> None:
    gallery = match(facauth, people, "--gallery", "5", "--photos", "2")["evaluation"]["gallery"]
    assert set(gallery) == {
        *("people", "enrolment_photos", "asked_fpir", "asked_fmr", "threshold", "draws"),
        *("strangers", "mates", "fpir", "fnir"),
    }
    assert (gallery["people"], gallery["strangers"], gallery["mates"]) == (5, 7, 5)
    assert (gallery["enrolment_photos"], gallery["asked_fpir"]) == (2, 1e-3)
    assert set(gallery["fpir"]) == set(gallery["fnir"]) == RATE


def test_a_gallery_larger_than_who_can_be_used(facauth: Facauth, people: Path) -> None:
    filled(people, "nobody/nobody.jpg")
    envelope = match(facauth, people, "--gallery", "12")
    assert envelope["evaluation"]["gallery"] is None
    assert envelope["notes"] == [
        "a gallery of 12 leaves no usable person outside it; use a smaller --gallery"
    ]


def test_rates_by_group(facauth: Facauth, people: Path) -> None:
    rows = [f"p{person:02},{'even' if person % 2 == 0 else 'odd'}" for person in range(11)]
    (people / "groups.csv").write_text("\n".join(["person,group", *rows]))
    groups = match(facauth, people, "--at-fmr", "0.01")["evaluation"]["groups"]
    assert set(groups) == {
        *("threshold", "ungrouped_photos", "across", "within", "worst", "most_missed"),
    }
    assert set(groups["worst"]) == {"group", "fmr", "over_asked"}
    assert groups["worst"]["over_asked"] == pytest.approx(groups["worst"]["fmr"]["rate"] / 0.01)
    assert set(groups["most_missed"]) == {"group", "fnmr"}
    assert groups["ungrouped_photos"] == 4
    pairs = {(each["enrolled"], each["probe"]): each["pairs"] for each in groups["across"]}
    assert pairs == {
        ("even", "even"): 15,
        ("even", "odd"): 30,
        ("odd", "even"): 30,
        ("odd", "odd"): 10,
    }
    assert set(groups["across"][0]["fmr"]) == RATE
    assert [(each["group"], each["people"]) for each in groups["within"]] == [
        ("even", 6),
        ("odd", 5),
    ]
    text = facauth("evaluate", "match", str(people), "--jobs", "1").stdout
    assert "Groups at facauth's threshold for FMR 0.0001" in text
    told = r"^worst group: (even|odd), FMR \S+ \(.* to .*\), \S+ times the one asked$"
    assert re.search(told, text, re.MULTILINE)
    assert re.search(r"^most missed group: (even|odd), FNMR .*%\)$", text, re.MULTILINE)
    assert "4 photos are in no group" in text


def test_groups_of_folders(facauth: Facauth, people: Path) -> None:
    for person in list(people.iterdir()):
        group = people / ("even" if int(person.name[1:]) % 2 == 0 else "odd")
        group.mkdir(exist_ok=True)
        person.rename(group / person.name)
    evaluation = match(facauth, people, "--groups", "folders")["evaluation"]
    assert evaluation["people"] == 12
    assert {each["group"]: each["people"] for each in evaluation["groups"]["within"]} == {
        "even": 6,
        "odd": 6,
    }
    result = facauth("evaluate", "match", str(people), "--groups", "absent.csv", exit_code=2)
    assert "absent.csv is not there" in result.stderr


def test_photos_that_cannot_be_used_count_as_missed_if_asked(
    facauth: Facauth, people: Path
) -> None:
    filled(people, "p00/nobody.jpg")
    plain, counted = (
        match(facauth, people, *option)["evaluation"] for option in ((), ("--count-fta",))
    )
    assert (plain["count_fta"], counted["count_fta"]) == (False, True)
    before, after = (each["rows"][0]["calibrated"][0]["fnmr"]["rate"] for each in (plain, counted))
    assert (before, after) == (0, pytest.approx(1 / 4 / 12))  # one of four tries of one of twelve
    told = facauth("evaluate", "match", str(people), "--jobs", "1", "--count-fta").stdout
    assert told.splitlines()[0].endswith("; they count as missed")


def test_an_unknown_name_in_groups_is_refused_before_any_photo(
    facauth: Facauth, people: Path
) -> None:
    (people / "groups.csv").write_text("person,group\np00,x\nsomebody,x\n")
    facauth.bind(film=lambda _: None, decode=lambda _: pytest.fail("a photo was looked at"))
    result = facauth("evaluate", "match", str(people), exit_code=2)
    assert result.stderr == (
        f"facauth: {people}/groups.csv names on line 3 somebody, which is not here; "
        "give columns group and person, or group and image (PERSON/IMAGE), each named once\n"
    )


def test_a_pipe_in_the_place_of_groups_is_not_waited_for(facauth: Facauth, people: Path) -> None:
    with piped(people / "groups.csv"):
        told = facauth("evaluate", "match", str(people), "--json", exit_code=2)
    assert told.codes == ["evaluate.groups"]
    assert "is no file" in told.json["reasons"][0]["message"]


# ---- what is written


def test_nothing_is_written_unasked(facauth: Facauth, people: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    match(facauth, people)
    assert tree(tmp_path) == before


def test_with_a_cache_the_second_run_looks_at_nothing(facauth: Facauth, people: Path) -> None:
    filled(people, "p00/nobody.jpg")
    first = match(facauth, people, "--cache", "cache")["evaluation"]
    facauth.bind(
        contract=lambda: CONTRACT,
        calibration=lambda: PLAIN.calibration,
        film=lambda _: None,
        decode=lambda _: pytest.fail("a photo was looked at"),
    )
    assert match(facauth, people, "--cache", "cache")["evaluation"] == first
    cache = facauth.here / "cache"
    assert cache.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in facauth.here.iterdir()} == {"people", "cache"}


def test_a_file_of_the_user_is_not_written_over(facauth: Facauth, people: Path) -> None:
    (facauth.here / "thesis.odt").write_bytes(b"years of work")
    facauth("evaluate", "match", str(people), "--cache", "thesis.odt", exit_code=2)
    assert (facauth.here / "thesis.odt").read_bytes() == b"years of work"


def test_a_plot(facauth: Facauth, people: Path) -> None:
    match(facauth, people, "--plot", "out.png")
    with Image.open(facauth.here / "out.png") as image:
        assert image.format == "PNG"


def test_no_encoding_and_no_list_of_scores_is_in_the_answer(facauth: Facauth, people: Path) -> None:
    lists = re.findall(r"\[[^\[\]{}]*\]", json.dumps(match(facauth, people, "--gallery", "3")))
    assert lists
    assert max(each.count(",") for each in lists) == 1  # intervals


@pytest.mark.slow
def test_several_processes_find_the_same(facauth: Facauth) -> None:
    folder = facauth.here / "people"
    for person, samples in (("barack", BARACK), ("eileen", ("collins.png",))):
        (folder / person).mkdir(parents=True)
        for sample in samples:
            shutil.copy(SAMPLES / sample, folder / person / sample)

    def found(jobs: str) -> Any:
        arguments = ("evaluate", "match", str(folder), "--json", "--jobs", jobs)
        return facauth.process(*arguments).json["evaluation"]

    assert found("2") == found("1")
