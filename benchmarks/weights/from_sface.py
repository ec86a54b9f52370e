"""SFace as OpenCV Zoo publishes it, without what keeps cv2.dnn from using it plainly.

The quantiser that made the file listed all its float weights as inputs of the graph and left them
there, so a reader sees 175 inputs where there is one. They are removed, with the shapes that fix
the batch at 1 and the constants that nothing reads. The quantised weights and the nodes stay as
they are.
"""

from __future__ import annotations

from typing import Any

import onnx

from weights.graph import serialised

IMAGE = "data"


def encoder(content: bytes) -> bytes:
    """ONNX of the network: `data` N x 3 x 112 x 112 RGB 0..255 -> `fc1` N x 128."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    _keep(graph.input, {IMAGE})
    _keep(graph.initializer, {name for node in graph.node for name in node.input})
    del graph.value_info[:]
    for end in (*graph.input, *graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "N"
    return serialised(model)


def _keep(messages: Any, names: set[str]) -> None:
    """Drop every message of a repeated field whose name is not among the names."""
    kept = [message for message in messages if message.name in names]
    del messages[:]
    messages.extend(kept)
