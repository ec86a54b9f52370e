"""MiniFASNet, the Silent-Face liveness networks of minivision, written as ONNX from a state dict.

Structure after src/model_lib/MiniFASNet.py in github.com/minivision-ai/Silent-Face-Anti-Spoofing:
a narrow MobileFaceNet whose numbers of channels can be read off the weights. `conv_3`, `conv_4` and
`conv_5` are chains of residual blocks; in the SE variant the last block of each chain also weighs
its channels (squeeze and excitation). Every batch norm is folded into the convolution before it.

What facauth fine-tuned (train_liveness.py) are the later layers. All are kept, as tails on the
early layers they share: the original and the fine-tuned ones err on different photos.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.graph import Convolution, Graph

Floats = NDArray[np.float64]

CROP_PX = 80
CLASSES = 3
NORM_EPSILON = 1e-5  # torch.nn.BatchNorm1d and 2d, eps
STAGES = (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2))
LAYERS = ("conv1", "conv2_dw", *(part for stage in STAGES for part in stage[:2]))
EARLY = LAYERS[: LAYERS.index("conv_45")]  # before what train_liveness.py trains
EARLY_SHAPE = (128, 10, 10)  # of what they make of a crop: channels, rows, columns


@dataclass(frozen=True, slots=True)
class Weights:
    """The arrays of one state dict, by the names that the PyTorch modules gave them."""

    state: dict[str, NDArray[Any]]

    def __contains__(self, name: str) -> bool:
        return name in self.state

    def array(self, name: str) -> Floats:
        """Return one array as float64, in which everything is folded."""
        return self.state[name].astype(np.float64)

    def norm(self, name: str) -> tuple[Floats, Floats]:
        """Gain and offset that a batch norm applies to each channel once trained."""
        deviation = np.sqrt(self.array(f"{name}.running_var") + NORM_EPSILON)
        gain = self.array(f"{name}.weight") / deviation
        return gain, self.array(f"{name}.bias") - self.array(f"{name}.running_mean") * gain

    def convolution(self, conv: str, norm: str, stride: int = 1, padding: int = 0) -> Convolution:
        """Return a convolution without bias, followed by its batch norm."""
        weight = self.array(f"{conv}.weight")
        depthwise = weight.shape[1] == 1
        groups = len(weight) if depthwise else 1
        plain = Convolution(weight, np.zeros(len(weight)), stride, padding, groups)
        return plain.then(*self.norm(norm))


def liveness(state: dict[str, NDArray[Any]], *fine_tuned: dict[str, NDArray[Any]]) -> bytes:
    """ONNX of a network with several tails, the original one and then the fine-tuned ones.

    `image` N x 3 x 80 x 80 BGR 0..255 -> `probabilities` N x 3 for each tail: three classes, of
    which the second is "live".
    """
    graph, original = Graph(), Weights(state)
    after = _run(graph, original, "image", LAYERS)
    tails = [_tail(graph, original, after[-1])]
    for changed in fine_tuned:
        before = first_changed(changed)
        weights = Weights(state | changed)
        own = _run(graph, weights, ["image", *after][before], LAYERS[before:])
        tails.append(_tail(graph, weights, own[-1]))
    graph.add("Concat", *tails, axis=1)
    size = (3, CROP_PX, CROP_PX)
    return graph.to_bytes("minifasnet", size, "probabilities", CLASSES * len(tails))


def first_changed(fine_tuned: dict[str, NDArray[Any]]) -> int:
    """The place in LAYERS of the first one that has other weights than the original."""
    names = {name.split(".")[0] for name in fine_tuned}
    return next(place for place, layer in enumerate(LAYERS) if layer in names)


def early_layers(state: dict[str, NDArray[Any]]) -> bytes:
    """ONNX of the layers before the tails alone: `image` as above -> `features`, N x 12800."""
    graph = Graph()
    graph.add("Flatten", _run(graph, Weights(state), "image", EARLY)[-1])
    size = (3, CROP_PX, CROP_PX)
    return graph.to_bytes("minifasnet_early", size, "features", math.prod(EARLY_SHAPE))


def _run(graph: Graph, weights: Weights, value: str, layers: Sequence[str]) -> list[str]:
    """What each of some layers, one after the other, makes of a value."""
    lengths = {chain: length for _, chain, length in STAGES}
    made = []
    for layer in layers:
        if layer in lengths:
            for index in range(lengths[layer]):
                value = _residual(graph, weights, value, f"{layer}.model.{index}")
        elif layer in ("conv1", "conv2_dw"):
            stride = 2 if layer == "conv1" else 1
            value = _rectified(graph, weights, value, layer, stride, padding=1)
        else:
            value = _bottleneck(graph, weights, value, layer, stride=2)
        made.append(value)
    return made


def _tail(graph: Graph, weights: Weights, value: str) -> str:
    """Probabilities of the three classes, from what the last of the layers made."""
    value = _rectified(graph, weights, value, "conv_6_sep")
    logits = graph.add("Flatten", graph.convolve(value, _head(weights)))
    return graph.add("Softmax", logits, axis=1)


def _rectified(
    graph: Graph, weights: Weights, value: str, name: str, stride: int = 1, padding: int = 0
) -> str:
    layer = weights.convolution(f"{name}.conv", f"{name}.bn", stride, padding)
    slopes = weights.array(f"{name}.prelu.weight").reshape(-1, 1, 1)
    return graph.add("PRelu", graph.convolve(value, layer), graph.constant(slopes))


def _bottleneck(graph: Graph, weights: Weights, value: str, name: str, stride: int = 1) -> str:
    value = _rectified(graph, weights, value, f"{name}.conv")
    value = _rectified(graph, weights, value, f"{name}.conv_dw", stride, padding=1)
    project = weights.convolution(f"{name}.project.conv", f"{name}.project.bn")
    return graph.convolve(value, project)


def _residual(graph: Graph, weights: Weights, value: str, name: str) -> str:
    change = _bottleneck(graph, weights, value, name)
    if f"{name}.se_module.fc1.weight" in weights:
        change = _excited(graph, weights, change, f"{name}.se_module")
    return graph.add("Add", value, change)


def _excited(graph: Graph, weights: Weights, value: str, name: str) -> str:
    """Weigh each channel by a sigmoid of what all channels are on average."""
    squeezed = graph.convolve(
        graph.add("GlobalAveragePool", value), weights.convolution(f"{name}.fc1", f"{name}.bn1")
    )
    widened = graph.convolve(
        graph.add("Relu", squeezed), weights.convolution(f"{name}.fc2", f"{name}.bn2")
    )
    return graph.add("Mul", value, graph.add("Sigmoid", widened))


def _head(weights: Weights) -> Convolution:
    """All that follows the last PReLU, as one convolution over the whole 5 x 5 map.

    A depthwise convolution, two matrices and two batch norms, all linear (dropout does nothing
    once trained), so they multiply out to one matrix per class.
    """
    depthwise = weights.convolution("conv_6_dw.conv", "conv_6_dw.bn")
    gain, offset = weights.norm("bn")
    classes = weights.array("prob.weight")
    matrix = (classes * gain) @ weights.array("linear.weight")  # (3, 512)
    weight = matrix[:, :, None, None] * depthwise.weight[:, 0]
    return Convolution(weight, matrix @ depthwise.bias + classes @ offset)
