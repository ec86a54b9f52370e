"""Limits on the parts of an image file, checked before a decoder opens it.

Pillow reads some formats piece by piece, and libjpeg goes over the whole picture once a scan: files
within the limits of bytes and pixels took minutes and gigabytes (tests/faces/test_container.py).
"""

from __future__ import annotations

import io
import re
import struct

from facauth.settings import IMAGE

# The decoder joins or inflates each further one, and then discards it.
REPEATED = (b"Exif\0\0", b"iCCP", b"Photoshop 3.0\0")
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in JPEG; not stuffing, fill or a restart
END, SCAN = b"\xff\xd9", b"\xff\xda"
TIFF = (b"II", b"MM")
BIG_TIFF = (b"II+\0", b"MM\0+")
DIRECTORIES = (34665, 34853, 40965)  # tags that hold the place of a further directory
SUBFILE_TYPE = 254  # its lowest bit: a smaller copy of another page
MAX_DIRECTORIES = 8
BLOCKS = (1, 2, 6, 7)  # types of bytes; above the baseline tags what they hold is left alone
BASELINE_TAGS = 700
ELEMENTS = b"mpet"  # ICC.1 multiProcessElementsType: any number of steps, which may be the same one


class TooManyParts(Exception):
    """Decoding would take more time or memory than any photo does."""


class WatchedFile(io.BytesIO):
    """Bytes as a file; raises TooManyParts for a decoder that reads it in small pieces only."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count the call."""
        self._reads += 1
        if self._reads > IMAGE.max_reads:
            raise TooManyParts
        return super().read(size)


def require_few_parts(data: bytes) -> None:
    """Raises TooManyParts for a file that the decoder would take too long to open."""
    if any(data.count(part) > IMAGE.max_repeats for part in REPEATED):
        raise TooManyParts
    if data[:4] in BIG_TIFF or (data[:2] in TIFF and values(data) > IMAGE.max_values):
        raise TooManyParts


def require_few_scans(data: bytes, pixels: int) -> None:
    """Raises TooManyParts for a JPEG whose scans go over more pixels than is allowed."""
    max_scans = IMAGE.max_scans * IMAGE.max_pixels // pixels
    if data.count(SCAN) > max_scans and scans(data) > max_scans:
        raise TooManyParts


def scans(data: bytes) -> int:
    """The number of scans of a JPEG, up to its end marker."""
    count, at = 0, 2
    while (marker := MARKER.search(data, at)) and marker[0] != END:
        count += marker[0] == SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def values(data: bytes) -> int:
    """The number of values in the directories of a TIFF file or of EXIF; each becomes an object.

    Sizes are those that the entries in `data` state. Blocks of bytes (a colour profile, a maker's
    note) are not counted, because the decoder does not parse them.
    """
    order = "<" if data[:2] == b"II" else ">"
    total, seen, ahead = 0, set[int](), [_number(data, 4, order + "I")]
    while ahead and len(seen) < MAX_DIRECTORIES:
        place = ahead.pop()
        if place in seen:
            continue
        seen.add(place)
        size = 12 * _number(data, place, order + "H")
        entries = data[place + 2 : place + 2 + size]
        whole = entries[: len(entries) // 12 * 12]
        for tag, kind, count, where in struct.iter_unpack(order + "HHII", whole):
            if tag in DIRECTORIES:
                ahead.append(where)
            elif tag < BASELINE_TAGS or kind not in BLOCKS:
                total += count
    return total


def has_pages(data: bytes) -> bool:
    """Whether a TIFF file has a page beside the first that is not a smaller copy of one."""
    order = "<" if data[:2] == b"II" else ">"
    place = _number(data, 4, order + "I")
    for _ in range(MAX_DIRECTORIES):
        place = _number(data, place + 2 + 12 * _number(data, place, order + "H"), order + "I")
        if not 0 < place < len(data):
            return False
        size = 12 * _number(data, place, order + "H")
        entries = data[place + 2 : place + 2 + size]
        kinds = {
            tag: _number(entries, 12 * number + 8, order + "I")
            for number, (tag,) in enumerate(struct.iter_unpack(order + "H10x", entries))
        }
        if not kinds.get(SUBFILE_TYPE, 0) & 1:
            return True
    return True


def is_plain(profile: bytes) -> bool:
    """Whether a colour profile is of a usual size and kind; 80 KB of elements took 19 s."""
    return len(profile) <= IMAGE.max_profile_bytes and ELEMENTS not in profile


def _number(data: bytes, at: int, layout: str) -> int:
    """0 past the end."""
    return 0 if at + 4 > len(data) else int(struct.unpack_from(layout, data, at)[0])
