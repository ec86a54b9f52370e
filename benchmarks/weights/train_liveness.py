"""Fine-tunes the networks: PYTHONPATH=benchmarks python -m weights.train_liveness PAD LFW [...].

PAD holds SOURCE/live/ and SOURCE/attack*/ (SOURCES says which are trained with; others are left
alone), LFW holds PERSON/IMAGE; of LFW two thirds of the people are trained with, the others are
left to judge by (`kept_aside`). The result is one .npz with what changed: the later layers of both
networks. `compile` joins them with Silent-Face's own, which stay as a second opinion.

--leave-out SOURCE (or SOURCE:PERSON,PERSON; several times) trains without it, to be judged by it.
The views are made once and can be kept (--views FILE). Two processes of one thread each; the same
machine gives the same bytes. Ten minutes on two cores.

Development only: needs torch (2.13.0, CPU), which nothing else here does.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from facauth.faces.detect import sight
from facauth.faces.image import decode, read_image
from facauth.networks import Checked, Networks
from facauth.spoof.liveness import view
from facauth.structs import Face
from weights import compile as compiling
from weights import from_minifasnet, from_torch, modelled

Pixels = NDArray[np.uint8]
Tensors = dict[str, Any]

SCALES = {"live_2_7": 2.7, "live_4_0": 4.0}
IMAGES = {".jpg", ".jpeg", ".png"}
PHOTOS_OF_A_PERSON = 3  # of LFW at most

# Source -> views made of each photo as it is, and of each live photo on a modelled screen or print.
SOURCES = {
    "lfw": (2, 2),
    "nuaa": (4, 1),
    "phone_full_bleed_c": (30, 0),
    "phone_in_hand_d": (30, 0),
    "webcam_e": (40, 10),
    "webcam_f": (40, 10),
    "selfies_g": (40, 10),
}
# Shares of what the networks see; live and attack are half of it each.
LIVE = {"lfw": 0.5, "nuaa": 0.3, "selfies_g": 0.2, "webcam_e": 0.05, "webcam_f": 0.05}
ATTACK = {"nuaa": 0.25, "phone_full_bleed_c": 0.2, "phone_in_hand_d": 0.12, "webcam_e": 0.03}
MODELLED = {"screen": 0.3, "paper": 0.1}  # of the attacks; the real ones share the rest

FIRST_TRAINED = "conv_34"  # what comes before it stays as it was
STEPS, BATCH, RATE, WARM_UP = 130, 64, 3e-4, 10
DROPOUT, SMOOTHING = 0.2, 0.02
SEED = 20261122


# ---- views


@dataclass(frozen=True, slots=True)
class Sample:
    """One face as both networks see it, (2, 80, 80, 3) RGB."""

    source: str
    person: str
    kind: str  # live, attack, screen or paper
    views: Pixels


def photos(pad: Path, lfw: Path) -> Iterator[tuple[str, Path, Path]]:
    """Source, its folder, and a photo, in a fixed order."""
    for folder in sorted(path for path in lfw.iterdir() if not modelled.kept_aside(path.name)):
        yield from (("lfw", lfw, path) for path in sorted(folder.iterdir())[:PHOTOS_OF_A_PERSON])
    for source in sorted(SOURCES.keys() - {"lfw"}):
        files = sorted(path for path in (pad / source).rglob("*") if path.suffix in IMAGES)
        yield from ((source, pad / source, path) for path in files)


@cache
def networks() -> Networks:
    """This process's, with one thread."""
    found = Networks(Checked(None))
    _ = found.detector
    cv2.setNumThreads(1)
    return found


def samples(photo: tuple[str, Path, Path]) -> list[Sample]:
    """All views of a photo's largest face; none where there is no face."""
    source, folder, path = photo
    sighting = sight(decode(read_image(str(path)), str(path)), networks().detector)
    if not sighting.faces:
        return []
    inside = path.relative_to(folder)
    is_attack = inside.parts[0].startswith("attack") and source != "lfw"
    seed = hashlib.sha256(f"{SEED} {source}/{inside.as_posix()}".encode()).digest()
    draw = np.random.default_rng(int.from_bytes(seed[:8]))
    as_is, on_others = SOURCES[source]
    kinds = ["attack" if is_attack else "live"] * as_is
    if not is_attack:
        kinds += ["paper" if draw.random() < 0.25 else "screen" for _ in range(on_others)]
    boxes = None if source == "lfw" else 7.0
    spoil = partial(spoiled, sighting.pixels, sighting.faces[0], draw, boxes)
    return [Sample(source, path.parent.name, kind, views(*spoil(kind), draw)) for kind in kinds]


def spoiled(
    pixels: Pixels, face: Face, draw: modelled.Random, boxes: float | None, kind: str
) -> tuple[Pixels, Face]:
    """The photo cut, scaled and taken anew in some way; its face is where it then is."""
    if boxes is not None:
        pixels, face = cut(pixels, face, draw, boxes)
    longer = max(pixels.shape)
    if kind in MODELLED:
        pixels, face = scaled(pixels, face, draw.uniform(250, 700) / longer)
        showing = modelled.on_screen if kind == "screen" else modelled.on_paper
        seen = modelled.through_camera(showing(pixels, draw), draw, 1)
        if draw.random() < 0.5:
            seen, face = scaled(seen, face, draw.uniform(0.4, 1))
        return modelled.as_file(seen, draw), face
    if longer > 900 and draw.random() < 0.7:
        pixels, face = scaled(pixels, face, draw.uniform(300, 900) / longer)
    elif draw.random() < 0.5:
        aim_px = draw.uniform(max(160, 0.5 * longer), max(200, 1.3 * longer))
        pixels, face = scaled(pixels, face, aim_px / longer)
    if draw.random() < 0.15:
        return pixels, face
    return modelled.as_file(modelled.through_camera(modelled.light(pixels), draw, 0.7), draw), face


def cut(pixels: Pixels, face: Face, draw: modelled.Random, boxes: float) -> tuple[Pixels, Face]:
    """Two to `boxes` times the face box around the face, which then is not in the middle."""
    x, y, w, h = face.box_px
    side = max(w, h) * draw.uniform(1.9, boxes)
    left = int(max(0, x + w / 2 - side / 2 + draw.uniform(-0.15, 0.15) * side))
    top = int(max(0, y + h / 2 - side / 2 + draw.uniform(-0.15, 0.15) * side))
    part = pixels[top : int(top + side), left : int(left + side)]
    return part, at(face, (x - left, y - top, w, h))


def scaled(picture: Any, face: Face, by: float) -> tuple[Any, Face]:
    """Picture and face."""
    x, y, w, h = (each * by for each in face.box_px)
    return modelled.resized(picture, by), at(face, (x, y, w, h))


def at(face: Face, box_px: tuple[float, float, float, float]) -> Face:
    """The face in another box; its landmarks are of no use here."""
    return Face(box_px, face.landmarks_px, face.detection_score)


def views(pixels: Pixels, face: Face, draw: modelled.Random) -> Pixels:
    """(2, 80, 80, 3): what either network sees, the box a little off."""
    by = draw.uniform(0.82, 1.18)
    x, y, w, h = face.box_px
    x, y = x + draw.uniform(-0.04, 0.04) * w, y + draw.uniform(-0.04, 0.04) * h
    face = at(face, (x, y, w, h))
    widest = min((pixels.shape[1] - 1) / w, (pixels.shape[0] - 1) / h)
    return np.stack([view(pixels, face, min(each * by, widest)) for each in SCALES.values()])


def all_samples(pad: Path, lfw: Path) -> list[Sample]:
    """Of every photo, in the photos' order."""
    found: list[Sample] = []
    with get_context("spawn").Pool(2) as pool:
        for each in pool.imap(samples, list(photos(pad, lfw)), chunksize=8):
            found += each
    return found


def kept(file: Path, pad: Path, lfw: Path) -> dict[str, NDArray[Any]]:
    """The samples as arrays, made only if the file is not there."""
    if not file.exists():
        found = all_samples(pad, lfw)
        columns = {
            name: np.array([getattr(each, name) for each in found])
            for name in ("source", "person", "kind", "views")
        }
        np.savez(file, **columns)  # type: ignore[arg-type]  # numpy's stub of **
    with np.load(file) as arrays:
        return dict(arrays)


# ---- training


def shares(data: dict[str, NDArray[Any]], left_out: Sequence[str]) -> NDArray[np.float64]:
    """How often each sample is drawn; they sum to 1."""
    used = np.array([not _is_left_out(*each, left_out) for each in _rows(data)])
    source, kind = data["source"], data["kind"]
    share = np.zeros(len(used))
    _share_out(share, [(used & (source == s) & (kind == "live"), w) for s, w in LIVE.items()], 0.5)
    real = [(used & (source == s) & (kind == "attack"), w) for s, w in ATTACK.items()]
    _share_out(share, real, 0.5 * (1 - sum(MODELLED.values())))
    for each, weight in MODELLED.items():
        _share_out(share, [(used & (kind == each), 1)], 0.5 * weight)
    share /= share.sum()
    return share


def _rows(data: dict[str, NDArray[Any]]) -> Iterator[tuple[str, str]]:
    return zip(data["source"].tolist(), data["person"].tolist(), strict=True)


def _is_left_out(source: str, person: str, left_out: Sequence[str]) -> bool:
    for each in left_out:
        name, _, people = each.partition(":")
        if source == name and (not people or person in people.split(",")):
            return True
    return False


def _share_out(
    share: NDArray[np.float64], groups: list[tuple[NDArray[np.bool_], float]], total: float
) -> None:
    """Give groups their shares of `total`; what is not there leaves its share to the others."""
    there = [(mask, weight) for mask, weight in groups if mask.any()]
    for mask, weight in there:
        share[mask] += total * weight / sum(weight for _, weight in there) / mask.sum()


def fine_tuned(
    role: str, state: Tensors, data: dict[str, NDArray[Any]], left_out: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The arrays of one network that training changed."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    draw = np.random.default_rng(SEED)
    weights = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    learning = {name: weights[name].requires_grad_() for name in weights if is_trained(name)}
    crops, live = data["views"][:, list(SCALES).index(role)], data["kind"] == "live"
    share = shares(data, left_out)
    optimiser = torch.optim.Adam(learning.values())
    for step in range(STEPS):
        pace = min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        optimiser.param_groups[0]["lr"] = RATE * pace
        chosen = draw.choice(len(share), BATCH, p=share)
        target = torch.from_numpy(live[chosen].astype(np.float32))
        target = target * (1 - 2 * SMOOTHING) + SMOOTHING
        odds = log_odds(weights, poorer(batch(crops[chosen], draw), draw), DROPOUT)
        loss = functional.binary_cross_entropy_with_logits(odds, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 10 == 9:
            sys.stdout.write(f"{role} step {step + 1}: loss {loss.item():.3f}\n")
            sys.stdout.flush()
    return {name: values.detach().numpy() for name, values in learning.items()}


def is_trained(name: str) -> bool:
    """Whether an array of a state dict is in a later layer, and no statistic."""
    order = ["conv1", "conv2_dw", "conv_23", "conv_3", "conv_34"]
    early = name.split(".")[0] in order[: order.index(FIRST_TRAINED)]
    return not early and "running" not in name and "num_batches" not in name


def batch(crops: Pixels, draw: modelled.Random) -> Any:
    """(n, 3, 80, 80) BGR, half of them mirrored."""
    tensor = torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float()
    mirrored = torch.from_numpy(draw.random(len(crops)) < 0.5)
    tensor[mirrored] = tensor[mirrored].flip(3)
    return tensor


def poorer(crops: Any, draw: modelled.Random) -> Any:
    """Some of them grey, of fewer pixels, blurred or noisy, attacks and live faces alike."""

    def some(of_them: float) -> Any:
        return torch.nonzero(torch.from_numpy(draw.random(len(crops)) < of_them)).flatten().tolist()

    for each in some(0.12):
        grey = (crops[each] * torch.tensor([0.114, 0.587, 0.299])[:, None, None]).sum(0)
        crops[each] = grey
    for each in some(0.2):
        fewer = max(16, round(80 * draw.uniform(0.35, 1)))
        small = _resampled(crops[each : each + 1], fewer)
        crops[each] = _resampled(small, 80)[0]
    for each in some(0.2):
        picture = crops[each].permute(1, 2, 0).numpy()
        soft = cv2.GaussianBlur(picture, (0, 0), draw.uniform(0.4, 1.5))
        crops[each] = torch.from_numpy(soft).permute(2, 0, 1)
    for each in some(0.2):
        noise = draw.normal(0, draw.uniform(1, 12), crops[each].shape)
        crops[each] += torch.from_numpy(noise.astype(np.float32))
    return crops.clamp(0, 255).contiguous(memory_format=torch.channels_last)


def _resampled(crop: Any, side_px: int) -> Any:
    size = (side_px, side_px)
    return functional.interpolate(crop, size, mode="bilinear", antialias=True, align_corners=False)


# ---- the network in torch, as from_minifasnet writes it


def log_odds(weights: Tensors, crops: Any, dropout: float = 0) -> Any:
    """(n,): log-odds of "live"; statistics of batch norms stay as they were."""
    value = _rectified(weights, crops, "conv1", stride=2, padding=1)
    value = _rectified(weights, value, "conv2_dw", padding=1)
    for narrowing, chain, length in from_minifasnet.STAGES:
        value = _bottleneck(weights, value, narrowing, stride=2)
        for index in range(length):
            value = value + _excited(weights, value, f"{chain}.model.{index}")
    value = _convolved(weights, _rectified(weights, value, "conv_6_sep"), "conv_6_dw")
    value = functional.linear(value.flatten(1), weights["linear.weight"])
    value = functional.dropout(_normed(weights, value, "bn"), dropout)
    classes = functional.linear(value, weights["prob.weight"])
    return classes[:, 1] - torch.logsumexp(classes[:, [0, 2]], 1)


def _rectified(weights: Tensors, value: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
    convolved = _convolved(weights, value, name, stride, padding)
    return functional.prelu(convolved, weights[f"{name}.prelu.weight"])


def _convolved(weights: Tensors, value: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
    kernel = weights[f"{name}.conv.weight"]
    groups = len(kernel) if kernel.shape[1] == 1 else 1
    return _normed(
        weights,
        functional.conv2d(value, kernel, stride=stride, padding=padding, groups=groups),
        f"{name}.bn",
    )


def _normed(weights: Tensors, value: Any, name: str) -> Any:
    keys = ("running_mean", "running_var", "weight", "bias")
    mean, variance, gain, offset = (weights[f"{name}.{key}"] for key in keys)
    return functional.batch_norm(value, mean, variance, gain, offset, training=False)


def _bottleneck(weights: Tensors, value: Any, name: str, stride: int = 1) -> Any:
    value = _rectified(weights, value, f"{name}.conv")
    value = _rectified(weights, value, f"{name}.conv_dw", stride, padding=1)
    return _convolved(weights, value, f"{name}.project")


def _excited(weights: Tensors, value: Any, name: str) -> Any:
    change = _bottleneck(weights, value, name)
    if f"{name}.se_module.fc1.weight" not in weights:
        return change
    se = f"{name}.se_module"
    squeezed = functional.conv2d(change.mean((2, 3), keepdim=True), weights[f"{se}.fc1.weight"])
    squeezed = functional.relu(_normed(weights, squeezed, f"{se}.bn1"))
    widened = functional.conv2d(squeezed, weights[f"{se}.fc2.weight"])
    return change * torch.sigmoid(_normed(weights, widened, f"{se}.bn2"))


# ---- the command


def one_network(
    role: str, sources: Path, file: Path, left_out: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Work of one process: the changed arrays by role and name."""
    weight = next(each for each in compiling.WEIGHTS if each.role == role)
    state = from_torch.read_state(compiling.read_member(sources, weight))
    with np.load(file) as arrays:
        changed = fine_tuned(role, state, dict(arrays), left_out)
    return {f"{role}/{name}": values for name, values in changed.items()}


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pad", type=Path)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--sources", type=Path, required=True, help="holds the three packages")
    parser.add_argument("--views", type=Path, help="keep the views here, or take them from here")
    parser.add_argument("--leave-out", action="append", default=[], metavar="SOURCE[:PERSON,...]")
    parser.add_argument("--out", type=Path, default=compiling.FINE_TUNED)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = given.views or Path(folder) / "views.npz"
        kept(file, given.pad, given.lfw)
        train = partial(one_network, sources=given.sources, file=file, left_out=given.leave_out)
        with get_context("spawn").Pool(2) as pool:
            near, far = pool.map(train, SCALES)
    np.savez(given.out, **near, **far)  # type: ignore[arg-type]  # numpy's stub of **
    sys.stdout.write(f"{given.out}: sha256 {hashlib.sha256(given.out.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
