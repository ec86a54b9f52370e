"""Edits of photos, as an image editor makes them: each edit is a species of attack.

    python benchmarks/edits.py PHOTOS OUT [--rooms FOLDER] [--others FOLDER] [--form replay|spoof]
                               [--only EDIT ...] [--photos N] [--seed N]

PHOTOS, --rooms and --others are searched for images; each photo of PHOTOS that shows a face is
edited in every way of EDITS. Rooms (photos without a face; drawn ones if none are given) and
photos of other people provide the surroundings of edited faces; the seed draws them, never
from the folder of the edited person. OUT is what `facauth evaluate` reads:
form replay: original/NAME.png and EDIT/NAME.png; form spoof: attack_EDIT/NAME.png.

Pixels depend on the photo, the scene and the seed only.
"""

from __future__ import annotations

import argparse
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from facauth.faces.detect import sight
from facauth.networks import Checked, Networks, opencv
from facauth.structs import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facauth.structs import Pixels

    Mask = NDArray[np.float32]  # (h, w), 0 to 1
    Plane = NDArray[np.float32]  # (h, w), pixels

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
SEED = 20261130
HEAD = (0.75, 0.85)  # half axes of a head's oval, in widths and heights of the face box
INNER = (0.48, 0.52)  # likewise of the face without hair and ears, which a face swap copies
WARP_CELLS = 6  # knots of a smooth warp along the longer side; not the shape of a plane
INK, LENS, CLOTH = (25, 22, 20), (35, 35, 40), (120, 160, 190)


@dataclass(frozen=True, slots=True)
class Scene:
    """Inputs of an edit beside the photo: random numbers, a room, and a photo of another person."""

    rng: np.random.Generator
    room: Pixels
    other: Pixels
    other_face: Face


Edit = Callable[["Pixels", Face, Scene], "Pixels"]
Change = Callable[["Pixels"], "Pixels"]


# ---- shapes


def centre_px(face: Face) -> tuple[float, float]:
    """x, y of the middle of the face box."""
    x, y, w, h = face.box_px
    return x + w / 2, y + h / 2


def oval(shape: tuple[int, ...], face: Face, axes: tuple[float, float], feather: float) -> Mask:
    """A soft ellipse; axes: half axes in face widths and heights; feather: in face heights."""
    (x, y), (w, h) = centre_px(face), face.box_px[2:]
    mask = np.zeros(shape[:2], np.uint8)
    size = (max(1, round(axes[0] * w)), max(1, round(axes[1] * h)))
    cv2.ellipse(mask, (round(x), round(y - 0.05 * h)), size, 0, 0, 360, 255, -1)
    return soft(mask, feather * h)


def soft(mask: Pixels, feather_px: float) -> Mask:
    """Levels 0 to 255 as 0 to 1, with a soft border that stays within."""
    reach = max(1, round(feather_px))
    within = cv2.erode(mask, np.ones((reach, reach), np.uint8), borderValue=255)
    blurred = cv2.GaussianBlur(within.astype(np.float32) / 255, (0, 0), max(0.5, feather_px / 2))
    return np.asarray(blurred, np.float32)


def person(shape: tuple[int, ...], face: Face) -> Mask:
    """A head, a neck and shoulders, roughly as wide as a person's."""
    (x, y), (w, h) = centre_px(face), face.box_px[2:]
    mask = (oval(shape, face, HEAD, 0.02) > 0.5).astype(np.uint8) * 255
    body = [(-0.4, 0.4), (0.4, 0.4), (0.5, 0.8), (1.5, 1.2), (1.8, 9), (-1.8, 9), (-1.5, 1.2)]
    outline = np.array([(x + a * w, y + b * h) for a, b in [*body, (-0.5, 0.8)]])
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], (255,))
    return soft(mask, 0.05 * h)


def over(below: Pixels, above: Pixels, mask: Mask) -> Pixels:
    """Mix two pictures of one size."""
    share = mask[..., None]
    return _levels(above * share + below * (1 - share))


def _levels(shown: NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.rint(shown).clip(0, 255), np.uint8)


# ---- geometry


def displaced(pixels: Pixels, across: Plane, down: Plane) -> Pixels:
    """Each pixel from an offset to the right and below."""
    y, x = np.indices(pixels.shape[:2], np.float32)
    found = cv2.remap(
        pixels, x + across, y + down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(found, np.uint8)


def warped(share: float) -> Edit:
    """A smooth warp; share: the largest displacement, of the longer side."""

    def edit(pixels: Pixels, _: Face, scene: Scene) -> Pixels:
        height, width = pixels.shape[:2]
        longer = max(height, width)
        knots = [max(4, round(WARP_CELLS * side / longer)) for side in (height, width)]
        field = scene.rng.normal(size=(2, *knots)).astype(np.float32)
        planes = [
            cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in field
        ]
        largest = float(np.hypot(*planes).max())
        across, down = (each * np.float32(share * longer / largest) for each in planes)
        return displaced(pixels, across, down)

    return edit


def moved(share: float, *, smoothly: bool = False) -> Edit:
    """The head by so much of the photo's width: pasted beside itself, or pushed as by a liquify
    brush."""

    def edit(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
        angle = scene.rng.uniform(0, 2 * np.pi)
        shift = np.array([np.cos(angle), np.sin(angle)]) * share * pixels.shape[1]
        mask = oval(pixels.shape, face, (1.1, 1.1) if smoothly else HEAD, 0.3 if smoothly else 0.1)
        if smoothly:
            return displaced(pixels, *(-mask * np.float32(each) for each in shift))
        turn = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        return over(pixels, *carried(pixels, mask, turn, pixels.shape))

    return edit


def turned(degrees: float) -> Edit:
    """The head about its middle, pasted over itself."""

    def edit(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
        angle = degrees * scene.rng.choice([-1, 1])
        mask = oval(pixels.shape, face, HEAD, 0.1)
        turn = cv2.getRotationMatrix2D(centre_px(face), float(angle), 1)
        return over(pixels, *carried(pixels, mask, turn, pixels.shape))

    return edit


def carried(
    pixels: Pixels, mask: Mask, turn: NDArray[Any], shape: tuple[int, ...]
) -> tuple[Pixels, Mask]:
    """A picture and its mask through a (2, 3) matrix, onto a picture of another shape."""
    size = (shape[1], shape[0])
    shrinks = abs(np.linalg.det(turn[:, :2])) < 0.5
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    picture = cv2.warpAffine(pixels, turn, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8), np.asarray(cv2.warpAffine(mask, turn, size), np.float32)


def mirrored(pixels: Pixels, _: Face, __: Scene) -> Pixels:
    """Left and right swapped."""
    return np.ascontiguousarray(pixels[:, ::-1])


# ---- drawn on


def glasses(pixels: Pixels, face: Face, _: Scene, *, dark: bool = False) -> Pixels:
    """Two rims, a bridge and temples around the eyes; dark: with lenses that hide them."""
    eyes = face.landmarks_px[:2].astype(float)
    apart = max(4.0, float(np.linalg.norm(eyes[1] - eyes[0])))
    along = (eyes[1] - eyes[0]) / apart
    drawn = pixels.copy()
    line = max(1, round(apart * 0.06))
    radius = (round(apart * 0.36), round(apart * 0.28))
    slope = float(np.degrees(np.arctan2(along[1], along[0])))
    for eye in eyes:
        middle = tuple(np.rint(eye + np.array([0, apart * 0.04])).astype(int).tolist())
        if dark:
            cv2.ellipse(drawn, middle, radius, slope, 0, 360, LENS, -1, cv2.LINE_AA)
        cv2.ellipse(drawn, middle, radius, slope, 0, 360, INK, line, cv2.LINE_AA)
    for start, end in ((0.36, 0.64), (-0.36, -0.85), (1.36, 1.85)):
        first, last = (np.rint(eyes[0] + along * apart * each).astype(int) for each in (start, end))
        cv2.line(drawn, first.tolist(), last.tolist(), INK, line, cv2.LINE_AA)
    return drawn


def sunglasses(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
    """Glasses with dark lenses."""
    return glasses(pixels, face, scene, dark=True)


def masked(pixels: Pixels, face: Face, _: Scene) -> Pixels:
    """A cloth over nose and mouth."""
    (x, y), (w, h) = centre_px(face), face.box_px[2:]
    nose = float(face.landmarks_px[2, 1])
    outline = [(-0.5, nose - 0.05 * h), (0, nose - 0.15 * h), (0.5, nose - 0.05 * h)]
    outline += [(0.42, y + 0.4 * h), (0, y + 0.55 * h), (-0.42, y + 0.4 * h)]
    cloth = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(cloth, [np.rint([(x + a * w, b) for a, b in outline]).astype(np.int32)], (255,))
    folds = 1 + 0.06 * np.sin(np.arange(pixels.shape[0]) / max(1.0, 0.03 * h))[:, None, None]
    painted = (np.ones_like(pixels) * np.array(CLOTH) * folds).clip(0, 255).astype(np.uint8)
    return over(pixels, painted, soft(cloth, 0.02 * h))


# ---- put elsewhere


def fitted(picture: Pixels, shape: tuple[int, ...]) -> Pixels:
    """A picture cut and resized to fill another's shape."""
    height, width = shape[:2]
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = (
        max(width, round(picture.shape[1] * scale)),
        max(height, round(picture.shape[0] * scale)),
    )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(picture, size, interpolation=method)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.asarray(large[top : top + height, left : left + width], np.uint8)


def new_background(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
    """The person before a room."""
    return over(fitted(scene.room, pixels.shape), pixels, person(pixels.shape, face))


def blurred_background(pixels: Pixels, face: Face, _: Scene) -> Pixels:
    """All but the person out of focus."""
    dull = cv2.GaussianBlur(pixels, (0, 0), max(1.0, 0.06 * face.box_px[3]))
    return over(np.asarray(dull, np.uint8), pixels, person(pixels.shape, face))


def swapped(pixels: Pixels, face: Face, scene: Scene, *, clone: bool = False) -> Pixels:
    """The face on the photo of another person, at its landmarks and in its colours.

    clone: by Poisson blending (Perez, Gangnet and Blake, SIGGRAPH 2003), or else a soft border.
    """
    turn, _ = cv2.estimateAffine2D(
        face.landmarks_px.astype(np.float64), scene.other_face.landmarks_px.astype(np.float64)
    )
    if turn is None or np.linalg.det(turn[:, :2]) <= 0:
        turn = placed(face, *centre_px(scene.other_face), scene.other_face.box_px[3])
    picture, mask = carried(pixels, oval(pixels.shape, face, INNER, 0.12), turn, scene.other.shape)
    if clone:
        return cloned(scene.other, picture, mask)
    chosen = mask > 0.5
    if chosen.any():
        theirs, ours = scene.other[chosen].astype(float), picture[chosen].astype(float)
        toned = (picture - ours.mean(0)) / (ours.std(0) + 1) * (theirs.std(0) + 1) + theirs.mean(0)
        picture = _levels((toned + picture) / 2)
    return over(scene.other, picture, mask)


def swapped_seamlessly(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
    """A face swap without a seam."""
    return swapped(pixels, face, scene, clone=True)


def placed(face: Face, x: float, y: float, height_px: float) -> NDArray[np.float64]:
    """(2, 3) matrix that brings a face to (x, y) and to a height."""
    scale = height_px / face.box_px[3]
    middle = np.array(centre_px(face))
    return np.column_stack([np.eye(2) * scale, np.array([x, y]) - scale * middle])


def cloned(below: Pixels, above: Pixels, mask: Mask) -> Pixels:
    """Poisson blending, the borders of the picture left out."""
    inside = np.zeros(mask.shape, np.uint8)
    inside[2:-2, 2:-2] = (mask > 0.3)[2:-2, 2:-2] * np.uint8(255)
    if not inside.any():
        return below
    x, y, w, h = cv2.boundingRect(inside)
    middle = (x + w // 2, y + h // 2)
    return np.asarray(cv2.seamlessClone(above, below, inside, middle, cv2.NORMAL_CLONE), np.uint8)


def pasted(shape: str, height: float, *, on_other: bool = False) -> Edit:
    """The head on a photo of a room, or over the head of another person's photo.

    shape: oval, square or seamless. height: of the face, as a share of the room's height; on
    another's photo the face is `height` times as high as theirs.
    """

    def edit(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
        below = scene.other if on_other else scene.room
        tall = height * (scene.other_face.box_px[3] if on_other else below.shape[0])
        x, y = centre_px(scene.other_face)
        if not on_other:
            x, y = scene.rng.uniform(0.4, 0.6) * below.shape[1], 0.5 * below.shape[0]
        mask = (
            square(pixels.shape, face)
            if shape == "square"
            else oval(pixels.shape, face, HEAD, 0.08)
        )
        picture, mask = carried(pixels, mask, placed(face, x, y, tall), below.shape)
        return cloned(below, picture, mask) if shape == "seamless" else over(below, picture, mask)

    return edit


def square(shape: tuple[int, ...], face: Face) -> Mask:
    """A box of 1.5 face widths and heights, hard at the border."""
    (x, y), (w, h) = centre_px(face), face.box_px[2:]
    mask = np.zeros(shape[:2], np.float32)
    rows = slice(max(0, round(y - 0.8 * h)), max(1, round(y + 0.7 * h)))
    mask[rows, max(0, round(x - 0.75 * w)) : max(1, round(x + 0.75 * w))] = 1
    return mask


# ---- light, skin, file


def beautified(strength: float) -> Edit:
    """Skin smoothed by a bilateral filter and made a little lighter."""

    def edit(pixels: Pixels, face: Face, _: Scene) -> Pixels:
        reach = max(2.0, 0.04 * face.box_px[3])
        smooth = cv2.bilateralFilter(pixels, -1, 25 + 35 * strength, reach)
        light = (smooth.astype(np.float32) * (1 + 0.06 * strength) + 3 * strength).clip(0, 255)
        mask = oval(pixels.shape, face, (0.6, 0.65), 0.1) * np.float32(min(1.0, 0.5 + strength / 2))
        return over(pixels, light.astype(np.uint8), mask)

    return edit


def relit(pixels: Pixels, _: Face, scene: Scene) -> Pixels:
    """Brighter from one side, darker on the other."""
    height, width = pixels.shape[:2]
    angle = scene.rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = np.exp(0.5 * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    return _levels(pixels * light)


def graded(pixels: Pixels, _: Face, scene: Scene) -> Pixels:
    """Another look: contrast, warmth, gamma and saturation."""
    gamma, contrast = scene.rng.uniform(0.75, 1.3), scene.rng.uniform(0.85, 1.2)
    tint = scene.rng.uniform(0.9, 1.1, 3)
    shown = 255 * (pixels / 255) ** gamma
    grey = shown.mean(axis=2, keepdims=True)
    shown = grey + (shown - grey) * scene.rng.uniform(0.7, 1.3)
    return _levels(((shown - 128) * contrast + 128) * tint)


def noisy(sigma: float) -> Edit:
    """Gaussian noise, alike in all channels by half."""

    def edit(pixels: Pixels, _: Face, scene: Scene) -> Pixels:
        noise = scene.rng.normal(0, sigma, (*pixels.shape[:2], 4))
        mixed = (noise[..., :3] + noise[..., 3:]) / np.sqrt(2)
        return _levels(pixels + mixed)

    return edit


def blurred(sigma: float) -> Edit:
    """Out of focus; sigma in 1/1000 of the longer side."""
    return lambda pixels, _, __: np.asarray(
        cv2.GaussianBlur(pixels, (0, 0), sigma * max(pixels.shape) / 1000), np.uint8
    )


def jpeg(quality: int) -> Edit:
    """Saved and read again."""

    def edit(pixels: Pixels, _: Face, __: Scene) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"), np.uint8)

    return edit


def then(*edits: Edit) -> Edit:
    """Several edits in a row; the face is assumed not to move."""

    def edit(pixels: Pixels, face: Face, scene: Scene) -> Pixels:
        for each in edits:
            pixels = each(pixels, face, scene)
        return pixels

    return edit


# Edits that move the face come last in a chain: the others need to know where it is.
EDITS: dict[str, Edit] = {
    **{f"warp_{share}": warped(share / 100) for share in (0.5, 1, 2, 3)},
    "moved": moved(0.06),
    "moved_smoothly": moved(0.06, smoothly=True),
    "turned": turned(12),
    "glasses": glasses,
    "sunglasses": sunglasses,
    "mask": masked,
    "mirrored_warp": then(mirrored, warped(0.02)),
    "background": new_background,
    "background_warp": then(new_background, warped(0.01)),
    "background_blur": blurred_background,
    "swap": swapped,
    "swap_seamless": swapped_seamlessly,
    "beautified": beautified(1),
    "smoothed": beautified(2),
    "relit": relit,
    "graded_jpeg": then(graded, jpeg(70)),
    "noise_jpeg": then(noisy(6), jpeg(40)),
    "warp_graded_jpeg": then(warped(0.01), graded, jpeg(70)),
    "warp_noise_jpeg": then(warped(0.01), noisy(6), jpeg(40)),
    "warp_blur": then(warped(0.01), blurred(1.5)),
    "moved_graded_jpeg": then(moved(0.06), graded, jpeg(70)),
    "moved_noise_jpeg": then(moved(0.06), noisy(6), jpeg(40)),
    "glasses_warp": then(glasses, warped(0.01)),
    "beautified_warp": then(beautified(1), warped(0.01)),
    "relit_warp": then(relit, warped(0.01)),
    **{
        f"pasted_{shape}_{100 * height:.0f}": pasted(shape, height)
        for shape in ("oval", "square", "seamless")
        for height in (0.25, 0.4, 0.6)
    },
    "pasted_on_other": pasted("oval", 1.15, on_other=True),
    "pasted_on_other_seamless": pasted("seamless", 1.15, on_other=True),
}


# ---- photos


@dataclass(frozen=True, slots=True)
class Subject:
    """A photo and its largest face."""

    path: Path
    pixels: Pixels
    face: Face


class Studio:
    """Edits photos, with rooms and with photos of other people at hand."""

    def __init__(self, rooms: Sequence[Pixels], others: Sequence[Subject], seed: int = SEED):
        self._rooms, self._others, self._seed = rooms, others, seed

    def edited(self, subject: Subject, name: str) -> Pixels:
        """The photo after the edit of this name; the same for the same file name and seed."""
        draw = zlib.crc32(f"{self._seed} {subject.path.name} {name}".encode())
        rng = np.random.default_rng(draw)
        room = self._rooms[int(rng.integers(len(self._rooms)))] if self._rooms else drawn_room(rng)
        strangers = [each for each in self._others if not _kin(each.path, subject.path)]
        other = strangers[int(rng.integers(len(strangers)))] if strangers else subject
        return EDITS[name](subject.pixels, subject.face, Scene(rng, room, other.pixels, other.face))


def _kin(one: Path, other: Path) -> bool:
    """Whether two files may show one person: PERSON/IMAGE, or the same image."""
    return one.parent.name == other.parent.name and (
        one.name == other.name or one.name.startswith(one.parent.name)
    )


def drawn_room(rng: np.random.Generator, width: int = 960, height: int = 720) -> Pixels:
    """A drawn wall, floor and furniture with some grain, if there is no photo of a room."""
    y = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][0][..., None]
    room = rng.uniform(120, 210, 3) * (1 - 0.3 * y) + np.zeros((height, width, 3))
    for _ in range(12):
        left, top = rng.integers(0, width), rng.integers(0, height)
        right, bottom = left + rng.integers(30, 300), top + rng.integers(30, 300)
        room[top:bottom, left:right] = rng.uniform(30, 230, 3)
    room += cv2.resize(rng.normal(0, 4, (height // 8, width // 8, 3)), (width, height))
    room = cv2.GaussianBlur(room, (0, 0), 1.2) + rng.normal(0, 2, room.shape)
    return _levels(room)


def read(path: Path) -> Pixels:
    """RGB pixels of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def subjects(paths: Sequence[Path], detector: cv2.FaceDetectorYN) -> Iterator[Subject]:
    """The photos that show a face."""
    for path in paths:
        sighting = sight(read(path), detector)
        if sighting.faces:
            yield Subject(path, sighting.pixels, sighting.faces[0])


def images(folder: Path | None) -> list[Path]:
    """All images of a folder and the folders in it, in order."""
    found = sorted(folder.rglob("*")) if folder else []
    return [path for path in found if path.suffix.lower() in IMAGES]


def main() -> None:
    """Parse, edit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photos with a face")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--rooms", type=Path, help="photos without a face")
    parser.add_argument("--others", type=Path, help="photos of other people; without it of FOLDER")
    parser.add_argument("--form", choices=("replay", "spoof"), default="replay")
    parser.add_argument("--only", nargs="+", choices=EDITS, default=list(EDITS), metavar="EDIT")
    parser.add_argument("--photos", type=int, default=40, help="drawn, at most")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    opencv()
    detector = Networks(Checked(None)).detector
    rng = np.random.default_rng(options.seed)
    drawn = list(subjects(_some(images(options.folder), options.photos, rng), detector))
    lent = images(options.others)
    others = list(subjects(_some(lent, options.photos, rng), detector)) if lent else drawn
    rooms = [read(path) for path in _some(images(options.rooms), options.photos, rng)]
    studio = Studio(rooms, others, options.seed)
    options.out.mkdir()
    for number, subject in enumerate(drawn):
        name = f"{number:03}_{subject.path.stem}.png"
        if options.form == "replay":
            _write(options.out / "original" / name, subject.pixels)
        for edit in options.only:
            species = edit if options.form == "replay" else f"attack_{edit}"
            _write(options.out / species / name, studio.edited(subject, edit))


def _some(paths: list[Path], most: int, rng: np.random.Generator) -> list[Path]:
    chosen = rng.permutation(len(paths))[:most]
    return [paths[each] for each in sorted(chosen)]


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    main()
