"""Simulated recaptures: what a camera makes of a picture on a screen or on paper.

For plumbing and for replay tests only. Never use it to claim anything about liveness: simulated
attacks are far easier to tell from live photos than real ones are, and a score on these pictures
says nothing about a score on those.

Pixels are a function of the picture, the medium and the seed alone. Light is linear, (h, w, 3) in
RGB order, 1.0 being the level that the camera records as white. `u` and `v` are the x (right) and
y (down) coordinates of the mounted picture, in its own pixels, one value per camera sample.

`python tests/simulator.py` writes the derived files in sample_images/ again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]  # (h, w, 3), RGB, sRGB values
Light = NDArray[np.float32]  # (h, w, 3), RGB, linear
Plane = NDArray[np.float32]  # (h, w)
Medium = Literal["screen", "print"]

PHOTO_PX = (960, 1280)  # short and long side of the photo that comes out
SENSOR_PER_PHOTO = 1.5  # camera samples per pixel of the photo, along one side
PANEL_PX = (720, 1440)  # short and long side of the screen: a cheap phone
PAPER_PX = (840, 1188)  # short and long side of the sheet: A4 at 4 pixels per millimetre

SAMPLES = Path(__file__).resolve().parent.parent / "sample_images"
RECAPTURE_SEED = 10
LEFT_CROP = ("collins.png", (86, 0, 354, 321))  # left, top, right, bottom; face 114 px high
RIGHT_CROP = ("hopper_1984.jpg", (12, 0, 512, 600))  # the same share of the crop: 213 px high


# --- colour and tone -----------------------------------------------------------------------------


def linear(picture: Picture) -> Light:
    """Turn sRGB values in 0-255 into linear light in 0-1."""
    value = np.arange(256) / 255
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(curve.astype(np.float32)[picture])


def encoded(raw: NDArray[np.uint16]) -> Picture:
    """Turn linear light in 0-65535 into sRGB values in 0-255."""
    value = np.arange(65536) / 65535
    curve = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curve * 255).astype(np.uint8)[raw])


def narrowed(light: Light, saturation: float, white: tuple[float, float, float]) -> Light:
    """Pull colours towards grey (saturation 1 keeps them) and give them another white point."""
    grey = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    mixed = grey[..., None] + np.float32(saturation) * (light - grey[..., None])
    return np.maximum(mixed, 0) * np.array(white, np.float32)


def toned(light: Light, gamma: float, black: float) -> Light:
    """Apply a display's gamma (relative to sRGB) and raise its black to a share of its white."""
    return (black + (1 - black) * np.maximum(light, 0) ** gamma).astype(np.float32)


# --- the medium, in its own pixels ---------------------------------------------------------------


def resized(picture: Picture, scale: float) -> Picture:
    """Make a picture `scale` times as large, and at least one pixel."""
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def filling(picture: Picture, width_px: int, height_px: int) -> Picture:
    """Show the middle of a picture on all of a screen, as a viewer zoomed to fill it does."""
    height, width = picture.shape[:2]
    large = resized(picture, max(width_px / width, height_px / height))
    left, top = (large.shape[1] - width_px) // 2, (large.shape[0] - height_px) // 2
    return large[top : top + height_px, left : left + width_px]


def on_sheet(picture: Picture, width_px: int, height_px: int, margin_px: int) -> Picture:
    """Print the whole picture on a white sheet, as large as it goes within the margin."""
    height, width = picture.shape[:2]
    room = (width_px - 2 * margin_px, height_px - 2 * margin_px)
    small = resized(picture, min(room[0] / width, room[1] / height))
    left, top = (width_px - small.shape[1]) // 2, (height_px - small.shape[0]) // 2
    sheet = np.full((height_px, width_px, 3), 255, np.uint8)
    sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def in_bezel(light: Light, bezel_px: int, rim_px: int) -> Light:
    """Put a black bezel around a panel, and a thin metal rim around the bezel."""
    device = light
    for border_px, level in ((bezel_px, 0.006), (rim_px, 0.06)):
        border = ((border_px, border_px), (border_px, border_px), (0, 0))
        device = np.pad(device, border, constant_values=level)
    return device


def ink_dots(light: Light, rng: Generator, share: float) -> Light:
    """Vary the ink from dot to dot of the sheet by a share (standard deviation) of its light."""
    dots = rng.standard_normal(light.shape, np.float32)
    return light * (1 + np.float32(share) * dots)


# --- geometry ------------------------------------------------------------------------------------


def turned(picture: Picture, short_px: int, long_px: int) -> tuple[int, int]:
    """Return (width, height) in pixels, upright for an upright picture."""
    upright = picture.shape[0] >= picture.shape[1]
    return (short_px, long_px) if upright else (long_px, short_px)


def pose(
    size: tuple[int, int], frame: tuple[int, int], share: float, degrees: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the homography (3, 3) from the medium's pixels to camera samples.

    `size` and `frame` are (width, height) of medium and camera; facing the camera, the medium
    would fill `share` of the frame; `degrees` turn it about the x, y and z axis.
    """
    pitch, yaw, roll = np.radians(degrees)
    about_x, _ = cv2.Rodrigues(np.array([pitch, 0, 0]))
    about_y, _ = cv2.Rodrigues(np.array([0, yaw, 0]))
    about_z, _ = cv2.Rodrigues(np.array([0, 0, roll]))
    focal = 1.1 * max(frame)  # camera samples: a phone's main camera
    distance = focal / (share * min(frame[0] / size[0], frame[1] / size[1]))
    camera = np.array([[focal, 0, frame[0] / 2], [0, focal, frame[1] / 2], [0, 0, 1.0]])
    centred = np.array([[1, 0, -size[0] / 2], [0, 1, -size[1] / 2], [0, 0, 1.0]])
    plane = (about_z @ about_y @ about_x)[:, :2]
    moved = np.column_stack([plane, [0, 0, distance]])
    return np.asarray(camera @ moved @ centred, np.float64)


def coordinates(homography: NDArray[np.float64], frame: tuple[int, int]) -> tuple[Plane, Plane]:
    """Return u and v for every sample of a camera frame (width, height)."""
    x, y = np.arange(frame[0])[None, :] + 0.5, np.arange(frame[1])[:, None] + 0.5
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in np.linalg.inv(homography))
    return (u / w).astype(np.float32), (v / w).astype(np.float32)


def paper_bend(u: Plane, v: Plane, size: tuple[int, int], depth_px: float) -> tuple[Plane, Plane]:
    """Bend a sheet about a tilted axis; `depth_px` is how far its middle moves, in its pixels."""
    along = (u / size[0] + 0.25 * v / size[1]) * np.pi
    bulge = (depth_px * np.sin(along)).astype(np.float32)
    return u + 0.3 * bulge, v + bulge


def bend_shade(u: Plane, v: Plane, size: tuple[int, int], depth: float) -> Plane:
    """Return the brightness of a bent sheet: 1 on average, `depth` more or less at its slopes."""
    along = (u / size[0] + 0.25 * v / size[1]) * np.pi
    return (1 + depth * np.cos(along)).astype(np.float32)


def seen_at(light: Light, u: Plane, v: Plane) -> Light:
    """Look the medium up at u and v; beyond its border its edge goes on."""
    shift = np.float32(0.5)  # u and v count from the border of a pixel, remap from its centre
    seen = cv2.remap(light, u - shift, v - shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)


def coverage(u: Plane, v: Plane, size: tuple[int, int], corner_px: float) -> Plane:
    """Return 1 where the camera sees the medium and 0 beside it; its corners are rounded."""
    beyond_u = np.abs(u - size[0] / 2) - (size[0] / 2 - corner_px)
    beyond_v = np.abs(v - size[1] / 2) - (size[1] / 2 - corner_px)
    outside = np.hypot(np.maximum(beyond_u, 0), np.maximum(beyond_v, 0))
    return np.asarray(np.clip(corner_px + 0.5 - outside, 0, 1), np.float32)


# --- light between the medium and the sensor -----------------------------------------------------


def pixel_grid(u: Plane, v: Plane, depth: float) -> Light:
    """Return what the stripes of R, G and B leave of the light, 1 on average.

    `depth` is the contrast in 0-1 that is left of the stripes behind the lens. Nothing is drawn
    of a moire: it is the beat of this grid with the camera's own samples.
    """
    rows = np.float32(depth / 2) * np.cos(2 * np.pi * v)
    columns = [np.float32(depth) * np.cos(2 * np.pi * (u + third / 3)) for third in (-1, 0, 1)]
    return np.stack([1 + rows + column for column in columns], axis=-1).astype(np.float32)


def glare(frame: tuple[int, int], centre: tuple[float, float], strength: float) -> Plane:
    """Return the reflection of a window in the glass: a soft, slanted bar and its veil.

    `centre` is in shares of the frame, `strength` in light.
    """
    x = np.arange(frame[0], dtype=np.float32)[None, :] / frame[0] - np.float32(centre[0])
    y = (np.arange(frame[1], dtype=np.float32)[:, None] - centre[1] * frame[1]) / frame[0]
    across, along = x + 0.35 * y, y - 0.35 * x
    bar = np.exp(-((across / 0.10) ** 4) - (along / 0.26) ** 4)
    veil = np.exp(-(across**2 + along**2) / 0.6)
    return (strength * (0.6 * bar + 0.4 * veil)).astype(np.float32)


def backdrop(frame: tuple[int, int], rng: Generator, level: float) -> Light:
    """Return a room out of focus: a wall, a table, things about; `level` is the light of the wall.

    It is made at an eighth of the frame (width, height), which nobody sees in a blur.
    """
    width, height = frame[0] // 8, frame[1] // 8
    room = np.full((height, width, 3), (1.0, 0.93, 0.82), np.float32)
    room *= np.linspace(1.25, 0.8, height, dtype=np.float32)[:, None, None]
    room[round(height * rng.uniform(0.72, 0.85)) :] *= np.array([0.75, 0.5, 0.33], np.float32)
    for _ in range(9):
        left, top = rng.uniform(0, 0.95) * width, rng.uniform(0, 0.8) * height
        right, bottom = left + rng.uniform(0.05, 0.3) * width, top + rng.uniform(0.1, 0.3) * height
        thing = room[round(top) : round(bottom), round(left) : round(right)]
        thing *= (rng.uniform(0.2, 1.3) * rng.uniform(0.7, 1.0, 3)).astype(np.float32)
    soft = cv2.resize(blurred(room, width / 45), frame, interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft, np.float32) * np.float32(level)


def composed(front: Light, back: Light, cover: Plane) -> Light:
    """Lay the medium over the room; `cover` is its share of each sample."""
    share = cover[..., None]
    return front * share + back * (1 - share)


# --- the camera ----------------------------------------------------------------------------------


def blurred(light: Light, sigma_px: float) -> Light:
    """Blur as a lens does; `sigma_px` is the standard deviation in samples."""
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_px), np.float32)


def vignetted(light: Light, fall: float) -> Light:
    """Darken towards the corners, which lose the share `fall` of their light."""
    height, width = light.shape[:2]
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    return light * (1 - fall * (x**2 + y**2) / 2).astype(np.float32)[..., None]


def noisy(light: Light, rng: Generator, shot: float, read: float) -> Light:
    """Add shot noise (standard deviation at white) and read noise (everywhere), both in light."""
    sigma = np.sqrt(np.float32(read**2) + np.float32(shot**2) * np.maximum(light, 0))
    return np.asarray(light + sigma * rng.standard_normal(light.shape, np.float32), np.float32)


def mosaicked(light: Light) -> NDArray[np.uint16]:
    """Keep one colour per sample as an RGGB sensor does, and guess the other two from around.

    Light becomes 0-65535; what is above 1 clips.
    """
    raw = np.rint(np.clip(light, 0, 1) * np.float32(65535)).astype(np.uint16)
    bayer = raw[..., 1].copy()
    bayer[0::2, 0::2] = raw[0::2, 0::2, 0]
    bayer[1::2, 1::2] = raw[1::2, 1::2, 2]
    return np.asarray(cv2.cvtColor(bayer, cv2.COLOR_BayerRGGB2RGB), np.uint16)


def sharpened(picture: Picture, amount: float) -> Picture:
    """Sharpen as phones do, by `amount` times the difference to a blurred copy."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
    return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0), np.uint8)


def through_jpeg(picture: Picture, quality: int) -> Picture:
    """Encode and decode once, at `quality` in 1-100."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1].copy()


def developed(light: Light, rng: Generator) -> Picture:
    """Turn the light on the sensor into the file that a phone would write."""
    raw = noisy(vignetted(light, fall=0.2), rng, shot=0.014, read=0.003)
    full = encoded(mosaicked(raw))
    size = (round(full.shape[1] / SENSOR_PER_PHOTO), round(full.shape[0] / SENSOR_PER_PHOTO))
    photo = np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA), np.uint8)
    return through_jpeg(sharpened(photo, amount=0.3), quality=88)


# --- scenes --------------------------------------------------------------------------------------


def tilt(rng: Generator) -> tuple[float, float, float]:
    """Draw how a hand holds the camera: degrees about the x, y and z axis."""
    return rng.uniform(-9, 9), rng.uniform(-12, 12), rng.uniform(-4, 4)


def on_screen(picture: Picture, rng: Generator) -> Light:
    """Return the light that a camera gets from a phone showing the picture."""
    frame = sensor_size(picture)
    shown = linear(filling(picture, *turned(picture, *PANEL_PX)))
    cool = (rng.uniform(0.86, 0.94), 0.98, rng.uniform(1.04, 1.14))
    panel = toned(narrowed(shown, rng.uniform(0.8, 0.92), cool), rng.uniform(1.0, 1.2), black=0.008)
    device = in_bezel(panel * np.float32(rng.uniform(1.0, 1.6)), bezel_px=54, rim_px=5)
    size = (device.shape[1], device.shape[0])
    u, v = coordinates(pose(size, frame, rng.uniform(0.84, 0.94), tilt(rng)), frame)
    focus = rng.uniform(0.9, 1.5)  # standard deviation of the blur, in samples
    seen = blurred(seen_at(device, u, v), focus) * pixel_grid(u, v, rng.uniform(0.04, 0.14))
    spot = (rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.85))
    reflected = glare(frame, spot, rng.uniform(0.04, 0.12))[..., None]
    cover = blurred(coverage(u, v, size, corner_px=40), focus)
    return composed(seen + reflected, backdrop(frame, rng, level=0.10), cover)


def on_paper(picture: Picture, rng: Generator) -> Light:
    """Return the light that a camera gets from a bent print of the picture with a white margin."""
    frame = sensor_size(picture)
    width, height = turned(picture, *PAPER_PX)
    sheet = on_sheet(picture, width, height, margin_px=32)  # 8 mm
    warm = (0.78, rng.uniform(0.70, 0.75), rng.uniform(0.58, 0.68))
    ink = narrowed(linear(sheet), rng.uniform(0.65, 0.8), warm)
    page = ink_dots(toned(ink, rng.uniform(0.8, 0.95), black=0.035), rng, share=0.08)
    size = (width, height)
    flat = coordinates(pose(size, frame, rng.uniform(0.84, 0.94), tilt(rng)), frame)
    u, v = paper_bend(*flat, size, depth_px=rng.uniform(-30, 30))
    focus = rng.uniform(0.9, 1.6)
    shade = bend_shade(u, v, size, rng.uniform(0.08, 0.2))[..., None]
    seen = blurred(seen_at(page, u, v), focus) * shade
    cover = blurred(coverage(u, v, size, corner_px=1), focus)
    return composed(seen, backdrop(frame, rng, level=0.16), cover)


def sensor_size(picture: Picture) -> tuple[int, int]:
    """Return (width, height) of the camera in samples; it is held as the picture is."""
    width, height = turned(picture, *PHOTO_PX)
    return round(width * SENSOR_PER_PHOTO), round(height * SENSOR_PER_PHOTO)


def recapture(picture: Picture, *, medium: Medium, seed: int) -> Picture:
    """Return a simulated photo of `picture` (RGB) on a screen or a print: 960 x 1280 RGB.

    For plumbing and replay tests only, never to claim liveness (see the module's first lines).
    """
    rng = np.random.default_rng(seed)
    scene = on_screen(picture, rng) if medium == "screen" else on_paper(picture, rng)
    return developed(scene, rng)


# --- the derived files in sample_images/ ---------------------------------------------------------


def read(path: Path) -> Picture:
    """Return the RGB pixels of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def two_faces(folder: Path) -> Picture:
    """Return two persons side by side, 800 x 480 pixels, with faces of the same height."""
    tiles = []
    for name, box in (LEFT_CROP, RIGHT_CROP):
        with Image.open(folder / name) as image:
            tiles.append(image.convert("RGB").resize((400, 480), Image.Resampling.LANCZOS, box=box))
    return np.hstack([np.asarray(tile) for tile in tiles])


def simulated_recapture(folder: Path) -> Picture:
    """Return the simulated photo of obama_2012.jpg on a screen."""
    return recapture(read(folder / "obama_2012.jpg"), medium="screen", seed=RECAPTURE_SEED)


DERIVED = {"two_faces.jpg": two_faces, "simulated_recapture.jpg": simulated_recapture}
COMMENTS = {
    "two_faces.jpg": "Montage of two portraits, made by tests/simulator.py; see CREDITS.md",
    "simulated_recapture.jpg": "SIMULATED photo of a screen, made by tests/simulator.py; "
    "see CREDITS.md",
}


def main() -> None:
    """Write the derived files again, from the originals beside them."""
    for name, make in DERIVED.items():
        Image.fromarray(make(SAMPLES)).save(SAMPLES / name, quality=95, comment=COMMENTS[name])


if __name__ == "__main__":
    main()
