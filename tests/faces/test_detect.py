"""Where the faces are: the same places however the photo is scaled, turned or mirrored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.errors import UnusableImage
from facauth.faces.detect import _search, area_px, find_faces, only_face, sight
from facauth.geometry import MAX_TIMES
from facauth.networks import Checked, Networks
from facauth.settings import DETECTION
from facauth.structs import Face, Sighting

Pixels = NDArray[np.uint8]

SAMPLES = Path(__file__).parents[2] / "sample_images"
PORTRAITS = ("biden_2010.jpg", "collins.png", "hopper_1984.jpg", "obama_2009.jpg", "obama_2012.jpg")


@pytest.fixture(scope="module")
def detector() -> cv2.FaceDetectorYN:
    return Networks(Checked(None)).detector


def sample(name: str, longest_px: int = 640) -> Pixels:
    """A sample photo, RGB, not larger than asked for."""
    photo = cv2.imread(str(SAMPLES / name), cv2.IMREAD_COLOR_RGB)
    assert photo is not None
    return scaled(np.asarray(photo, dtype=np.uint8), min(1.0, longest_px / max(photo.shape)))


def scaled(photo: Pixels, by: float) -> Pixels:
    way = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photo, None, fx=by, fy=by, interpolation=way), dtype=np.uint8)


def the_face(pixels: Pixels, detector: cv2.FaceDetectorYN) -> Face:
    (face,) = find_faces(pixels, detector)
    return face


def require_same_place(found: Face, expected: Face, *, within: float = 0.06) -> None:
    """Boxes and landmarks may differ by a share of the face's width."""
    off_px = within * expected.box_px[2]
    np.testing.assert_allclose(found.box_px, expected.box_px, rtol=0, atol=off_px * 1.5)
    np.testing.assert_allclose(found.landmarks_px, expected.landmarks_px, rtol=0, atol=off_px)


# --- finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PORTRAITS)
def test_one_face_in_a_portrait(detector: cv2.FaceDetectorYN, name: str) -> None:
    pixels = sample(name)
    face = the_face(pixels, detector)
    assert DETECTION.min_score <= face.detection_score <= 1
    assert face.landmarks_px.shape == (5, 2)
    x, y, width, height = face.box_px
    points = face.landmarks_px
    assert ((points >= (x, y)) & (points <= (x + width, y + height))).all()
    eye, other_eye, nose, corner, other_corner = points
    assert eye[0] < nose[0] < other_eye[0]  # from the image's left to its right
    assert corner[0] < other_corner[0]
    assert max(eye[1], other_eye[1]) < nose[1] < min(corner[1], other_corner[1])


def test_both_faces_of_two(detector: cv2.FaceDetectorYN) -> None:
    faces = find_faces(sample("two_faces.jpg"), detector)
    assert len(faces) == 2
    assert area_px(faces[0]) >= area_px(faces[1])


def test_no_face_where_there_is_none(detector: cv2.FaceDetectorYN) -> None:
    pixels = sample("no_face.png")
    sighting = sight(pixels, detector)
    assert (sighting.faces, sighting.turned_deg) == ((), 0)
    np.testing.assert_array_equal(sighting.pixels, pixels)


@pytest.mark.parametrize("by", [0.5, 2.0, 3.3])
@pytest.mark.parametrize("name", PORTRAITS)
def test_places_scale_with_the_photo(detector: cv2.FaceDetectorYN, name: str, by: float) -> None:
    """In pixels of the photo that was given, not of the copy that is searched."""
    pixels = sample(name)
    face = the_face(pixels, detector)
    expected = Face(
        (face.box_px[0] * by, face.box_px[1] * by, face.box_px[2] * by, face.box_px[3] * by),
        face.landmarks_px * np.float32(by),
        0.9,
    )
    require_same_place(the_face(scaled(pixels, by), detector), expected)


def test_places_in_a_photo_of_a_phone(detector: cv2.FaceDetectorYN) -> None:
    """So many pixels are halved before they are searched."""
    pixels = sample("obama_2012.jpg")
    large = scaled(pixels, 4033 / max(pixels.shape))
    assert max(large.shape) > MAX_TIMES * DETECTION.max_side_px
    expected, found = the_face(pixels, detector), the_face(large, detector)
    by = max(large.shape) / max(pixels.shape)
    np.testing.assert_allclose(
        np.array(found.box_px) / by, expected.box_px, atol=0.01 * expected.box_px[2]
    )
    assert np.abs(found.landmarks_px / by - expected.landmarks_px).max() < 1.5


def test_the_two_sides_have_scales_of_their_own(detector: cv2.FaceDetectorYN) -> None:
    """1001 x 640: 640 x 409.19 is searched as 640 x 409."""
    pixels = np.full((640, 1001, 3), 127, np.uint8)
    pixels[:600, :512] = sample("hopper_1984.jpg")
    require_same_place(the_face(pixels, detector), the_face(sample("hopper_1984.jpg"), detector))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_turned_photo_is_turned_back(detector: cv2.FaceDetectorYN, name: str, turns: int) -> None:
    upright = sample(name)
    sighting = sight(np.rot90(upright, turns), detector)
    assert sighting.turned_deg == (360 - 90 * turns) % 360
    np.testing.assert_array_equal(sighting.pixels, upright)
    assert sighting.pixels.flags.c_contiguous
    require_same_place(only_face(sighting), the_face(upright, detector), within=0.01)


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_mirrored_photo_has_mirrored_places(detector: cv2.FaceDetectorYN, name: str) -> None:
    pixels = sample(name)
    face, width = the_face(pixels, detector), pixels.shape[1]
    x, y, w, h = face.box_px
    points = face.landmarks_px[[1, 0, 2, 4, 3]].copy()
    points[:, 0] = width - 1 - points[:, 0]
    mirrored = the_face(np.ascontiguousarray(pixels[:, ::-1]), detector)
    expected = Face((width - 1 - x - w, y, w, h), points, 0.9)
    require_same_place(mirrored, expected, within=0.08)


def test_the_detector_sees_blue_first(detector: cv2.FaceDetectorYN) -> None:
    pixels = sample("collins.png")
    detector.setInputSize((pixels.shape[1], pixels.shape[0]))
    _, rows = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    _, swapped = detector.detect(pixels)
    face = the_face(pixels, detector)
    assert face.detection_score == pytest.approx(float(rows[0][14]), abs=1e-6)
    assert abs(face.detection_score - float(swapped[0][14])) > 1e-4
    assert face.box_px == pytest.approx(rows[0][:4].tolist(), abs=0.01)


def test_the_photo_is_left_as_it_is(detector: cv2.FaceDetectorYN) -> None:
    pixels = sample("hopper_1984.jpg")
    before = pixels.copy()
    pixels.setflags(write=False)
    sight(pixels, detector)
    np.testing.assert_array_equal(pixels, before)


def test_one_photo_does_not_change_the_next(detector: cv2.FaceDetectorYN) -> None:
    """The detector keeps the size it was set to."""
    first = find_faces(sample("hopper_1984.jpg"), detector)
    find_faces(sample("two_faces.jpg"), detector)
    again = find_faces(sample("hopper_1984.jpg"), detector)
    assert [face.box_px for face in first] == [face.box_px for face in again]


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 3),
        (1, 640),
        (640, 1),
        (31, 33),
        (1, 5000),
        (5000, 1),
        (20, 4001),
    ],
)
def test_odd_sizes_are_searched_all_the_same(
    detector: cv2.FaceDetectorYN, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for pixels in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        assert sight(pixels, detector).faces == ()


@settings(derandomize=True, deadline=None, max_examples=25, database=None)
@given(
    left=st.integers(0, 400), top=st.integers(0, 400), width=st.integers(8, 400),
    height=st.integers(8, 400),
)  # fmt: skip
def test_whatever_is_cut_out_of_a_photo_gives_sane_faces(
    detector: cv2.FaceDetectorYN, left: int, top: int, width: int, height: int
) -> None:
    photo = sample("hopper_1984.jpg")
    for face in sight(photo[top : top + height, left : left + width], detector).faces:
        assert all(math.isfinite(value) for value in face.box_px)
        assert np.isfinite(face.landmarks_px).all()
        assert face.box_px[2] > 0
        assert face.box_px[3] > 0


# --- which one -----------------------------------------------------------------------------------


def square(side_px: float, left_px: float = 0.0) -> Face:
    return Face((left_px, 0.0, side_px, side_px), np.zeros((5, 2), np.float32), 0.9)


def seen(*faces: Face, pixels: Pixels | None = None) -> Sighting:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    return Sighting(noise if pixels is None else pixels, faces, 0)


def refusal(sighting: Sighting) -> str:
    with pytest.raises(UnusableImage) as error:
        only_face(sighting)
    return error.value.reasons[0].code


def test_none_is_refused() -> None:
    assert refusal(seen()) == "face.none"


def test_one_is_the_one() -> None:
    sighting = seen(square(10))
    assert only_face(sighting) is sighting.faces[0]


def test_the_subject_is_so_many_times_as_prominent() -> None:
    """Two faces in one place are equally central."""
    limit = math.sqrt(DETECTION.min_prominence_ratio)
    at_limit = seen(square(10 * limit + 0.01), square(10), square(1))
    assert only_face(at_limit) is at_limit.faces[0]
    assert refusal(seen(square(10 * limit - 0.3), square(10), square(1))) == "face.several"
    assert refusal(seen(square(10), square(10))) == "face.several"


@pytest.mark.parametrize(("left_px", "alone"), [(200.0, True), (100.0, False)])
def test_what_is_central_is_more_prominent(left_px: float, alone: bool) -> None:
    """A face of 2.56 times the area, in the middle, beside one at the edge or there as well."""
    subject = Face((70.0, 70.0, 160.0, 160.0), np.zeros((5, 2), np.float32), 0.9)
    other = Face((left_px, left_px, 100.0, 100.0), np.zeros((5, 2), np.float32), 0.9)
    sighting = seen(subject, other)
    if alone:
        assert only_face(sighting) is subject
    else:
        assert refusal(sighting) == "face.several"


def test_of_like_size_no_place_makes_a_subject() -> None:
    """Twice the area is not enough, even in the middle beside one in a corner."""
    subject = Face((79.3, 79.3, 141.4, 141.4), np.zeros((5, 2), np.float32), 0.9)
    corner = Face((200.0, 200.0, 100.0, 100.0), np.zeros((5, 2), np.float32), 0.9)
    assert refusal(seen(subject, corner)) == "face.several"


@pytest.mark.parametrize("sides", [(math.nan, 1.0), (10.0, math.nan), (math.nan, math.nan)])
def test_a_size_that_is_not_a_number_does_not_dominate(sides: tuple[float, float]) -> None:
    with pytest.raises((UnusableImage, ValueError)):
        only_face(seen(*map(square, sides)))


def beside(name: str, longest_px: int, blur: float = 0.0) -> Pixels:
    """Hopper, and to her right another sample photo, out of focus if so asked."""
    pixels = np.full((640, 1100, 3), 127, np.uint8)
    pixels[:600, :512] = sample("hopper_1984.jpg")
    other = sample(name, longest_px)
    if blur:
        other = np.asarray(cv2.GaussianBlur(other, (0, 0), blur), dtype=np.uint8)
    pixels[: other.shape[0], 540 : 540 + other.shape[1]] = other
    return pixels


def test_a_face_beside_a_small_one_is_the_subject(detector: cv2.FaceDetectorYN) -> None:
    sighting = sight(beside("collins.png", 200), detector)
    assert len(sighting.faces) == 2
    assert only_face(sighting).box_px[0] < 512


def test_a_face_beside_one_of_like_size_is_not(detector: cv2.FaceDetectorYN) -> None:
    sighting = sight(beside("obama_2012.jpg", 540), detector)
    assert len(sighting.faces) == 2
    assert refusal(sighting) == "face.several"


def test_a_face_out_of_focus_is_not_meant(detector: cv2.FaceDetectorYN) -> None:
    sighting = sight(beside("obama_2012.jpg", 540, blur=7), detector)
    assert len(sighting.faces) == 2
    assert only_face(sighting).box_px[0] < 512


def test_two_faces_of_about_one_size_are_never_one(detector: cv2.FaceDetectorYN) -> None:
    assert refusal(sight(sample("two_faces.jpg"), detector)) == "face.several"


def test_what_a_second_look_does_not_find_is_no_face(
    detector: cv2.FaceDetectorYN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the grey beside Hopper finds none; a claim that one was there changes nothing."""
    pixels = beside("collins.png", 1)
    ghost = Face((600.0, 100.0, 300.0, 300.0), np.zeros((5, 2), np.float32), 0.99)

    def search(*arguments: Any) -> tuple[Face, ...]:
        found = _search(*arguments)
        return (ghost, *found) if arguments[0].shape[1] > 300 else found

    monkeypatch.setattr("facauth.faces.detect._search", search)
    sighting = sight(pixels, detector)
    assert (len(sighting.faces), sighting.turned_deg) == (1, 0)
    assert only_face(sighting).box_px[0] < 512


def test_only_so_many_are_looked_at_again(
    detector: cv2.FaceDetectorYN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd costs no more than a few looks, and the rest of it counts as faces."""
    ghosts = tuple(square(100, 10.0 * i) for i in range(40))
    looks: list[tuple[int, ...]] = []

    def search(pixels: Pixels, *_: Any) -> tuple[Face, ...]:
        looks.append(pixels.shape)
        return ghosts if pixels.shape[1] > 300 else ()

    monkeypatch.setattr("facauth.faces.detect._search", search)
    faces = sight(np.zeros((400, 600, 3), np.uint8), detector).faces
    assert faces == ghosts[DETECTION.max_looks :]
    small = [shape for shape in looks if shape[1] <= 300]
    assert len(small) >= DETECTION.max_looks
    assert len(looks) < 5 * DETECTION.max_looks


def test_a_face_is_what_scores_high_enough(
    detector: cv2.FaceDetectorYN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo that has to be turned needs a surer face than one that does not."""
    limits = DETECTION._replace(min_score_turned=0.999)
    monkeypatch.setattr("facauth.faces.detect.DETECTION", limits)
    upright = sample("hopper_1984.jpg")
    assert len(sight(upright, detector).faces) == 1
    assert sight(np.rot90(upright), detector).faces == ()


@pytest.mark.parametrize("large", ["obama_2012.jpg", "hopper_1984.jpg"])
def test_a_small_upright_face_does_not_vouch_for_a_large_one_on_its_head(
    detector: cv2.FaceDetectorYN, large: str
) -> None:
    on_its_head, small = np.rot90(sample(large, 900), 2), sample("obama_2009.jpg", 300)
    (height, width), (small_height, small_width) = on_its_head.shape[:2], small.shape[:2]
    montage = np.full((height, width + small_width, 3), 255, np.uint8)
    montage[:, :width], montage[:small_height, width:] = on_its_head, small
    sighting = sight(montage, detector)
    assert sighting.turned_deg == 180
    assert sighting.faces[0].detection_score >= DETECTION.upright_score
