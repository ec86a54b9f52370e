"""identify and compare: faces are compared, and nobody is authenticated."""

from __future__ import annotations

import csv
import io
import json
import shutil
import stat
from pathlib import Path

import pytest
from conftest import Facauth, Photo
from PIL import Image

from facauth.store import means

EILEEN, JOE, NOBODY, TWO = "collins.png", "biden_2010.jpg", "no_face.png", "two_faces.jpg"
BARACK = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
SPOOF = "simulated_recapture.jpg"
WARNING = "faces were only compared: liveness was not checked, and nobody is authenticated"
ACCEPTING = ("signed_in", "authenticated", "accepted", "live")


@pytest.fixture
def crew(facauth: Facauth, photo: Photo) -> Facauth:
    facauth.knows(Barack=photo(BARACK[0]), Eileen=photo(EILEEN))
    return facauth


def people(result: str) -> list[list[str]]:
    """Person of each face."""
    return [line.split("\t")[2:3] for line in result.splitlines()]


def test_every_face_of_every_picture_is_named(crew: Facauth, photo: Photo) -> None:
    result = crew("identify", photo(BARACK[2]), photo(JOE), photo(NOBODY))
    told = [line.split("\t") for line in result.stdout.splitlines()]
    assert [(row[1], row[2], row[8]) for row in told] == [
        ("1", "Barack", ""),
        ("1", "", "the face matches nobody"),
        ("", "", "no face was found"),
    ]
    left, top, width, height = map(int, told[0][4:8])
    assert (left + width // 2, top + height // 2) == pytest.approx((491, 255), abs=15)
    assert result.stderr == f"facauth: {WARNING}\n"


def test_each_of_several_faces_is_searched(crew: Facauth, photo: Photo) -> None:
    (picture,) = crew("identify", photo(TWO), "--json").json["results"]
    assert len(picture["faces"]) == 2
    wide = [face["box_px"][2] for face in picture["faces"]]
    assert wide == sorted(wide, reverse=True)


def test_an_enrolled_picture_and_a_photo_of_a_screen_are_found(crew: Facauth, photo: Photo) -> None:
    """Nothing is refused as an attack: whoever searches wants to know who is seen."""
    found = crew("identify", photo(BARACK[0]), photo(SPOOF)).stdout
    assert people(found) == [["Barack"], ["Barack"]]


def test_no_word_of_it_says_that_somebody_is_authenticated(crew: Facauth, photo: Photo) -> None:
    answer = crew("identify", photo(BARACK[2]), "--json").json
    assert (answer["verdict"], answer["person"], answer["match"]) == ("searched", None, None)
    assert answer["liveness"] is None
    assert answer["notes"] == [WARNING]
    said = json.dumps({**answer, "notes": [], "liveness": None})
    assert not any(f'"{word}"' in said for word in ACCEPTING)


def test_it_counts_no_attempt_and_changes_nothing(crew: Facauth, photo: Photo) -> None:
    before = crew.keeping.everything()
    for _ in range(8):
        crew("identify", photo(JOE))
    assert crew.keeping.everything() == before
    crew("sign-in", photo(BARACK[2]))


def test_a_stricter_rate_finds_fewer(crew: Facauth, photo: Photo) -> None:
    (loose,) = crew("identify", photo(SPOOF), "--json").json["results"]
    (face,) = loose["faces"]
    assert face["match"]["similarity"] >= face["match"]["threshold"]
    assert face["match"]["fmr"] == pytest.approx(1e-3 / 2)
    assert crew("identify", photo(JOE), "--fmr", "1e-9", exit_code=2).stdout == ""


def test_a_folder_is_searched_and_what_is_no_image_is_told(crew: Facauth, photo: Photo) -> None:
    folder = crew.here / "pictures"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(photo(BARACK[1]), folder / "inner" / "a.jpg")
    (folder / "b.jpg").write_text("no image")
    result = crew("identify", str(folder), "absent.jpg", exit_code=8)
    told = {line.split("\t")[0]: line.split("\t")[-1] for line in result.stdout.splitlines()}
    assert told[f"{folder}/b.jpg"].startswith("this is not an image")
    assert told["absent.jpg"] == "absent.jpg does not exist"
    assert "2 files of 3 not searched" in result.stderr
    answer = crew("identify", "absent.jpg", "--json", exit_code=8).json
    assert (answer["verdict"], answer["reasons"][0]["code"]) == ("partial", "search.partial")
    assert answer["results"][0]["reasons"][0]["code"] == "image.missing"


def test_csv_and_json_lines(crew: Facauth, photo: Photo) -> None:
    pictures = (photo(BARACK[2]), photo(TWO))
    table = list(csv.DictReader(io.StringIO(crew("identify", *pictures, "--format", "csv").stdout)))
    assert [(row["image"], row["face"], row["person"]) for row in table[:1]] == [
        (pictures[0], "1", "Barack")
    ]
    assert len(table) == 3
    lines = crew("identify", *pictures, "--format", "jsonl").stdout.splitlines()
    objects = [json.loads(line) for line in lines]
    assert objects == crew("identify", *pictures, "--json").json["results"]


def test_pictures_are_drawn(crew: Facauth, photo: Photo) -> None:
    crew("identify", photo(BARACK[2]), photo(BARACK[2]), photo(NOBODY), "--draw", "out")
    made = sorted((crew.here / "out").iterdir())
    assert [path.name for path in made] == ["obama_2012.png", "obama_2012_2.png"]
    assert stat.S_IMODE(made[0].stat().st_mode) == 0o600
    with Image.open(made[0]) as drawn, Image.open(photo(BARACK[2])) as picture:
        assert drawn.size == picture.size
        box = crew("identify", photo(BARACK[2]), "--json").json["results"][0]["faces"][0]["box_px"]
        middle_of_left_side = (round(box[0]), round(box[1] + box[3] / 2))
        assert drawn.getpixel(middle_of_left_side) == (0, 160, 60)
    crew.here.joinpath("file").write_text("")
    assert "cannot be written" in crew("identify", photo(JOE), "--draw", "file", exit_code=2).stderr


def test_several_processes_find_the_same(crew: Facauth, photo: Photo) -> None:
    pictures = [*map(photo, BARACK), photo(TWO), photo(JOE)]
    one = crew.process("identify", *pictures, "--jobs", "1", "--json").json["results"]
    two = crew.process("identify", *pictures, "--jobs", "2", "--json").json["results"]
    assert one == two


def test_very_many_people_are_searched_by_blocks(
    crew: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = crew("identify", photo(BARACK[2]), photo(JOE)).stdout
    monkeypatch.setattr(means, "SEARCHED_FROM", 2)
    assert crew("identify", photo(BARACK[2]), photo(JOE)).stdout == few


def test_nobody_is_searched_for_without_people(facauth: Facauth, photo: Photo) -> None:
    facauth.lacks_store("identify", photo(JOE))
    facauth.knows_nobody()
    answer = facauth("identify", photo(JOE), "--json", exit_code=1)
    assert answer.codes == ["match.nobody_enrolled"]


def test_a_face_too_poor_to_compare_is_told(crew: Facauth, photo: Photo, tmp_path: Path) -> None:
    with Image.open(photo(BARACK[2])) as picture:
        picture.reduce(8).save(tmp_path / "far.png")
    (row,) = crew("identify", str(tmp_path / "far.png")).stdout.splitlines()
    assert row.split("\t")[1:4] == ["1", "", ""]
    assert row.split("\t")[-1] == "the face is too small"


# --- compare -------------------------------------------------------------------------------------


def test_two_photos_of_one_person(facauth: Facauth, photo: Photo) -> None:
    result = facauth("compare", photo(BARACK[0]), photo(BARACK[2]))
    assert result.stdout == "same person\n"
    assert "1 in 10,000 pairs of strangers pass this threshold (95 % interval: 1 in 1" in (
        result.stderr
    )
    assert result.stderr.endswith("liveness was not checked, and nobody is authenticated\n")
    assert facauth.keeping.is_untouched()


def test_two_photos_of_two_people(facauth: Facauth, photo: Photo) -> None:
    result = facauth("compare", photo(BARACK[0]), photo(JOE), exit_code=1)
    assert result.stdout == "not the same person\n"
    answer = facauth("compare", photo(BARACK[0]), photo(JOE), "--json", exit_code=1).json
    assert (answer["verdict"], answer["same_person"], answer["person"]) == ("compared", False, None)
    assert answer["match"]["similarity"] < answer["match"]["threshold"]
    low, high = answer["fmr_interval"]
    assert low < answer["error_rate"] == 1e-4 < high


def test_the_order_of_two_photos_does_not_matter(facauth: Facauth, photo: Photo) -> None:
    pair = photo(BARACK[0]), photo(BARACK[1])
    one, other = (facauth("compare", *each, "--json").json for each in (pair, pair[::-1]))
    assert one["match"] == other["match"]
    assert 0 < one["as_alike_fmr"] < 1e-4


def test_a_rate_that_cannot_be_promised(facauth: Facauth, photo: Photo) -> None:
    refused = facauth("compare", photo(JOE), photo(JOE), "--fmr", "1e-12", "--json", exit_code=2)
    assert refused.codes == ["match.unsupported_rate"]
    assert refused.json["same_person"] is None


def test_a_photo_that_cannot_be_compared_is_named(facauth: Facauth, photo: Photo) -> None:
    result = facauth("compare", photo(JOE), photo(NOBODY), exit_code=4)
    assert result.stdout == ""
    assert result.stderr.startswith(f"facauth: {photo(NOBODY)}: no face was found")
    assert facauth("compare", "-", "-", "--json", exit_code=2).codes == ["usage"]
