"""From a file to pixels: RGB, upright, sRGB, limited in bytes and pixels."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from facauth.errors import (
    STDIN,
    Reason,
    SetupProblem,
    UnusableImage,
    UsageProblem,
    image_name,
    shown,
)
from facauth.extras import pip_install
from facauth.faces.container import (
    TIFF,
    TooManyParts,
    WatchedFile,
    has_pages,
    is_plain,
    require_few_parts,
    require_few_scans,
    values,
)
from facauth.faces.ending import with_end
from facauth.files import NotAFile, read_bounded
from facauth.settings import IMAGE

if TYPE_CHECKING:
    from PIL import Image

    from facauth.structs import Pixels

STDERR = 2
ONE_AT_A_TIME = Lock()  # stderr belongs to the whole process
BITS, ORIENTATION, TILE_WIDTH, TILE_LENGTH = 258, 274, 322, 323  # TIFF and EXIF tags
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")  # MPO opens as JPEG
JPEGS = ("JPEG", "MPO")
MOVING = ("GIF", "PNG", "WEBP", "AVIF")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
CMS_MODES = ("RGB", "RGBA", "CMYK", "L")
# Their decoders hold the picture four times: half the pixels fit, as for TIFF of 16 bits.
HUNGRY = ("WEBP", "AVIF")
# EXIF orientation -> Pillow's name of the turn, whether rows become columns, and whether the first
# ones come last. ImageOps.exif_transpose writes the EXIF again, which fails on odd values.
TURNS = {
    2: ("FLIP_LEFT_RIGHT", False, False),
    3: ("ROTATE_180", False, True),
    4: ("FLIP_TOP_BOTTOM", False, True),
    5: ("TRANSPOSE", True, False),
    6: ("ROTATE_270", True, True),
    7: ("TRANSVERSE", True, True),
    8: ("ROTATE_90", True, False),
}
BAND_PX = 50_000  # converted at a time: fits into caches, and memory never holds three copies
TURNED_BANDS = 6  # so many more where rows become columns, which are written in short runs
# What Pillow's decoders raise on files made to break them.
DECODER_FAULTS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    Warning,
)


def read_image(source: str) -> bytes:
    """The bytes of a file, or of stdin for "-".

    Raises UsageProblem unless it is a regular file, UnusableImage if it is empty or too large.
    """
    data = _read_stdin() if source == STDIN else _read_regular_file(source)
    if not data:
        raise _unusable("image.empty", "the image is empty", source)
    if len(data) > IMAGE.max_bytes:
        raise _too_large(source, IMAGE.max_bytes)
    return data


def _too_large(source: str, limit: int) -> UnusableImage:
    return _unusable("image.too_large", f"the image has over {limit >> 20} MB", source)


def _read_stdin() -> bytes:
    try:
        return sys.stdin.buffer.read(IMAGE.max_bytes + 1)
    except (AttributeError, OSError, ValueError) as error:  # closed: sys.stdin is None, or shut
        reason = Reason("image.unreadable", "stdin cannot be read", "pipe an image in")
        raise UsageProblem(reason) from error


def _read_regular_file(source: str) -> bytes:
    try:
        return read_bounded(source, IMAGE.max_bytes)
    except NotAFile as error:
        raise _not_a_file(source, "folder" if error.folder else "special file") from None
    except (OSError, ValueError) as error:
        raise _unopened(source, error) from error


def _not_a_file(source: str, what: str) -> UsageProblem:
    advice = "name an image file" if what == "folder" else "pipe it in and name it -"
    return UsageProblem(Reason("image.not_a_file", f"{shown(source)} is a {what}", advice))


def _unopened(source: str, error: OSError | ValueError) -> UsageProblem:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        reason = Reason("image.missing", f"{shown(source)} does not exist", "check the path")
    else:
        cause = shown(getattr(error, "strerror", None) or "not a path")
        reason = Reason(
            "image.unreadable", f"{shown(source)} cannot be read ({cause})", "check the path"
        )
    return UsageProblem(reason)


def _unusable(code: str, message: str, source: str) -> UnusableImage:
    return UnusableImage(
        Reason(code, f"{message} ({shown(source)})", "give a photo as JPEG, PNG or WebP")
    )


def decode(data: bytes, source: str, max_pixels: int | None = None) -> Pixels:
    """Pixels of the one frame: EXIF orientation applied, ICC profile turned to sRGB.

    source only names the image in messages; max_pixels: fewer than IMAGE.max_pixels. Raises
    UnusableImage for a file that is not a whole image within the limits, SetupProblem for HEIC
    without its extra.
    """
    from PIL import Image, UnidentifiedImageError

    max_pixels = max_pixels or IMAGE.max_pixels

    _allow_heif(data, source)
    if _is_avif(data) and len(data) > IMAGE.max_avif_bytes:
        raise _too_large(source, IMAGE.max_avif_bytes)
    try:
        with strict(), _silent(data):
            require_few_parts(data)
            try:
                return _decoded(data, source, max_pixels)
            except OSError:
                ended = with_end(data)
                if ended is None:
                    raise
                return _decoded(ended, source, max_pixels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(source, IMAGE.max_pixels) from error
    except TooManyParts as error:
        message = "the image has far too many parts"
        raise _unusable("image.too_many_parts", message, source) from error
    except UnidentifiedImageError as error:
        raise _unusable(
            "image.format", "this is not an image that facauth reads", source
        ) from error
    except DECODER_FAULTS as error:
        raise _unusable("image.damaged", "the image is damaged or cut off", source) from error


def _decoded(data: bytes, source: str, max_pixels: int) -> Pixels:
    from PIL import Image

    formats = [*FORMATS, *_heif_formats()]
    with Image.open(WatchedFile(data), formats=formats) as image:
        _require_size(image, source, max_pixels)
        if image.format in JPEGS:
            require_few_scans(data, image.width * image.height)
        _require_one_frame(image, data, source)
        return _upright_srgb(image)


def _require_one_frame(image: Image.Image, data: bytes, source: str) -> None:
    """Raises UnusableImage for several pictures: only one is judged, and people may see another.

    Further pictures of MPO and HEIC are previews or depth maps, as are reduced pages of TIFF; the
    first picture is the photo. GIF, PNG, WebP and AVIF can be animated.
    """
    if image.format == "TIFF":
        several = has_pages(data)
    else:
        several = image.format in MOVING and bool(getattr(image, "is_animated", False))
    if several:
        message = f"the image has several frames ({shown(source)})"
        raise UnusableImage(Reason("image.several_frames", message, "give a photo of one picture"))


@contextmanager
def strict() -> Iterator[None]:
    """Pillow with facauth's limits: truncated images are errors, other warnings are silent."""
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = IMAGE.max_pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _silent(data: bytes) -> Iterator[None]:
    """Silence libtiff, which writes to stderr about damaged files, past Python."""
    if data[:2] not in TIFF:
        yield
        return
    with ONE_AT_A_TIME, ExitStack() as undo:
        with suppress(OSError):  # without stderr there is nothing to silence
            kept = os.dup(STDERR)
            undo.callback(os.close, kept)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            undo.callback(os.close, nowhere)
            os.dup2(nowhere, STDERR)
            undo.callback(os.dup2, kept, STDERR)
        yield


def _require_size(image: Image.Image, source: str, max_pixels: int) -> None:
    pixels = image.width * image.height
    tags = getattr(image, "tag_v2", {})  # libtiff decodes whole tiles, however small the image
    tile = int(tags.get(TILE_WIDTH, 0)) * int(tags.get(TILE_LENGTH, 0))
    hungry = image.format in HUNGRY or max(tags.get(BITS, (8,))) > 8
    if hungry:
        max_pixels //= 2
    if max(pixels, tile) > max_pixels:
        raise _too_many_pixels(source, max_pixels)
    if max(image.size) > IMAGE.max_side_px:
        message = f"the image is over {IMAGE.max_side_px} pixels long"
        raise _unusable("image.too_many_pixels", message, source)


def _too_many_pixels(source: str, limit: int) -> UnusableImage:
    message = f"the image has over {limit // 1_000_000} megapixels"
    return _unusable("image.too_many_pixels", message, source)


def _upright_srgb(image: Image.Image) -> Pixels:
    """Convert band by band: a copy of 64 megapixels in Pillow takes 256 MB."""
    import numpy as np
    from PIL import Image

    image.seek(0)
    profile = image.info.get("icc_profile")
    image.load()  # this turns a TIFF upright, and removes the tag
    turn, swapped, backwards = TURNS.get(_orientation(image), (None, False, False))
    width, height = image.size
    upright = np.empty((width, height, 3) if swapped else (height, width, 3), np.uint8)
    by_rows = upright.swapaxes(0, 1) if swapped else upright
    convert = _conversion(image, profile)
    rows = max(1, BAND_PX * (TURNED_BANDS if swapped else 1) // width)
    for top in range(0, height, rows):
        end = min(height, top + rows)
        band = convert(image if rows >= height else image.crop((0, top, width, end)))
        if turn:
            band = band.transpose(Image.Transpose[turn])
        place = slice(height - end, height - top) if backwards else slice(top, end)
        pixels = np.asarray(band)
        by_rows[place] = pixels.swapaxes(0, 1) if swapped else pixels
    return upright


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF, or else XMP; 1 for an invalid one."""
    exif = image.info.get("exif") or b""
    if values(exif.removeprefix(b"Exif\0\0")) > IMAGE.max_values:
        return 1
    orientation = image.getexif().get(ORIENTATION, 1)
    return orientation if isinstance(orientation, int) else 1


def _conversion(image: Image.Image, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """A function that converts parts of the image to opaque 8-bit sRGB."""
    if image.mode.startswith("I") or image.mode == "F":
        return partial(_eight_bit, white=_white(image))
    to_srgb = _to_srgb(image, profile)
    return lambda part: _opaque_rgb(to_srgb(part))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """A function that converts colours to sRGB by a usable profile, or leaves them alone."""
    from PIL import ImageCms

    palette = image.mode in ("P", "PA")
    mode = ("RGBA" if image.has_transparency_data else "RGB") if palette else image.mode
    if not profile or not is_plain(profile) or mode not in CMS_MODES:
        return lambda part: part
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return lambda part: part
        target = ImageCms.createProfile("sRGB")
        end = "RGBA" if mode == "RGBA" else "RGB"
        transform = ImageCms.buildTransform(source, target, mode, end)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return lambda part: part  # a broken profile is no reason to refuse the photo
    return lambda part: transform.apply(part.convert(mode))


def _opaque_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode but numbers; transparent parts become white."""
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _white(image: Image.Image) -> float:
    """The value of white in grey of 16 or 32 bits or float; Pillow would clip it at 255."""
    import numpy as np

    if image.mode.startswith("I"):
        return 65535.0
    rows = max(1, BAND_PX // image.width)
    bands = (
        image.crop((0, y, image.width, min(image.height, y + rows)))
        for y in range(0, image.height, rows)
    )
    return max(1.0, *(float(np.nan_to_num(np.asarray(band)).max()) for band in bands))


def _eight_bit(image: Image.Image, white: float) -> Image.Image:
    import numpy as np
    from PIL import Image

    grey = np.nan_to_num(np.asarray(image, dtype=np.float32)) / white
    scaled = (np.clip(grey, 0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")


def _heif_formats() -> tuple[str, ...]:
    return ("HEIF",) if "pi_heif" in sys.modules else ()


def _allow_heif(data: bytes, source: str) -> None:
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return
    if _is_avif(data):
        return  # Pillow reads it
    try:
        import pi_heif
    except ImportError as error:
        raise SetupProblem(
            Reason(
                "image.heic",
                f"the heic extra is not installed ({image_name(source)})",
                f"{pip_install('heic')}, or give a JPEG",
            )
        ) from error
    pi_heif.register_heif_opener()


def _is_avif(data: bytes) -> bool:
    """Whether the brand or a compatible brand is AVIF."""
    brands = data[8 : int.from_bytes(data[:4])] if data[4:8] == b"ftyp" else b""
    return b"avif" in brands or b"avis" in brands
