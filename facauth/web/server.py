"""Binds, loads, serves, and stops when it is told to."""

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

from facauth.errors import Reason, SetupProblem, UsageProblem, shown
from facauth.web.app import make_app
from facauth.web.door import Log, OwnWords, as_line
from facauth.web.jobs import require_store
from facauth.web.site import Site
from facauth.web.work import Workers

Say = Callable[[str], None]


def serve(site: Site, say: Say, *, quiet: bool) -> signal.Signals | None:
    """Serve until a signal ends it; which one. Raises UsageProblem and SetupProblem.

    say: tells the user a thing; at last that it is ready, and where. quiet: no log.
    """
    with bound(site) as listener, own_stderr() as stderr:
        for warning in require_store(site):
            say(warning)
        log = partial(write_line, None if quiet else stderr)
        workers = Workers(site)
        address = f"{'https' if site.tls else 'http'}://{name_of(listener)}"
        ready = partial(say, f"listening on {address}")
        server = Server(site, make_app(site, workers, log), log, ready)
        with workers, without_signals():
            server.run([listener])
        return server.ended_by


def bound(site: Site) -> socket.socket:
    """A socket at the port; who connects already waits until the server is ready."""
    try:
        family, kind, *_, address = socket.getaddrinfo(
            site.host, site.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        reason = Reason("server.no_host", f"there is no host {shown(site.host)}", "name another")
        raise UsageProblem(reason) from None
    require_private(site, str(address[0]))
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # or else two could bind it and neither knew
    except OSError as error:
        listener.close()
        raise _not_bound(site, error) from error
    return listener


def _not_bound(site: Site, error: OSError) -> SetupProblem:
    where = f"port {site.port} of {shown(site.host)}"
    if error.errno == errno.EADDRINUSE:
        reason = Reason("server.port_in_use", f"{where} is in use", "give another --port")
    else:
        cause = error.strerror or "unknown"
        reason = Reason("server.port", f"{where} cannot be used ({cause})", "give another --port")
    return SetupProblem(reason)


def require_private(site: Site, address: str) -> None:
    """Raises UsageProblem where pictures and tokens would cross a network in the clear."""
    if site.secure or ip_address(address.partition("%")[0]).is_loopback:
        return
    message = f"{shown(site.host)} can be reached by others, and this is not encrypted"
    advice = "give --tls-cert and --tls-key, or --behind-proxy if a proxy does that"
    raise UsageProblem(Reason("server.unencrypted", message, advice))


def name_of(listener: socket.socket) -> str:
    """Host and port, as in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_stderr() -> TextIO:
    """Where the log goes: libtiff's words are kept off the other one, and ours with them."""
    try:
        target: int | str = os.dup(2)
    except OSError:
        target = os.devnull
    return open(target, "w", buffering=1, errors="backslashreplace")  # noqa: PTH123 - a descriptor


def write_line(stream: TextIO | None, fields: dict[str, Any]) -> None:
    """One line of the log; a reader who is gone stops nothing."""
    if stream is not None:
        with suppress(OSError):
            stream.write(as_line(fields))


class Server(uvicorn.Server):
    """uvicorn with our settings, that says when it listens and what ended it."""

    def __init__(self, site: Site, app: Any, log: Log, ready: Callable[[], None]) -> None:
        self.ended_by: signal.Signals | None = None
        self._ready = ready
        own = logging.getLogger("uvicorn.error")
        own.handlers, own.propagate = [OwnWords(log)], False
        config = uvicorn.Config(
            app,
            http=_protocol(site.limits.headers_s),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # or else who connects from this machine could say who they are
            server_header=False,
            timeout_graceful_shutdown=site.limits.stop_s,
            ssl_certfile=site.tls[0] if site.tls else None,
            ssl_keyfile=site.tls[1] if site.tls else None,
        )
        _load(config)
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then say so."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn's: the first ends it when all is done, a second Ctrl-C at once."""
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
        """Closes connections that take too long to ask for something."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_for_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait_for_headers()

        def _wait_for_headers(self) -> None:
            self.loop.call_later(headers_s, self._close_unless_asked, self.cycle)

        def _close_unless_asked(self, before: object) -> None:
            if self.cycle is before and not self.transport.is_closing():
                self.transport.close()

    return Protocol


@contextmanager
def without_signals() -> Iterator[None]:
    """Signals as the server finds and restores them: it sends itself those that ended it again.

    SIGPIPE too: a client who hangs up must not end the program.
    """
    ours = (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE)
    before = [(each, signal.signal(each, signal.SIG_IGN)) for each in ours]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
