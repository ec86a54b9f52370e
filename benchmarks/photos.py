"""The share of usable photos, and the causes of the others.

    python benchmarks/photos.py FOLDER ... [--sample N] [--list]

FOLDER holds photos of which each shows one person who should get in, in folders of any depth.
They go through facauth's own stages with the default policy, by the limits of sign-in and by those
of register; no store, so no match and no replay. A row for each cause: how many photos it stops.
A photo with several causes counts in each. --sample N draws N photos of each FOLDER, the same ones
each time. --list names every photo that is stopped. One thread.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2

from facauth.errors import FacauthError
from facauth.faces.quality import require_quality
from facauth.networks import Checked, Networks
from facauth.settings import DEFAULT, ENROLMENT_QUALITY, SIGN_IN_QUALITY, QualityLimits
from facauth.spoof.liveness import require_live
from facauth.spoof.verdict import require_enrollable
from facauth.system import Stages, bind

LIMITS = {"sign-in": SIGN_IN_QUALITY, "register": ENROLMENT_QUALITY}
IMAGES = {".jpg", ".jpeg", ".png", ".heic", ".webp"}
Codes = dict[str, tuple[str, ...]]  # command -> the codes of all that stops a photo there


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--sample", type=int, metavar="N", help="photos of each folder")
    parser.add_argument("--list", action="store_true", help="name the photos that are stopped")
    options = parser.parse_args()
    stages = looking_once()
    for folder in options.folders:
        photos = drawn(folder, options.sample)
        found = [causes(stages, photo) for photo in photos]
        report(folder, found)
        if options.list:
            name_stopped(folder, photos, found)


def drawn(folder: Path, sample: int | None) -> list[Path]:
    """The photos below a folder; not more than `sample` of them."""
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    if sample is None or sample >= len(photos):
        return photos
    return sorted(random.Random(0).sample(photos, sample))


def looking_once() -> Stages:
    """The stages; they decode and search a photo once for both commands."""
    networks = Networks(Checked(None))
    _ = networks.detector
    cv2.setNumThreads(1)
    stages = bind(networks)
    sight = lru_cache(1)(lambda image: stages.sight(stages.decode(image)))
    return replace(stages, decode=lambda image: image, sight=sight)  # type: ignore[arg-type,return-value]


def causes(stages: Stages, photo: Path) -> Codes:
    """Why a photo cannot be used, by both commands."""
    return {command: stopped(stages, photo, limits) for command, limits in LIMITS.items()}


def stopped(stages: Stages, photo: Path, limits: QualityLimits) -> tuple[str, ...]:
    """The refusal of a photo before any comparison."""
    try:
        with stages.look(str(photo)) as look:
            subject = look.subject()
            require_quality(subject.quality, limits)
            liveness = look.liveness(DEFAULT)
            if limits is ENROLMENT_QUALITY:
                require_enrollable(liveness, DEFAULT)
            else:
                require_live(liveness)
    except FacauthError as refusal:
        return tuple(reason.code for reason in refusal.reasons)
    return ()


def report(folder: Path, found: Sequence[Codes]) -> None:
    """A row for each cause, the most frequent first."""
    counts = {name: Counter(code for each in found for code in each[name]) for name in LIMITS}
    total, rows = len(found), sum(counts.values(), Counter[str]())
    print(f"\n{folder.parent.name}/{folder.name}: {total} photos{'':>14}{'   '.join(LIMITS)}")
    free = {name: sum(not each[name] for each in found) for name in LIMITS}
    print(f"  {'usable':<36}" + "".join(f"{free[name] / total:>11.1%}" for name in LIMITS))
    for code, _ in rows.most_common():
        print(f"  {code:<36}" + "".join(f"{counts[name][code]:>11}" for name in LIMITS))


def name_stopped(folder: Path, photos: Sequence[Path], found: Sequence[Codes]) -> None:
    """A line for each photo that one of the commands cannot use."""
    for photo, each in zip(photos, found, strict=True):
        if any(each.values()):
            told = "; ".join(f"{name}: {', '.join(codes)}" for name, codes in each.items() if codes)
            print(f"  {photo.relative_to(folder)}: {told}")


if __name__ == "__main__":
    main()
