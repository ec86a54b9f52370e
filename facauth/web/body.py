"""Bodies of requests: bounded in bytes, in time, and all of them together in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
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
        self._held_bytes: Counter[str] = Counter()  # by client

    @asynccontextmanager
    async def body(self, request: Request, max_bytes: int, client: str) -> AsyncIterator[bytearray]:
        """The body, which counts until it is left. Raises TooLarge, TooSlow and Busy.

        No client holds more than half of all there is to hold, or one could keep out all others.
        """
        declared = request.headers.get("content-length", "0")
        if int(declared) > max_bytes:  # the HTTP parser lets only digits through
            raise too_large(max_bytes)
        body = bytearray()  # which grows in place; pieces and their sum would be twice as much
        try:
            await self._read(request, max_bytes, client, body)
            yield body
        finally:
            self._held_bytes[client] -= len(body)
            self._held_bytes += Counter()  # which drops whoever holds nothing

    async def _read(self, request: Request, max_bytes: int, client: str, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self._limits.upload_s):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > max_bytes:
                        raise too_large(max_bytes)
                    body += chunk
                    self._held_bytes[client] += len(chunk)
                    if self._is_full(client):
                        raise busy()
        except TimeoutError:
            reason = Reason("upload.too_slow", "the upload took too long", "send a smaller photo")
            raise TooSlow(reason) from None

    def _is_full(self, client: str) -> bool:
        most_bytes = self._limits.max_buffered_bytes
        return self._held_bytes.total() > most_bytes or self._held_bytes[client] > most_bytes // 2
