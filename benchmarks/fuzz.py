"""Damaged images through the real decoders, under the real limits, in processes that are watched.

    python benchmarks/fuzz.py [--inputs 50000] [--seed 2026] [--jobs 2] [--keep FOLDER]

Each input is a whole image of some kind (the small ones of tests/mutations.py, and the sample
pictures) after one to four mutations. It goes through `read_image` and `decode`; the pixels of a
sample picture, and of every tenth small one, also go through detection and quality. A finding is a
process that died, a hang, an error that is not a refusal, exhausted memory, more processor time
than --slow-s, or a line that a library wrote to stderr. Input number i of a seed is always the
same. --keep writes inputs with a finding to a folder; nothing else is written.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import random
import re
import resource
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.errors import FacauthError, SetupProblem, UnusableImage
from facauth.faces.detect import only_face, sight
from facauth.faces.image import decode, read_image
from facauth.faces.quality import measure
from facauth.networks import Checked, Networks
from facauth.settings import IMAGE

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

ROOT = Path(__file__).resolve().parents[1]
MAX_ADDRESSES = 4 * 2**30  # of a worker: 1 GB of libraries before the first image, and room to fail
PATIENCE_S = 60.0  # by the clock; a worker that takes longer over one input hangs
SAMPLE_SHARE = 0.04  # of the inputs; a sample picture costs as much as 40 small ones
SIGHT_SHARE = 0.1  # of the small ones that could be decoded
FINE = ("decoded", "refused")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one input."""

    number: int
    answer: str  # one of FINE, or the fault
    spent_s: float = 0.0  # processor time
    grown_mb: float = 0.0  # peak memory of this input, above the memory before it
    peak_mb: float = 0.0  # of the process, so far
    looked: bool = False  # whether faces were searched


@dataclass(slots=True)
class Worker:
    """A process that receives the number of an input and answers with its outcome."""

    process: SpawnProcess
    pipe: Connection
    idle_mb: float
    number: int = -1
    since: float = field(default_factory=time.monotonic)

    def give(self, number: int) -> None:
        """The next input to work on."""
        self.number, self.since = number, time.monotonic()
        self.pipe.send(number)

    @property
    def is_late(self) -> bool:
        """Whether the worker hangs."""
        return time.monotonic() - self.since > PATIENCE_S

    def answer(self) -> Outcome | None:
        """The outcome; None if the worker died or hangs."""
        with suppress(EOFError, ConnectionError):
            if self.pipe.poll():
                outcome: Outcome = self.pipe.recv()
                return outcome
        return None

    def ended(self) -> str:
        """End the worker; returns how it ended before."""
        self.process.join(timeout=1.0)
        hung = self.process.is_alive()
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return "hang" if hung else f"crash, exit code {self.process.exitcode}"


def seeds() -> dict[str, bytes]:
    """Whole images by kind: small ones that are made, and the sample pictures."""
    from mutations import SEEDS

    samples = sorted(each for each in (ROOT / "sample_images").iterdir() if is_picture(each))
    return SEEDS | {each.name: each.read_bytes() for each in samples}


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, not the credits."""
    return path.suffix in (".jpg", ".png")


def made(number: int, seed: int, whole: dict[str, bytes]) -> tuple[str, bytes]:
    """The kind and the bytes of an input."""
    from mutations import mutated

    dice = random.Random(f"{seed} {number}")
    kinds = [kind for kind in whole if ("." in kind) == (dice.random() < SAMPLE_SHARE)] or [*whole]
    kind = dice.choice(kinds)
    data = mutated(whole[kind], dice)
    return kind, with_checksums(data) if "png" in kind and dice.random() < 0.5 else data


def with_checksums(png: bytes) -> bytes:
    """The PNG with correct checksums; otherwise every mutation would end at a checksum."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(data)


def work(pipe: Connection, seed: int) -> None:
    """The worker: create inputs, run them and answer, until the pipe ends."""
    find_tests()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESSES, MAX_ADDRESSES))
    with tempfile.TemporaryFile() as noise, tempfile.NamedTemporaryFile() as file:
        os.dup2(noise.fileno(), 2)
        networks, whole, path = Networks(Checked(None)), seeds(), Path(file.name)
        for data in whole.values():
            run(path, data, networks, look=True)
        pipe.send(memory_mb("VmRSS"))
        said = os.fstat(2).st_size
        with suppress(EOFError):
            while True:
                number = pipe.recv()
                outcome = judged(number, seed, whole, networks, path)
                if os.fstat(2).st_size != said:
                    said = os.fstat(2).st_size
                    outcome = Outcome(number, "a library wrote to stderr")
                pipe.send(outcome)


def find_tests() -> None:
    """Let the tests be imported, where seeds and mutations are."""
    sys.path.append(str(ROOT / "tests"))


def judged(
    number: int, seed: int, whole: dict[str, bytes], networks: Networks, path: Path
) -> Outcome:
    """Run one input and measure it."""
    kind, data = made(number, seed, whole)
    look = "." in kind or random.Random(number).random() < SIGHT_SHARE
    before_mb = memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    start = time.process_time()
    answer = run(path, data, networks, look=look)
    spent_s, peak_mb = time.process_time() - start, memory_mb("VmHWM")
    return Outcome(number, answer, spent_s, peak_mb - before_mb, peak_mb, look)


def run(path: Path, data: bytes, networks: Networks, *, look: bool) -> str:
    """One of FINE, or what is wrong."""
    path.write_bytes(data)
    try:
        pixels = decode(read_image(str(path)), "photo")
        if look:
            with suppress(UnusableImage):
                sighting = sight(pixels, networks.detector)
                measure(sighting, only_face(sighting))
    except (UnusableImage, SetupProblem) as refusal:
        out = isinstance(refusal.__cause__, MemoryError)
        return "out of memory" if out else "refused"
    except FacauthError as error:
        return f"wrong refusal: {error.reasons[0].code}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
        return f"uncaught {type(error).__name__}"
    fits = pixels.ndim == 3 and pixels.shape[2] == 3 and 0 < pixels.size <= 3 * IMAGE.max_pixels
    return "decoded" if fits else f"wrong shape {pixels.shape}"


def memory_mb(what: str) -> float:
    """The memory of this process; ru_maxrss would start with the memory of the parent process."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def started(seed: int) -> Worker:
    """A worker that is ready."""
    spawn = multiprocessing.get_context("spawn")
    ours, its = spawn.Pipe()
    process = spawn.Process(target=work, args=(its, seed), daemon=True)
    process.start()
    its.close()
    return Worker(process, ours, idle_mb=ours.recv())


def outcomes(inputs: int, seed: int, workers: list[Worker]) -> Iterator[Outcome]:
    """The outcomes of all inputs, in the order of their ends; a lost worker is replaced."""
    numbers = iter(range(inputs))
    for worker, number in zip(workers, numbers, strict=False):
        worker.give(number)
    busy = workers[:inputs]
    while busy:
        ready = wait([worker.pipe for worker in busy], timeout=1.0)
        for worker in [each for each in busy if each.pipe in ready or each.is_late]:
            busy.remove(worker)
            outcome = worker.answer()
            yield outcome or Outcome(worker.number, worker.ended())
            if (number := next(numbers, -1)) >= 0:
                free = worker if outcome else started(seed)
                free.give(number)
                busy.append(free)


def main() -> None:
    """Run all inputs and print the outcomes; exit code 1 if there is a finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--slow-s", type=float, default=2.0, help="processor time that is too much")
    parser.add_argument("--keep", type=Path, help="folder for the inputs with a finding")
    chosen = parser.parse_args()
    find_tests()
    start, whole = time.monotonic(), seeds()
    workers = [started(chosen.seed) for _ in range(chosen.jobs)]
    idle_mb = max(worker.idle_mb for worker in workers)
    all_outcomes = list(outcomes(chosen.inputs, chosen.seed, workers))
    findings = [found for found in all_outcomes if is_finding(found, chosen.slow_s)]
    report(all_outcomes, chosen.seed, whole, idle_mb)
    print(f"{time.monotonic() - start:.0f} s by the clock, {chosen.jobs} workers")
    for found in findings:
        kind, data = made(found.number, chosen.seed, whole)
        what = found.answer if found.answer not in FINE else "slow"
        print(f"FINDING input {found.number} ({kind}): {what}, {found.spent_s:.2f} s")
        if chosen.keep:
            chosen.keep.mkdir(parents=True, exist_ok=True)
            (chosen.keep / f"{chosen.seed}-{found.number}").write_bytes(data)
    print(f"{len(findings)} findings")
    sys.exit(bool(findings))


def is_finding(outcome: Outcome, slow_s: float) -> bool:
    """Whether the outcome shows a bug."""
    return outcome.answer not in FINE or outcome.spent_s > slow_s


def report(all_outcomes: list[Outcome], seed: int, whole: dict[str, bytes], idle_mb: float) -> None:
    """Print the machine, a line per kind, and the extremes."""
    packages = ("pillow", "pi-heif", "opencv-python-headless", "numpy")
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
    )
    print(", ".join(f"{name} {metadata.version(name)}" for name in packages))
    print(f"seed {seed}; at most {IMAGE.max_bytes >> 20} MB and {IMAGE.max_pixels:,} pixels\n")
    kinds = {each.number: made(each.number, seed, whole)[0] for each in all_outcomes}
    count = Counter((kinds[each.number], each.answer) for each in all_outcomes)
    print(f"{'mutated':24} {'inputs':>8} {'decoded':>8} {'refused':>8} {'other':>6}")
    for kind in whole:
        row = {answer: n for (of, answer), n in count.items() if of == kind}
        total, good, bad = sum(row.values()), row.get("decoded", 0), row.get("refused", 0)
        print(f"{kind:24} {total:8,} {good:8,} {bad:8,} {total - good - bad:6,}")
    answers = Counter(each.answer.split(",")[0] for each in all_outcomes)
    print(f"\n{len(all_outcomes):,} inputs: " + ", ".join(f"{n:,} {a}" for a, n in answers.items()))
    print(f"{answers['crash']} crashes, {answers['hang']} hangs; faces looked for in ", end="")
    print(f"{sum(each.looked and each.answer == 'decoded' for each in all_outcomes):,}")
    slowest = max(all_outcomes, key=lambda each: each.spent_s)
    hungriest = max(all_outcomes, key=lambda each: each.grown_mb)
    peak_mb = max(each.peak_mb for each in all_outcomes)
    print(f"slowest: {slowest.spent_s:.2f} s, input {slowest.number} ({kinds[slowest.number]})")
    print(f"peak of a worker {peak_mb:.0f} MB, of an idle one {idle_mb:.0f} MB; ", end="")
    print(f"most: {hungriest.grown_mb:.0f} MB more, input {hungriest.number} ", end="")
    print(f"({kinds[hungriest.number]})")


if __name__ == "__main__":
    main()
