"""Fine-tunes the networks: PYTHONPATH=benchmarks python -m weights.train_liveness DATA [options].

DATA is laid out as `shown.py` says, which makes the crops. The result is one .npz with what
changed: the later layers of the networks, as tail/name, for each of TAILS. `from_minifasnet`
joins such tails with Silent-Face's own, which stay as a second opinion. None of them ships:
docs/measurements.md says what they are worth. `fine_tuned.npz`, which ships, is of an earlier
version of this file.

--leave-out SOURCE (or SOURCE:PERSON,PERSON; several times) trains without it, to be judged by it.
The crops are made once and can be kept (--views FILE). One thread; the same machine gives the same
bytes.

Development only: needs torch (2.13.0, CPU), which nothing else here does.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from weights import compile as compiling
from weights import from_minifasnet, from_torch, shown

Tensors = dict[str, Any]
Arrays = dict[str, NDArray[Any]]

TAILS = {"tight": "live_2_7", "near": "live_2_7", "far": "live_4_0"}  # tail -> its early layers

# Shares of what the networks see; live and attack are half of it each. Set-ups that are not named
# have equal shares of what the named ones leave.
LIVE = {"lfw": 0.35, "nuaa": 0.2}
ATTACK = {"nuaa": 0.25}
KINDS = {"attack": 0.65, "screen": 0.2, "paper": 0.15}  # of the attacks
PASTED = 0.25  # of live faces and of attacks

STEPS, BATCH, RATE, WARM_UP = 350, 32, 3e-4, 10
DROPOUT, SMOOTHING = 0.2, 0.02
SEED = 20261122


def shares(data: Arrays, left_out: Sequence[str]) -> NDArray[np.float64]:
    """How often each sample is drawn; they sum to 1."""
    used = np.array([not _is_left_out(*each, left_out) for each in _origins(data)])
    kind, pasted = data["kind"], data["on"] != ""
    share = np.zeros(len(used))
    live = used & (kind == "live")
    for chosen, part in ((live & ~pasted, 1 - PASTED), (live & pasted, PASTED)):
        share += 0.5 * part * _by_source(data["source"], chosen, LIVE)
    for each, weight in KINDS.items():
        attack = used & (kind == each)
        for chosen, part in ((attack & ~pasted, 1 - PASTED), (attack & pasted, PASTED)):
            share += 0.5 * weight * part * _by_source(data["source"], chosen, ATTACK)
    return np.asarray(share / share.sum(), np.float64)


def _by_source(
    source: NDArray[np.str_], chosen: NDArray[np.bool_], named: dict[str, float]
) -> NDArray[np.float64]:
    """Shares of the chosen samples that sum to 1, those of one source alike."""
    share = np.zeros(len(source))
    there = np.unique(source[chosen]).tolist()
    others = [each for each in there if each not in named]
    for each in there:
        weight = named.get(each, (1 - sum(named.values())) / max(1, len(others)))
        share[chosen & (source == each)] = weight / (chosen & (source == each)).sum()
    return np.asarray(share / max(share.sum(), 1e-9), np.float64)


def _origins(data: Arrays) -> Iterator[tuple[str, str, str]]:
    columns = (data[name].tolist() for name in ("source", "person", "on"))
    return zip(*columns, strict=True)


def _is_left_out(source: str, person: str, on: str, left_out: Sequence[str]) -> bool:
    for each in left_out:
        name, _, people = each.partition(":")
        if on == name or (source == name and (not people or person in people.split(","))):
            return True
    return False


def early(state: Arrays, crops: NDArray[np.uint8]) -> NDArray[np.float16]:
    """(n, channels, rows, columns): what the layers that stay as they are make of RGB crops."""
    content = from_minifasnet.early_layers(state)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    made = []
    for at in range(0, len(crops), 64):
        network.setInput(cv2.dnn.blobFromImages(list(crops[at : at + 64]), swapRB=True))
        made.append(network.forward().astype(np.float16))
    return np.concatenate(made).reshape(len(crops), *from_minifasnet.EARLY_SHAPE)


def fine_tuned(
    state: Arrays,
    seen: NDArray[np.float16],
    live: NDArray[np.bool_],
    share: NDArray[np.float64],
    seed: int = SEED,
    steps: int = STEPS,
) -> dict[str, NDArray[np.float32]]:
    """The arrays of one network's later layers, trained on what its early layers saw."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    draw = np.random.default_rng(seed)
    weights = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    learning = {name: weights[name].requires_grad_() for name in weights if is_trained(name)}
    optimiser = torch.optim.Adam(learning.values())
    for step in range(steps):
        pace = min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimiser.param_groups[0]["lr"] = RATE * pace
        chosen = np.sort(draw.choice(len(share), BATCH, p=share))
        target = torch.from_numpy(live[chosen].astype(np.float32))
        target = target * (1 - 2 * SMOOTHING) + SMOOTHING
        value = torch.from_numpy(seen[chosen].astype(np.float32))
        odds = log_odds(weights, value.contiguous(memory_format=torch.channels_last), DROPOUT)
        loss = functional.binary_cross_entropy_with_logits(odds, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 49:
            sys.stdout.write(f"step {step + 1}: loss {loss.item():.3f}\n")
            sys.stdout.flush()
    return {name: values.detach().numpy() for name, values in learning.items()}


def is_trained(name: str) -> bool:
    """Whether an array of a state dict is in a later layer, and no statistic."""
    is_early = name.split(".")[0] in from_minifasnet.EARLY
    return not is_early and "running" not in name and "num_batches" not in name


# ---- the later layers in torch, as from_minifasnet writes them


def log_odds(weights: Tensors, value: Any, dropout: float = 0) -> Any:
    """(n,): log-odds of "live"; statistics of batch norms stay as they were."""
    value = _bottleneck(weights, value, "conv_45", stride=2)
    for index in range(2):
        value = value + _excited(weights, value, f"conv_5.model.{index}")
    value = _convolved(weights, _rectified(weights, value, "conv_6_sep"), "conv_6_dw")
    gain, offset = _norm(weights, "bn")
    value = functional.linear(value.flatten(1), weights["linear.weight"]) * gain + offset
    value = functional.dropout(value, dropout)
    classes = functional.linear(value, weights["prob.weight"])
    return classes[:, 1] - torch.logsumexp(classes[:, [0, 2]], 1)


def _rectified(weights: Tensors, value: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
    convolved = _convolved(weights, value, name, stride, padding)
    return functional.prelu(convolved, weights[f"{name}.prelu.weight"])


def _convolved(weights: Tensors, value: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
    kernel, groups = weights[f"{name}.conv.weight"], 1
    if kernel.shape[1] == 1:
        groups = len(kernel)
    gain, offset = _norm(weights, f"{name}.bn")
    kernel = kernel * gain[:, None, None, None]
    return functional.conv2d(value, kernel, offset, stride, padding, groups=groups)


def _norm(weights: Tensors, name: str) -> tuple[Any, Any]:
    """Gain and offset of a batch norm whose statistics stay as they are."""
    keys = ("running_mean", "running_var", "weight", "bias")
    mean, variance, gain, offset = (weights[f"{name}.{key}"] for key in keys)
    gain = gain / torch.sqrt(variance + from_minifasnet.NORM_EPSILON)
    return gain, offset - mean * gain


def _bottleneck(weights: Tensors, value: Any, name: str, stride: int = 1) -> Any:
    value = _rectified(weights, value, f"{name}.conv")
    value = _rectified(weights, value, f"{name}.conv_dw", stride, padding=1)
    return _convolved(weights, value, f"{name}.project")


def _excited(weights: Tensors, value: Any, name: str) -> Any:
    change = _bottleneck(weights, value, name)
    if f"{name}.se_module.fc1.weight" not in weights:
        return change
    squeezed = change.mean((2, 3), keepdim=True)
    for layer, norm in (("fc1", "bn1"), ("fc2", "bn2")):
        squeezed = functional.conv2d(squeezed, weights[f"{name}.se_module.{layer}.weight"])
        gain, offset = _norm(weights, f"{name}.se_module.{norm}")
        squeezed = squeezed * gain[:, None, None] + offset[:, None, None]
        squeezed = functional.relu(squeezed) if layer == "fc1" else torch.sigmoid(squeezed)
    return change * squeezed


# ---- the command


def kept_layers(sources: Path, views: Arrays, left_out: Sequence[str]) -> Arrays:
    """The changed arrays of all tails, as tail/name."""
    changed: Arrays = {}
    share = shares(views, left_out)
    for index, (tail, role) in enumerate(TAILS.items()):
        weight = next(each for each in compiling.WEIGHTS if each.role == role)
        state = from_torch.read_state(compiling.read_member(sources, weight))
        seen = early(state, views["views"][:, index])
        made = fine_tuned(state, seen, views["kind"] == "live", share)
        changed |= {f"{tail}/{name}": values for name, values in made.items()}
    return changed


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sources", type=Path, required=True, help="holds the three packages")
    parser.add_argument("--views", type=Path, help="keep the crops here, or take them from here")
    parser.add_argument("--leave-out", action="append", default=[], metavar="SOURCE[:PERSON,...]")
    parser.add_argument("--out", type=Path, required=True, help="a new .npz")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        views = shown.kept(given.views or Path(folder) / "views.npz", given.data)
    changed = kept_layers(given.sources, views, given.leave_out)
    np.savez(given.out, **changed)  # type: ignore[arg-type]  # numpy's stub of **
    sys.stdout.write(f"{given.out}: sha256 {hashlib.sha256(given.out.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
