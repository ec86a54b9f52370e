"""From a file to pixels: RGB, upright, sRGB, limited in bytes and pixels."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import Reason, SetupProblem, UnusableImage, UsageProblem, shown
from facauth.settings import IMAGE

if TYPE_CHECKING:
    from PIL import Image

    from facauth.structs import Pixels

STDIN = "-"
ORIENTATION, TILE_WIDTH, TILE_LENGTH = 0x0112, 322, 323  # TIFF and EXIF tags
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")  # MPO opens as JPEG
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
# What EXIF says -> what turns it upright (Image.Transpose); ImageOps.exif_transpose also writes the
# EXIF again, which fails on odd values.
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
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
    RuntimeError,
    MemoryError,
    Warning,
)


def read_image(source: str) -> bytes:
    """The bytes of a file, or of stdin for "-".

    Raises UsageProblem for what is not a regular file, UnusableImage when empty or too large.
    """
    data = _read_stdin() if source == STDIN else _read_regular_file(source)
    if not data:
        raise _unusable("image.empty", "the image is empty", source)
    if len(data) > IMAGE.max_bytes:
        raise _unusable("image.too_large", f"the image has over {IMAGE.max_bytes >> 20} MB", source)
    return data


def _read_stdin() -> bytes:
    try:
        return sys.stdin.buffer.read(IMAGE.max_bytes + 1)
    except (AttributeError, OSError, ValueError) as error:  # closed: sys.stdin is None, or shut
        reason = Reason("image.unreadable", "stdin cannot be read", "pipe an image in")
        raise UsageProblem(reason) from error


def _read_regular_file(source: str) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer; regular files do not notice it.
        number = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            mode = os.fstat(number).st_mode
            if not stat.S_ISREG(mode):
                raise _not_a_file(source, "folder" if stat.S_ISDIR(mode) else "special file")
            with open(number, "rb", closefd=False) as file:
                return file.read(IMAGE.max_bytes + 1)
        finally:
            os.close(number)
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


def decode(data: bytes, source: str) -> Pixels:
    """Pixels of the first frame: EXIF orientation applied, ICC profile turned to sRGB.

    source only names the image in messages. Raises UnusableImage for whatever is not a whole
    image within the limits, SetupProblem for HEIC without its extra.
    """
    import numpy as np
    from PIL import Image, ImageFile, UnidentifiedImageError

    ImageFile.LOAD_TRUNCATED_IMAGES = False
    _allow_heif(data, source)
    Image.MAX_IMAGE_PIXELS = IMAGE.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[*FORMATS, *_heif_formats()]) as image:
                _require_size(image, source)
                return np.array(_upright_srgb(image), dtype=np.uint8)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(source) from error
    except UnidentifiedImageError as error:
        raise _unusable(
            "image.format", "this is not an image that facauth reads", source
        ) from error
    except DECODER_FAULTS as error:
        raise _unusable("image.damaged", "the image is damaged or cut off", source) from error


def _require_size(image: Image.Image, source: str) -> None:
    pixels = image.width * image.height
    tags = getattr(image, "tag_v2", {})  # libtiff decodes whole tiles, however small the image
    tile = int(tags.get(TILE_WIDTH, 0)) * int(tags.get(TILE_LENGTH, 0))
    if max(pixels, tile) > IMAGE.max_pixels:
        raise _too_many_pixels(source)


def _too_many_pixels(source: str) -> UnusableImage:
    limit = IMAGE.max_pixels // 1_000_000
    return _unusable("image.too_many_pixels", f"the image has over {limit} megapixels", source)


def _upright_srgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    image.seek(0)
    profile = image.info.get("icc_profile")
    image.load()  # which turns a TIFF upright, and takes the tag away
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    upright = image if turn is None else image.transpose(Image.Transpose(turn))
    return _opaque_rgb(_to_srgb(upright, profile))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as sRGB where a usable profile says what they are; as they stand otherwise."""
    from PIL import ImageCms

    if not profile:
        return image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return image
        target = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile is no reason to refuse the photo
    return turned or image


def _opaque_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode; transparent parts become white."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or float: Pillow would clip it at 255, so scale it by its range."""
    import numpy as np
    from PIL import Image

    grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
    top = 65535.0 if image.mode.startswith("I") else max(1.0, float(grey.max(initial=0)))
    return Image.fromarray((np.clip(grey / top, 0, 1) * 255).round().astype(np.uint8))


def _heif_formats() -> tuple[str, ...]:
    return ("HEIF",) if "pi_heif" in sys.modules else ()


def _allow_heif(data: bytes, source: str) -> None:
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return
    if b"avif" in data[12 : min(64, int.from_bytes(data[:4]))]:
        return  # by its compatible brands, it is AVIF, which Pillow reads
    try:
        import pi_heif
    except ImportError as error:
        raise SetupProblem(
            Reason(
                "image.heic",
                f"HEIC photos need an extra that is not installed ({image_name(source)})",
                "pip install 'facauth[heic]', or give a JPEG",
            )
        ) from error
    pi_heif.register_heif_opener()


def image_name(source: str) -> str:
    """How an image is called in messages and results."""
    return "(stdin)" if source == STDIN else shown(Path(source))
