"""Whether a change leaves what facauth finds as it was, photo by photo.

    python benchmarks/same.py dump FOLDER OUT [--photos N]
    python benchmarks/same.py compare BEFORE AFTER

dump draws up to N photos below FOLDER, the same ones each time: of each folder in it as many as of
the next, as far as it has them, evenly spaced by name. They go through facauth's own stages on one
thread, and what each stage finds is written to the file OUT: the refusals of sign-in and register,
faces, quality, live score, encoding, signature, and the replay verdict against the photo before it.
compare prints what moved between two such files, and by how much. A dump is biometric data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from photos import IMAGES

from facauth.errors import FacauthError
from facauth.faces.detect import only_face
from facauth.faces.quality import judgements
from facauth.networks import Checked, Networks
from facauth.settings import DEFAULT, ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.spoof.replay import judge
from facauth.system import Stages, bind

if TYPE_CHECKING:
    from facauth.spoof.signature import CaptureSignature
    from facauth.structs import Face, Quality, Sighting

Found = dict[str, Any]  # of one photo; JSON


def main() -> None:
    """Dump or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    dumping = commands.add_parser("dump")
    dumping.add_argument("folder", type=Path)
    dumping.add_argument("out", type=Path)
    dumping.add_argument("--photos", type=int, default=1000)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "dump":
        found = dump(drawn(chosen.folder, chosen.photos), chosen.folder)
        chosen.out.write_text(json.dumps(dict(found)))
    else:
        report(*(json.loads(path.read_text()) for path in (chosen.before, chosen.after)))


def drawn(folder: Path, most: int) -> list[Path]:
    """The photos; the smallest folders first, so that the others share what these leave."""
    below = [
        sorted(path for path in each.rglob("*") if path.suffix.lower() in IMAGES)
        for each in sorted(folder.iterdir())
        if each.is_dir()
    ]
    photos = list[Path]()
    for place, each in enumerate(sorted(below, key=len)):
        share = min(len(each), (most - len(photos)) // (len(below) - place))
        photos += [each[number * len(each) // share] for number in range(share)]
    return photos


def dump(photos: list[Path], folder: Path) -> Iterator[tuple[str, Found]]:
    """What is found, by the photo's name."""
    networks = Networks(Checked(None))
    networks.load()
    cv2.setNumThreads(1)
    stages = bind(networks)
    before: list[CaptureSignature] = []
    for photo in photos:
        found, signature = looked_at(stages, str(photo), before)
        before = [signature] if signature else []
        yield str(photo.relative_to(folder)), found


def looked_at(
    stages: Stages, photo: str, before: list[CaptureSignature]
) -> tuple[Found, CaptureSignature | None]:
    """What is found in one photo, and its signature; `before` is compared with that."""
    try:
        sighting = stages.sight(stages.decode(photo))
        found = {"turned": sighting.turned_deg, "faces": [box(each) for each in sighting.faces]}
    except FacauthError as refusal:
        return {"codes": codes(refusal), "faces": []}, None
    try:
        face = only_face(sighting)
    except FacauthError as refusal:
        return {**found, "codes": codes(refusal)}, None
    signature = stages.signature(sighting, face)
    replay = asdict(judge(signature, before))
    parts = {"frame": signature.frame, "face": signature.face}
    return {
        **found,
        **judged(stages, sighting, face),
        "landmarks": face.landmarks_px.ravel().tolist(),
        "encoding": stages.encode(sighting, face).vector.tolist(),
        "signature": hashlib.sha256(signature.to_bytes()).hexdigest(),
        "features": {name: len(part.points) for name, part in parts.items()},
        "detail": {name: part.detail for name, part in parts.items()},
        "replay": {name: replay[name] for name in ("verdict", "pairs", "inliers", "correlation")},
    }, signature


def box(face: Face) -> list[float]:
    """x, y, width, height, detection score."""
    return [*face.box_px, face.detection_score]


def judged(stages: Stages, sighting: Sighting, face: Face) -> Found:
    """Quality and liveness, and all that sign-in and register say about them."""
    quality = stages.measure(sighting, face)
    liveness = stages.liveness(sighting, face, quality, DEFAULT)
    return {
        "quality": asdict(quality),
        "live": liveness.live_score,
        "codes": {
            "sign-in": unmet(quality, SIGN_IN_QUALITY),
            "register": unmet(quality, ENROLMENT_QUALITY),
            "liveness": [liveness.verdict, *(reason.code for reason in liveness.reasons)],
        },
    }


def unmet(quality: Quality, limits: Any) -> list[str]:
    """The codes of the limits that a photo misses."""
    return [reason.code for passed, reason in judgements(quality, limits) if not passed]


def codes(refusal: FacauthError) -> list[str]:
    """The codes of a refusal."""
    return [reason.code for reason in refusal.reasons]


# ---- what moved


def report(before: dict[str, Found], after: dict[str, Found]) -> None:
    """A line for each thing found, and one for each photo that is judged otherwise."""
    if before.keys() != after.keys():
        raise SystemExit("the two dumps are not of the same photos")
    print(f"{len(before)} photos; identical in all: {sum(before[p] == after[p] for p in before)}")
    for name, what in JUDGED.items():
        moved = [p for p in before if what(before[p]) != what(after[p])]
        print(f"{name:28} {f'of {len(moved)} photos otherwise' if moved else 'the same'}")
        for photo in moved[:20]:
            print(f"    {photo}: {what(before[photo])} -> {what(after[photo])}")
    for name, measured in MEASURED.items():
        both = [p for p in before if name_in(measured, before[p]) and name_in(measured, after[p])]
        by = np.array([measured(before[p], after[p]) for p in both])
        largest = both[int(by.argmax())] if by.max(initial=0) > 0 else ""
        moved_by = f"{by.max(initial=0):10.3g} {by.mean() if both else 0:10.3g}"
        print(f"{name:28} max, mean {moved_by}  {(by > 0).sum():4} of {len(both)}  {largest}")


def name_in(measured: Callable[[Found, Found], float], found: Found) -> bool:
    """Whether a photo has what is measured."""
    try:
        measured(found, found)
    except (KeyError, IndexError):
        return False
    return True


def difference(*names: str) -> Callable[[Found, Found], float]:
    """The largest difference of a number, or of any number in a list."""

    def by(before: Found, after: Found) -> float:
        for name in names:
            before, after = before[name], after[name]
        one, other = (np.array(each, np.float64) for each in (before, after))
        if np.isnan(one).all() and np.isnan(other).all():  # None: no plane
            return 0.0
        return float(np.nan_to_num(np.abs(one - other), nan=np.inf).max(initial=0))

    return by


def angle(before: Found, after: Found) -> float:
    """Cosine distance of the encodings."""
    one, other = (np.array(each["encoding"], np.float64) for each in (before, after))
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return 0.0 if (one == other).all() else max(0.0, float(1 - cosine))


def box_moved(before: Found, after: Found) -> float:
    """The largest difference of the subject's box, in its widths."""
    one, other = (np.array(each["faces"][0][:4]) for each in (before, after))
    return float(np.abs(one - other).max() / one[2])


JUDGED: dict[str, Callable[[Found], object]] = {
    "refusals": lambda found: found["codes"],
    "number of faces": lambda found: len(found["faces"]),
    "turned": lambda found: found.get("turned"),
    "signature": lambda found: found.get("signature", "")[:8],
    "replay verdict": lambda found: found.get("replay", {}).get("verdict"),
}
QUALITIES = ("sharpness", "noise", "chroma", "luminance_mean", "under_exposure", "over_exposure")
POSE = ("head_pose_yaw_deg", "head_pose_pitch_deg", "inter_eye_distance_px", "dynamic_range_bits")
MEASURED: dict[str, Callable[[Found, Found], float]] = {
    "box, in face widths": box_moved,
    "detection score": lambda one, other: abs(one["faces"][0][4] - other["faces"][0][4]),
    "landmarks, px": difference("landmarks"),
    "encoding, cosine distance": angle,
    "live score": difference("live"),
    **{name: difference("quality", name) for name in (*QUALITIES, *POSE)},
    "features of the frame": difference("features", "frame"),
    "features of the face": difference("features", "face"),
    "detail of the face": difference("detail", "face"),
    "replay, pairs": difference("replay", "pairs"),
    "replay, inliers": difference("replay", "inliers"),
    "replay, correlation": difference("replay", "correlation"),
}


if __name__ == "__main__":
    main()
