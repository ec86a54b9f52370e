"""Forms of requests, read by Starlette's parsers and bounded in bytes, in time and in their sum.

FastAPI's own form parameters do not serve here: FastAPI reads the body before any dependency runs,
so before the caller is known, and its parser writes files over 1 MB to a disk. Its body limit would
answer without the envelope. So the guard reads forms here. Starlette limits the number of fields
and their size; the stream that it reads from limits the bytes of a body and of all bodies together.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from facauth.errors import Reason
from facauth.web.probe import Frames, Probe
from facauth.web.refusals import TooSlow, busy, malformed, too_large, wrong_media_type
from facauth.web.site import WebLimits

FILES = ("file", "frame")  # the fields that may be files, and come more than once
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Form:
    """The text fields by name, the files, and the frames of a camera."""

    fields: dict[str, str] = field(default_factory=dict)
    files: tuple[bytes, ...] = field(default=(), repr=False)
    frames: tuple[bytes, ...] = field(default=(), repr=False)

    def probe(self, limits: WebLimits) -> Probe:
        """The one file, or all frames. Raises UsageProblem unless there is just one of the two."""
        (probe, *more) = self.probes(limits)
        if more:
            raise malformed("the form has a field twice", "send one file")
        return probe

    def probes(self, limits: WebLimits) -> list[Probe]:
        """Every file, or all frames as one probe. Raises UsageProblem if there is none."""
        files = [file for file in self.files if file]  # browsers send an empty one for no file
        if files and self.frames:
            raise malformed("the form has both a file and frames", "send one of the two")
        if self.frames:
            return [Frames.parse(self.frames, self.text("times_ms") or "", limits)]
        if not files:
            raise malformed("the form has no photo", "choose a file")
        if len(files) > limits.max_photos:
            raise malformed(f"the form has more than {limits.max_photos} photos", "send fewer")
        return [*files]

    def text(self, name: str) -> str | None:
        """A text field; None if it is missing or empty (browsers send empty fields)."""
        return self.fields.get(name) or None

    def required(self, name: str) -> str:
        """A text field. Raises UsageProblem if it is missing or empty."""
        value = self.text(name)
        if value is None:
            raise malformed(f"the form has no {name}", f"fill in the {name}")
        return value


class Forms:
    """Reads forms; counts the bytes of uploads and of waiting and running requests together."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._held_bytes: Counter[str] = Counter()  # by client

    @asynccontextmanager
    async def read(
        self, request: Request, media_types: Collection[str], client: str
    ) -> AsyncIterator[Form]:
        """The form; its bytes count until the `async with` ends.

        media_types: those that the route accepts. Another type, or a declared length over the
        limit of its type, is refused before a byte is read. One client may hold half of all bytes.
        Raises TooLarge, TooSlow, Busy, UsageProblem.
        """
        header = parse_options_header(request.headers.get("content-type"))
        media_type = header[0].decode("latin-1")
        if media_type not in media_types:
            raise wrong_media_type(media_types)
        limits, has_photo = self._limits, media_type == MULTIPART
        max_bytes = limits.max_body_bytes if has_photo else limits.max_small_body_bytes
        if int(request.headers.get("content-length", "0")) > max_bytes:  # h11 allows digits only
            raise too_large(max_bytes)
        held = _Held(self._held_bytes, client, limits.max_buffered_bytes)
        try:
            yield await self._read(request, media_type, _bounded(request, max_bytes, held))
        finally:
            held.release()

    async def _read(
        self, request: Request, media_type: str, stream: AsyncGenerator[bytes, None]
    ) -> Form:
        try:
            async with asyncio.timeout(self._limits.upload_s), aclosing(stream):
                data = await self._parse(request, media_type, stream)
                try:
                    return await _form_of(data)
                finally:
                    await data.close()
        except TimeoutError:
            reason = Reason("upload.too_slow", "the upload took too long", "send a smaller photo")
            raise TooSlow(reason) from None
        except (MultiPartException, FormParserError, ValueError, LookupError) as error:
            message = "the form is damaged, cut off, or has too many or too long fields"
            raise malformed(message, "send the whole form, each field once") from error

    async def _parse(
        self, request: Request, media_type: str, stream: AsyncGenerator[bytes, None]
    ) -> FormData:
        fields, size = self._limits.max_fields, self._limits.max_text_bytes
        if media_type == URLENCODED:
            parser = FormParser(request.headers, stream, max_fields=fields, max_part_size=size)
            return await parser.parse()
        files = self._limits.max_frames
        multipart = _InMemory(
            request.headers, stream, max_files=files, max_fields=fields, max_part_size=size
        )
        return await multipart.parse()


class _InMemory(MultiPartParser):
    """Starlette's parser, without files on a disk; it refuses a form that is cut off."""

    spool_max_size = sys.maxsize
    _ended = False

    async def parse(self) -> FormData:
        """Raises MultiPartException unless it is a whole form within the limits."""
        self.stream = self._whole(self.stream)
        return await super().parse()

    def on_end(self) -> None:
        """Called at the last boundary."""
        self._ended = True

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("cut off")


async def _form_of(data: FormData) -> Form:
    """Raises UsageProblem for a repeated text, and for a file in place of one."""
    texts = dict[str, str]()
    files: dict[str, list[bytes]] = {name: [] for name in FILES}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile) and name in files:
            files[name].append(await value.read())
        elif isinstance(value, UploadFile):
            advice = "send the photo as the field file"
            raise malformed("the form has a file in place of a text", advice)
        elif name in texts:
            raise malformed("the form has a field twice", "send each field once")
        else:
            texts[name] = value
    return Form(texts, tuple(files["file"]), tuple(files["frame"]))


@dataclass(slots=True)
class _Held:
    """The bytes of one form, counted with all others."""

    by_client: Counter[str]
    client: str
    max_bytes: int
    size: int = 0

    def take(self, more: int) -> None:
        """Count further bytes. Raises Busy if the client or everybody holds too many."""
        self.size += more
        self.by_client[self.client] += more
        of_client, of_all = self.by_client[self.client], self.by_client.total()
        if of_all > self.max_bytes or of_client > self.max_bytes // 2:
            raise busy()

    def release(self) -> None:
        self.by_client[self.client] -= self.size
        if not self.by_client[self.client]:
            del self.by_client[self.client]


async def _bounded(request: Request, max_bytes: int, held: _Held) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        if held.size + len(chunk) > max_bytes:
            raise too_large(max_bytes)
        held.take(len(chunk))
        yield chunk
