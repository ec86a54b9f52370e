"""Binds the port, loads the workers, and serves until a signal stops it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import Any, TextIO

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from facauth import admin
from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.web.app import make_app
from facauth.web.middleware import Log, UvicornLog, log_line
from facauth.web.site import Site
from facauth.web.workers import Workers

Notify = Callable[[str], None]


def serve(site: Site, notify: Notify, *, quiet: bool) -> signal.Signals | None:
    """Serve until a signal; returns the signal. Raises UsageProblem and SetupProblem.

    notify: called with warnings, and with the address once the server listens.
    quiet: write no log.
    """
    with open_listener(site) as listener, log_stream() as stderr:
        for warning in admin.require_store(site.store, site.keys):
            notify(warning)
        log = partial(write_line, None if quiet else stderr)
        workers = Workers(site)
        address = f"{'https' if site.tls else 'http'}://{address_of(listener)}"
        ready = partial(notify, f"listening on {address}")
        server = Server(site, make_app(site, workers, log), log, ready)
        with workers, ignoring_signals():
            server.run([listener])
        return server.ended_by


def open_listener(site: Site) -> socket.socket:
    """A socket that listens; early clients wait in it until the server is ready.

    Raises UsageProblem and SetupProblem.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(
            site.host, site.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        reason = Reason(
            "server.no_host", f"there is no host {shown(site.host)}", "give another --host"
        )
        raise UsageProblem(reason) from None
    require_private(site, str(address[0]))
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # at once: two servers could bind the port without an error
    except OSError as error:
        listener.close()
        raise _unusable_port(site, error) from error
    return listener


def _unusable_port(site: Site, error: OSError) -> SetupProblem:
    where = f"port {site.port} of {shown(site.host)}"
    if error.errno == errno.EADDRINUSE:
        reason = Reason("server.port_in_use", f"{where} is in use", "give another --port")
    else:
        cause = error.strerror or "unknown"
        reason = Reason("server.port", f"{where} cannot be used ({cause})", "give another --port")
    return SetupProblem(reason)


def require_private(site: Site, address: str) -> None:
    """Raises UsageProblem if photos and tokens would cross a network unencrypted."""
    if site.secure or ip_address(address.partition("%")[0]).is_loopback:
        return
    message = f"other machines can reach {shown(site.host)}, and the connection is not encrypted"
    advice = "give --tls-cert and --tls-key, or --behind-proxy behind a proxy with HTTPS"
    raise UsageProblem(Reason("server.unencrypted", message, advice))


def address_of(listener: socket.socket) -> str:
    """Host and port as in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_stream() -> TextIO:
    """A copy of stderr for the log; decoding redirects the original to silence libtiff."""
    try:
        target: int | str = os.dup(2)
    except OSError:
        target = os.devnull
    return open(target, "w", buffering=1, errors="backslashreplace")  # noqa: PTH123 - a descriptor


def write_line(stream: TextIO | None, fields: dict[str, Any]) -> None:
    """Write one line of the log; a closed stderr does not stop the server."""
    if stream is not None:
        with suppress(OSError):
            stream.write(log_line(fields))


class Server(uvicorn.Server):
    """uvicorn with facauth's settings; it calls `ready`, and keeps the signal that ended it."""

    def __init__(self, site: Site, app: Any, log: Log, ready: Callable[[], None]) -> None:
        self.ended_by: signal.Signals | None = None
        self._ready = ready
        logger = logging.getLogger("uvicorn.error")
        logger.handlers, logger.propagate = [UvicornLog(log)], False
        config = uvicorn.Config(
            app,
            http=_protocol(site.limits.headers_s),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # or any client on this machine could claim another address
            server_header=False,
            timeout_graceful_shutdown=site.limits.stop_s,
            ssl_certfile=site.tls[0] if site.tls else None,
            ssl_keyfile=site.tls[1] if site.tls else None,
        )
        _load(config)
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and call `ready`."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after running requests; a second Ctrl-C stops at once."""
        self.ended_by = signal.Signals(sig)
        super().handle_exit(sig, frame)


def _load(config: uvicorn.Config) -> None:
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        cause = shown(error.strerror or type(error).__name__)
        message = f"the TLS certificate or its key cannot be used ({cause})"
        raise SetupProblem(Reason("server.tls", message, "give PEM files")) from error


def _protocol(headers_s: float) -> type[asyncio.Protocol]:
    class Protocol(H11Protocol):
        """Closes connections whose request headers take too long."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_for_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait_for_headers()

        def _wait_for_headers(self) -> None:
            self.loop.call_later(headers_s, self._close_if_idle, self.cycle)

        def _close_if_idle(self, before: object) -> None:
            if self.cycle is before and not self.transport.is_closing():
                self.transport.close()

    return Protocol


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignore signals that uvicorn handles, since it sends itself the last one again when it ends.

    SIGPIPE too: a client that hangs up must not end the program.
    """
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
