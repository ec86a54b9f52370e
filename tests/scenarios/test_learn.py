"""sign-in --learn: what is kept of a photo that leaves no doubt, and for how long."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cheap
import numpy as np
import pytest
from conftest import Facauth, Photo, fragments
from plain import PLAIN

from facauth.errors import Reason, SetupProblem
from facauth.spoof.signature import CaptureSignature
from facauth.store.person import Person
from facauth.structs import (
    NOTHING_COMPARED,
    Encoding,
    Quality,
    Replay,
    ReplayVerdict,
    Sighting,
)

PASSES = "facauth: matched at a false match rate of 1 in 1,000\n"
LEARNED = PASSES + "facauth: learned: Ada now has {} photos\n"
OLD = "2020-01-01T00:00:00+00:00"
COPY = Reason("replay.enrolled_picture", "it is the enrolled picture", "take another photo")


def replay(probe: CaptureSignature, enrolled: list[CaptureSignature]) -> Replay:
    """Whether it is the same photo."""
    if not enrolled:
        return NOTHING_COMPARED
    again = probe.to_bytes() in [each.to_bytes() for each in enrolled]
    verdict = ReplayVerdict.ENROLLED_PICTURE if again else ReplayVerdict.NEW
    return Replay(verdict, len(enrolled), "frame", 9, 9, 0.5, 0.5, False, (COPY,) * again)


def liveness(sighting: Sighting, *_: object) -> Any:
    found = cheap.liveness(str(sighting.pixels))
    return replace(found, live_score=0.4) if "unsure" in str(sighting.pixels) else found


def measure(sighting: Sighting, *_: object) -> Quality:
    return replace(cheap.GOOD, inter_eye_distance_px=20 if "small" in str(sighting.pixels) else 99)


def encode(sighting: Sighting, *_: object) -> Encoding:
    """Each photo is a little different; one that is "far" still signs in."""
    image = str(sighting.pixels)
    like = 0.815 if "far" in image else 0.99  # of a threshold of .79 and one of .83
    vector = like * cheap.vector(image)
    vector[100 + zlib.crc32(image.encode()) % 100] = (1 - like**2) ** 0.5
    return Encoding(cheap.CONTRACT, vector.astype(np.float32))


@pytest.fixture
def enrolled(facauth: Facauth) -> Facauth:
    """A store that knows Ada and Bob, each with one photo, and photos that are names."""
    stages: dict[str, Callable[..., Any]] = {"signature": cheap.capture, "replay": replay}
    cheap.bind_to(facauth, liveness=liveness, measure=measure, encode=encode, **stages)
    facauth("register", "Ada", "ada 1.jpg")
    facauth("register", "Bob", "bob 1.jpg")
    return facauth


def templates(facauth: Facauth, name: str = "Ada") -> list[tuple[int, int]]:
    """(number, whether learned) of each photo of a person."""
    return facauth.rows(
        f"""SELECT t.id, learned FROM templates t JOIN people p ON p.id = t.person_id
        WHERE p.name = '{name}' ORDER BY t.id"""
    )


def threshold(facauth: Facauth, image: str) -> float:
    """The similarity that a photo of Ada must have now; it says how many are compared."""
    return float(facauth("sign-in", image, "--as", "Ada", "--json").json["match"]["threshold"])


def threshold_of(photos: int) -> float:
    return round(float(PLAIN.calibration.min_similarity(1e-4, np.array([photos]))[0]), 4)


# --- what is learned -----------------------------------------------------------------------------


def test_a_clear_photo_is_learned(enrolled: Facauth) -> None:
    result = enrolled("sign-in", "ada 2.jpg", "--learn")
    assert (result.stdout, result.stderr) == ("Ada\n", LEARNED.format(2))
    assert templates(enrolled) == [(1, 0), (3, 1)]
    assert templates(enrolled, "Bob") == [(2, 0)]
    assert enrolled.events()[-2:] == [("sign-in", "signed_in", None), ("sign-in", "learned", None)]
    assert threshold(enrolled, "ada 3.jpg") == threshold_of(2)


def test_nothing_is_learned_without_being_asked(enrolled: Facauth) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", "ada 2.jpg", "--json")
    assert result.json["learned"] is None
    assert enrolled.enrolled() == before
    assert enrolled.events()[-1] == ("sign-in", "signed_in", None)


def test_json_says_what_came_of_it(enrolled: Facauth) -> None:
    learned = enrolled("sign-in", "ada 2.jpg", "--as", "Ada", "--learn", "--json").json
    assert learned["learned"] == {"photos": 2, "reasons": []}
    assert set(learned["elapsed_ms"]) >= {"match", "learn"}
    refused = enrolled("sign-in", "ada far.jpg", "--learn", "--json").json
    assert (refused["ok"], refused["learned"]["photos"]) == (True, None)
    (reason,) = refused["learned"]["reasons"]
    assert reason["code"] == "learn.similarity"


@pytest.mark.parametrize(
    ("image", "option", "why"),
    [
        ("unsure ada.jpg", "", "the face is not surely live; sign in with another photo"),
        ("small ada.jpg", "", "the face is too small; come closer"),
        (
            "ada far.jpg",
            "",
            "the face matches the person, but not clearly enough; sign in with another photo",
        ),
    ],
)
def test_what_is_not_clear_signs_in_and_is_not_learned(
    enrolled: Facauth, image: str, option: str, why: str
) -> None:
    before = enrolled.enrolled()
    result = enrolled("sign-in", image, "--learn", *option.split())
    assert result.stdout == "Ada\n"
    assert result.stderr.endswith(f"facauth: not learned: {why}\n")
    assert enrolled("sign-in", image, "--learn", "--quiet", *option.split()).stderr == ""
    assert enrolled.enrolled() == before
    assert ("sign-in", "learned", None) not in enrolled.events()


def test_who_is_refused_is_not_learned(enrolled: Facauth) -> None:
    before = enrolled.enrolled()
    for image, code in (("print of ada.jpg", 3), ("stranger.jpg", 1), ("ada 1.jpg", 3)):
        result = enrolled("sign-in", image, "--learn", "--json", exit_code=code)
        assert result.json["learned"] is None
    enrolled("sign-in", "ada 2.jpg", "--as", "Bob", "--learn", exit_code=1)
    assert enrolled.enrolled() == before


def test_photos_without_a_signature_may_be_the_probe_itself(enrolled: Facauth) -> None:
    enrolled("register", "Ada", "ada 2.jpg", "--no-signature")
    result = enrolled("sign-in", "ada 2.jpg", "--learn")
    assert "facauth: not learned: some enrolled photos have no signature" in result.stderr
    assert templates(enrolled) == [(1, 0), (3, 0)]


def test_a_face_under_two_names_is_not_learned(enrolled: Facauth) -> None:
    enrolled("register", "Second Name", "ada 2.jpg", "--allow-duplicate")
    result = enrolled("sign-in", "ada 3.jpg", "--as", "Ada", "--learn")
    assert "not learned: the face also resembles another enrolled person" in result.stderr
    assert templates(enrolled) == [(1, 0)]


# --- for how long --------------------------------------------------------------------------------


def test_the_oldest_of_three_learned_photos_goes(enrolled: Facauth) -> None:
    for number, photos in ((2, 2), (3, 3), (4, 3), (5, 3)):
        result = enrolled("sign-in", f"ada {number}.jpg", "--learn")
        assert result.stderr == LEARNED.format(photos)
    assert templates(enrolled) == [(1, 0), (5, 1), (6, 1)]
    enrolled("register", "Ada", "ada 6.jpg", "ada 7.jpg")
    enrolled("sign-in", "ada 8.jpg", "--learn")
    assert [learned for _, learned in templates(enrolled)] == [0, 1, 0, 0, 1]


@pytest.mark.sqlite("a database keeps what was deleted, sealed, for a while")
def test_no_byte_stays_of_a_learned_photo_that_went(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    ((encoding, signature),) = enrolled.rows(
        "SELECT encoding, signature FROM templates WHERE learned = 1"
    )
    pieces = fragments(signature)
    assert all(piece in enrolled.keeping.content() for piece in pieces)
    for number in (3, 4):
        enrolled("sign-in", f"ada {number}.jpg", "--learn")
    left = enrolled.keeping.content()
    assert not any(piece in left for piece in pieces)
    assert encoding not in left


def test_after_a_year_a_learned_photo_is_not_compared(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    assert threshold(enrolled, "ada 3.jpg") == threshold_of(2) != threshold_of(1)
    enrolled.change(f"UPDATE templates SET enrolled_at = '{OLD}'")
    assert threshold(enrolled, "ada 3.jpg") == threshold_of(1)
    enrolled("sign-in", "ada 2.jpg", exit_code=3)  # its signature still finds it
    enrolled("sign-in", "ada 3.jpg", "--learn")
    times = enrolled.rows("SELECT learned, enrolled_at FROM templates WHERE person_id = 1")
    assert [(learned, at == OLD) for learned, at in times] == [(0, True), (1, False)]


def test_what_deletes_for_good_deletes_what_has_expired(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    enrolled("sign-in", "bob 2.jpg", "--learn")
    enrolled.change(f"UPDATE templates SET enrolled_at = '{OLD}' WHERE person_id = 1")
    enrolled("remove", "Bob", "--yes")
    assert templates(enrolled) == [(1, 0)]
    assert enrolled("sign-in", "ada 3.jpg").stdout == "Ada\n"


def test_a_damaged_person_keeps_nobody_else_in_the_store(enrolled: Facauth) -> None:
    enrolled.encrypt()
    enrolled("sign-in", "ada 2.jpg", "--learn")
    enrolled.change(f"UPDATE templates SET enrolled_at = '{OLD}' WHERE learned = 1")
    enrolled.change("UPDATE people SET wrapped_key = zeroblob(60) WHERE name = 'Ada'")
    enrolled("remove", "Bob", "--yes")
    assert "Bob" not in enrolled("list").stdout
    assert "Ada" in enrolled("list").stdout


def test_register_and_remove_know_learned_photos(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    enrolled("register", "Ada", "ada 3.jpg", "--replace")
    assert [learned for _, learned in templates(enrolled)] == [0]
    enrolled("sign-in", "ada 4.jpg", "--learn")
    enrolled("remove", "Ada", "--yes")
    assert templates(enrolled) == []


def test_the_picture_that_was_learned_does_not_sign_in_again(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg")
    enrolled("sign-in", "ada 2.jpg", "--learn")
    result = enrolled("sign-in", "ada 2.jpg", "--json", exit_code=3)
    assert result.codes == ["replay.enrolled_picture"]


def test_real_photos(facauth: Facauth, photo: Photo) -> None:
    facauth.knows(Eileen=photo("collins.png"), Barack=photo("obama_2009.jpg"))
    result = facauth("sign-in", photo("obama_2010.jpg"), "--learn")
    assert result.stderr == PASSES + "facauth: learned: Barack now has 2 photos\n"
    facauth("sign-in", photo("obama_2010.jpg"), exit_code=3)
    assert facauth("sign-in", photo("obama_2012.jpg")).stdout == "Barack\n"


# --- both or neither -----------------------------------------------------------------------------


def test_who_cannot_be_learned_is_not_signed_in(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the two: there is neither."""

    def full(*_: object) -> int:
        raise SetupProblem(Reason("store.full", "the disk is full", "free some space"))

    monkeypatch.setattr(Person, "add", full)
    before, events = enrolled.enrolled(), enrolled.events()
    enrolled("sign-in", "ada 2.jpg", "--learn", exit_code=7)
    assert (enrolled.enrolled(), enrolled.events()) == (before, events)


@pytest.mark.sqlite("a store in a database is encrypted from the start")
def test_nothing_is_added_to_photos_that_others_changed(
    enrolled: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Person.surplus

    def meanwhile(person: Person) -> list[int]:
        found = read(person)
        enrolled.change("UPDATE templates SET accepted_spoof = 1 WHERE id = 1")
        return found

    monkeypatch.setattr(Person, "surplus", meanwhile)
    result = enrolled("sign-in", "ada 2.jpg", "--learn")
    assert result.stdout == "Ada\n"
    assert "not learned: the photos of the person were changed just now;" in result.stderr
    assert templates(enrolled) == [(1, 0)]


# --- what is said of it, and kept of it ----------------------------------------------------------


def test_show_and_list_count_learned_photos(enrolled: Facauth) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    people = enrolled("list", "--json").json["people"]
    assert [(each["photos"], each["learned"]) for each in people] == [(2, 1), (1, 0)]
    assert "learned\t1\n" in enrolled("show", "Ada").stdout
    assert enrolled("show", "Ada", "--json").json["person_record"]["learned"] == 1


@pytest.fixture
def encrypted(enrolled: Facauth) -> Facauth:
    """The same, encrypted, with one photo learned afterwards."""
    enrolled.encrypt()
    enrolled("sign-in", "ada 2.jpg", "--learn")
    return enrolled


def test_an_encrypted_store_learns(encrypted: Facauth) -> None:
    assert templates(encrypted) == [(1, 0), (3, 1)]
    for number in (3, 4):
        encrypted("sign-in", f"ada {number}.jpg", "--learn")
    assert [learned for _, learned in templates(encrypted)] == [0, 1, 1]
    assert encrypted("sign-in", "ada 5.jpg").stdout == "Ada\n"
    encrypted("key", "rotate")
    assert encrypted("sign-in", "ada 5.jpg").stdout == "Ada\n"
    encrypted("sign-in", "ada 4.jpg", exit_code=3)


@pytest.mark.parametrize("number", [1, 3])
def test_in_an_encrypted_store_nobody_makes_one_of_the_other(
    encrypted: Facauth, number: int
) -> None:
    encrypted.change(f"UPDATE templates SET learned = 1 - learned WHERE id = {number}")
    result = encrypted("sign-in", "ada 3.jpg", "--json", exit_code=7)
    assert result.codes == ["store.altered"]


def test_an_export_keeps_the_difference(enrolled: Facauth, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled("sign-in", "ada 2.jpg", "--learn")
    enrolled("export", "--all", "--plain", "people.json")
    with monkeypatch.context() as patch:
        patch.setenv("FACAUTH_STORE", str(enrolled.home / "other"))
        enrolled("import", "people.json")
        people = enrolled("list", "--json").json["people"]
    assert [(each["photos"], each["learned"]) for each in people] == [(2, 1), (1, 0)]
