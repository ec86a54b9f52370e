"""The dlib half, run by cv2.dnn, says what dlib itself says of the same chip."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import pytest
from numpy.typing import NDArray
from weights.compile import SHIPPED

from facauth.faces.landmarks import find_landmarks
from facauth.networks import Checked, Networks

Pixels = NDArray[np.uint8]

TOP = Path(__file__).parents[2]
SAMPLES = sorted((TOP / "sample_images").glob("*.[jp][pn]g"))
LFW = TOP.parent / "shared" / "data" / "lfw"
ROWS = json.loads((SHIPPED / "manifest.json").read_text())["weights"]
FILES = {row["role"]: SHIPPED / row["file"] for row in ROWS}
CHIPS_WANTED = 24
CHANGES = ((0.0, 1.0, 0.0), (-12.0, 0.8, 7.5), (9.0, 1.2, -4.0))  # degrees, scale, shift in px
TOLERANCE = 1e-5  # of 128 numbers about 0.1 in size; measured: 6e-7


@pytest.fixture(scope="module")
def models() -> Path:
    """The files that the package face_recognition_models publishes."""
    package = importlib.util.find_spec("face_recognition_models")  # found, not imported:
    if package is None or package.origin is None:  # importing it needs pkg_resources
        pytest.skip("face_recognition_models is not installed")
    return Path(package.origin).parent / "models"


@pytest.fixture(scope="module")
def original(models: Path) -> Any:
    """dlib's own encoder."""
    return dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))


@pytest.fixture(scope="module")
def compiled() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(str(FILES["encode_dlib"]))


@pytest.fixture(scope="module")
def cutter(models: Path) -> ChipCutter:
    return ChipCutter(models)


class ChipCutter:
    """Finds the largest face of a picture and cuts dlib's chip of it."""

    def __init__(self, models: Path) -> None:
        self.detector = cv2.FaceDetectorYN.create(str(FILES["detect"]), "", (320, 320), 0.6)
        file = models / "shape_predictor_5_face_landmarks.dat"
        self.predictor = dlib.shape_predictor(str(file))

    def chip(self, picture: Pixels) -> Pixels | None:
        """RGB picture -> RGB chip of 150 x 150 pixels; None without a face."""
        self.detector.setInputSize(picture.shape[1::-1])
        faces = self.detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        if faces is None:
            return None
        x, y, width, height = max(faces, key=lambda face: face[2] * face[3])[:4].round()
        box = dlib.rectangle(int(x), int(y), int(x + width), int(y + height))
        return np.array(dlib.get_face_chip(picture, self.predictor(picture, box), 150, 0.25))


def read(path: Path, longest_px: int = 640) -> Pixels:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    scale = min(1.0, longest_px / max(picture.shape))
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def turned(picture: Pixels, degrees: float, scale: float, shift_px: float) -> Pixels:
    """The picture rotated about its middle, scaled and moved; still of the same size."""
    height, width = picture.shape[:2]
    matrix = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), float)
    matrix[:, 2] += shift_px
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)))


def require_parity(original: Any, compiled: cv2.dnn.Net, chips: list[Pixels]) -> None:
    assert len({chip.tobytes() for chip in chips}) >= 20
    expected = np.array([original.compute_face_descriptor(chip) for chip in chips])
    for chip, encoding in zip(chips, expected, strict=True):
        compiled.setInput(chip.transpose(2, 0, 1)[None].astype(np.float32))
        np.testing.assert_allclose(compiled.forward()[0], encoding, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_sample_images_encode_as_in_dlib(
    original: Any, compiled: cv2.dnn.Net, cutter: ChipCutter
) -> None:
    pictures = [read(path) for path in SAMPLES]
    views = [turned(picture, *change) for change in CHANGES for picture in pictures]
    chips = [chip for view in views if (chip := cutter.chip(view)) is not None]
    require_parity(original, compiled, chips)


@pytest.mark.slow
@pytest.mark.skipif(not LFW.is_dir(), reason="LFW is not here")
def test_lfw_faces_encode_as_in_dlib(
    original: Any, compiled: cv2.dnn.Net, cutter: ChipCutter
) -> None:
    people = sorted(LFW.iterdir())
    chosen = people[:: max(1, len(people) // CHIPS_WANTED)]
    photos = [min(person.glob("*.jpg")) for person in chosen]
    chips = [chip for photo in photos if (chip := cutter.chip(read(photo))) is not None]
    require_parity(original, compiled, chips)


BOXES = ((0, 0, 149, 149), (30, 40, 120, 130), (-40, 20, 90, 150), (60, 60, 200, 200))


def test_landmarks_are_the_points_that_dlib_finds(models: Path) -> None:
    """Also in boxes without a face, over the edge and outside: any point may be asked for."""
    predictor = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    forests = Networks(Checked(None)).landmarks
    for path in SAMPLES:
        picture = read(path, longest_px=320)
        for box in BOXES:
            points = predictor(picture, dlib.rectangle(*box)).parts()
            found = find_landmarks(picture, box, forests)
            assert found.tolist() == [[point.x, point.y] for point in points], (path.name, box)
