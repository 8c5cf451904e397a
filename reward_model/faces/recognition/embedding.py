"""Embedding of aligned faces by an ONNX network: the bundled SFace, or a user's own ArcFace."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from identity_reward_client.errors import NonFiniteReward

from .alignment import TEMPLATE_SIZE_PX
from .model_files import SFACE, ModelFile, ModelFileError, bundled, read_model

# threads of one run of the network; several may run at once, called from several threads
INTRA_OP_THREADS = 2


class FaceEmbedder:
    """An ONNX face network. Safe to call from several threads at once.

    It runs one face at a time, so that no embedding depends on other faces in its last bits. Input, as insightface
    reads its own models: one RGB NCHW image, its size from the graph (112 where the graph leaves it free); values
    0..255 if the graph begins by normalizing them (a Sub or Mul on its input, as in SFace), else (x - 127.5) / 127.5.
    Output: the first one, flattened, scaled to length 1.
    """

    def __init__(self, model: ModelFile):
        """ModelFileError says what is wrong with the file."""
        self.model = model
        proto = _load(model)
        self._input = proto.graph.input[0].name
        self.size_px = _input_size(proto.graph.input[0], model.path)
        self.normalizes_itself = any(
            self._input in node.input and node.op_type in ("Sub", "Mul") for node in proto.graph.node
        )
        # float and quantized weights; not shapes (int64)
        self.num_parameters = sum(
            prod(t.dims) for t in proto.graph.initializer if t.data_type != onnx.TensorProto.INT64
        )
        try:
            self._session = _session(proto)
            self.dim = self.embed(np.zeros((self.size_px, self.size_px, 3), np.uint8)).size
        except Exception as error:
            raise ModelFileError(f"the face model {model.path} cannot embed a blank image: {error}") from error
        if self.dim < 2:
            raise ModelFileError(f"the face model {model.path} gives one number a face; an embedding has many")

    @classmethod
    def bundled(cls) -> FaceEmbedder:
        return cls(bundled(SFACE))

    @classmethod
    def from_path(cls, path: str | Path) -> FaceEmbedder:
        """A user's own model. ModelFileError as in the constructor."""
        return cls(read_model(Path(path)))

    def embed(self, face_HWC: np.ndarray) -> np.ndarray:
        """[D] float32 of length 1 for an aligned face [size_px, size_px, 3] uint8 RGB.

        NonFiniteReward if the network's output has no finite direction.
        """
        pixels = face_HWC.astype(np.float32)
        if not self.normalizes_itself:
            pixels = (pixels - 127.5) / 127.5
        inputs = {self._input: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}
        embedding_D = self._session.run(None, inputs)[0].astype(np.float64).ravel()
        norm = np.linalg.norm(embedding_D)
        if not np.isfinite(norm) or norm < 1e-12:
            raise NonFiniteReward(f"the face network {self.model.path.name} gave an embedding of length {norm}")
        return (embedding_D / norm).astype(np.float32)


def _load(model: ModelFile) -> onnx.ModelProto:
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


def _replace_prelu(proto: onnx.ModelProto) -> None:
    """Replaces PRelu(x) by Relu(x) + slope * (x - Relu(x)), unless the opset broadcasts differently (before 7).

    One summand is always 0, so the result is the same to the last bit; onnxruntime's PRelu on the CPU is a slow loop
    that takes half of SFace's time.
    """
    if max((opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")), default=0) < 7:
        return
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope), y = node.input, node.output[0]
        up, down, scaled = (f"{y}/prelu/{part}" for part in ("up", "down", "scaled"))
        nodes += [
            onnx.helper.make_node("Relu", [x], [up]),
            onnx.helper.make_node("Sub", [x, up], [down]),
            onnx.helper.make_node("Mul", [down, slope], [scaled]),
            onnx.helper.make_node("Add", [up, scaled], [y]),
        ]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _input_size(value: onnx.ValueInfoProto, path: Path) -> int:
    # 0 where free
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    shape = [dim or "free" for dim in dims]
    if len(dims) != 4 or dims[0] not in (0, 1) or dims[1] not in (0, 3) or dims[2] != dims[3]:
        raise ModelFileError(f"{path} must take [1, 3, S, S], a square RGB image, channels first; it takes {shape}")
    return dims[2] or TEMPLATE_SIZE_PX


def _session(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    _replace_prelu(proto)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = INTRA_OP_THREADS
    options.inter_op_num_threads = 1
    # leave the cores to the other threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # weights are stored quantized but computed in float: dequantize them once at load, not at every face
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
