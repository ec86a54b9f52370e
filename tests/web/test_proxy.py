"""docs/how-to/nginx.conf, run by nginx before two servers: all but addresses and certificate."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from conftest import PATIENCE_S, ROOT, killing
from following import actor, drawn, send
from postgres import free_port
from serving import BARACK, BARACK_AGAIN, CLIENT, JOE, Served, sent, serving

if TYPE_CHECKING:
    from facauth.networks import Networks

pytestmark = pytest.mark.slow
CONFIGURED = (ROOT / "docs/how-to/nginx.conf").read_text()
BIG = b"\xff\xd8" + bytes(20 * 2**20)  # no photo, and more than nginx keeps in memory


@contextmanager
def proxied(folder: Path, ports: Sequence[int]) -> Iterator[str]:
    """The proxy of the page before servers with these ports; its address."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder.chmod(0o755)
    port, closed = free_port(), folder / "closed"
    closed.mkdir(mode=0o500)  # where nothing can be written
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    made += ["-subj", "/CN=localhost", "-keyout", f"{folder}/key", "-out", f"{folder}/chain"]
    subprocess.run(made, check=True, capture_output=True)
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/run/secrets/proxy-chain": str(folder / "chain"),
        "/run/secrets/proxy-key": str(folder / "key"),
        "server facauth-1:8000;": f"server 127.0.0.1:{ports[0]};",
        "server facauth-2:8000;": f"server 127.0.0.1:{ports[1]};",
        "http {\n": "http {\n"
        + "".join(
            f"    {kind}_temp_path {closed};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    }
    text = CONFIGURED
    for before, after in changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-p", f"{folder}", "-c", f"{folder}/nginx.conf"]
    command += ["-e", f"{folder}/errors", "-g", f"daemon off; pid {folder}/pid;"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process, killing(process):
        try:
            _wait(process, port)
            yield f"https://127.0.0.1:{port}"
        finally:
            process.terminate()
    assert "[emerg]" not in (folder / "errors").read_text()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port))):
            return
        time.sleep(0.02)
    assert process.stderr
    raise AssertionError(process.stderr.read().decode())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """Two servers on one store; each takes 20 requests of a client at once."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    options = ("--behind-proxy", "--per-minute", "20", "--workers", "1")
    with ExitStack() as stack:
        one = stack.enter_context(serving(first, *options))
        store = ("--store", str(one.store))
        assert one.register("Barack", BARACK).status_code == 200
        yield one, stack.enter_context(serving(second, *store, *options))


@pytest.fixture
def proxy(two: tuple[Served, Served], tmp_path: Path) -> Iterator[Served]:
    with proxied(tmp_path, [each.port for each in two]) as url:
        yield replace(two[0], url=url)


def paths(server: Served) -> list[str]:
    return [line["route"] for line in server.log()]


def test_nginx_finds_nothing_to_complain_about(proxy: Served, tmp_path: Path) -> None:
    assert proxy.get("/healthz").text == "ok\n"
    assert (tmp_path / "errors").read_text() == ""


def test_servers_take_turns_and_are_as_one(
    proxy: Served, two: tuple[Served, Served], networks: Networks
) -> None:
    """One draws the challenge, the other one judges who follows it."""
    before = [len(paths(each)) for each in two]
    challenge = drawn(proxy)
    answer = send(proxy, *actor(networks)(challenge), challenge=challenge["id"])
    assert (answer.status_code, answer.json()["person"]) == (200, "Barack"), answer.text
    seen = [set(paths(each)[count:]) for each, count in zip(two, before, strict=True)]
    assert {"/challenge/", "/sign-in/"} == seen[0] | seen[1]
    assert all(seen)
    assert answer.headers["Strict-Transport-Security"]


def test_large_photos_pass_and_are_written_to_no_disk(proxy: Served) -> None:
    """Were they, it would be into a folder that nginx cannot write to."""
    assert proxy.sign_in(BIG).json()["reasons"][0]["code"] == "image.format"
    assert proxy.sign_in(BARACK_AGAIN).status_code == 200
    assert proxy.sign_in(bytes(34 * 2**20)).status_code == 413


def test_a_client_cannot_choose_the_address_it_counts_as(proxy: Served) -> None:
    statuses = [
        proxy.call(
            "POST",
            "/challenge/",
            data={"name": f"nobody {number}"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
        ).status_code
        for number in range(60)
    ]
    assert statuses[0] in (200, 429)  # what came before counts too
    assert statuses[-1] == 429


def test_a_server_that_is_gone_is_left_out(two: tuple[Served, Served], tmp_path: Path) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        ports = [nobody.getsockname()[1], two[0].port]
        with proxied(tmp_path, ports) as url:
            served = replace(two[0], url=url)
            assert {served.get("/healthz").status_code for _ in range(6)} == {200}
            answer = served.call("POST", "/quality/", files={"file": sent(JOE)})
            assert answer.status_code == 200


def test_no_sign_in_is_sent_twice(tmp_path: Path) -> None:
    """To two servers that take a request and break down over it."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "12"]
        taken: list[bytes] = []
        for listener in listeners:
            Thread(target=break_down, args=(listener, taken), daemon=True).start()
        ports = [each.getsockname()[1] for each in listeners]
        url = stack.enter_context(proxied(tmp_path, ports))
        answer = CLIENT.post(f"{url}/sign-in/", files={"file": sent(JOE)})
        assert answer.status_code == 502
        assert len(taken) == 1
        assert re.match(rb"POST /sign-in/ HTTP/1\.1\r\n", taken[0])


def break_down(listener: socket.socket, taken: list[bytes]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                taken.append(connection.recv(65536))
                time.sleep(0.2)
