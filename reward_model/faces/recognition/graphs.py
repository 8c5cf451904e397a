"""Rewriting of ONNX graphs: the same function, in a form that runs on every provider, and faster on a CPU."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .model_files import ModelFile, ModelFileError

# channels that onnxruntime's blocked layout keeps together, on CPUs with AVX-512; others divide it
_BLOCK_CHANNELS = 16


def load_graph(model: ModelFile) -> onnx.ModelProto:
    """A model with one input and float weights. ModelFileError if it is no ONNX model or has more inputs."""
    try:
        proto = onnx.load_from_string(model.data)
    except Exception as error:
        raise ModelFileError(f"{model.path} is not an ONNX model: {error}") from error
    # Some exporters list the weights among the inputs, and SFace lists names that nothing reads since it was quantized;
    # onnxruntime would require values for them.
    weights = {tensor.name for tensor in proto.graph.initializer}
    read = {name for node in proto.graph.node for name in node.input} - weights
    inputs = [value for value in proto.graph.input if value.name in read]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelFileError(f"{model.path} must have one input, the image of a face; its inputs: {names}")
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    return proto


def dequantize_weights(proto: onnx.ModelProto) -> None:
    """Replaces every DequantizeLinear of stored weights, and a Reshape after it, by the float weights.

    onnxruntime gives the same bits where it can dequantize them; it refuses YuNet's biases, which are one block long.
    """
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    floats: dict[str, np.ndarray] = {}
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            values = [numpy_helper.to_array(stored[name]) for name in node.input if name]
            floats[node.output[0]] = _dequantized(*values, axis=axis)
        elif node.op_type == "Reshape" and node.input[0] in floats and node.input[1] in stored:
            shape = numpy_helper.to_array(stored[node.input[1]])
            floats[node.output[0]] = floats[node.input[0]].reshape(shape)
        else:
            nodes.append(node)
    if not floats:
        return
    used = {name for node in nodes for name in node.input}
    weights = [tensor for name, tensor in stored.items() if name in used]
    weights += [numpy_helper.from_array(value, name) for name, value in floats.items() if name in used]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(weights)


def _dequantized(
    values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None = None, *, axis: int
) -> np.ndarray:
    """float32 (values - zero_point) * scale, with one scale, one for each index of the axis, or one for each block."""
    offset = np.zeros_like(scale) if zero_point is None else zero_point.astype(np.float32)
    if scale.ndim == values.ndim and scale.shape != values.shape:
        block = -(-values.shape[axis] // scale.shape[axis])
        indices = np.arange(values.shape[axis]) // block
        scale, offset = scale.take(indices, axis), offset.take(indices, axis)
    elif scale.ndim == 1 and scale.size > 1:
        shape = [-1 if i == axis % values.ndim else 1 for i in range(values.ndim)]
        scale, offset = scale.reshape(shape), offset.reshape(shape)
    return np.ascontiguousarray((values.astype(np.float32) - offset) * scale)


def replace_prelu(proto: onnx.ModelProto) -> None:
    """Replaces PRelu(x) by sums of which one summand is always 0, so that the result is the same to the last bit.

    onnxruntime's PRelu on a CPU is a slow loop that takes half of SFace's time. The negative side is computed by
    depthwise 1 x 1 convolutions, which stay in the blocked layout of the convolutions around them. In front of a
    BatchNormalization that no convolution absorbs, the layout would change that node's rounding, and where it has no
    blocks of channels there is nothing to gain: there, elementwise operators. Opsets before 7 broadcast differently and
    are left alone.
    """
    if max((opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")), default=0) < 7:
        return
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    normalized = {node.input[0] for node in proto.graph.node if node.op_type == "BatchNormalization"}
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope_name), y = node.input, node.output[0]
        slope = numpy_helper.to_array(stored[slope_name]) if slope_name in stored else np.zeros(0)
        channelwise = slope.ndim == 3 and slope.shape[1:] == (1, 1) and slope.size % _BLOCK_CHANNELS == 0 < slope.size
        if channelwise and y not in normalized:
            weights = slope.reshape(-1, 1, 1, 1)
            proto.graph.initializer.extend(
                [
                    numpy_helper.from_array(np.full_like(weights, -1), f"{y}/prelu/minus_one"),
                    numpy_helper.from_array(-weights, f"{y}/prelu/minus_slope"),
                ]
            )
            nodes += _convolutions(x, y, len(weights))
        else:
            nodes += _elementwise(x, y, slope_name)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _convolutions(x: str, y: str, channels: int) -> list[onnx.NodeProto]:
    """Relu(x) + (-slope) * Relu(-x)."""
    up, minus, down, scaled = (f"{y}/prelu/{part}" for part in ("up", "minus", "down", "scaled"))
    return [
        helper.make_node("Relu", [x], [up]),
        helper.make_node("Conv", [x, f"{y}/prelu/minus_one"], [minus], group=channels, kernel_shape=[1, 1]),
        helper.make_node("Relu", [minus], [down]),
        helper.make_node("Conv", [down, f"{y}/prelu/minus_slope"], [scaled], group=channels, kernel_shape=[1, 1]),
        helper.make_node("Add", [up, scaled], [y]),
    ]


def _elementwise(x: str, y: str, slope: str) -> list[onnx.NodeProto]:
    """Relu(x) + slope * (x - Relu(x))."""
    up, down, scaled = (f"{y}/prelu/{part}" for part in ("up", "down", "scaled"))
    return [
        helper.make_node("Relu", [x], [up]),
        helper.make_node("Sub", [x, up], [down]),
        helper.make_node("Mul", [down, slope], [scaled]),
        helper.make_node("Add", [up, scaled], [y]),
    ]


def free_image_size(proto: onnx.ModelProto) -> None:
    """Lets a fully convolutional network take images of any height and width."""
    height, width = proto.graph.input[0].type.tensor_type.shape.dim[2:]
    height.dim_param, width.dim_param = "height", "width"
    # these state sizes for the stored one
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
