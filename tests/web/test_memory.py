"""What a server may take: of memory, whatever is sent, and of other people's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_S
from PIL import Image
from serving import BARACK, BARACK_AGAIN, Served, sent, serving

from facauth.web.workers import MAX_WORKER_MB

pytestmark = pytest.mark.slow

OTHER = "127.0.0.2"  # another client on the same machine
SIZE = (10_000, 5_000)  # 50 megapixels, the most that is taken


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--workers", "1", "--per-minute", "1000000")
    with serving(tmp_path_factory.mktemp("one"), *options) as served:
        assert served.register("Barack", BARACK).status_code == 200
        assert served.sign_in(BARACK_AGAIN).status_code == 200
        yield served


def resident_mb(server: Served) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (now,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return now // 1024


class Peak:
    """The most memory that a process had while it was watched."""

    def __init__(self, server: Served) -> None:
        self._server, self._done = server, threading.Event()
        self.before_mb = self.mb = resident_mb(server)

    def watch(self) -> None:
        while not self._done.wait(0.005):
            self.mb = max(self.mb, resident_mb(self._server))

    @property
    def more_mb(self) -> int:
        return self.mb - self.before_mb


@contextmanager
def watched(server: Served) -> Iterator[Peak]:
    peak = Peak(server)
    thread = threading.Thread(target=peak.watch)
    thread.start()
    try:
        yield peak
    finally:
        peak._done.set()
        thread.join()


@contextmanager
def from_address(address: str, server: Served) -> Iterator[httpx.Client]:
    """A client that has this address."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=server.url, transport=transport, timeout=PATIENCE_S) as client:
        yield client


@pytest.mark.parametrize("path", ["/sign-in/", "/quality/", "/session", "/people/"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_no_photo_costs_no_memory(
    one_worker: Served, path: str, declared: bool
) -> None:
    """Two of 32 MB at once took 5.2 GB, as each %41 became a letter and each letter an object."""
    body = b"token=" + b"%41" * (10 * 2**20)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    def send(_: int) -> int | None:
        content = body if declared else (body[at : at + 2**20] for at in range(0, len(body), 2**20))
        try:
            return one_worker.call("POST", path, content=content, headers=headers).status_code
        except httpx.TransportError:  # refused, and hung up, while it was still being sent
            return None

    with watched(one_worker) as peak, ThreadPoolExecutor(2) as pool:
        answers = set(pool.map(send, range(2)))
    assert answers <= {405, 413, 415, None}
    assert peak.more_mb < 16


BEGIN = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


@pytest.mark.parametrize(
    "piece",
    [b"%41", b"\r\n-", b"\r", b"\n", b"\r\n--", b"\r\n--b\r\nA: b\r\n\r\n", b"\r\n--b--\r\n", b"x"],
)
def test_a_form_as_large_as_may_be_costs_three_times_itself(
    one_worker: Served, piece: bytes
) -> None:
    """Two of 31 MB at once: what came, as much again while it is joined, and the pieces of it."""
    body = BEGIN + piece * (31 * 2**20 // len(piece)) + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    def send(_: int) -> int:
        return one_worker.call("POST", "/sign-in/", content=body, headers=headers).status_code

    with watched(one_worker) as peak, ThreadPoolExecutor(2) as pool:
        assert set(pool.map(send, range(2))) <= {415, 422, 401}
    assert peak.more_mb < 3 * 2 * 32


def png(size: tuple[int, int], mode: str) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, "PNG", compress_level=1)
    return file.getvalue()


def jpeg(size: tuple[int, int], mode: str) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, "JPEG")
    return file.getvalue()


def webp(size: tuple[int, int], mode: str) -> bytes:
    file = BytesIO()
    half = (size[0] // 2, size[1])  # of what others may have
    Image.new(mode, half).save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()


@pytest.mark.parametrize(
    ("made", "mode"),
    [(png, "L"), (png, "RGBA"), (png, "I;16"), (jpeg, "RGB"), (jpeg, "CMYK"), (webp, "RGBA")],
)
def test_a_worker_has_no_more_memory_than_is_said(
    one_worker: Served, made: Callable[[tuple[int, int], str], bytes], mode: str
) -> None:
    photo = made(SIZE, mode)
    with watched(one_worker) as peak:
        assert one_worker.sign_in(photo).status_code == 401  # no face
    assert peak.more_mb < MAX_WORKER_MB


def test_more_pixels_than_phones_make(one_worker: Served) -> None:
    answer = one_worker.sign_in(png((SIZE[0], SIZE[1] + 1), "L"))
    assert answer.status_code == 413
    assert answer.json()["reasons"][0]["message"] == "the image has over 50 megapixels (upload)"


def test_one_client_leaves_places_and_turns_to_others(one_worker: Served) -> None:
    """72 pictures of 50 megapixels are sent at once; another client is served among the first."""
    photo, ends = png(SIZE, "L"), []
    photos = {"file": ("x", photo)}

    def harm(_: int) -> int:
        status = one_worker.call("POST", "/sign-in/", files=photos).status_code
        ends.append(time.monotonic())
        return status

    with ThreadPoolExecutor(72) as pool, from_address(OTHER, one_worker) as other:
        sending = [pool.submit(harm, number) for number in range(72)]
        while not ends:
            time.sleep(0.01)
        mine, name = {"file": sent(BARACK_AGAIN)}, {"name": "Barack"}
        answers = [other.post("/sign-in/", files=mine, data=name).status_code for _ in range(3)]
        served = time.monotonic()
        statuses = [each.result() for each in sending]
    assert answers == [200] * 3
    assert set(statuses) == {401, 503}
    assert statuses.count(401) >= 16  # half of 33 places, and those that became free meanwhile
    assert sum(end > served for end in ends) >= 5
