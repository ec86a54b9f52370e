"""MiniFASNet, the Silent-Face liveness networks of minivision, written as ONNX from a state dict.

Structure after src/model_lib/MiniFASNet.py in github.com/minivision-ai/Silent-Face-Anti-Spoofing:
a narrow MobileFaceNet whose numbers of channels can be read off the weights. `conv_3`, `conv_4` and
`conv_5` are chains of residual blocks; in the SE variant the last block of each chain also weighs
its channels (squeeze and excitation). Every batch norm is folded into the convolution before it.

What facauth fine-tuned (train_liveness.py) are the later layers. Both are kept, as two tails on the
early layers they share: the original and the fine-tuned one err on different photos.
"""

from __future__ import annotations

import math
from collections.abc import Container
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
SHARED = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4")  # before the tails
OWN = ("conv_45", "conv_5")  # of each tail, and what follows them
SHARED_SHAPE = (128, 10, 10)  # of what they make of a crop: channels, rows, columns


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
    value = _shared(graph, original)
    tails = [_tail(graph, Weights(state | each), value) for each in ({}, *fine_tuned)]
    graph.add("Concat", *tails, axis=1)
    size = (3, CROP_PX, CROP_PX)
    return graph.to_bytes("minifasnet", size, "probabilities", CLASSES * len(tails))


def early_layers(state: dict[str, NDArray[Any]]) -> bytes:
    """ONNX of the layers before the tails alone: `image` as above -> `features`, N x 12800."""
    graph = Graph()
    graph.add("Flatten", _shared(graph, Weights(state)))
    size = (3, CROP_PX, CROP_PX)
    return graph.to_bytes("minifasnet_early", size, "features", math.prod(SHARED_SHAPE))


def _shared(graph: Graph, weights: Weights) -> str:
    value = _rectified(graph, weights, "image", "conv1", stride=2, padding=1)
    value = _rectified(graph, weights, value, "conv2_dw", padding=1)
    return _staged(graph, weights, value, SHARED)


def _staged(graph: Graph, weights: Weights, value: str, layers: Container[str]) -> str:
    """The stages, or the parts of them, that are among these layers."""
    for narrowing, chain, length in STAGES:
        if narrowing in layers:
            value = _bottleneck(graph, weights, value, narrowing, stride=2)
        for index in range(length if chain in layers else 0):
            value = _residual(graph, weights, value, f"{chain}.model.{index}")
    return value


def _tail(graph: Graph, weights: Weights, value: str) -> str:
    """Probabilities of the three classes, from what the shared layers saw."""
    value = _staged(graph, weights, value, OWN)
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
