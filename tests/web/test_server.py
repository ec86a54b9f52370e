"""What takes a broken server, or more patience than a test has."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn
from conftest import Facauth
from serving import SITE

from facauth.errors import Reason, SetupProblem
from facauth.networks import Networks
from facauth.web.app import make_app
from facauth.web.server import _protocol
from facauth.web.workers import Workers


def test_a_bug_is_a_500_without_a_word_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has its type and place, and not its text, which may hold what was uploaded."""
    log: list[dict[str, Any]] = []
    workers = Workers(SITE)

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the photo")

    monkeypatch.setattr(workers, "run", broken)
    app = make_app(replace(SITE, per_minute=9), workers, log.append)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/sign-in/", files={"file": b"x"})

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["verdict"] == "internal_error"
    assert answer.headers["X-Request-Id"] in answer.json()["reasons"][0]["advice"]
    assert "Content-Security-Policy" in answer.headers
    (line,) = log
    assert line["problem"].startswith("ZeroDivisionError at ")
    assert "secret" not in answer.text + str(log)


def test_networks_that_are_unfit_are_found_at_the_start(
    facauth: Facauth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfit(_: Networks) -> None:
        raise SetupProblem(Reason("weights.unfit", "a weight is damaged", "install facauth again"))

    monkeypatch.setattr(Networks, "load", unfit)
    result = facauth("serve", "--port", "0", "--workers", "1", exit_code=7)
    assert result.stderr == "facauth: a weight is damaged; install facauth again\n"


@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
def test_who_asks_for_nothing_is_not_waited_for(begun: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(port: int, said: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            writer.write(said)
            return await asyncio.wait_for(reader.read(), 10)

    async def run() -> tuple[bytes, bytes]:
        config = uvicorn.Config(
            app, http=_protocol(0.3), ws="none", lifespan="off", log_config=None, loop="asyncio"
        )
        server = uvicorn.Server(config)
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            serving = asyncio.create_task(server._serve([listener]))
            port = listener.getsockname()[1]
            silent = await ask(port, begun)
            answered = await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
            server.should_exit = True
            await serving
        return silent, answered

    silent, answered = asyncio.run(run())
    assert silent == b""
    assert answered.startswith(b"HTTP/1.1 200 OK")
