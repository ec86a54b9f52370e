"""A form as a browser or curl sends it, read in memory: no picture ever reaches a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from facauth.errors import UsageProblem
from facauth.web.refusals import malformed
from facauth.web.site import WebLimits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

URLENCODED, MULTIPART = b"application/x-www-form-urlencoded", b"multipart/form-data"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields by name."""

    fields: dict[str, bytes]
    limits: WebLimits

    @classmethod
    def parse(cls, content_type: str, body: bytes | bytearray, limits: WebLimits) -> Form:
        """Raises UsageProblem for whatever is not a whole form, each field there once."""
        kind, options = parse_options_header(content_type)
        fields: dict[str, bytes] = {}
        with _explained():
            if kind == MULTIPART:
                found = _parts(options.get(b"boundary", b""), body, limits.max_fields)
            elif kind == URLENCODED:
                found = _pairs(body, limits)
            else:
                raise malformed("this is no form", "send multipart/form-data")
            for name, value in found:
                if name in fields or len(fields) == limits.max_fields:
                    raise malformed("the form has too many fields", "send each of them once")
                fields[name] = value
        return cls(fields, limits)

    def photo(self) -> bytes:
        """The file. Raises UsageProblem if there is none."""
        if not self.fields.get("file"):
            raise malformed("the form has no photo", "choose a file")
        return self.fields["file"]

    def text(self, name: str) -> str | None:
        """A field, None where it is missing or empty, as browsers send it."""
        value = self.fields.get(name, b"")
        if len(value) > self.limits.max_text_bytes:
            raise malformed(f"the field {name} is too long", "write less")
        try:
            return value.decode() or None
        except UnicodeDecodeError:
            raise malformed(f"the field {name} is no UTF-8 text", "send UTF-8") from None

    def required(self, name: str) -> str:
        """Raises UsageProblem where it is missing or empty."""
        value = self.text(name)
        if value is None:
            raise malformed(f"the form has no {name}", f"fill in the {name}")
        return value


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UsageProblem:
        raise
    except (FormParserError, ValueError, LookupError) as error:
        raise malformed("the form is damaged or cut off", "send it again") from error


def _pairs(body: bytes | bytearray, limits: WebLimits) -> Iterator[tuple[str, bytes]]:
    text = body.decode("ascii")
    pairs = parse_qsl(
        text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=limits.max_fields
    )
    for name, value in pairs:
        yield name, value.encode("utf-8", "surrogateescape")


def _parts(boundary: bytes, body: bytes | bytearray, max_parts: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each part of RFC 7578; raises ValueError unless the end is there."""
    if not boundary:
        raise ValueError
    reader = _Reader(max_parts)
    parser = MultipartParser(boundary, reader.callbacks())
    parser.write(body)  # type: ignore[arg-type]  # which it only searches and slices
    parser.finalize()
    if not reader.ended:
        raise ValueError
    return iter(reader.parts)


class _Reader:
    """Collects what the parser calls out; raises ValueError for too many parts or odd ones."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[tuple[str, bytes]] = []
        self.ended = False
        self._max_parts = max_parts
        self._begin()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._name: str | None = None
        self._content: list[bytes] = []
        self._header, self._value = b"", b""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1][b"name"].decode()
        self._header, self._value = b"", b""

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(memoryview(data)[start:end].tobytes())

    def _end(self) -> None:
        if self._name is None or len(self.parts) == self._max_parts:
            raise ValueError
        self.parts.append((self._name, b"".join(self._content)))

    def _finish(self) -> None:
        self.ended = True
