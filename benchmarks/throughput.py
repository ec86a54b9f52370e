"""Photos per second in one warm process, the time of each stage, and what large photos cost.

    python benchmarks/throughput.py [IMAGE ...] [--rounds N] [--only throughput|stages|sizes]

Detection and encoding of the same photos: facauth (YuNet, both encoders), face_recognition with
its default HOG detector, and face_recognition with dlib's CNN detector. The three take turns, so
that a machine that gets slower slows all; ratios are medians over the rounds. Without an argument
the sample pictures are used, scaled to at most 640 pixels a side, which is what dlib's detectors
are usually given.

Sizes: one photo of 1 and of 12 megapixels, also on its side, as a phone saves a portrait; processor
time of one thread. facauth decodes the file and does all that a spoof-check or a sign-in does, but
for the store's work; face_recognition is given pixels, and finds and encodes the face. It comes
after facauth, because what it frees upsets the memory that facauth keeps.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the commands do

import cv2
from PIL import ExifTags, Image

from facauth.faces.detect import sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.memory import keep_memory
from facauth.networks import THREADS, Checked, Networks, opencv
from facauth.settings import DEFAULT
from facauth.system import Look, Stages, bind

if TYPE_CHECKING:
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Pixels

SAMPLES = Path(__file__).parents[1] / "sample_images"
FACES = ("obama_2012.jpg", "obama_2010.jpg", "obama_2009.jpg", "biden_2010.jpg", "collins.png")
MAX_SIDE_PX = 640
SIZES = {"1": (1, 1), "12": (12, 1), "12, on its side": (12, 6)}  # megapixels, EXIF orientation

Work = Callable[["Pixels"], object]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", default=[str(SAMPLES / name) for name in FACES])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("throughput", "stages", "sizes"))
    chosen = parser.parse_args()
    photos = [shrunk(decode(read_image(image), image)) for image in chosen.images]
    print_machine(photos)
    if chosen.only in (None, "throughput"):
        print_throughput(photos, chosen.rounds)
    if chosen.only in (None, "stages"):
        print_stages(chosen.images, 4 * chosen.rounds)
    if chosen.only in (None, "sizes"):
        print_sizes(chosen.images, chosen.rounds)


def shrunk(pixels: Pixels) -> Pixels:
    """At most 640 pixels a side."""
    scale = min(1.0, MAX_SIDE_PX / max(pixels.shape[:2]))
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def print_machine(photos: Sequence[Pixels]) -> None:
    """Print the machine."""
    packages = ("opencv-python-headless", "dlib-bin", "numpy", "face_recognition")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{versions}; {opencv().getNumThreads()} threads for networks")
    print(f"{len(photos)} photos of at most {MAX_SIDE_PX} px\n")


def rivals() -> dict[str, Work]:
    """Each finds the face and encodes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # face_recognition_models imports pkg_resources
        import face_recognition

    networks = Networks(Checked(None))

    def facauth(pixels: Pixels) -> object:
        sighting = sight(pixels, networks.detector)
        return encode(sighting, sighting.faces[0], networks=networks)

    def reference(detector: str) -> Work:
        def work(pixels: Pixels) -> object:
            boxes = face_recognition.face_locations(pixels, model=detector)
            return face_recognition.face_encodings(pixels, boxes)

        return work

    return {
        "facauth": facauth,
        "face_recognition (HOG)": reference("hog"),
        "face_recognition (dlib CNN)": reference("cnn"),
    }


def print_throughput(photos: Sequence[Pixels], rounds: int) -> None:
    """Print photos per second of each, and the ratios to facauth."""
    works = rivals()
    for work in works.values():
        work(photos[0])
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(timed(work, photos))
    ours = seconds["facauth"]
    print(f"{'detect + encode, warm':30} {'photos/s':>9} {'facauth is faster by':>21}")
    for name, each in seconds.items():
        ratio = statistics.median(theirs / own for theirs, own in zip(each, ours, strict=True))
        print(f"{name:30} {len(photos) / statistics.median(each):9.2f} {ratio:20.1f}x")


def timed(work: Work, photos: Sequence[Pixels]) -> float:
    """Seconds for all photos."""
    start = time.perf_counter()
    for photo in photos:
        work(photo)
    return time.perf_counter() - start


def print_stages(images: Sequence[str], rounds: int) -> None:
    """Milliseconds of each stage on one megapixel, networks loaded, three photos enrolled.

    spoof-check: decode to liveness. replay: signature, and its comparison with those enrolled; the
    enrolled ones are the other photos, or (found) the photo itself three times.
    """
    with TemporaryDirectory() as folder:
        photo = str(Path(folder) / "photo.jpg")
        of_megapixels(images[0], 1).save(photo, quality=90)
        for threads in (1, THREADS):
            medians = stage_medians(photo, images[1:4], threads, rounds)
            print(f"\n{f'1 megapixel, warm, {threads} thread(s)':30} {'ms':>9}")
            for stage, ms in medians.items():
                print(f"{stage:30} {ms:9.1f}")


def of_megapixels(image: str, megapixels: int) -> Image.Image:
    """The picture, scaled to so many million pixels."""
    picture = Image.fromarray(decode(read_image(image), image))
    by = math.sqrt(megapixels * 1e6 / (picture.width * picture.height))
    return picture.resize((round(picture.width * by), round(picture.height * by)))


def stage_medians(photo: str, others: Sequence[str], threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of every stage, and sums of commands."""
    networks = Networks(Checked(None))
    stages = bind(networks)
    enrolled = [capture(stages, image) for image in others]
    itself = [capture(stages, photo)] * len(enrolled)
    runs: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        look, found = Look(stages, [photo]), Look(stages, [photo])
        cv2.setNumThreads(threads)
        run_stages(look, enrolled)
        found.replay(itself[:1], itself)
        spent = look.evidence.elapsed_ms
        runs.append({**spent, "replay, found": found.evidence.elapsed_ms["replay"]})
    median = {stage: statistics.median(run[stage] for run in runs[1:]) for stage in runs[0]}
    check = ("decode", "detect", "quality", "liveness")
    median["= spoof-check"] = sum(median[stage] for stage in check)
    median["= signature + replay, found"] = median["signature"] + median["replay, found"]
    return median


def capture(stages: Stages, image: str) -> CaptureSignature:
    """The signature of a photo's largest face."""
    sighting = stages.sight(stages.decode(image))
    return stages.signature(sighting, sighting.faces[0])


def run_stages(look: Look, enrolled: Sequence[CaptureSignature]) -> None:
    """Every stage once, whatever it finds."""
    look.subject()
    look.liveness(DEFAULT)
    look.encoding()
    look.replay(look.signatures(), enrolled)


# ---- sizes


def print_sizes(images: Sequence[str], rounds: int) -> None:
    """Processor time of both commands, and of face_recognition, by the photo's size."""
    keep_memory()  # as a server does
    networks = Networks(Checked(None))
    networks.load()
    stages, reference = bind(networks), rivals()["face_recognition (HOG)"]
    enrolled = [capture(stages, image) for image in images[1:4]]
    found: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as folder:
        for name, (megapixels, orientation) in SIZES.items():
            photo = str(Path(folder) / f"{name}.jpg")
            taken(of_megapixels(images[0], megapixels), orientation, photo)
            pixels = decode(read_image(photo), photo)
            cv2.setNumThreads(1)
            works: dict[str, Callable[[], object]] = {
                "spoof-check": partial(spoof_check, stages, photo),
                "sign-in": partial(sign_in, stages, photo, enrolled),
            }
            found[name] = in_turns(works, rounds)
            found[name] |= in_turns({"face_recognition": partial(reference, pixels)}, rounds)
    print(f"\n{'megapixels; ms of one processor':34}" + "".join(f"{name:>16}" for name in SIZES))
    first = found[next(iter(SIZES))]
    for work in first:
        times = (f"{each[work]:.0f} ({each[work] / first[work]:.2f}x)" for each in found.values())
        print(f"{work:34}" + "".join(f"{time:>16}" for time in times))
    ratios = (f"{each['face_recognition'] / each['sign-in']:.1f}x" for each in found.values())
    print(f"{'face_recognition / sign-in':34}" + "".join(f"{ratio:>16}" for ratio in ratios))


def taken(picture: Image.Image, orientation: int, path: str) -> None:
    """Save it as a camera held so does: 1 upright, 6 on its side."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    stored = picture.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else picture
    stored.save(path, quality=90, exif=tags)


def in_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of this thread, after a round that does not count."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.thread_time()
            work()
            spent[name].append(1000 * (time.thread_time() - start))
    return {name: statistics.median(each[1:]) for name, each in spent.items()}


def sign_in(stages: Stages, photo: str, enrolled: Sequence[CaptureSignature]) -> None:
    """Its stages, whatever they find."""
    run_stages(Look(stages, [photo]), enrolled)


def spoof_check(stages: Stages, photo: str) -> None:
    """Its stages, whatever they find."""
    look = Look(stages, [photo])
    look.subject()
    look.liveness(DEFAULT)


if __name__ == "__main__":
    main()
