"""For every request: an id, security headers, a log line, a metric, and an answer in any case.

Log and metrics hold the route, its status and its duration; no address, name, path or score.
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
from facauth.web.answers import JsonLine, Reply, fault_reply, refusal_reply
from facauth.web.refusals import busy

Log = Callable[[dict[str, Any]], None]  # writes one line
CLIENT_GONE = 499  # the client hung up before the answer; never sent
REQUEST_ID, PROBLEM, ROUTE = "facauth.request_id", "facauth.problem", "route"  # keys of a scope
METHODS = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"}  # the log shows no other
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
# Only if this server has TLS itself: browsers then use HTTPS for this host for a year. A proxy may
# serve other things under the same name, and sends this header itself.
SECURE_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}


class Metrics:
    """The counters that /metrics shows."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double every series
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "facauth_requests", "Requests answered", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "facauth_request_seconds", "Duration of a request", ("route",), registry=self.registry
        )

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class RequestMiddleware:
    """ASGI middleware around the application. No exception leaves it."""

    def __init__(self, app: ASGIApp, log: Log, metrics: Metrics, *, secure: bool) -> None:
        self._app, self._log, self._metrics = app, log, metrics
        self._headers = HEADERS | (SECURE_HEADERS if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = perf_counter(), CLIENT_GONE
        scope[REQUEST_ID] = token_hex(8)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(
                    {**self._headers, "X-Request-Id": scope[REQUEST_ID]}
                )
            await send(message)

        try:
            fallback = await self._call(scope, receive, send_with_headers)
            if fallback and status == CLIENT_GONE:
                response = JsonLine(fallback.body, fallback.status, fallback.headers)
                await response(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, perf_counter() - start)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        """Call the application; a reply in case it failed before it answered."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            pass
        except CancelledError:  # the server stops, and this took too long
            return refusal_reply(busy(), Answer(None))
        except Exception as error:  # noqa: BLE001 - the last resort: 500 without details
            scope[PROBLEM] = f"{type(error).__name__} at {_place_of(error)}"
            return fault_reply(None, scope[REQUEST_ID])
        return None

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get(ROUTE), "path", "(none)")
        method = scope["method"] if scope["method"] in METHODS else "(other)"
        self._metrics.add(method, route, status, seconds)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "id": scope[REQUEST_ID],
        }
        if PROBLEM in scope:
            line["problem"] = scope[PROBLEM]
        self._log(line)


def _place_of(error: Exception) -> str:
    """The innermost line of facauth; the error's own text may hold what was uploaded."""
    frames = [frame for frame in extract_tb(error.__traceback__) if "facauth" in frame.filename]
    return f"{frames[-1].filename.rpartition('facauth')[2]}:{frames[-1].lineno}" if frames else "?"


class UvicornLog(logging.Handler):
    """Warnings of the HTTP server as lines of the same log, without tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._log({"time": now, "server": record.getMessage().strip()})


def log_line(fields: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(fields) + "\n"
