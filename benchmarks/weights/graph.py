"""A small builder of ONNX graphs. Development only: nothing that runs a network imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8
OPSET = 13
MIN_APART_BYTES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """Weights (outputs, inputs per group, rows, columns) and bias (outputs,), kept in float64."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def then(self, gain: NDArray[np.float64], offset: NDArray[np.float64]) -> Convolution:
        """Return the convolution that does this one and then `gain * y + offset` per channel."""
        weight = self.weight * gain[:, None, None, None]
        bias = self.bias * gain + offset
        return Convolution(weight, bias, self.stride, self.padding, self.groups)


@dataclass(slots=True)
class Graph:
    """Nodes in the order they run; a value is known by its name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append one node and return the name of its output."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Store an array (float64 becomes float32) and return its name."""
        name = f"c{len(self.constants)}"
        kept = values.astype(np.float32) if values.dtype == np.float64 else values
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
        return name

    def convolve(self, value: str, layer: Convolution) -> str:
        """Append a two-dimensional convolution with a square kernel, stride and padding."""
        return self.add(
            "Conv",
            value,
            self.constant(layer.weight),
            self.constant(layer.bias),
            kernel_shape=list(layer.weight.shape[2:]),
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
            group=layer.groups,
        )

    def to_bytes(self, name: str, image: tuple[int, int, int], output: str, width: int) -> bytes:
        """Serialise: input `image`, N x channels x rows x columns; last node: output, N x width."""
        self.nodes[-1].output[0] = output
        ends = [_floats("image", image)], [_floats(output, (width,))]
        graph = helper.make_graph(self.nodes, name, *ends, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        return serialised(model)


def serialised(model: onnx.ModelProto) -> bytes:
    """Check a model and serialise it: the same model always gives the same bytes."""
    model.producer_name = ""
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def parted(content: bytes, file: str) -> tuple[bytes, bytes]:
    """The model without its large constants, and these, which are to lie beside it in `file`.

    cv2.dnn reads them from there into the network; from the model it reads them twice.
    """
    model = onnx.load_model_from_string(content)
    data = bytearray()
    for constant in model.graph.initializer:
        if len(constant.raw_data) >= MIN_APART_BYTES:
            place = {"location": file, "offset": len(data), "length": len(constant.raw_data)}
            data += constant.raw_data
            constant.ClearField("raw_data")
            constant.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                constant.external_data.add(key=key, value=str(value))
    return bytes(model.SerializeToString(deterministic=True)), bytes(data)


def _floats(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
