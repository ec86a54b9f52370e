"""One face, one name."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from plain import PLAIN

from facauth.decision import enrolment
from facauth.decision.calibration import shipped
from facauth.decision.match import Gallery
from facauth.errors import Conflict, SetupProblem
from facauth.structs import Encoding

CALIBRATION = PLAIN.calibration
require_agreement = partial(enrolment.require_agreement, calibration=CALIBRATION)
require_nobody_else = partial(enrolment.require_nobody_else, calibration=CALIBRATION)
require_one_person = partial(enrolment.require_one_person, calibration=CALIBRATION)
require_same_person = partial(enrolment.require_same_person, calibration=CALIBRATION)


def face(person: int, photo: int = 0, *, same: float = 0.9, other: float = 0.62) -> Encoding:
    """Photos of one person are alike by `same`, those of two by `other`: all faces are faces."""
    vector = np.zeros(256)
    vector[0] = math.sqrt(other)
    vector[person] = math.sqrt(same - other)
    vector[100 + photo + 10 * person] = math.sqrt(1 - same)
    return Encoding("test/1", vector.astype(np.float32))


def gallery(*people: tuple[str, Encoding]) -> Gallery:
    return Gallery.of([(name, encoding.as_bytes()) for name, encoding in people])


def code(refusal: pytest.ExceptionInfo[Conflict]) -> str:
    return refusal.value.reasons[0].code


# --- the photos of one call ----------------------------------------------------------------------


@pytest.mark.parametrize("photos", [0, 1, 2, 3, 5])
def test_photos_of_one_person_belong_together(photos: int) -> None:
    require_one_person([face(1, photo) for photo in range(photos)])


@pytest.mark.parametrize("photos", [2, 3, 4, 6])
@pytest.mark.parametrize("odd", ["first", "middle", "last"])
def test_the_photo_of_somebody_else_is_named(photos: int, odd: str) -> None:
    place = {"first": 0, "middle": photos // 2, "last": photos - 1}[odd]
    encodings = [face(2 if photo == place else 1, photo) for photo in range(photos)]
    with pytest.raises(Conflict) as refusal:
        require_one_person(encodings)
    assert code(refusal) == "photos.several_people"
    if photos > 2:  # of two photos nobody can say which is the odd one
        assert f"photo {place + 1} " in refusal.value.reasons[0].message


def test_the_photo_of_somebody_else_is_named_even_if_the_others_differ() -> None:
    """Here the odd photo drags the mean of the others along, so that one of them misses it too."""
    encodings = [
        face(person, number, same=0.8, other=0.5) for number, person in enumerate((1, 1, 2))
    ]
    with pytest.raises(Conflict) as refusal:
        require_one_person(encodings)
    assert "photo 3 " in refusal.value.reasons[0].message


def test_the_same_photo_twice_is_one_person() -> None:
    require_one_person([face(1), face(1)])


# --- the name ------------------------------------------------------------------------------------


def test_a_person_may_get_more_photos() -> None:
    require_same_person([face(1, 1), face(1, 2)], gallery(("Ada", face(1))), "Ada")


def test_a_name_is_not_for_two_faces() -> None:
    with pytest.raises(Conflict) as refusal:
        require_same_person([face(1, 1), face(2)], gallery(("Ada", face(1))), "Ada")
    assert code(refusal) == "name.other_face"
    assert "Ada" in refusal.value.reasons[0].message


def test_a_person_without_a_current_photo_cannot_be_added_to() -> None:
    """Else whoever comes first after an update could take the name over."""
    with pytest.raises(Conflict) as refusal:
        require_same_person([face(1)], gallery(), "Ada")
    assert code(refusal) == "name.needs_new_photo"


def rows(*photos: Encoding) -> list[tuple[str, bytes]]:
    return [("Ada", photo.as_bytes()) for photo in photos]


@pytest.mark.parametrize("photos", [0, 1, 2, 3])
def test_photos_that_agree_are_left_in_peace(photos: int) -> None:
    require_agreement(rows(*(face(1, photo) for photo in range(photos))), "Ada")


@pytest.mark.parametrize("photos", [1, 2, 4])
@pytest.mark.parametrize("last", [True, False])
def test_a_name_with_photos_of_two_faces_is_found(photos: int, last: bool) -> None:
    ours, other = [face(1, photo) for photo in range(photos)], [face(2)]
    with pytest.raises(Conflict) as refusal:
        require_agreement(rows(*(ours + other if last else other + ours)), "Ada")
    assert code(refusal) == "name.photos_disagree"


def test_a_damaged_photo_agrees_with_nothing() -> None:
    broken = np.full(256, np.nan, "<f4").tobytes()
    with pytest.raises(SetupProblem):
        require_agreement([*rows(face(1)), ("Ada", broken)], "Ada")


# --- the face ------------------------------------------------------------------------------------


def test_a_face_is_not_for_two_names() -> None:
    others = gallery(("Ada", face(1)), ("Bob", face(2)))
    with pytest.raises(Conflict) as refusal:
        require_nobody_else([face(3), face(2, 1)], others)
    assert code(refusal) == "face.enrolled_elsewhere"
    assert "Bob" in refusal.value.reasons[0].message


def test_a_new_face_may_have_a_new_name() -> None:
    require_nobody_else([face(3)], gallery(("Ada", face(1)), ("Bob", face(2))))
    require_nobody_else([face(3)], gallery())
    require_nobody_else([], gallery(("Ada", face(1))))


def test_photos_that_cancel_out_do_not_pass_for_nobody() -> None:
    """A mean without direction is like nobody in numbers; it must not read as "no duplicate"."""
    opposite = Encoding("test/1", -face(1).vector)
    with np.errstate(all="ignore"), pytest.raises((Conflict, SetupProblem)):
        others = gallery(("Ada", face(1)), ("Ada", opposite))
        require_nobody_else([face(1)], others)


def test_those_who_may_match_are_found_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As comparing one after the other finds them, whatever the size of a block."""
    people = [face(number) for number in range(1, 13)]
    everybody = gallery(*((f"p{number}", each) for number, each in enumerate(people)))
    probes = np.stack([*(each.vector for each in people), face(3, 1).vector, face(13).vector])
    owners = np.array([*range(12), -1, -1])
    for rows in (1, 5, 12, 100):
        monkeypatch.setattr(enrolment, "BLOCK_ROWS", rows)
        of_others = enrolment.like_somebody(probes, owners, everybody, CALIBRATION)
        assert of_others.tolist() == [12]
        strangers = np.full_like(owners, -1)
        of_anybody = enrolment.like_somebody(probes, strangers, everybody, CALIBRATION)
        assert of_anybody.tolist() == [*range(12), 12]
        probes_nan = probes.copy()
        probes_nan[13] = math.nan
        assert 13 in enrolment.like_somebody(probes_nan, owners, everybody, CALIBRATION)
    assert not len(enrolment.like_somebody(probes, owners, gallery(), CALIBRATION))


def test_an_encoding_without_a_place_in_the_space_is_not_imported() -> None:
    """Enrolled, it would stop every sign-in."""
    half = np.zeros(256, np.float32)
    half[200] = 1.0
    newcomer = enrolment.Newcomer("Ada", [[Encoding("c/1", half)]])
    enrolment.require_newcomer(newcomer, CALIBRATION)  # as stored it can be compared
    with pytest.raises(Conflict):
        enrolment.require_newcomer(newcomer, shipped().calibration)
