"""Whatever is sent, the answer is the right one, and the server goes on."""

from __future__ import annotations

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from conftest import SAMPLES, tree
from PIL import Image
from serving import BARACK, BARACK_AGAIN, BARACK_LATER, SITE, Served, sent, serving

from facauth.web.workers import MAX_WORKER_MB

LARGEST = 32 * 2**20


def connected(server: Served) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=30))


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def status(connection: socket.socket) -> int:
    """Of the answer, which must have come before whatever is sent next."""
    return int(connection.recv(65536).split()[1])


def memory_mb(server: Served) -> int:
    """The most that the process had at a time."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return peak // 1024


def test_too_large_is_refused_before_a_byte_is_sent(server: Served) -> None:
    with connected(server) as connection:
        declared = f"Content-Length: {LARGEST + 1}"
        connection.sendall(head("/sign-in/", "Content-Type: multipart/form-data", declared))
        assert status(connection) == 413


def test_too_large_is_refused_while_it_is_sent(server: Served) -> None:
    """Nobody said how much it would be, and it never ends."""
    with connected(server) as connection:
        kind = "Content-Type: multipart/form-data; boundary=b"
        connection.sendall(head("/sign-in/", kind, "Transfer-Encoding: chunked"))
        begin = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        connection.sendall(b"%x\r\n%s\r\n" % (len(begin), begin))
        piece = b"%x\r\n%s\r\n" % (2**20, b"x" * 2**20)
        for _ in range(LARGEST // 2**20 + 1):
            connection.sendall(piece)
        assert status(connection) == 413


def test_the_answer_reaches_a_client_that_goes_on_sending(server: Served) -> None:
    answer = server.sign_in(b"x" * (LARGEST + 1))
    assert answer.status_code == 413
    assert answer.json()["reasons"][0]["code"] == "upload.too_large"
    assert server.register("Joe", b"x" * 2**22, headers={}).status_code == 403


def test_a_token_needs_no_megabytes(server: Served) -> None:
    answer = server.call("POST", "/session", data={"token": "x" * 5000})
    assert answer.status_code == 413


def test_slow_uploads_hold_nobody_up(server: Served) -> None:
    with connected(server) as slow, connected(server) as silent:
        slow.sendall(head("/sign-in/", "Content-Type: multipart/form-data", "Content-Length: 999"))
        slow.sendall(b"-")
        silent.sendall(b"POST /sign")
        assert server.sign_in(BARACK_AGAIN).status_code == 200


def test_who_hangs_up_ends_nothing(server: Served) -> None:
    body = httpx.Request("POST", server.url, files={"file": sent(BARACK_AGAIN)})
    sent_bytes = body.read()
    kind = f"Content-Type: {body.headers['Content-Type']}"
    for share in (2, 1):  # in the middle of the upload; while it is worked on
        with connected(server) as connection:
            connection.sendall(head("/sign-in/", kind, f"Content-Length: {len(sent_bytes)}"))
            connection.sendall(sent_bytes[: len(sent_bytes) // share])
    assert server.sign_in(BARACK_AGAIN).status_code == 200


@pytest.mark.parametrize("piece", [b"\r\n--b", b"\r", b"\r\n-", b"\n", b"--b\r\nA: b\r\n\r\n\r\n"])
def test_forms_made_to_be_slow_hold_nobody_up(server: Served, piece: bytes) -> None:
    """They are read by a worker, and the page still answers at once."""
    begin = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    body = begin + piece * (2**21 // len(piece))
    with ThreadPoolExecutor(1) as pool:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        long = pool.submit(server_call, server, body, headers)
        time.sleep(0.1)
        start = time.monotonic()
        with httpx.Client(trust_env=False, verify=False) as other:
            assert other.get(f"{server.url}/healthz").is_success
        assert time.monotonic() - start < 10
        assert long.result() == 422


def server_call(server: Served, body: bytes, headers: dict[str, str]) -> int:
    return server.call("POST", "/sign-in/", content=body, headers=headers).status_code


@pytest.mark.slow
def test_a_hundred_at_once_of_every_kind(server: Served) -> None:
    """Each has its right answer or is told to come back, and there is memory for all of them."""
    photo = (SAMPLES / BARACK_AGAIN).read_bytes()
    kinds = {
        "largest": (grey(8000, 6250), 401),
        "good": (photo, 200),
        "bomb": (grey(9000, 9000), 413),
        "cut off": (photo[: len(photo) // 2], 400),
        "no image": (random.Random(6).randbytes(3 * 2**20), 415),
        "too large": (bytes(LARGEST), 413),
    }
    before_mb, names = memory_mb(server), ["largest", *list(kinds)[1:] * 20]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: server.sign_in(kinds[name][0]), names))
    for name, answer in zip(names, answers, strict=True):
        assert answer.status_code in (kinds[name][1], 503), name
        assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    assert {answer.status_code for answer in answers} >= {200, 503}
    assert server.sign_in(photo).status_code == 200
    workers = min(os.cpu_count() or 1, 8)
    forms_mb = 3 * SITE.limits.max_buffered_bytes // 2 >> 20  # half of all bytes is for one client
    assert memory_mb(server) < before_mb + forms_mb + MAX_WORKER_MB * workers


def grey(width: int, height: int) -> bytes:
    """A picture of many pixels and few bytes."""
    file = BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker, and few requests for each client."""
    options = ("--workers", "1", "--per-minute", "60")
    with serving(tmp_path_factory.mktemp("busy"), *options) as served:
        assert served.register("Barack", BARACK).status_code == 200
        yield served


@pytest.mark.slow
def test_the_queue_is_bounded(busy: Served) -> None:
    """1 at work and 32 that wait, half of them one client's; the rest is told so at once."""
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(busy.sign_in, [BARACK_LATER] * 50))
    found = Counter(answer.status_code for answer in answers)
    assert set(found) == {200, 503}, found
    assert found[200] >= (1 + SITE.limits.waiting_per_worker) // 2  # of all places, for one client
    assert all(each.headers["Retry-After"] for each in answers if each.status_code == 503)


@pytest.mark.slow
def test_open_cameras_keep_nobody_from_signing_in(busy: Served) -> None:
    """Some are told to ask again later; the rest of the queue is for who signs in."""
    photo = {"file": sent(BARACK_AGAIN)}
    with ThreadPoolExecutor(16) as pool:
        cameras = [pool.submit(busy.call, "POST", "/quality/", files=photo) for _ in range(15)]
        done = pool.submit(busy.sign_in, BARACK_AGAIN)
    assert Counter(each.result().status_code for each in cameras).keys() == {200, 503}
    assert done.result().status_code == 200


def test_another_site_uses_up_nobodys_tries(busy: Served) -> None:
    cross_site = {"Sec-Fetch-Site": "cross-site"}
    answers = [busy.call("POST", "/sign-in/", headers=cross_site).status_code for _ in range(60)]
    assert set(answers) == {403}


@pytest.mark.slow
def test_a_client_may_only_try_so_often(busy: Served) -> None:
    answers = [busy.call("POST", "/sign-in/") for _ in range(100)]
    assert {each.status_code for each in answers} == {415, 429}
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.json()["reasons"][0]["code"] == "client.rate"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3
    assert busy.get("/").status_code == 200  # to look is free
    # Without --behind-proxy nobody is asked who they are.
    claimed = [{"X-Forwarded-For": f"9.9.9.{number}"} for number in range(9)]
    assert 429 in {busy.call("POST", "/sign-in/", headers=each).status_code for each in claimed}


def open_files(server: Served) -> list[str]:
    """What files the server has open, but its store; a folder holds no picture.

    Only root sees that: the server is closed to debuggers. Everybody else sees the folders alone.
    """
    found: list[str] = []
    if os.geteuid() != 0:
        return found
    for each in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            if not each.is_dir():
                found.append(str(each.readlink()))
    return [each for each in found if "store.sqlite3" not in each]


def test_no_picture_reaches_a_disk(server: Served) -> None:
    """Not even one that is larger than what others keep in memory; looked at all the while."""
    large = (SAMPLES / BARACK_AGAIN).read_bytes() + b"\0" * (3 * 2**20)
    before = tree(server.folder / "tmp"), set(tree(server.folder / "home"))
    files = set(open_files(server))
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(server.sign_in, large)
        while not done.done():
            seen |= set(open_files(server)) - files
    assert done.result().status_code == 200
    assert {each for each in seen if each.startswith("/") and "/dev/" not in each} == set()
    assert (tree(server.folder / "tmp"), set(tree(server.folder / "home"))) == before
    if server.keeping.encrypted:
        return  # in a database, beside which there is nothing
    stored = {path.name for path in (server.folder / "data").iterdir()}
    assert stored <= {"store.sqlite3", "store.sqlite3-wal", "store.sqlite3-shm"}
