"""How often attacks pass as live, and live photos as attacks: per kind of attack and per person.

    python benchmarks/liveness.py FOLDER [--live FOLDER] [--degrade HOW] [--sample N] [--json]
                                  [--only SOURCE ...] [--weights FOLDER] [--zoom BOXES]

FOLDER holds SOURCE/live/ and SOURCE/attack*/, each with images or with PERSON/IMAGE. --live adds
a folder PERSON/IMAGE of live photos, of which one photo of each of N people is drawn, none of whom
the networks were trained with. To judge a source that they were trained with, leave it out of a
training (weights/train_liveness.py --leave-out), compile the result to a folder, and give that as
--weights with --only this source.

Every photo goes through facauth's own stages: decode, sight, the largest face, quality, liveness.
--degrade spoils every photo first (blur of sigma 2, noise of sigma 15, a quarter of the size, grey,
JPEG 30). --zoom cuts every photo to this many boxes around its face, as an attacker does to hide
the edges of a screen.

Words follow ISO/IEC 30107-3: APCER is the share of attacks that are called live, for each kind
of attack; BPCER the share of live photos that are called attacks. What could not be judged (too
poor, no face, not readable) counts in neither and is the non-response rate.

A last table compares ways to derive a score from the networks: the mean of both crops, as
Silent-Face does it; its networks on twelve views; the fine-tuned layers alone; facauth's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from weights.modelled import kept_aside

import facauth
from facauth.errors import FacauthError, Reason
from facauth.faces import detect, image, quality
from facauth.measure.rates import INTERVAL, interval
from facauth.networks import WEIGHTS, Checked, Networks
from facauth.settings import DEFAULT, LENIENT, LIVENESS, STRICT
from facauth.spoof import liveness
from facauth.structs import Face, Sighting

Pixels = NDArray[np.uint8]

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic"}
SEED = 20261122  # of the draw from --live; another draw gives slightly other figures
JUDGED_BY = ("faces/*.py", "spoof/*.py", "networks.py", "settings.py", "weights/manifest.json")


@dataclass(frozen=True, slots=True)
class Photo:
    """One file with its label."""

    path: str
    group: str  # SOURCE/live or SOURCE/attack…: for attacks, the species
    person: str  # "" when the folder does not say
    is_attack: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """facauth's answer on one photo; the score is None if liveness was not reached."""

    verdict: str  # of LiveVerdict, or "no_answer"
    live_score: float | None
    reasons: tuple[str, ...]  # codes
    faces: int
    ways: dict[str, float]  # way -> P(live), whatever the verdict; empty without a face


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a group of photos, or one person of it."""

    group: str
    person: str  # "" for the whole group
    is_attack: bool
    photos: int
    judged: int  # photos with a verdict
    wrong: int  # attacks called live, or live photos called attacks
    wrong_of_several: int  # of them, photos with several faces
    rate: float | None  # APCER or BPCER: wrong / judged; None when nothing was judged
    interval: tuple[float, float] | None
    non_response: float  # share of the photos without a verdict
    non_response_interval: tuple[float, float]
    nearest_score: float | None  # an attack's highest live score, or a live photo's lowest
    unjudged: dict[str, int]  # reason code -> photos


# ---- which photos


def labelled(folder: Path) -> Iterator[Photo]:
    """Every image below SOURCE/live and SOURCE/attack*."""
    for kind in sorted(folder.glob("*/*/")):
        is_attack = kind.name.startswith("attack")
        if is_attack or kind.name == "live":
            group = f"{kind.parent.name}/{kind.name}"
            yield from (
                Photo(str(path), group, _person(path, kind), is_attack) for path in images(kind)
            )


def images(folder: Path) -> list[Path]:
    """All image files below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)


def _person(path: Path, folder: Path) -> str:
    inside = path.relative_to(folder).parts
    return inside[0] if len(inside) > 1 else ""


def drawn(folder: Path, people: int | None) -> list[Photo]:
    """One photo of each of `people` people (of all of them: None), always the same draw."""
    draw = random.Random(SEED)
    by_person: dict[str, list[Path]] = {}
    for path in images(folder):
        by_person.setdefault(_person(path, folder) or path.name, []).append(path)
    names = sorted(name for name in by_person if kept_aside(name))
    chosen = names if people is None else sorted(draw.sample(names, min(people, len(names))))
    group = f"{folder.name} (--live)"
    return [Photo(str(draw.choice(by_person[name])), group, "", False) for name in chosen]


# ---- answers


@cache
def networks(weights: Path) -> Networks:
    """The networks of this process, loaded and set to one thread: there are other processes."""
    found = Networks(Checked(None), weights)
    _ = found.detector, found.live_2_7, found.live_4_0
    cv2.setNumThreads(1)
    return found


DEGRADATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda pixels: pixels,
    "blur": lambda pixels: _u8(cv2.GaussianBlur(pixels, (0, 0), 2)),  # sigma 2 px
    "noise": lambda pixels: _u8(
        pixels + np.random.default_rng(pixels.size).normal(0, 15, pixels.shape)
    ),
    "quarter": lambda pixels: _u8(
        cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    ),
    "grey": lambda pixels: _u8(
        np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    ),
    "jpeg": lambda pixels: _u8(
        cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], -1)
    ),
}


def _u8(pixels: Any) -> Pixels:
    return np.asarray(np.clip(pixels, 0, 255), dtype=np.uint8)


def answer(
    path: str, degraded: str = "none", weights: Path = WEIGHTS, zoom: float | None = None
) -> Answer:
    """Facauth's stages up to liveness on one file, as the commands run them."""
    try:
        pixels = image.decode(image.read_image(path), path)
    except FacauthError as error:
        return Answer("no_answer", None, _codes(error.reasons), 0, {})
    sighting = detect.sight(DEGRADATIONS[degraded](pixels), networks(weights).detector)
    if not sighting.faces:
        return Answer("no_answer", None, ("face.none",), 0, {})
    face = sighting.faces[0]
    if zoom is not None:
        sighting = zoomed(sighting, zoom)
        face = sighting.faces[0]
    measured = quality.measure(sighting, face)
    found = liveness.judge(sighting, face, measured, DEFAULT, networks=networks(weights))
    ways = other_ways(sighting.pixels, face, networks(weights)) | {"facauth": found.live_score}
    codes = _codes(found.reasons)
    return Answer(str(found.verdict), found.live_score, codes, len(sighting.faces), ways)


def zoomed(sighting: Sighting, boxes: float) -> Sighting:
    """The photo, cut to a number of boxes around its largest face."""
    height, width = sighting.pixels.shape[:2]
    x, y, w, h = sighting.faces[0].box_px
    left, top = (int(max(0, at + side / 2 * (1 - boxes))) for at, side in ((x, w), (y, h)))
    right = int(min(width, x + w / 2 * (1 + boxes)))
    bottom = int(min(height, y + h / 2 * (1 + boxes)))
    face = sighting.faces[0]
    marks = face.landmarks_px - np.array([left, top], np.float32)
    cut = Face((x - left, y - top, w, h), marks, face.detection_score)
    pixels = np.ascontiguousarray(sighting.pixels[top:bottom, left:right])
    return Sighting(pixels, (cut,), sighting.turned_deg)


def other_ways(pixels: Pixels, face: Face, nets: Networks) -> dict[str, float]:
    """P(live) by other ways than facauth's; the first of the networks' two tails is the original.

    Where the frame is too small for all three views the narrowest of them is the plain one.
    """
    plain, original, fine_tuned = [], [], []
    for scale, net in ((2.7, nets.live_2_7), (4.0, nets.live_4_0)):
        crops = liveness.views(pixels, face, scale)
        both_ways = [*crops, *(crop[:, ::-1] for crop in crops)]
        net.setInput(cv2.dnn.blobFromImages(both_ways, swapRB=True))
        live = net.forward()[:, liveness.LIVE_CLASSES].astype(np.float64)
        plain.append(float(live[len(crops) // 2, 0]))
        odds = np.log(live.clip(liveness.SURE, 1 - liveness.SURE))
        odds -= np.log((1 - live).clip(liveness.SURE, 1 - liveness.SURE))
        original.append(float(odds[:, 0].mean()))
        fine_tuned.append(float(odds[: len(crops), 1].mean()))
    return {
        "plain": sum(plain) / 2,
        "twelve": 1 / (1 + math.exp(-sum(original) / 2)),
        "tuned": 1 / (1 + math.exp(-sum(fine_tuned) / 2)),
    }


def _codes(reasons: Iterable[Reason]) -> tuple[str, ...]:
    return tuple(reason.code for reason in reasons)


def answers(
    paths: Sequence[str],
    processes: int,
    memory: Path | None,
    work: Callable[[str], Answer],
    key: str,
) -> dict[str, Answer]:
    """An answer for each path; known ones are read from `memory`, new ones added to it."""
    known = _read(memory)
    keys = {path: f"{_file_key(path)}:{key}" for path in paths}
    new = [path for path in paths if keys[path] not in known]
    with get_context("spawn").Pool(processes) as pool:
        for path, found in zip(new, pool.imap(work, new, chunksize=8), strict=True):
            known[keys[path]] = found
    if memory is not None and new:
        rows = {key: asdict(found) for key, found in known.items()}
        memory.write_text(json.dumps({"judged_by": judged_by(), "answers": rows}))
    return {path: known[keys[path]] for path in paths}


def _read(memory: Path | None) -> dict[str, Answer]:
    """The answers of an earlier run with the same code, limits and weights."""
    if memory is None or not memory.exists():
        return {}
    stored = json.loads(memory.read_text())
    if stored["judged_by"] != judged_by():
        return {}
    return {
        key: Answer(**{**row, "reasons": tuple(row["reasons"])})
        for key, row in stored["answers"].items()
    }


def _file_key(path: str) -> str:
    stat = Path(path).stat()
    return f"{path}:{stat.st_size}:{stat.st_mtime_ns}"


@cache
def judged_by() -> str:
    """A hash of all that an answer depends on: code, limits, weights, OpenCV."""
    root = Path(facauth.__file__).parent
    digest = hashlib.sha256(cv2.__version__.encode())
    for pattern in JUDGED_BY:
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


# ---- rates


def rows(photos: Iterable[Photo], found: dict[str, Answer]) -> list[Row]:
    """One row per group and, where a group names its people, one for each of them below it."""
    table = []
    for _, members in groupby(photos, key=lambda photo: photo.group):
        group = list(members)
        table.append(row(group, found, ""))
        for name in sorted({photo.person for photo in group} - {""}):
            theirs = [photo for photo in group if photo.person == name]
            table.append(row(theirs, found, name))
    return table


def row(photos: Sequence[Photo], found: dict[str, Answer], person: str) -> Row:
    """The rates of photos that are all attacks or all live."""
    first = photos[0]
    replies = [found[photo.path] for photo in photos]
    judged = [reply for reply in replies if reply.verdict in ("live", "attack")]
    unjudged = [reply for reply in replies if reply.verdict not in ("live", "attack")]
    wrong = [reply for reply in judged if (reply.verdict == "live") == first.is_attack]
    scores = [reply.live_score for reply in judged if reply.live_score is not None]
    nearest = max if first.is_attack else min
    return Row(
        group=first.group,
        person=person,
        is_attack=first.is_attack,
        photos=len(photos),
        judged=len(judged),
        wrong=len(wrong),
        wrong_of_several=sum(reply.faces > 1 for reply in wrong),
        rate=len(wrong) / len(judged) if judged else None,
        interval=interval(len(wrong), len(judged)) if judged else None,
        non_response=len(unjudged) / len(photos),
        non_response_interval=interval(len(unjudged), len(photos)),
        nearest_score=nearest(scores) if scores else None,
        unjudged=dict(Counter(code for reply in unjudged for code in reply.reasons)),
    )


def worst(table: Sequence[Row], *, attacks: bool) -> Row | None:
    """The group with the highest rate; of equal ones the one with the fewest photos."""
    judged = [row for row in table if row.is_attack == attacks and not row.person and row.interval]
    return max(judged, key=lambda row: (row.rate, row.interval), default=None)


# ---- output


def ran_on(table: Sequence[Row], processes: int) -> dict[str, object]:
    """Counts, settings and machine of the figures."""
    groups = [row for row in table if not row.person]
    return {
        "live_photos": sum(row.photos for row in groups if not row.is_attack),
        "attacks": sum(row.photos for row in groups if row.is_attack),
        "limits": DEFAULT._asdict() | LIVENESS._asdict(),
        "intervals": INTERVAL,
        "seed": SEED,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "cpu": cpu(),
        "processes": processes,
    }


def cpu() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


WAYS = (("plain", 0.38), ("twelve", 0.126), ("twelve", 0.5), ("twelve", 0.7), ("tuned", 0.5))


def ways_table(photos: Sequence[Photo], found: dict[str, Answer]) -> list[str]:
    """A line for each way and threshold: APCER of the worst species, and BPCER.

    Only photos that can be judged under facauth's conditions count.
    """
    limits = (LENIENT.min_live_score, DEFAULT.min_live_score, STRICT.sure_live_score)
    points = [*WAYS, *(("facauth", limit) for limit in limits)]
    judged = [photo for photo in photos if conditions_met(found[photo.path])]
    lines = [f"\n{'Score of':<10}{'at':>7}  {'worst APCER':<48}{'BPCER':>7}  worst person"]
    for way, limit in points:
        attacks = _by_group(judged, found, way, limit, attacks=True)
        live = _by_group(judged, found, way, limit, attacks=False)
        pooled = [passed for group in live.values() for passed in group]
        bpcer = f"{1 - sum(pooled) / len(pooled):.1%}" if pooled else "-"
        worst_live = min(live, key=lambda group: sum(live[group]) / len(live[group]), default=None)
        worst_attack = max(
            attacks, key=lambda group: sum(attacks[group]) / len(attacks[group]), default=None
        )
        lines.append(
            f"{way:<10}{limit:>7.3f}  {_share(worst_attack, attacks, 0):<48}{bpcer:>7}  "
            f"{_share(worst_live, live, 1)}"
        )
    return lines


def conditions_met(answer: Answer) -> bool:
    """Whether the conditions were met, so that the score decided."""
    return answer.verdict in ("live", "attack") or answer.reasons == ("liveness.doubt",)


def _by_group(
    photos: Sequence[Photo], found: dict[str, Answer], way: str, limit: float, *, attacks: bool
) -> dict[str, list[bool]]:
    """Whether each photo passes, by group and person."""
    passed: dict[str, list[bool]] = {}
    for photo in photos:
        if photo.is_attack == attacks:
            name = photo.group if attacks else f"{photo.group} {photo.person}".strip()
            passed.setdefault(name, []).append(found[photo.path].ways[way] >= limit)
    return passed


def _share(name: str | None, passed: dict[str, list[bool]], less: int) -> str:
    if name is None:
        return "-"
    share = abs(less - sum(passed[name]) / len(passed[name]))
    return f"{share:.1%} of {len(passed[name])} {name}"


def print_tables(table: Sequence[Row], facts: dict[str, object]) -> None:
    """Print the settings, then a table of attacks and one of live photos."""
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    titles = ("Live: called attack (BPCER)", "Attacks: called live (APCER)")
    for attacks, title in zip((False, True), titles, strict=True):
        columns = f"{'photos':>7}{'judged':>7}{'wrong':>6}{'nearest':>8}  {'rate':<24}not judged"
        print(f"\n{title:<42}{columns}")
        for line in (line for line in table if line.is_attack == attacks):
            print(_line(line))
        _print_worst(worst(table, attacks=attacks))
    print(
        "\nnearest: the highest live score of an attack, the lowest of a live photo (judged ones)."
    )
    several = sum(row.wrong_of_several for row in table if row.is_attack and not row.person)
    print(f"Of several faces the largest is judged: so it was in {several} attacks called live.")
    print("Photos of one person or one set-up are not independent: the true intervals are wider.")


def _line(row: Row) -> str:
    name = f"  {row.person}" if row.person else row.group
    rate = _rate(row.rate, row.interval)
    nearest = "-" if row.nearest_score is None else f"{row.nearest_score:.3f}"
    counts = f"{row.photos:>7}{row.judged:>7}{row.wrong:>6}{nearest:>8}"
    unjudged = ", ".join(f"{code} {count}" for code, count in sorted(row.unjudged.items()))
    silent = _rate(row.non_response, row.non_response_interval)
    return f"{name:<42}{counts}  {rate:<24}{silent} {unjudged}".rstrip()


def _rate(rate: float | None, bounds: tuple[float, float] | None) -> str:
    if rate is None or bounds is None:
        return "-"
    return f"{rate:6.1%} [{bounds[0]:.1%}, {bounds[1]:.1%}]"


def _print_worst(row: Row | None) -> None:
    if row is not None:
        what = "worst" if row.wrong else "none went wrong; the least is known of"
        print(f"{what}: {row.group}, {_rate(row.rate, row.interval).strip()}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="SOURCE/{live,attack*}/[PERSON/]IMAGE")
    parser.add_argument("--live", type=Path, help="more live photos: PERSON/IMAGE")
    parser.add_argument("--degrade", choices=list(DEGRADATIONS), default="none")
    parser.add_argument("--sample", type=int, help="how many people to draw from --live; all")
    parser.add_argument("--cache", type=Path, help="remember answers in this file")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--zoom", type=float, help="cut photos to so many face boxes first")
    parser.add_argument("--only", nargs="+", metavar="SOURCE", help="these sources of FOLDER")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="others than the package's")
    options = parser.parse_args()
    photos = list(labelled(options.folder))
    if options.only:
        photos = [each for each in photos if each.group.split("/")[0] in options.only]
    photos += drawn(options.live, options.sample) if options.live else []
    if not photos:
        parser.error(f"no SOURCE/live or SOURCE/attack* with images in {options.folder}")
    paths = [photo.path for photo in photos]
    weights = options.weights.resolve()
    work = partial(answer, degraded=options.degrade, weights=weights, zoom=options.zoom)
    found = answers(
        paths, options.processes, options.cache, work, f"{options.degrade}:{weights}:{options.zoom}"
    )
    table = rows(photos, found)
    facts = ran_on(table, options.processes) | {
        "degraded by": options.degrade,
        "zoomed to face boxes": options.zoom,
        "weights": "the package's" if options.weights == WEIGHTS else options.weights.name,
    }
    if options.json:
        print(json.dumps({"ran_on": facts, "rows": [asdict(row) for row in table]}, indent=2))
    else:
        print_tables(table, facts)
        print("\n".join(ways_table(photos, found)))


if __name__ == "__main__":
    main()
