"""SFace as OpenCV Zoo publishes it, in two parts: its convolutions, and its last layer.

The quantiser that made the file listed all its float weights as inputs of the graph and left them
there, so a reader sees 175 inputs where there is one. They are removed, with the shapes that fix
the batch at 1 and the constants that nothing reads. Weights of whole blocks get the shape that a
convolution takes, so that nothing is reshaped when the network loads.

cv2.dnn keeps every quantised weight a second time, as a float. The last layer holds two thirds
of them (6.4 of 9.6 million) for a hundredth of the calculation. So it is a file of its own, which
facauth/faces/encode.py runs as it is: 30 MB less, and a faster start.

The quantised weights stay as they are; the batch norm behind the last layer is folded into its
scales.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from weights.graph import serialised

IMAGE = "data"
LAST = "pre_fc1"
BEFORE_LAST = "features"
BLOCK = 64  # inputs that share a scale and a zero point


def encoder(content: bytes) -> bytes:
    """ONNX of all but the last layer: `data` N x 3 x 112 x 112 RGB 0..255 -> N x 50176."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    (flatten,) = (node for node in graph.node if node.op_type == "Flatten")
    flatten.output[0] = BEFORE_LAST
    _keep_what_leads_to(BEFORE_LAST, graph)
    _shape_blocks(graph)
    _keep(graph.input, {IMAGE})
    _keep(graph.initializer, {name for node in graph.node for name in node.input})
    del graph.value_info[:]
    inputs = _constants(content)[f"{LAST}_weight_quantized"].shape[1]
    shape: list[str | int | None] = ["N", int(inputs)]
    graph.output[0].CopyFrom(
        helper.make_tensor_value_info(BEFORE_LAST, onnx.TensorProto.FLOAT, shape)
    )
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    return serialised(model)


def last_layer(content: bytes) -> bytes:
    """An .npz with the arrays of `facauth.networks.BlockLayer`."""
    constants = _constants(content)
    weights, scales, zeros = (
        constants[f"{LAST}_weight_{part}"] for part in ("quantized", "scales", "zero_point")
    )
    bias, bias_scales, bias_zeros = (
        constants[f"{LAST}_bias_{part}"] for part in ("quantized", "scales", "zero_point")
    )
    blocks = weights.reshape(len(weights), -1, BLOCK)
    if blocks.shape[:2] != scales.shape:
        raise ValueError(f"the last layer of SFace is not quantised in blocks of {BLOCK}")
    plain_bias = bias.astype(np.float64) - np.repeat(bias_zeros, BLOCK)
    gain, offset = _norm_after_last(content, constants)
    file = io.BytesIO()
    np.savez(
        file,
        weights=np.ascontiguousarray(blocks.transpose(1, 0, 2)),
        scales=np.ascontiguousarray((scales * gain[:, None]).T.astype(np.float32)),
        zeros=np.ascontiguousarray(zeros.T),
        bias=(plain_bias * np.repeat(bias_scales, BLOCK) * gain + offset).astype(np.float32),
    )
    return file.getvalue()


def _norm_after_last(
    content: bytes, constants: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The batch norm behind the last layer, as `gain * y + offset`."""
    nodes = onnx.load_model_from_string(content).graph.node
    (norm,) = (node for node in nodes if LAST in node.input)
    gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:])
    (epsilon,) = (each.f for each in norm.attribute if each.name == "epsilon")
    gain = gamma / np.sqrt(variance + epsilon)
    return gain, beta - mean * gain


def _constants(content: bytes) -> dict[str, NDArray[Any]]:
    graph = onnx.load_model_from_string(content).graph
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def _shape_blocks(graph: onnx.GraphProto) -> None:
    """Have each quantised 1 x 1 convolution stored in the four dimensions it is reshaped to."""
    constants = {each.name: each for each in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        quantised = made[node.input[0]]
        shape = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if quantised.op_type != "DequantizeLinear" or shape[2:] != [1, 1]:
            continue
        for name in quantised.input:
            constants[name].dims.extend([1, 1])
        quantised.output[0] = node.output[0]
        graph.node.remove(node)


def _keep_what_leads_to(output: str, graph: onnx.GraphProto) -> None:
    made = {node.output[0]: node for node in graph.node}
    wanted, waiting = set[str](), [output]
    while waiting:
        name = waiting.pop()
        if name in made and name not in wanted:
            wanted.add(name)
            waiting.extend(made[name].input)
    kept = [node for node in graph.node if node.output[0] in wanted]
    del graph.node[:]
    graph.node.extend(kept)


def _keep(messages: Any, names: set[str]) -> None:
    """Drop every message of a repeated field whose name is not among the names."""
    kept = [message for message in messages if message.name in names]
    del messages[:]
    messages.extend(kept)
