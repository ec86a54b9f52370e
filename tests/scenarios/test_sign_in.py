"""sign-in: the person's name and code 0, or a refusal that says why."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, Altered, Facauth, Photo, tree, with_a_passer_by
from PIL import Image, ImageEnhance

from facauth.decision.match import compare
from facauth.structs import Face, Match, Sighting

EILEEN, JOE, NOBODY, TWO = "collins.png", "biden_2010.jpg", "no_face.png", "two_faces.jpg"
BARACK = ("obama_2009.jpg", "obama_2010.jpg")
PASSES = "facauth: matched at a false match rate of 1 in 1,000\n"
SIMULATED = "simulated_recapture.jpg"  # of a phone that shows Barack


@pytest.fixture
def enrolled(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Eileen and Barack."""
    facauth.knows(Eileen=photo(EILEEN), Barack=photo(BARACK[0]))
    return facauth


def test_the_right_person_signs_in(enrolled: Facauth, photo: Photo) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", photo(BARACK[1]))
    assert (result.stdout, result.stderr) == ("Barack\n", PASSES)
    assert enrolled.enrolled() == before
    assert enrolled.events()[-1] == ("sign-in", "signed_in", None)


def test_a_stranger_does_not(enrolled: Facauth, photo: Photo) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", photo(JOE), exit_code=1)
    assert result.stdout == ""
    assert result.stderr == "facauth: the face matches nobody; try another photo, or register\n"
    assert enrolled.enrolled() == before
    assert enrolled.events()[-1] == ("sign-in", "no_match", "match.none")


def test_a_stranger_is_not_told_who_looks_alike(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(JOE), "--json", exit_code=1)
    assert "Eileen" not in result.stdout
    assert "Barack" not in result.stdout


def test_the_claimed_person_signs_in(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(BARACK[1]), "--as", "barack")
    assert result.stdout == "Barack\n"
    assert result.stderr == "facauth: matched at a false match rate of 1 in 10,000\n"


def test_a_claim_of_another_name_fails(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(BARACK[1]), "--as", "eileen", exit_code=1)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: the face does not match Eileen; try another photo, or register\n"
    )


def test_a_claim_of_an_unknown_name_fails(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(BARACK[1]), "--as", "Nobody", exit_code=6)
    assert result.stdout == ""
    assert result.stderr == "facauth: nobody is enrolled as Nobody; see facauth list\n"
    assert enrolled.events()[-1] == ("sign-in", "conflict", "name.unknown")


def test_a_photo_without_a_face_is_unusable(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(NOBODY), exit_code=4)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: no face was found; give a photo that shows one face from the front\n"
    )
    assert enrolled.events()[-1] == ("sign-in", "unusable_image", "face.none")


def test_one_known_face_of_two_does_not_sign_the_other_in(enrolled: Facauth, photo: Photo) -> None:
    for more in ([], ["--as", "Eileen"]):
        result = enrolled("sign-in", photo(TWO), *more, exit_code=4)
        assert result.stdout == ""
        why = "facauth: 2 faces of similar size were found; give a photo of one person\n"
        assert result.stderr.endswith(why)
    assert enrolled.events()[-1] == ("sign-in", "unusable_image", "face.several")


@pytest.mark.slow
def test_the_one_in_front_signs_in(enrolled: Facauth, altered: Altered) -> None:
    result = enrolled("sign-in", altered(BARACK[1], with_a_passer_by))
    assert result.stdout == "Barack\n"
    assert "facauth: the photo shows 2 faces; only the dominant one counts\n" in result.stderr


def test_who_stands_back_is_not_signed_in(enrolled: Facauth, altered: Altered) -> None:
    """The stranger in front is the one who tries."""

    def behind_a_stranger(image: Image.Image) -> Image.Image:
        wider = Image.new("RGB", (image.width + 260, image.height), "gray")
        wider.paste(image, (0, 0))
        with Image.open(SAMPLES / BARACK[1]) as other:
            wider.paste(other.convert("RGB").resize((260, 325)), (image.width, 0))
        return wider

    result = enrolled("sign-in", altered(JOE, behind_a_stranger), exit_code=1)
    assert (result.stdout, enrolled.events()[-1][1:]) == ("", ("no_match", "match.none"))


@pytest.mark.parametrize("turned_deg", [0, 180])
def test_a_screen_in_front_of_a_live_face_is_an_attack(
    enrolled: Facauth, altered: Altered, turned_deg: int
) -> None:
    """A live face behind it vouches for nothing, nor does an upright one for one on its head."""
    crowd = altered(SIMULATED, lambda image: with_a_passer_by(image.rotate(turned_deg)))
    result = enrolled("sign-in", crowd, exit_code=3)
    assert result.stdout == ""


def test_a_face_that_matches_two_people_is_nobodys(facauth: Facauth, photo: Photo) -> None:
    facauth("register", "Barack", photo(BARACK[0]))
    facauth("register", "Second Name", photo("obama_2012.jpg"), "--allow-duplicate")
    result = facauth("sign-in", photo(BARACK[1]), exit_code=1)
    assert result.stdout == ""
    assert result.stderr == ("facauth: the face matches two people; name one of them with --as\n")
    assert facauth.events()[-1] == ("sign-in", "no_match", "match.ambiguous")
    assert facauth("sign-in", photo(BARACK[1]), "--as", "barack").stdout == "Barack\n"


def test_nobody_signs_in_where_nobody_is_enrolled(facauth: Facauth, photo: Photo) -> None:
    facauth.lacks_store("sign-in", photo(EILEEN))
    facauth.knows_nobody()
    result = facauth("sign-in", photo(EILEEN), exit_code=1)
    assert result.stdout == ""
    assert result.stderr == (
        f"facauth: nobody with a current photo is enrolled in {facauth.store}; "
        "facauth register NAME IMAGE\n"
    )


def test_without_a_store_no_claim_is_known(facauth: Facauth, photo: Photo) -> None:
    facauth.lacks_store("sign-in", photo(EILEEN), "--as", "Eileen")
    facauth.knows_nobody()
    facauth("sign-in", photo(EILEEN), "--as", "Eileen", exit_code=6)


def test_nobody_signs_in_with_a_store_that_was_emptied(enrolled: Facauth, photo: Photo) -> None:
    enrolled("remove", "Eileen", "--yes")
    enrolled("remove", "Barack", "--yes")
    enrolled("sign-in", photo(BARACK[1]), exit_code=1)


def test_a_photo_enrolled_by_other_networks_is_not_compared(
    enrolled: Facauth, photo: Photo
) -> None:
    enrolled.bind(contract=lambda: "another/1")
    result = enrolled("sign-in", photo(BARACK[1]), exit_code=1)
    assert "nobody with a current photo is enrolled" in result.stderr


def test_a_path_that_does_not_exist_is_a_usage_error(enrolled: Facauth) -> None:
    before = enrolled.events()
    result = enrolled("sign-in", "absent.jpg", exit_code=2)
    assert (result.stdout, result.stderr) == (
        "",
        "facauth: absent.jpg does not exist; check the path\n",
    )
    assert enrolled.events() == before


def test_a_folder_without_photos_is_no_clip(enrolled: Facauth, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = enrolled("sign-in", str(tmp_path / "empty"), exit_code=2)
    assert result.stderr == f"facauth: there are no photos in {tmp_path}/empty; check the path\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the image is empty"),
        (b"no image", "this is not an image that facauth reads"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "this is not an image that facauth reads"),
    ],
)
def test_a_file_that_is_no_image_is_unusable(
    enrolled: Facauth, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "here" / "photo.jpg").write_bytes(content)
    result = enrolled("sign-in", "photo.jpg", exit_code=4)
    assert result.stdout == ""
    assert result.stderr == (f"facauth: {message} (photo.jpg); give a photo as JPEG, PNG or WebP\n")


def test_half_a_photo_is_unusable(enrolled: Facauth, photo: Photo) -> None:
    half = Path(photo(BARACK[1])).read_bytes()[:30_000]
    result = enrolled("sign-in", "-", stdin=half, exit_code=4)
    assert result.stderr.startswith("facauth: the image is damaged or cut off (-);")


def test_a_photo_from_stdin_signs_in(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", "-", stdin=Path(photo(BARACK[1])).read_bytes())
    assert (result.stdout, result.stderr) == ("Barack\n", PASSES)


def test_an_empty_stdin_is_no_photo(enrolled: Facauth) -> None:
    result = enrolled("sign-in", "-", stdin=b"", exit_code=4)
    assert result.stdout == ""
    assert result.stderr.startswith("facauth: the image is empty")


def test_every_fault_of_a_photo_is_said(enrolled: Facauth, altered: Altered) -> None:
    def small_and_dark(image: Image.Image) -> Image.Image:
        return ImageEnhance.Brightness(image.resize((120, 120))).enhance(0.1)

    result = enrolled("sign-in", altered(EILEEN, small_and_dark), exit_code=4)
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "facauth: the face is too small; come closer",
        "facauth: the face is too dark; get more light",
        "facauth: the face has too little contrast; use even light",
    ]


def test_a_photo_of_a_screen_that_shows_somebody_enrolled_is_an_attack(
    enrolled: Facauth, photo: Photo
) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", photo(SIMULATED), "--as", "Barack", exit_code=3)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: this looks like a photo of a screen or a print; take a photo of the face itself\n"
    )
    assert enrolled.enrolled() == before
    assert enrolled.events()[-1] == ("sign-in", "attack", "liveness.presentation_attack")


def test_an_attack_is_not_compared_with_anybody(enrolled: Facauth, photo: Photo) -> None:
    result = enrolled("sign-in", photo(SIMULATED), "--json", exit_code=3).json
    assert (result["match"], result["person"]) == (None, None)
    assert result["liveness"]["verdict"] == "attack"


def test_a_live_score_that_is_no_number_refuses(
    enrolled: Facauth, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facauth.spoof.liveness.live_score", lambda *_: math.nan)
    result = enrolled("sign-in", photo(BARACK[1]), "--json", exit_code=3).json
    assert result["person"] is None
    assert result["liveness"]["live_score"] is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda image: image.crop((172, 55, 275, 185)), "too little is seen around the face"),
        (lambda image: image.convert("L"), "the photo has no colour"),
    ],
    ids=["cropped to the face", "grey"],
)
def test_where_liveness_cannot_be_judged_nobody_signs_in(
    enrolled: Facauth, altered: Altered, change: Callable[[Image.Image], Image.Image], why: str
) -> None:
    result = enrolled("sign-in", altered(EILEEN, change), exit_code=4)
    assert result.stdout == ""
    assert result.stderr.startswith(f"facauth: liveness cannot be judged: {why};")
    assert enrolled.events()[-1][:2] == ("sign-in", "unusable_image")


@pytest.mark.parametrize("similarity", [math.nan, -math.inf])
def test_a_similarity_that_is_no_number_matches_nobody(
    enrolled: Facauth, photo: Photo, similarity: float
) -> None:
    def broken(*arguments: Any) -> Match:
        return replace(compare(*arguments), similarity=similarity, margin=math.nan)

    enrolled.bind(compare=broken)
    assert enrolled("sign-in", photo(BARACK[1]), exit_code=1).stdout == ""
    enrolled("sign-in", photo(BARACK[1]), "--as", "Eileen", exit_code=1)


def test_a_margin_that_is_no_number_is_ambiguous(enrolled: Facauth, photo: Photo) -> None:
    def broken(*arguments: Any) -> Match:
        return replace(compare(*arguments), margin=math.nan)

    enrolled.bind(compare=broken)
    result = enrolled("sign-in", photo(BARACK[1]), "--json", exit_code=1)
    assert result.codes == ["match.ambiguous"]
    assert result.json["match"]["margin"] is None


def test_a_failing_stage_is_an_internal_error_and_never_a_yes(
    enrolled: Facauth, photo: Photo
) -> None:
    def broken(sighting: Sighting, face: Face) -> None:
        raise RuntimeError("an encoding, say")

    before = enrolled.enrolled()
    enrolled.bind(encode=broken)
    result = enrolled("sign-in", photo(BARACK[1]), exit_code=70)
    assert result.stdout == ""
    assert result.stderr == (
        "facauth: internal error (RuntimeError); run facauth --debug … and report it\n"
    )
    assert enrolled.enrolled() == before


def test_whatever_ends_the_program_is_never_a_yes(enrolled: Facauth, photo: Photo) -> None:
    """As some packages do when they miss something (face_recognition, for one)."""
    enrolled.bind(encode=lambda *_: sys.exit())
    result = enrolled("sign-in", photo(BARACK[1]), exit_code=70)
    assert result.stderr.startswith("facauth: internal error (SystemExit);")


def test_debug_shows_the_traceback_of_an_internal_error(enrolled: Facauth, photo: Photo) -> None:
    def broken(sighting: Sighting, face: Face) -> None:
        raise RuntimeError("the cause")

    enrolled.bind(encode=broken)
    result = enrolled("--debug", "sign-in", photo(EILEEN), exit_code=70)
    assert result.stdout == ""
    assert "RuntimeError: the cause" in result.stderr


@pytest.mark.parametrize("turned_deg", [90, 180, 270])
def test_a_turned_photo_is_turned_back_and_that_is_said(
    enrolled: Facauth, altered: Altered, turned_deg: int
) -> None:
    turned = altered(BARACK[1], lambda image: image.rotate(turned_deg, expand=True))
    note = f"the photo was turned by {360 - turned_deg} degrees to find the face"
    result = enrolled("sign-in", turned)
    assert (result.stdout, result.stderr) == ("Barack\n", f"{PASSES}facauth: {note}\n")
    assert note in enrolled("sign-in", turned, "--json").json["notes"]


def test_a_photo_that_its_camera_marked_as_turned_needs_no_word(
    enrolled: Facauth, photo: Photo, tmp_path: Path
) -> None:
    marked = tmp_path / "marked.jpg"
    orientation = Image.Exif()
    orientation[274] = 6  # to be turned clockwise by 90 degrees
    with Image.open(photo(BARACK[1])) as image:
        image.rotate(90, expand=True).save(marked, quality=95, exif=orientation)
    result = enrolled("sign-in", str(marked))
    assert (result.stdout, result.stderr) == ("Barack\n", PASSES)


def test_upside_down_strangers_are_still_strangers(facauth: Facauth, altered: Altered) -> None:
    def upside_down(image: Image.Image) -> Image.Image:
        return image.rotate(180)

    facauth("register", "Eileen", altered(EILEEN, upside_down))
    result = facauth("sign-in", altered(JOE, upside_down), "--json", exit_code=1).json
    assert result["match"]["similarity"] < 0.75


def test_an_answer_shows_what_it_rests_on(enrolled: Facauth, photo: Photo) -> None:
    answer = enrolled("sign-in", photo(BARACK[1]), "--json").json
    match = answer["match"]
    assert match["similarity"] > match["threshold"] + 0.05
    assert (match["compared"], match["fmr"]) == (2, pytest.approx(0.0005))
    assert match["margin"] > match["similarity"] - match["threshold"]
    assert answer["liveness"]["live_score"] > answer["liveness"]["threshold"]
    assert answer["quality"]["faces"] == 1


def test_a_claim_is_compared_with_one_person_only(enrolled: Facauth, photo: Photo) -> None:
    match = enrolled("sign-in", photo(BARACK[1]), "--as", "Barack", "--json").json["match"]
    assert (match["compared"], match["fmr"], match["margin"]) == (1, 1e-4, None)


def test_every_attempt_is_logged_without_score_or_path(enrolled: Facauth, photo: Photo) -> None:
    enrolled("sign-in", photo(JOE), exit_code=1)
    enrolled("sign-in", photo(NOBODY), exit_code=4)
    enrolled("sign-in", photo(BARACK[1]))
    assert enrolled.events()[-3:] == [
        ("sign-in", "no_match", "match.none"),
        ("sign-in", "unusable_image", "face.none"),
        ("sign-in", "signed_in", None),
    ]
    people = enrolled.rows(
        """SELECT e.verdict, p.name FROM events e LEFT JOIN people p ON p.uid = e.subject
        WHERE e.command = 'sign-in' ORDER BY e.id"""
    )
    assert people == [("no_match", None), ("unusable_image", None), ("signed_in", "Barack")]
    assert b"biden" not in enrolled.keeping.content()


@pytest.mark.slow
def test_signing_in_writes_the_store_and_a_memory_of_the_weights_and_nothing_else(
    enrolled: Facauth, photo: Photo
) -> None:
    result = enrolled.process("sign-in", photo(BARACK[1]))
    assert (result.stdout, result.stderr) == ("Barack\n", PASSES)
    assert list(tree(enrolled.home)) == ["cache", "cache/facauth", "cache/facauth/weights.json"]
    assert tree(enrolled.home)["cache/facauth/weights.json"][0] == "0o600"
    assert enrolled.keeping.is_alone()
    assert tree(enrolled.here) == {}


# --- several photos -------------------------------------------------------------------------------


@pytest.fixture
def barack(facauth: Facauth, photo: Photo) -> Facauth:
    """A store that knows Barack by a photo of 2012."""
    facauth.knows(Barack=photo("obama_2012.jpg"))
    return facauth


def test_several_photos_of_one_person(barack: Facauth, photo: Photo) -> None:
    result = barack("sign-in", *map(photo, BARACK), "--as", "Barack")
    assert result.stdout == "Barack\n"
    assert barack.events()[-1] == ("sign-in", "signed_in", None)
    assert barack.rows("SELECT failures FROM tries") == [(0,)]  # it was one attempt


@pytest.mark.parametrize(
    ("other", "exit_code", "code"),
    [
        (JOE, 4, "photos.several_people"),
        (NOBODY, 4, "face.none"),
        (SIMULATED, 3, "liveness.presentation_attack"),
        ("obama_2012.jpg", 3, "replay.enrolled_picture"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_bad_photo_refuses_all(
    barack: Facauth, photo: Photo, other: str, exit_code: int, code: str, first: bool
) -> None:
    photos = [photo(other), photo(BARACK[0])] if first else [photo(BARACK[0]), photo(other)]
    result = barack("sign-in", *photos, "--json", exit_code=exit_code)
    assert (result.codes, result.json["person"]) == ([code], None)


def test_a_photo_among_several_is_named(barack: Facauth, photo: Photo) -> None:
    result = barack("sign-in", photo(BARACK[0]), photo(NOBODY), exit_code=4)
    assert result.stderr.startswith(f"facauth: {photo(NOBODY)}: no face was found; ")
