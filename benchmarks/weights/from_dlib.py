"""dlib's face recognition ResNet, read from its .dat file and written as ONNX.

The file is dlib's own serialisation (dlib/serialize.h), bottom layer first. An integer is one byte
(low four bits: how many bytes follow; high bit: negative) and then those bytes, little endian. A
tensor is the version 2, four dimensions and raw float32; a layer starts with its name, a string
whose length comes first. The network is `anet_type` in dlib/tools/python/src/face_recognition.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.graph import Convolution, Graph

Floats = NDArray[np.float64]

CHIP_PX = 150
ENCODING_SIZE = 128
MEAN_RGB = np.array([122.782, 117.001, 104.298])  # dlib/dnn/input.h: (x - mean) / 256
DIVISOR = 256.0
LAYER_NAME = re.compile(rb"\x01\x05con_\d|\x01\x07affine_|\x01\x04fc_\d")


@dataclass(slots=True)
class Reader:
    """A place in a serialised file."""

    content: bytes
    position: int

    def integer(self) -> int:
        """Read one integer."""
        head = self.content[self.position]
        first, last = self.position + 1, self.position + 1 + (head & 0x0F)
        self.position = last
        magnitude = int.from_bytes(self.content[first:last], "little")
        return -magnitude if head & 0x80 else magnitude

    def tensor(self) -> Floats:
        """Read one tensor, flat: the layers know its shape better than the file."""
        if self.integer() != 2:
            raise ValueError("unknown version of a dlib tensor")
        count = int(np.prod([self.integer() for _ in range(4)]))
        values = np.frombuffer(self.content, "<f4", count, self.position)
        self.position += 4 * count
        return values.astype(np.float64)


def encoder(content: bytes) -> bytes:
    """ONNX of the network: `image` N x 3 x 150 x 150 RGB 0..255 -> `encoding` N x 128."""
    convolutions, matrix = read_layers(content)
    layers = iter(convolutions)
    graph = Graph()
    value = _trunk(graph, layers)
    if next(layers, None) is not None:
        raise ValueError("the file has more layers than the network")
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", value))
    graph.add("MatMul", pooled, graph.constant(matrix))
    return graph.to_bytes("dlib_resnet_v1", (3, CHIP_PX, CHIP_PX), "encoding", ENCODING_SIZE)


def read_layers(content: bytes) -> tuple[list[Convolution], Floats]:
    """Every convolution with its affine layer folded in, in order, and the last matrix."""
    convolutions: list[Convolution] = []
    matrix = np.empty((0, 0))
    for found in LAYER_NAME.finditer(content):
        reader = Reader(content, found.end())
        if found.group().endswith(b"affine_"):
            gain, offset = np.split(reader.tensor(), 2)
            convolutions[-1] = convolutions[-1].then(gain, offset)
        elif b"fc_" in found.group():
            matrix = _read_matrix(reader)
        else:
            convolutions.append(_read_convolution(reader))
    convolutions[0] = _with_normalisation(convolutions[0])
    return convolutions, matrix


def _read_convolution(reader: Reader) -> Convolution:
    values = reader.tensor()
    outputs, rows, columns, stride, _, padding, _ = (reader.integer() for _ in range(7))
    weight = values[:-outputs].reshape(outputs, -1, rows, columns)
    return Convolution(weight, values[-outputs:], stride, padding)


def _read_matrix(reader: Reader) -> Floats:
    outputs, _ = reader.integer(), reader.integer()
    return reader.tensor().reshape(-1, outputs)


def _with_normalisation(first: Convolution) -> Convolution:
    """Fold `(x - mean) / 256` into the first layer: exact, because that layer does not pad."""
    weight = first.weight / DIVISOR
    bias = first.bias - (weight * MEAN_RGB[None, :, None, None]).sum((1, 2, 3))
    return Convolution(weight, bias, first.stride, first.padding)


def _trunk(graph: Graph, layers: Iterator[Convolution]) -> str:
    """Everything up to the global pooling; the comments say channels and size at that point."""
    value = graph.add("Relu", graph.convolve("image", next(layers)))  # 32, 72 x 72
    value = graph.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])  # 32, 35 x 35
    value = _residuals(graph, value, layers, 3)
    value = _halved(graph, value, layers, new_channels=32, grow=0)  # 64, 17 x 17
    value = _residuals(graph, value, layers, 3)
    value = _halved(graph, value, layers, new_channels=64, grow=0)  # 128, 8 x 8
    value = _residuals(graph, value, layers, 2)
    value = _halved(graph, value, layers, new_channels=128, grow=1)  # 256, 4 x 4
    value = _residuals(graph, value, layers, 2)
    return _halved(graph, value, layers, new_channels=0, grow=1)  # 256, 2 x 2


def _block(graph: Graph, value: str, layers: Iterator[Convolution]) -> str:
    inner = graph.add("Relu", graph.convolve(value, next(layers)))
    return graph.convolve(inner, next(layers))


def _residuals(graph: Graph, value: str, layers: Iterator[Convolution], count: int) -> str:
    for _ in range(count):
        value = graph.add("Relu", graph.add("Add", _block(graph, value, layers), value))
    return value


def _halved(
    graph: Graph, value: str, layers: Iterator[Convolution], *, new_channels: int, grow: int
) -> str:
    """Residual of half the size; like dlib's add_prev, the smaller side is padded with zeros."""
    short = graph.add("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
    long = _block(graph, value, layers)
    if new_channels:
        short = _zeros_after(graph, short, channels=new_channels, rows_and_columns=0)
    if grow:
        long = _zeros_after(graph, long, channels=0, rows_and_columns=grow)
    return graph.add("Relu", graph.add("Add", long, short))


def _zeros_after(graph: Graph, value: str, *, channels: int, rows_and_columns: int) -> str:
    pads = np.array([0, 0, 0, 0, 0, channels, rows_and_columns, rows_and_columns], np.int64)
    return graph.add("Pad", value, graph.constant(pads))
