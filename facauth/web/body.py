"""Bodies of requests: bounded in bytes, in time, and all of them together in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from facauth.errors import Reason
from facauth.web.refusals import TooSlow, busy, too_large
from facauth.web.site import WebLimits


class Bodies:
    """What is in memory now, being uploaded, waiting or worked on."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._held_bytes = 0

    @asynccontextmanager
    async def body(self, request: Request, max_bytes: int) -> AsyncIterator[bytearray]:
        """The body, which counts until it is left. Raises TooLarge, TooSlow and Busy."""
        declared = request.headers.get("content-length", "0")
        if int(declared) > max_bytes:  # the HTTP parser lets only digits through
            raise too_large(max_bytes)
        held = _Held()
        try:
            yield await self._read(request, max_bytes, held)
        finally:
            self._held_bytes -= held.bytes

    async def _read(self, request: Request, max_bytes: int, held: _Held) -> bytearray:
        body = bytearray()  # which grows in place; pieces and their sum would be twice as much
        try:
            async with asyncio.timeout(self._limits.upload_s):
                async for chunk in request.stream():
                    held.bytes += len(chunk)
                    self._held_bytes += len(chunk)
                    if held.bytes > max_bytes:
                        raise too_large(max_bytes)
                    if self._held_bytes > self._limits.max_buffered_bytes:
                        raise busy()
                    body += chunk
        except TimeoutError:
            reason = Reason("upload.too_slow", "the upload took too long", "send a smaller photo")
            raise TooSlow(reason) from None
        return body


class _Held:
    """By one request."""

    bytes: int = 0
