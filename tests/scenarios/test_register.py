"""register: all photos of one person or none, one face one name."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from conftest import PASSER_BY, Altered, Facauth, Photo, alive, fragments, with_a_passer_by
from PIL import Image, ImageEnhance, ImageFilter

EILEEN, JOE, NOBODY, TWO = "collins.png", "biden_2010.jpg", "no_face.png", "two_faces.jpg"
BARACK = ("obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")


def test_one_photo_registers_a_person(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Eileen", photo(EILEEN))
    assert result.stdout == "registered Eileen (1 photo)\n"
    assert result.stderr == (
        "facauth: with three photos of different days, 0.34 % of the person's own sign-ins fail "
        "instead of 2.13 %\n"
        "facauth: to sign in, take another photo: facauth refuses the enrolled photos\n"
    )
    assert facauth.names() == {"Eileen": 1}
    assert facauth.events() == [("register", "registered", None)]


def test_a_second_photo_brings_most_of_it(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK[0]))
    result = facauth("register", "Barack", photo(BARACK[1]))
    assert result.stdout == "registered Barack (2 photos)\n"
    assert "0.34 % of the person's own sign-ins fail instead of 0.48 %" in result.stderr
    assert facauth("register", "Barack", photo(BARACK[2]), "--quiet").stderr == ""


def test_three_photos_register_a_person_without_advice_to_take_more(
    facauth: Facauth, photo: Photo
) -> None:
    result = facauth("register", "Barack", *map(photo, BARACK))
    assert (result.stdout, result.stderr) == (
        "registered Barack (3 photos)\n",
        "facauth: to sign in, take another photo: facauth refuses the enrolled photos\n",
    )
    assert facauth.names() == {"Barack": 3}


@pytest.mark.sqlite("is about the file and its folder")
def test_the_store_and_its_folder_are_private(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", photo(EILEEN))
    assert stat.S_IMODE(facauth.store.stat().st_mode) == 0o600
    assert stat.S_IMODE(facauth.store.parent.stat().st_mode) == 0o700
    assert facauth.keeping.is_alone()


def test_neither_photo_nor_path_is_stored(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", photo(EILEEN))
    stored = facauth.keeping.content()
    assert b"collins" not in stored
    assert Path(photo(EILEEN)).read_bytes()[200:232] not in stored


def test_a_bad_second_photo_leaves_nobody_registered(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Eileen", photo(EILEEN), photo(NOBODY), exit_code=4)
    assert result.stdout == ""
    assert result.stderr == (
        f"facauth: {photo(NOBODY)}: no face was found; "
        "give a photo that shows one face from the front\n"
    )
    assert facauth.names() == {}
    assert facauth.events() == [("register", "unusable_image", "face.none")]


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_a_name_with_photos_of_two_people_gets_no_more(facauth: Facauth, photo: Photo) -> None:
    """Such as a store that something else wrote to; whose name it is, an operator has to say."""
    facauth.knows(Barack=photo(BARACK[0]), Eileen=photo(EILEEN))
    facauth.change("UPDATE templates SET person_id = 1")
    before = facauth.enrolled()
    result = facauth("register", "Barack", photo(BARACK[1]), "--json", exit_code=6)
    assert result.codes == ["name.photos_disagree"]
    assert facauth.enrolled() == before
    facauth("register", "Barack", photo(BARACK[1]), "--replace")
    assert facauth.names()["Barack"] == 1


def test_every_photo_that_fails_is_named(facauth: Facauth, photo: Photo) -> None:
    good, none, two = photo(BARACK[0]), photo(NOBODY), photo(TWO)
    images = (good, none, "absent.jpg", two)
    result = facauth("register", "Barack", *images, exit_code=2)
    assert [line.partition(";")[0] for line in result.stderr.splitlines()] == [
        f"facauth: {none}: no face was found",
        "facauth: absent.jpg does not exist",
        f"facauth: {two}: 2 faces of similar size were found",
    ]
    answer = facauth("register", "Barack", *images, "--json", exit_code=2)
    assert answer.codes == ["face.none", "image.missing", "face.several"]
    told = [
        (
            each["image"],
            each["verdict"],
            each["exit_code"],
            [why["code"] for why in each["reasons"]],
        )
        for each in answer.json["results"]
    ]
    assert told == [
        (good, "usable", 0, []),
        (none, "unusable_image", 4, ["face.none"]),
        ("absent.jpg", "usage", 2, ["image.missing"]),
        (two, "unusable_image", 4, ["face.several"]),
    ]
    assert facauth.names() == {}


def test_an_attack_among_the_photos_decides(facauth: Facauth, photo: Photo) -> None:
    images = (photo(NOBODY), photo("simulated_recapture.jpg"))
    answer = facauth("register", "Barack", *images, "--json", exit_code=3).json
    assert answer["verdict"] == "attack"
    assert [each["exit_code"] for each in answer["results"]] == [4, 3]


def test_of_photos_that_do_each_has_an_entry(facauth: Facauth, photo: Photo) -> None:
    one, two = photo(BARACK[0]), photo(BARACK[1])
    answer = facauth("register", "Barack", one, two, "--json").json
    assert [(each["image"], each["verdict"]) for each in answer["results"]] == [
        (one, "usable"),
        (two, "usable"),
    ]
    refused = facauth("register", "Ada", photo(JOE), photo(EILEEN), "--json", exit_code=6).json
    assert (refused["results"], refused["verdict"]) == (None, "conflict")


def test_a_bad_second_photo_adds_nothing_to_a_person(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK[0]))
    before = facauth.enrolled()
    facauth("register", "Barack", photo(BARACK[1]), photo(TWO), exit_code=4)
    facauth("register", "Barack", photo(BARACK[1]), "absent.jpg", exit_code=2)
    facauth("register", "Barack", "--replace", photo(BARACK[1]), photo(NOBODY), exit_code=4)
    assert facauth.enrolled() == before


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_another_photo_of_the_same_face_is_added(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK[0]))
    before = facauth.enrolled()
    result = facauth("register", "Barack", photo(BARACK[1]))
    assert result.stdout == "registered Barack (2 photos)\n"
    assert facauth.enrolled()[:1] == before
    assert facauth.names() == {"Barack": 2}


def test_another_face_cannot_be_added_to_a_name(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo(EILEEN))
    before = facauth.enrolled()
    result = facauth("register", "Eileen", photo(JOE), exit_code=6)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: the face does not match the one enrolled as Eileen; "
        "choose another name, or --replace to start anew\n"
    )
    assert facauth.enrolled() == before
    assert facauth.events()[-1] == ("register", "conflict", "name.other_face")


def test_replace_forgets_the_photos_enrolled_so_far(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", photo(EILEEN))
    result = facauth("register", "Eileen", photo(BARACK[0]), "--replace")
    assert result.stdout == "registered Eileen (1 photo)\n"
    assert facauth.names() == {"Eileen": 1}
    assert facauth("sign-in", photo(BARACK[1])).stdout == "Eileen\n"
    facauth("sign-in", photo(EILEEN), exit_code=1)


def test_replaced_encodings_leave_no_byte_in_the_store(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", photo(EILEEN))
    ((encoding, signature),) = facauth.rows("SELECT encoding, signature FROM templates")
    facauth("register", "Eileen", photo(JOE), "--replace")
    stored = facauth.keeping.content()
    assert [piece for piece in fragments(encoding + signature) if piece in stored] == []


def test_replace_registers_who_was_not_enrolled(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", photo(EILEEN), "--replace")
    assert facauth.names() == {"Eileen": 1}


def test_an_enrolled_face_cannot_have_a_second_name(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Barack=photo(BARACK[0]))
    before = facauth.enrolled()
    result = facauth("register", "Somebody Else", photo(BARACK[1]), exit_code=6)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: this face is already enrolled as Barack; "
        "add photos to that name, or --allow-duplicate\n"
    )
    assert facauth.enrolled() == before
    assert facauth.events()[-1] == ("register", "conflict", "face.enrolled_elsewhere")


def test_replace_does_not_let_a_face_have_a_second_name(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK[0]))
    before = facauth.enrolled()
    facauth("register", "Eileen", photo(BARACK[1]), "--replace", exit_code=6)
    assert facauth.enrolled() == before


def test_a_second_name_is_possible_if_asked_for(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(BARACK[0]))
    result = facauth("register", "Second Name", photo(BARACK[1]), "--allow-duplicate")
    assert result.stdout == "registered Second Name (1 photo)\n"
    assert facauth.names() == {"Barack": 1, "Second Name": 1}


def test_photos_of_two_people_are_not_one_person(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Eileen", photo(EILEEN), photo(JOE), exit_code=6)
    assert result.stdout == ""
    assert "the two photos show different faces; register one person at a time" in result.stderr
    assert facauth.names() == {}


def test_one_stranger_among_three_photos_is_named(facauth: Facauth, photo: Photo) -> None:
    photos = [photo(BARACK[0]), photo(BARACK[1]), photo(EILEEN)]
    result = facauth("register", "Barack", *photos, exit_code=6)
    assert result.stderr.startswith("facauth: photo 3 shows another face than the others;")
    assert facauth.names() == {}


def test_a_photo_of_two_people_is_refused(facauth: Facauth, photo: Photo) -> None:
    result = facauth("register", "Eileen", photo(TWO), exit_code=4)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: 2 faces of similar size were found; give a photo of one person\n"
    )
    assert facauth.names() == {}


def test_the_one_in_front_is_registered(facauth: Facauth, photo: Photo, altered: Altered) -> None:
    facauth("register", "Barack", altered(BARACK[0], with_a_passer_by))
    assert facauth("sign-in", photo(BARACK[1])).stdout == "Barack\n"
    facauth("sign-in", photo(PASSER_BY), exit_code=1)


def test_every_fault_of_a_photo_is_said(facauth: Facauth, altered: Altered) -> None:
    def small_and_dark(image: Image.Image) -> Image.Image:
        return ImageEnhance.Brightness(image.resize((120, 120))).enhance(0.1)

    result = facauth("register", "Eileen", altered(EILEEN, small_and_dark), exit_code=4)
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "facauth: the face is too small; come closer",
        "facauth: the face is too dark; get more light",
        "facauth: the face has too little contrast; use even light",
    ]
    assert facauth.names() == {}


@pytest.mark.slow
def test_registering_asks_for_a_better_photo_than_signing_in(
    facauth: Facauth, photo: Photo, altered: Altered
) -> None:
    blurred = altered(BARACK[1], lambda image: image.filter(ImageFilter.GaussianBlur(5)))
    result = facauth("register", "Barack", blurred, exit_code=4)
    assert result.stderr == "facauth: the face is blurred; hold still, wipe the lens, focus\n"
    facauth("register", "Barack", photo(BARACK[0]))
    facauth.bind(liveness=alive)
    assert facauth("sign-in", blurred).stdout == "Barack\n"


def test_a_photo_from_stdin_registers(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Eileen", "-", stdin=Path(photo(EILEEN)).read_bytes())
    assert facauth.names() == {"Eileen": 1}


def test_a_path_that_does_not_exist_registers_nobody(facauth: Facauth) -> None:
    result = facauth("register", "Eileen", "absent.jpg", exit_code=2)
    assert result.stdout == ""
    assert result.stderr == "facauth: absent.jpg does not exist; check the path\n"
    assert facauth.names() == {}


def test_a_refused_first_registration_says_nothing_but_what_was_wrong(
    facauth: Facauth, photo: Photo
) -> None:
    facauth("register", "Eileen", photo(NOBODY), exit_code=4)
    assert facauth("list").stdout == ""


def test_a_name_is_shown_as_it_was_first_enrolled(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(BARACK[0]))
    result = facauth("register", "BARACK", photo(BARACK[1]), "--json")
    assert result.json["person"] == "Barack"
    assert facauth.names() == {"Barack": 2}
