"""Sign-ins per second over HTTP, and how long each takes: `facauth serve`, and the original demo.

    python benchmarks/server.py [--rounds N] [--seconds S] [--clients N ...] [--phone]

All on loopback, on the processors that the clients run on too. facauth is what `facauth serve`
starts, with liveness and replay on and its limit of tries a minute raised, as all clients have one
address. The demo is benchmarks/demo.py, the same two endpoints on face_recognition at its defaults,
run by uvicorn: once with `async def`, as such demos are written, and once kinder, with threads. It
keeps its users in memory, so it cannot have several processes. facauth has a worker for each
processor, and shares them as it likes: this compares what users get, not what a processor does.

The same people are registered with both, and the same photos of one of them are sent, by turns,
each as large as it came (--phone: then also one that is scaled to the 12 megapixels of a phone's
camera). The servers take turns within each round, so that a machine that gets slower slows all;
sign-ins a second and "faster by" are medians over the rounds, p50 and p99 are of all sign-ins.

A client sends its next photo as soon as the last is answered, until the time is over, and then
waits for its last answer; all answers count, and all of the time until the last of them. A busy
facauth refuses with 503 and Retry-After, where the demo queues all requests without a limit.
Clients wait as long as Retry-After says and send again. The duration of a sign-in is the time from
the first sending of its photo to the answer 200, however often the photo was sent. "told to wait"
counts the 503s. "cut off" counts connections that ended before the answer could be read: a busy
facauth answers before it has read the photo, and hangs up. Clients then wait BUSY_S and send again.
Any other answer is "wrong"; there should be none.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from importlib import metadata
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from conftest import PATIENCE_S, ROOT, SAMPLES
from serving import environment, serving

ENROLLED = {
    "Joe": "biden_2010.jpg",
    "Eileen": "collins.png",
    "Grace": "hopper_1984.jpg",
    "Barack": "obama_2009.jpg",
}
PROBES = ("obama_2010.jpg", "obama_2012.jpg")  # Barack again, 1434 x 2333 and 910 x 1137
PHONE_PX = 12_000_000
DEMOS = {"the demo": [], "the demo, in threads": ["--threads"]}
KIND = "multipart/form-data; boundary=b"
BUSY_S = 5  # as Retry-After says
LONGEST_S = 600  # for one answer: with 64 clients the demo takes minutes


@dataclass(slots=True)
class Tally:
    """The answers of one server in one run, or in several."""

    latencies_s: list[float] = field(default_factory=list)
    told_to_wait: int = 0
    cut_off: int = 0
    wrong: int = 0
    per_second: list[float] = field(default_factory=list)  # of each go

    def add(self, other: Tally) -> None:
        """Add another run."""
        self.latencies_s += other.latencies_s
        self.told_to_wait += other.told_to_wait
        self.cut_off += other.cut_off
        self.wrong += other.wrong
        self.per_second += other.per_second

    def percentile_ms(self, percent: int) -> float:
        """The duration that this share of sign-ins did not exceed."""
        ranked = sorted(self.latencies_s)
        return 1000 * ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def main() -> None:
    """Start the servers, measure in turns, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each go, at least")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--phone", action="store_true", help="a photo of 12 megapixels as well")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        urls = {"facauth": stack.enter_context(facauth())}
        for name, options in DEMOS.items():
            urls[name] = stack.enter_context(demo(*options))
        print_machine()
        bodies = [form((SAMPLES / name).read_bytes()) for name in PROBES]
        print_table("photos as they came", urls, bodies, chosen.clients, chosen)
        if chosen.phone:
            print_table("12 megapixels", urls, [form(phone())], chosen.clients[:2], chosen)


@contextmanager
def facauth() -> Iterator[str]:
    """The address of the server that users start."""
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder), "--per-minute", "1000000") as served,
    ):
        for name, photo in ENROLLED.items():
            served.register(name, photo).raise_for_status()
        yield served.url


@contextmanager
def demo(*options: str) -> Iterator[str]:
    """The address of the demo, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [sys.executable, str(ROOT / "benchmarks/demo.py"), str(port), *options]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(arguments, env=environment(Path(folder))) as process,
    ):
        try:
            wait_for(port, process)
            url = f"http://127.0.0.1:{port}"
            for name, photo in ENROLLED.items():
                files = {"file": (SAMPLES / photo).read_bytes()}
                httpx.post(
                    f"{url}/register/", data={"name": name}, files=files, timeout=PATIENCE_S
                ).raise_for_status()
            yield url
        finally:
            process.kill()  # SIGTERM would wait for running requests


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server listens."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the demo did not start")


def form(photo: bytes) -> bytes:
    """The request body of a photo, made beforehand so that clients cost little."""
    head = 'Content-Disposition: form-data; name="file"; filename="photo"'
    return f"--b\r\n{head}\r\n\r\n".encode() + photo + b"\r\n--b--\r\n"


def phone() -> bytes:
    """The first probe, as large as a phone's camera makes one."""
    with Image.open(SAMPLES / PROBES[0]) as image:
        by = (PHONE_PX / (image.width * image.height)) ** 0.5
        larger = image.resize((round(by * image.width), round(by * image.height)))
    file = BytesIO()
    larger.save(file, "JPEG", quality=90)
    return file.getvalue()


def print_machine() -> None:
    """Print the machine."""
    packages = ("opencv-python-headless", "dlib-bin", "face_recognition", "uvicorn", "fastapi")
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(", ".join(f"{name} {metadata.version(name)}" for name in packages))


def print_table(
    title: str,
    urls: dict[str, str],
    bodies: Sequence[bytes],
    clients: Sequence[int],
    chosen: argparse.Namespace,
) -> None:
    """Each number of clients, each server."""
    print(f"\n{title}, {chosen.rounds} rounds of {chosen.seconds:g} s or more")
    print(
        f"{'clients':>7}  {'server':20} {'sign-ins':>8} {'wrong':>5} {'told to wait':>12} "
        f"{'cut off':>7} "
        f"{'a second':>8} {'p50 ms':>8} {'p99 ms':>8} {'facauth is faster by':>20}"
    )
    for url in urls.values():
        go(url, bodies, 1, 0.1)  # so that the first photo of a worker does not count
    for number in clients:
        tallies = {name: Tally() for name in urls}
        for _ in range(chosen.rounds):
            for name, url in urls.items():
                tallies[name].add(go(url, bodies, number, chosen.seconds))
        ours = tallies["facauth"].per_second
        for name, tally in tallies.items():
            pairs = zip(ours, tally.per_second, strict=True)
            ratio = statistics.median(own / theirs for own, theirs in pairs)
            print(
                f"{number:7}  {name:20} {len(tally.latencies_s):8} {tally.wrong:5} "
                f"{tally.told_to_wait:12} {tally.cut_off:7} "
                f"{statistics.median(tally.per_second):8.2f} {tally.percentile_ms(50):8.0f} "
                f"{tally.percentile_ms(99):8.0f} {ratio:19.1f}x",
                flush=True,
            )


def go(url: str, bodies: Sequence[bytes], clients: int, seconds: float) -> Tally:
    """Run clients for a time."""
    start = time.perf_counter()

    def client(number: int) -> Tally:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=LONGEST_S)
        tally = Tally()
        while time.perf_counter() < start + seconds:
            body = bodies[(number + len(tally.latencies_s)) % len(bodies)]
            sign_in(connection, body, tally)
        connection.close()
        return tally

    total = Tally()
    with ThreadPoolExecutor(clients) as pool:
        for each in pool.map(client, range(clients)):
            total.add(each)
    total.per_second = [len(total.latencies_s) / (time.perf_counter() - start)]
    return total


def sign_in(connection: HTTPConnection, body: bytes, tally: Tally) -> None:
    """Send one photo until it is answered."""
    first = time.perf_counter()
    while (answer := sent(connection, body)) is None or answer[0] == 503:
        tally.cut_off += answer is None
        tally.told_to_wait += answer is not None
        time.sleep(answer[1] if answer else BUSY_S)
    if answer[0] == 200:
        tally.latencies_s.append(time.perf_counter() - first)
    else:
        tally.wrong += 1


def sent(connection: HTTPConnection, body: bytes) -> tuple[int, float] | None:
    """Status and Retry-After; None if the connection ends before the answer is read."""
    try:
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # the answer may be there all the same
            connection.request("POST", "/sign-in/", body, {"Content-Type": KIND})
        with connection.getresponse() as response:
            response.read()
    except ConnectionError:
        connection.close()
        return None
    return response.status, float(response.headers.get("Retry-After", 0))


if __name__ == "__main__":
    main()
