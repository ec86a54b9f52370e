"""enrol: many people at once, from a folder or a table, by the rules of register."""

from __future__ import annotations

import csv
import shutil
import stat
from pathlib import Path

import pytest
from conftest import Facauth, Photo
from engines import InFile

from facauth.store.spool import Spool

EILEEN, JOE, NOBODY, TWO = "collins.png", "biden_2010.jpg", "no_face.png", "two_faces.jpg"
BARACK = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")
SPOOF = "simulated_recapture.jpg"

Staff = dict[str, str]  # path below the folder -> sample photo


@pytest.fixture
def staff(facauth: Facauth, photo: Photo) -> Path:
    """Barack with a folder of two photos, Joe and Eileen with a photo each."""
    return folder(
        facauth,
        photo,
        {
            "Barack/first.jpg": BARACK[0],
            "Barack/second.jpg": BARACK[1],
            "Joe.jpg": JOE,
            "Eileen.png": EILEEN,
        },
    )


def folder(facauth: Facauth, photo: Photo, files: Staff, name: str = "staff") -> Path:
    made = facauth.here / name
    for file, sample in files.items():
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo(sample), made / file)
    return made


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_enrols_everybody_in_it(facauth: Facauth, staff: Path) -> None:
    result = facauth("enrol", str(staff))
    assert result.stdout == "enrolled 3 people (4 photos)\n"
    assert result.stderr == ""
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Joe": 1}
    assert facauth.events() == [("enrol", "registered", None)] * 3


def test_the_enrolled_people_sign_in(facauth: Facauth, staff: Path, photo: Photo) -> None:
    facauth("enrol", str(staff))
    assert facauth("sign-in", photo(BARACK[2])).stdout == "Barack\n"
    reused = facauth("sign-in", photo(BARACK[1]), "--json", exit_code=3)
    assert reused.codes == ["replay.enrolled_picture"]


@pytest.mark.sqlite("its bytes are sealed in every other store")
def test_it_enrols_the_same_bytes_as_register(
    facauth: Facauth, staff: Path, photo: Photo, tmp_path: Path
) -> None:
    facauth("enrol", str(staff))
    sql = "SELECT p.name, t.encoding, t.signature, t.accepted_spoof FROM templates t JOIN people p"
    sql += " ON p.id = t.person_id ORDER BY p.name, t.id"
    at_once = facauth.rows(sql)
    facauth.keeping = InFile(tmp_path / "data" / "other.sqlite3")
    shared = ("--store", str(facauth.store))
    facauth("register", "Barack", photo(BARACK[0]), photo(BARACK[1]), *shared)
    facauth("register", "Eileen", photo(EILEEN), *shared)
    facauth("register", "Joe", photo(JOE), *shared)
    assert facauth.rows(sql) == at_once


def test_a_second_run_enrols_only_what_is_new(facauth: Facauth, staff: Path, photo: Photo) -> None:
    facauth("enrol", str(staff))
    before = facauth.enrolled()
    result = facauth("enrol", str(staff))
    assert result.stdout == "enrolled 0 people (0 photos); 4 photos enrolled before\n"
    assert facauth.enrolled() == before
    folder(facauth, photo, {"barack/third.jpg": BARACK[2]})
    answer = facauth("enrol", str(staff), "--json").json
    assert answer["photos"] == {"enrolled": 1, "enrolled_before": 4, "refused": 0}
    assert facauth.names() == {"Barack": 3, "Eileen": 1, "Joe": 1}


def test_a_second_run_needs_no_signatures(facauth: Facauth, staff: Path) -> None:
    facauth("enrol", str(staff), "--no-signature")
    before = facauth.enrolled()
    again = facauth("enrol", str(staff), "--no-signature", "--json").json
    assert again["photos"] == {"enrolled": 0, "enrolled_before": 4, "refused": 0}
    assert facauth.enrolled() == before


def test_a_run_that_was_interrupted_goes_on(facauth: Facauth, staff: Path, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK[0]))
    assert facauth("enrol", str(staff)).stdout == (
        "enrolled 3 people (3 photos); 1 photo enrolled before\n"
    )
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Joe": 1}


def test_refused_photos_are_named_and_the_rest_is_enrolled(
    facauth: Facauth, staff: Path, photo: Photo
) -> None:
    folder(
        facauth,
        photo,
        {"Ada.png": NOBODY, "Eileen/two.jpg": TWO, "Phone.jpg": SPOOF, "Zoe/notes.txt": JOE},
    )
    (staff / "list.txt").write_text("nothing")
    result = facauth("enrol", str(staff), exit_code=8)
    told = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in told[:-1]] == [
        ["Zoe", f"{staff}/Zoe"],
        ["Ada", f"{staff}/Ada.png"],
        ["Eileen", f"{staff}/Eileen/two.jpg"],
        ["Phone", f"{staff}/Phone.jpg"],
    ]
    assert told[0][2] == f"there are no photos in {staff}/Zoe; check the path"
    assert told[1][2].startswith("no face was found; ")
    assert told[-1] == ["enrolled 3 people (4 photos)"]
    assert result.stderr == (
        "facauth: 1 file left out: only names such as NAME.jpg are taken for photos\n"
        "facauth: 4 photos of 8 refused; replace them, or write them to a table with"
        " --failed OUT.csv\n"
    )
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Joe": 1}
    assert sorted(facauth.events(), key=str)[:3] == [
        ("enrol", "attack", "liveness.presentation_attack"),
        ("enrol", "registered", None),
        ("enrol", "registered", None),
    ]


def test_json_has_an_entry_for_each_photo(facauth: Facauth, photo: Photo) -> None:
    people = folder(facauth, photo, {"Joe.jpg": JOE, "Ada.png": NOBODY})
    answer = facauth("enrol", str(people), "--json", exit_code=8).json
    assert (answer["verdict"], answer["ok"]) == ("partial", False)
    assert answer["people"] == {"enrolled": 1, "refused": 1}
    told = [
        (each["person"], each["image"], each["verdict"], each["exit_code"])
        for each in answer["results"]
    ]
    assert told == [
        ("Ada", f"{people}/Ada.png", "unusable_image", 4),
        ("Joe", f"{people}/Joe.jpg", "enrolled", 0),
    ]
    assert [why["code"] for why in answer["results"][0]["reasons"]] == ["face.none"]


# --- duplicates ----------------------------------------------------------------------------------


def test_one_face_under_two_names_is_refused_under_both(
    facauth: Facauth, staff: Path, photo: Photo
) -> None:
    folder(facauth, photo, {"Hussein.jpg": BARACK[2]})
    result = facauth("enrol", str(staff), exit_code=8)
    why = {line.split("\t")[0]: line.split("\t")[-1] for line in result.stdout.splitlines()[:-1]}
    advice = "give each face one name, or --allow-duplicate"
    assert why == {
        "Barack": f"this face also comes as Hussein; {advice}",
        "Hussein": f"this face also comes as Barack; {advice}",
    }
    assert facauth.names() == {"Eileen": 1, "Joe": 1}
    facauth("enrol", str(staff), "--allow-duplicate")
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Hussein": 1, "Joe": 1}


def test_a_face_of_the_store_is_refused_under_another_name(
    facauth: Facauth, staff: Path, photo: Photo
) -> None:
    facauth.knows(Biden=photo(JOE))
    result = facauth("enrol", str(staff), "--json", exit_code=8).json
    refused = [each for each in result["results"] if each["reasons"]]
    assert [(each["person"], each["verdict"]) for each in refused] == [("Joe", "conflict")]
    assert refused[0]["reasons"][0]["message"] == "this face is already enrolled as Biden"
    assert facauth.names() == {"Barack": 2, "Biden": 1, "Eileen": 1}


def test_a_file_under_two_names_is_found_before_any_photo_is_examined(
    facauth: Facauth, photo: Photo
) -> None:
    people = folder(facauth, photo, {"Joe.jpg": JOE, "Jim.jpg": JOE, "Eileen.png": EILEEN})
    result = facauth("enrol", str(people), "--json", exit_code=8).json
    refused = [each for each in result["results"] if each["reasons"]]
    assert [(each["person"], each["reasons"][0]["code"]) for each in refused] == [
        ("Jim", "roster.copy"),
        ("Joe", "roster.copy"),
    ]
    assert facauth.names() == {"Eileen": 1}


def test_a_copy_within_one_person_adds_nothing(facauth: Facauth, photo: Photo) -> None:
    people = folder(facauth, photo, {"Joe/a.jpg": JOE, "Joe/b.jpg": JOE})
    result = facauth("enrol", str(people), exit_code=8)
    assert "Joe/b.jpg\tphoto 2 shows the same picture as an earlier photo" in result.stdout
    assert facauth.names() == {"Joe": 1}


def test_photos_of_two_people_in_one_folder_enrol_nobody(facauth: Facauth, photo: Photo) -> None:
    people = folder(facauth, photo, {"Joe/a.jpg": JOE, "Joe/b.png": EILEEN})
    result = facauth("enrol", str(people), "--json", exit_code=8).json
    codes = [why["code"] for each in result["results"] for why in each["reasons"]]
    assert codes == ["photos.several_people"] * 2
    assert facauth.names() == {}


def test_another_face_is_not_added_to_a_name(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Joe=photo(JOE))
    people = folder(facauth, photo, {"Joe.png": EILEEN})
    result = facauth("enrol", str(people), exit_code=8)
    assert "the face does not match the one enrolled as Joe" in result.stdout
    assert facauth.names() == {"Joe": 1}
    assert facauth.events()[-1] == ("enrol", "conflict", "name.other_face")


def test_a_name_that_looks_like_another_is_told(facauth: Facauth, photo: Photo) -> None:
    people = folder(facauth, photo, {"Joe.jpg": JOE, "J\u043ee.png": EILEEN})
    said = facauth("enrol", str(people)).stderr
    assert "the name Joe looks like that of J\u043ee" in said
    assert facauth.names() == {"Joe": 1, "J\u043ee": 1}


# --- dry run -------------------------------------------------------------------------------------


def test_a_dry_run_says_the_same_and_writes_nothing(
    facauth: Facauth, staff: Path, photo: Photo
) -> None:
    folder(facauth, photo, {"Hussein.jpg": BARACK[2], "Ada.png": NOBODY})
    dry = facauth("enrol", str(staff), "--dry-run", exit_code=8)
    assert facauth.keeping.is_untouched()
    wet = facauth("enrol", str(staff), exit_code=8)
    assert dry.stdout.replace("would enrol", "enrolled") == wet.stdout
    before = facauth.keeping.everything()
    again = facauth("enrol", str(staff), "--dry-run", "--json", exit_code=8).json
    assert again["photos"] == {"enrolled": 0, "enrolled_before": 2, "refused": 4}
    assert facauth.keeping.everything() == before


# --- tables --------------------------------------------------------------------------------------


def test_a_table_names_people_files_and_consents(facauth: Facauth, staff: Path) -> None:
    table = staff / "people.csv"
    table.write_text(
        "\ufeffname,file,consent,purpose\n"
        "Barack,Barack/first.jpg,agreed on paper,door\n"
        'Joe,Joe.jpg,"agreed, by mail",\n'
        "barack,Barack/second.jpg,agreed on paper,door\n",
        encoding="utf-8",
    )
    assert facauth("enrol", str(table)).stdout == "enrolled 2 people (3 photos)\n"
    found = {row["name"]: row for row in facauth("list", "--json").json["people"]}
    assert (found["Barack"]["photos"], found["Barack"]["purpose"]) == (2, "door")
    assert found["Joe"]["consent"] == "agreed, by mail"


def test_a_tsv_may_list_several_files_in_a_line(facauth: Facauth, staff: Path) -> None:
    table = staff / "people.tsv"
    table.write_text("Name\tFiles\nBarack\tBarack/first.jpg; Barack/second.jpg\n")
    facauth("enrol", str(table), "--consent", "agreed")
    assert facauth.names() == {"Barack": 2}
    assert facauth("show", "Barack", "--json").json["person_record"]["consent"] == "agreed"


def test_what_failed_can_be_fed_back(facauth: Facauth, staff: Path, photo: Photo) -> None:
    table = staff / "people.csv"
    folder(facauth, photo, {"ada.png": NOBODY})
    table.write_text("name,file,consent\nAda,ada.png,yes\nJoe,Joe.jpg,\n,missing.jpg,\n")
    assert "line 4" in facauth("enrol", str(table), exit_code=2).stderr
    table.write_text("name,file,consent\nAda,ada.png,yes\nJoe,Joe.jpg,\nEve,gone.jpg,\n")
    said = facauth("enrol", str(table), "--failed", "failed.csv", exit_code=8).stderr
    assert "; correct the photos that failed.csv names, and enrol that table\n" in said
    failed = facauth.here / "failed.csv"
    assert stat.S_IMODE(failed.stat().st_mode) == 0o600
    told = [(row["name"], row["file"], row["consent"], row["code"]) for row in rows(failed)]
    assert told == [
        ("Ada", f"{staff}/ada.png", "yes", "face.none"),
        ("Eve", f"{staff}/gone.jpg", "", "image.missing"),
    ]
    shutil.copy(photo(EILEEN), staff / "ada.png")
    facauth("enrol", "failed.csv", "--failed", "failed.csv", exit_code=8)
    assert facauth.names() == {"Ada": 1, "Joe": 1}
    assert [row["name"] for row in rows(failed)] == ["Eve"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"person,photo\nJoe,Joe.jpg\n", "has no columns name and file"),
        (b"name,file\n", "there is nobody to enrol"),
        (b"\xff\xfe\x00", "cannot be read as CSV in UTF-8"),
        (b'name,file\n"Joe,Joe.jpg\n', "cannot be read as CSV in UTF-8"),
        (b"name,file\nJoe,\n", "has no name or no file in line 2"),
    ],
)
def test_a_table_that_cannot_be_used(facauth: Facauth, content: bytes, why: str) -> None:
    (facauth.here / "people.csv").write_bytes(content)
    assert why in facauth("enrol", "people.csv", exit_code=2).stderr
    assert facauth.keeping.is_untouched()


def test_different_consents_of_one_person_are_refused(facauth: Facauth, staff: Path) -> None:
    table = staff / "people.csv"
    table.write_text("name,file,consent\nJoe,Joe.jpg,yes\nJoe,Eileen.png,no\n")
    answer = facauth("enrol", str(table), "--json", exit_code=8).json
    assert {why["code"] for each in answer["results"] for why in each["reasons"]} == {
        "roster.consents"
    }


# --- paths and processes -------------------------------------------------------------------------


def test_what_cannot_be_named_is_reported(facauth: Facauth, photo: Photo) -> None:
    people = folder(facauth, photo, {"J\x07oe.jpg": JOE, "Eileen.png": EILEEN})
    result = facauth("enrol", str(people), exit_code=8)
    assert "the name cannot be used" in result.stdout
    assert "\x07" not in result.stdout
    assert facauth.names() == {"Eileen": 1}


def test_a_wrong_path_makes_nothing(facauth: Facauth, staff: Path) -> None:
    assert "does not exist" in facauth("enrol", "absent", exit_code=2).stderr
    assert "cannot be written" in (
        facauth("enrol", str(staff), "--failed", "absent/failed.csv", exit_code=2).stderr
    )
    assert facauth.keeping.is_untouched()


def test_several_processes_find_the_same(facauth: Facauth, staff: Path, photo: Photo) -> None:
    folder(facauth, photo, {"Ada.png": NOBODY})
    one = facauth.process("enrol", str(staff), "--jobs", "1", "--dry-run", "--json", exit_code=8)
    two = facauth.process("enrol", str(staff), "--jobs", "2", "--json", exit_code=8)
    assert one.json["results"] == two.json["results"]
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Joe": 1}
    again = facauth.process("enrol", str(staff), "--jobs", "2", "--json", exit_code=8).json
    assert again["photos"] == {"enrolled": 0, "enrolled_before": 4, "refused": 1}


def test_an_encrypted_store_needs_its_key(facauth: Facauth, staff: Path) -> None:
    facauth.encrypt()
    facauth("enrol", str(staff))
    assert facauth.names() == {"Barack": 2, "Eileen": 1, "Joe": 1}


def test_waiting_templates_cannot_be_read_from_the_disk() -> None:
    with Spool() as spool:
        places = [spool.put(text) for text in (b"first" * 9, b"second" * 9)]
        spool._file.seek(0)
        kept = spool._file.read()
        assert b"first" not in kept
        assert b"second" not in kept
        assert [spool.take(place) for place in places] == [b"first" * 9, b"second" * 9]
