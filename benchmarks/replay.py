"""How often reuse of an enrolled picture is detected, and how often wrongly.

    python benchmarks/replay.py FOLDER [--lfw FOLDER] [--pad FOLDER] [--simulated N] [--pairs N]
                                [--clips FOLDER] [--edit FOLDER] [--edited N]

FOLDER holds faces/{original,screen,paper}/NAME and scenes/pairs.csv (original,recapture). --lfw is
a folder PERSON/IMAGE: digital copies and simulated recaptures are made of its photos, and pairs of
one person's photos are the false alarms. --pad holds nuaa/live/PERSON/ID_GLASSES_PLACE_SESSION_n
and SOURCE/live/: photos of one session follow each other there, and other sessions are compared.

--edit holds photos that are edited in every way of benchmarks/edits.py, with the scenes as rooms.
--clips holds films of one live person each: later frames are compared with earlier ones.

Simulated recaptures (tests/simulator.py) are easier than real ones; the tables keep them apart.

"held out" marks photos that were not used to set the limits: copies and simulated
recaptures of other persons, and photos of LFW beyond the sixth of a person. The real recaptures
and the webcams are too few for that: all of them were used.
"""

from __future__ import annotations

import argparse
import csv
import io
import platform
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import combinations, pairwise
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from edits import EDITS, Studio, images, subjects
from liveness import cpu
from PIL import Image

from facauth.faces.detect import sight
from facauth.measure.rates import INTERVAL, interval
from facauth.networks import Checked, Networks, opencv
from facauth.settings import REPLAY
from facauth.spoof.plane import Comparison, compare
from facauth.spoof.replay import judge, shown, verdict_on
from facauth.spoof.signature import CaptureSignature, signature
from facauth.structs import Face, ReplayVerdict

if TYPE_CHECKING:
    from facauth.structs import Pixels

SEED = 20261122  # of every draw
STEP = 3  # of NUAA's frames every third: about a second or less apart
NUAA_SESSION = 13  # ID_GLASSES_PLACE_SESSION: so many characters of a file name
PERSONS_PHOTOS = 6  # of one person in LFW at most, so that nobody dominates; so many seen, ...
LAGS_S = (0.5, 2.0, 4.0, 8.0)  # of a clip's later frames; and its last
STARTS = (0.0, 0.25, 0.5)  # of the clip, where the enrolled frames lie
SEEN_COPIED, SEEN_SIMULATED = 100, 60  # ... and of so many persons while the limits were set
ONE_PHOTO = 0.99  # correlation of frame and face: two files of LFW that are one press photo

Change = Callable[["Pixels"], "Pixels"]
Tally = dict[str, dict[str, int]]


# ---- photos


def read(path: Path) -> Pixels:
    """RGB pixels of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def largest(pixels: Pixels) -> CaptureSignature | None:
    """The signature as a sign-in makes it; None where no face is found."""
    sighting = sight(pixels, networks().detector)
    return signature(sighting.pixels, sighting.faces[0]) if sighting.faces else None


def central(pixels: Pixels) -> CaptureSignature:
    """The signature around the largest face or, where there is none, the photo's middle."""
    return largest(pixels) or signature(pixels, middle(pixels))


def middle(pixels: Pixels) -> Face:
    """A box of half the photo's sides, for photos without a face and crops too tight for one."""
    height, width = pixels.shape[:2]
    box = (width / 4, height / 4, width / 2, height / 2)
    return Face(box, np.zeros((5, 2), np.float32), 0.0)


@lru_cache(1)
def networks() -> Networks:
    """The networks; only the detector is used."""
    return Networks(Checked(None))


@lru_cache(64)
def of_file(path: Path) -> CaptureSignature | None:
    """The signature of a file; None where no face is found."""
    return largest(read(path))


# ---- digital copies


def through(kind: str, **options: int | bool) -> Change:
    """Encode and decode in one of Pillow's formats."""

    def change(pixels: Pixels) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"), np.uint8)

    return change


def scaled(by: float) -> Change:
    """Resize, with the area filter when smaller and cubic when larger."""
    method = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return lambda pixels: np.asarray(
        cv2.resize(pixels, None, fx=by, fy=by, interpolation=method), np.uint8
    )


def cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """Cut shares of the width and height away."""

    def change(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        rows = slice(int(height * top), int(height * (1 - bottom)))
        return pixels[rows, int(width * left) : int(width * (1 - right))].copy()

    return change


def rotated(degrees: float) -> Change:
    """Turn about the middle; what comes in from outside is black."""

    def change(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(pixels, turn, (width, height)), np.uint8)

    return change


def recoloured(pixels: Pixels) -> Pixels:
    """Warmer, with the blacks raised in blue."""
    return np.clip(pixels * [1.2, 0.95, 0.75] + [-10, 5, 20], 0, 255).astype(np.uint8)


def gamma(exponent: float) -> Change:
    """Lighter below 1, darker above."""
    return lambda pixels: np.rint(255 * (pixels / 255) ** exponent).astype(np.uint8)


def screenshot(pixels: Pixels) -> Pixels:
    """The picture in a light window under a dark bar."""
    height, width = pixels.shape[:2]
    window = np.full((int(height * 1.5), int(width * 1.4), 3), 240, np.uint8)
    window[: height // 8] = 60
    top, left = int(height * 0.3), int(width * 0.2)
    window[top : top + height, left : left + width] = pixels
    return window


COPIES: dict[str, Change] = {
    "same file": lambda pixels: pixels,
    **{f"JPEG {quality}": through("JPEG", quality=quality) for quality in (30, 50, 75, 95)},
    "PNG": through("PNG"),
    "WebP 50": through("WEBP", quality=50),
    **{f"resized {by}": scaled(by) for by in (0.3, 0.5, 0.7, 2.0, 3.0)},
    "resized .3, JPEG 30": lambda pixels: through("JPEG", quality=30)(scaled(0.3)(pixels)),
    "cropped 5 %": cropped(0.05, 0.05, 0.05, 0.05),
    "cropped 5-15 %": cropped(0.15, 0.10, 0.05, 0.15),
    "cropped 20 %": cropped(0.2, 0.2, 0.2, 0.2),
    "mirrored": lambda pixels: pixels[:, ::-1].copy(),
    "mirrored, JPEG 30": lambda pixels: through("JPEG", quality=30)(pixels[:, ::-1].copy()),
    "rotated 5": rotated(5),
    "rotated -20": rotated(-20),
    "rotated 90": lambda pixels: np.rot90(pixels).copy(),
    "rotated 180": lambda pixels: np.rot90(pixels, 2).copy(),
    "recoloured": recoloured,
    "gamma .5": gamma(0.5),
    "gamma 2": gamma(2),
    "screenshot": screenshot,
}


# ---- comparisons


def faces(folder: Path) -> Iterator[tuple[str, str, Comparison]]:
    """Real recaptures of faces, tight crops."""
    for medium in ("screen", "paper"):
        for path in sorted((folder / medium).iterdir()):
            original = central(read(folder / "original" / path.name))
            yield f"real face, {medium}", path.name, compare(central(read(path)), original)


def scenes(folder: Path) -> Iterator[tuple[str, str, Comparison]]:
    """Real recaptures of scenes, and each recapture against another scene."""
    with (folder / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    known = {row["original"]: _scene(folder / row["original"]) for row in rows}
    for row, other in zip(rows, rows[7:] + rows[:7], strict=True):
        probe = _scene(folder / row["recapture"])
        yield "scene, screen", row["recapture"], compare(probe, known[row["original"]])
        if other["original"] != row["original"]:
            yield "scene, another one", row["recapture"], compare(probe, known[other["original"]])


def _scene(path: Path) -> CaptureSignature:
    pixels = read(path)
    return signature(pixels, middle(pixels))


def copies(paths: list[Path]) -> Iterator[tuple[str, str, Comparison | None]]:
    """Digital copies of photos; None where no face is found in the copy."""
    for number, path in enumerate(paths):
        pixels, enrolled = read(path), of_file(path)
        for name, change in COPIES.items():
            probe = largest(change(pixels))
            if enrolled:
                kind = name + held_out(number >= SEEN_COPIED)
                yield kind, path.name, compare(probe, enrolled) if probe else None


def edited(paths: list[Path], rooms: list[Path]) -> Iterator[tuple[str, str, Comparison | None]]:
    """Edits of photos; None where no face is found in the edit."""
    enrolled = list(subjects(paths, networks().detector))
    studio = Studio([read(path) for path in rooms], enrolled)
    for name in EDITS:
        for subject in enrolled:
            known = signature(subject.pixels, subject.face)
            probe = largest(studio.edited(subject, name))
            yield name, subject.path.name, compare(probe, known) if probe else None


def clips(paths: list[Path]) -> Iterator[tuple[str, str, Comparison]]:
    """Later frames of a clip against earlier ones."""
    for path in paths:
        film = cv2.VideoCapture(str(path))
        rate, count = film.get(cv2.CAP_PROP_FPS), int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        frames = [frame for _ in range(count) for took, frame in [film.read()] if took]
        kept: dict[int, CaptureSignature | None] = {}
        for start, later, kind in _lags(len(frames), rate):
            for each in {start, later} - kept.keys():
                kept[each] = largest(np.ascontiguousarray(frames[each][..., ::-1]))
            enrolled, probe = kept[start], kept[later]
            if enrolled and probe:
                yield f"clip, {kind}", f"{path.name} {start} {later}", compare(probe, enrolled)


def _lags(count: int, rate: float) -> Iterator[tuple[int, int, str]]:
    """Numbers of an earlier and a later frame, and how much later it is."""
    last = count - 1
    for start in (round(share * last) for share in STARTS):
        for lag in LAGS_S:
            if start + round(lag * rate) <= last:
                yield start, start + round(lag * rate), f"{lag} s later"
        if start == 0 and last / rate > 2:
            yield start, last, "last frame"


def held_out(unseen: bool) -> str:
    """The mark of photos that were not used to set the limits."""
    return ", held out" if unseen else ""


def simulated(paths: list[Path]) -> Iterator[tuple[str, str, Comparison | None]]:
    """Simulated recaptures; None where no face is found in one."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from simulator import recapture

    for seed, path in enumerate(paths):
        pixels, enrolled = read(path), of_file(path)
        for medium in ("screen", "print"):
            probe = largest(recapture(pixels, medium=medium, seed=seed))
            if enrolled:
                name = f"simulated, {medium}" + held_out(seed >= SEEN_SIMULATED)
                yield name, path.name, compare(probe, enrolled) if probe else None


def different(people: list[Path], pairs: int) -> Iterator[tuple[str, str, Comparison]]:
    """Pairs of different photos of one person, up to a number of pairs."""
    seen = 0
    for person in people:
        photos = sorted(person.iterdir())
        for start in (0, PERSONS_PHOTOS):
            kind = "other photo, LFW" + held_out(start > 0)
            for pair in combinations(photos[start : start + PERSONS_PHOTOS], 2):
                for _, names, comparison in _compared(kind, iter([pair])):
                    one = min(
                        comparison.frame.grey.correlation, comparison.face_on_frame.correlation
                    )
                    label = "LFW, one photo in two files" if one >= ONE_PHOTO else kind
                    yield label, names, comparison
                    seen += 1
        if seen >= pairs:
            return


def sessions(folder: Path) -> Iterator[tuple[str, str, Comparison]]:
    """NUAA: frames of one session that follow each other or lie far apart; other sessions."""
    for person in sorted(folder.iterdir()):
        runs = defaultdict(list)
        for path in sorted(person.iterdir(), key=lambda path: int(path.stem.rpartition("_")[2])):
            runs[path.name[:NUAA_SESSION]].append(path)
        thinned = [run[::STEP] for run in runs.values()]
        for run in thinned:
            yield from _compared("NUAA, next frame", pairwise(run))
            yield from _compared("NUAA, nine frames on", zip(run, run[9:], strict=False))
        for one, other in combinations(thinned, 2):
            yield from _compared("NUAA, other session", ((a, b) for a in one for b in other))


def sittings(folder: Path) -> Iterator[tuple[str, str, Comparison]]:
    """Frames or photos that follow each other in the other sources."""
    for source in sorted(folder.iterdir()):
        frames = sorted(path for path in source.glob("live/*") if path.is_file())
        yield from _compared(f"{source.name}, next photo", pairwise(frames))


def _compared(
    name: str, pairs: Iterator[tuple[Path, Path]]
) -> Iterator[tuple[str, str, Comparison]]:
    for first, second in pairs:
        enrolled, probe = of_file(first), of_file(second)
        if enrolled and probe:
            yield name, f"{first.name} {second.name}", compare(probe, enrolled)


# ---- output


def table(title: str, rows: Iterator[tuple[str, str, Comparison | None]], wrong: set[str]) -> None:
    """Verdicts counted by kind, with the share of `enrolled_picture`; then those in `wrong`."""
    found: Tally = {}
    listed = []
    for kind, name, replay in rows:
        verdict = str(verdict_on(replay, REPLAY)) if replay else "no face"
        counts = found.setdefault(kind, {})
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict in wrong and replay:
            listed.append(f"  {kind}: {name}: {verdict}, {_numbers(replay)}")
    heads = [*(str(each) for each in reversed(ReplayVerdict) if each != "not_compared"), "no face"]
    print(f"\n{title:<32}{'n':>6}" + "".join(f"{head:>18}" for head in heads) + "  picture")
    for kind, counts in found.items():
        _print_row(kind, [counts.get(head, 0) for head in heads])
    print("\n".join(listed))


def _print_row(kind: str, counts: list[int]) -> None:
    n = sum(counts[:-1])  # without those that have no face
    low, high = interval(counts[0], n) if n else (0.0, 1.0)
    share = f"{counts[0] / n:.1%} [{low:.1%}, {high:.1%}]" if n else "-"
    print(f"{kind:<32}{n:>6}" + "".join(f"{count:>18}" for count in counts) + f"  {share}")


def _numbers(replay: Comparison) -> str:
    planes = (
        f"{name} {plane.inliers}/{plane.pairs} r {plane.grey.correlation:.3f} "
        f"moved {plane.displacement:.3f}"
        for name, plane in (("frame", replay.frame), ("face", replay.face))
    )
    on_frame = f"face on frame's plane r {replay.face_on_frame.correlation:.3f}"
    return f"{', '.join(planes)}, {on_frame}, detail {replay.detail:.3f}"


def frames_only(rows: Iterator[tuple[str, str, Comparison]]) -> None:
    """Scenes by their whole frame alone."""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for kind, _, replay in rows:
        kinds[kind].append(shown(replay.frame, REPLAY))
    for kind, hits in kinds.items():
        low, high = interval(sum(hits), len(hits))
        print(f"{kind + ' (frame alone)':<32}{sum(hits):>4} of {len(hits)} [{low:.1%}, {high:.1%}]")


def timing(paths: list[Path]) -> None:
    """Time of one thread, the machine's other work left out; median over photos."""
    sightings = [sight(read(path), networks().detector) for path in paths]
    kept = [each for each in sightings if each.faces]
    made = [_ms(partial(signature, each.pixels, each.faces[0])) for each in kept]
    known = [signature(each.pixels, each.faces[0]) for each in kept]
    with_three = [
        _ms(partial(judge, signature_, [other] * 3)) for signature_, other in pairwise(known)
    ]
    found = [_ms(partial(judge, each, [each] * 3)) for each in known]
    sizes = [len(each.to_bytes()) for each in known]
    print(
        f"\nms of one thread, median of {len(kept)}: signature {np.median(made):.1f}, judged with "
        f"three other photos {np.median(with_three):.1f}, with three times the same "
        f"{np.median(found):.1f}; bytes kept {np.median(sizes):.0f}, at most {max(sizes)}"
    )


def _ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = thread_time()
        work()
        times.append((thread_time() - start) * 1000)
    return float(np.median(times))


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="faces/ and scenes/")
    parser.add_argument("--lfw", type=Path, help="PERSON/IMAGE")
    parser.add_argument("--pad", type=Path, help="nuaa/live/PERSON/IMAGE, SOURCE/live/IMAGE")
    parser.add_argument("--simulated", type=int, default=300, help="recapture so many LFW faces")
    parser.add_argument("--copied", type=int, default=160, help="copy so many LFW faces")
    parser.add_argument("--pairs", type=int, default=3000, help="of LFW photos, at least")
    parser.add_argument("--clips", type=Path, help="films of one live person each")
    parser.add_argument("--edit", type=Path, help="photos with a face, to be edited")
    parser.add_argument("--edited", type=int, default=40, help="so many of them")
    options = parser.parse_args()
    opencv()
    cv2.setNumThreads(1)
    print(f"python {platform.python_version()}, opencv {cv2.__version__}, {cpu()}, one thread")
    print(f"limits: {REPLAY}\nintervals: {INTERVAL}\nseed: {SEED}")
    print("Pairs of one person or session are not independent: the true intervals are wider.")
    missed = {"new", "same_sitting"}
    table("Real recaptures: faces", faces(options.folder / "faces"), missed)
    frames_only(scenes(options.folder / "scenes"))
    if options.lfw:
        people = sorted(options.lfw.iterdir())
        random.Random(SEED).shuffle(people)
        firsts = [min(person.iterdir()) for person in people]
        table("Digital copies of LFW faces", copies(firsts[: options.copied]), missed)
        alarms = {"enrolled_picture", "same_sitting"}
        table("Not the enrolled picture", different(people, options.pairs), alarms)
    if options.pad:
        webcam = sorted((options.pad / "nuaa" / "live").glob("*/*"))
        timing(webcam[:: max(1, len(webcam) // 20)])
        refused = {"enrolled_picture"}
        table("Sessions", sessions(options.pad / "nuaa" / "live"), refused)
        table("Sittings", sittings(options.pad), refused)
    if options.clips:
        table("Later frames", clips(sorted(options.clips.iterdir())), {"enrolled_picture"})
    if options.edit:
        photos = images(options.edit)
        random.Random(SEED).shuffle(photos)
        rooms = sorted(options.folder.glob("scenes/original*/*"))
        table("Edits", edited(photos[: options.edited], rooms), missed)
    if options.lfw:  # last, because it takes a second or two each
        table("Simulated recaptures", simulated(firsts[: options.simulated]), missed)


if __name__ == "__main__":
    main()
