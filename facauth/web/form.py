"""Forms of requests, read by Starlette's own parsers: bounded in bytes, in time, and in their sum.

What Starlette does not bound is bounded in the stream that it reads from: a body's bytes (its own
limits are for fields and for how many there are), all bodies of a client and of everybody, and the
time. No picture ever reaches a disk, as its spool would have it from 1 MB on.
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
from facauth.web.refusals import TooSlow, busy, malformed, not_of_this_type, too_large
from facauth.web.site import WebLimits

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields by name, and the photo."""

    fields: dict[str, str] = field(default_factory=dict)
    file: bytes = field(default=b"", repr=False)

    def photo(self) -> bytes:
        """The file. Raises UsageProblem if there is none."""
        if not self.file:
            raise malformed("the form has no photo", "choose a file")
        return self.file

    def text(self, name: str) -> str | None:
        """A field, None where it is missing or empty, as browsers send it."""
        return self.fields.get(name) or None

    def required(self, name: str) -> str:
        """Raises UsageProblem where it is missing or empty."""
        value = self.text(name)
        if value is None:
            raise malformed(f"the form has no {name}", f"fill in the {name}")
        return value


class Forms:
    """What is in memory now, being uploaded, waiting or worked on."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._held_bytes: Counter[str] = Counter()  # by client

    @asynccontextmanager
    async def read(
        self, request: Request, kinds: Collection[str], client: str
    ) -> AsyncIterator[Form]:
        """The form, which counts until it is left. Raises TooLarge, TooSlow, Busy, UsageProblem.

        kinds: the media types that the route takes; another is refused before a byte is read, and
        so is what says that it is larger than a form of its kind may be: MULTIPART alone is large.
        No client holds more than half of all there is to hold, or one could keep out all others.
        """
        kind = parse_options_header(request.headers.get("content-type"))[0].decode("latin-1")
        if kind not in kinds:
            raise not_of_this_type(kinds)
        limits = self._limits
        max_bytes = limits.max_body_bytes if kind == MULTIPART else limits.max_small_body_bytes
        if int(request.headers.get("content-length", "0")) > max_bytes:  # h11 lets only digits by
            raise too_large(max_bytes)
        held = _Held(self._held_bytes, client, limits.max_buffered_bytes)
        try:
            yield await self._read(request, kind, _bounded(request, max_bytes, held))
        finally:
            held.let_go()

    async def _read(self, request: Request, kind: str, stream: AsyncGenerator[bytes, None]) -> Form:
        try:
            async with asyncio.timeout(self._limits.upload_s), aclosing(stream):
                data = await self._parsed(request, kind, stream)
                try:
                    return await _form_of(data)
                finally:
                    await data.close()
        except TimeoutError:
            reason = Reason("upload.too_slow", "the upload took too long", "send a smaller photo")
            raise TooSlow(reason) from None
        except (MultiPartException, FormParserError, ValueError, LookupError) as error:
            message = "the form is damaged, cut off, or has too much in it"
            raise malformed(message, "send each field once, and all of it") from error

    async def _parsed(
        self, request: Request, kind: str, stream: AsyncGenerator[bytes, None]
    ) -> FormData:
        fields, size = self._limits.max_fields, self._limits.max_text_bytes
        if kind == URLENCODED:
            small = FormParser(request.headers, stream, max_fields=fields, max_part_size=size)
            return await small.parse()
        large = _InMemory(
            request.headers, stream, max_files=1, max_fields=fields, max_part_size=size
        )
        return await large.parse()


class _InMemory(MultiPartParser):
    """Starlette's, but no file is ever put on a disk, and a form without its end is none."""

    spool_max_size = sys.maxsize
    _ended = False

    async def parse(self) -> FormData:
        """Raises MultiPartException for whatever is not a whole form within the limits."""
        self.stream = self._to_its_end(self.stream)
        return await super().parse()

    def on_end(self) -> None:
        """The last boundary."""
        self._ended = True

    async def _to_its_end(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("cut off")


async def _form_of(data: FormData) -> Form:
    """Raises UsageProblem where a field comes twice, or a file in the place of a text."""
    fields = dict(data)
    if len(fields) != len(data.multi_items()):
        raise malformed("the form has a field twice", "send each of them once")
    file = fields.pop("file", None)
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if len(texts) != len(fields):
        raise malformed("the form has a file in the place of a text", "send the photo as file")
    return Form(texts, await file.read() if isinstance(file, UploadFile) else b"")


@dataclass(slots=True)
class _Held:
    """The bytes of one form, among those of everybody."""

    by_client: Counter[str]
    client: str
    max_bytes: int
    size: int = 0

    def take(self, more: int) -> None:
        """Raises Busy where there is no room for them."""
        self.size += more
        self.by_client[self.client] += more
        theirs, everybodys = self.by_client[self.client], self.by_client.total()
        if everybodys > self.max_bytes or theirs > self.max_bytes // 2:
            raise busy()

    def let_go(self) -> None:
        self.by_client[self.client] -= self.size
        if not self.by_client[self.client]:
            del self.by_client[self.client]


async def _bounded(request: Request, max_bytes: int, held: _Held) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        if held.size + len(chunk) > max_bytes:
            raise too_large(max_bytes)
        held.take(len(chunk))
        yield chunk
