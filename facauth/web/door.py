"""The door that every request goes in and out by: its number, headers, log line and count.

What is logged and counted holds no address, name, path or score: only which route was asked for,
what came of it, and how long it took.
"""

from __future__ import annotations

import json
import logging
from asyncio import CancelledError
from collections.abc import Callable
from datetime import UTC, datetime
from secrets import token_hex
from time import perf_counter
from traceback import extract_tb
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facauth.envelope import Answer
from facauth.web.answers import Json, Reply, failed, refused
from facauth.web.refusals import busy

Log = Callable[[dict[str, Any]], None]  # writes one line
GONE = 499  # nobody was there to be answered; never sent
NUMBER, PROBLEM, ROUTE = "facauth.number", "facauth.problem", "route"  # keys of a request's scope
METHODS = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"}  # others anybody makes up
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that know no frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
# Where this server speaks TLS itself: for a year browsers do not come to this host by http. A proxy
# says so for itself, since it may serve other things under the same name.
SECURE_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}


class Counts:
    """What /metrics shows."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every series
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "facauth_requests", "Requests that were answered", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "facauth_request_seconds", "How long they took", ("route",), registry=self.registry
        )

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Door:
    """ASGI middleware around everything else; nothing that goes wrong inside gets past it."""

    def __init__(self, app: ASGIApp, log: Log, counts: Counts, *, secure: bool) -> None:
        self._app, self._log, self._counts = app, log, counts
        self._headers = HEADERS | (SECURE_HEADERS if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, start, status = token_hex(8), perf_counter(), GONE
        scope[NUMBER] = number

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update({**self._headers, "X-Request-Id": number})
            await send(message)

        try:
            failure = await self._through(scope, receive, send_on)
            if failure and status == GONE:
                response = Json(failure.body, failure.status, failure.headers)
                await response(scope, receive, send_on)
        finally:
            self._note(scope, status, perf_counter() - start)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        """What to answer if nothing was, since something went wrong."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            pass
        except CancelledError:  # the server is to stop, and this took too long
            return refused(busy(), Answer(None))
        except Exception as error:  # noqa: BLE001 - the last resort: 500 without a word of it
            scope[PROBLEM] = f"{type(error).__name__} at {_place_of(error)}"
            return failed(None, scope[NUMBER])
        return None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get(ROUTE), "path", "(none)")
        method = scope["method"] if scope["method"] in METHODS else "(other)"
        self._counts.add(method, route, status, seconds)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "id": scope[NUMBER],
        }
        if PROBLEM in scope:
            line["problem"] = scope[PROBLEM]
        self._log(line)


def _place_of(error: Exception) -> str:
    """The innermost line of ours; an error's own text may hold what was uploaded."""
    frames = [each for each in extract_tb(error.__traceback__) if "facauth" in each.filename]
    return f"{frames[-1].filename.rpartition('facauth')[2]}:{frames[-1].lineno}" if frames else "?"


class OwnWords(logging.Handler):
    """The HTTP server's own warnings, as lines of the same log and without tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._log({"time": now, "server": record.getMessage().strip()})


def as_line(fields: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(fields) + "\n"
