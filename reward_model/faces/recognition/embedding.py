"""Embedding of aligned faces by an ONNX network: the bundled SFace, or a user's own ArcFace."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx

from identity_reward_client.errors import NonFiniteReward

from .alignment import TEMPLATE_SIZE_PX
from .graphs import dequantize_weights, load_graph
from .model_files import SFACE, ModelFile, ModelFileError, bundled, read_model
from .sessions import make_session, uses_cuda


class FaceEmbedder:
    """An ONNX face network. Safe to call from several threads at once.

    It runs one face at a time, so that no embedding depends on other faces in its last bits. Input, as insightface
    reads its own models: one RGB NCHW image, its size from the graph (112 where the graph leaves it free); values
    0..255 if the graph begins by normalizing them (a Sub or Mul on its input, as in SFace), else (x - 127.5) / 127.5.
    Output: the first one, flattened, scaled to length 1.
    """

    def __init__(self, model: ModelFile, device: str = "cpu"):
        """`device`: one that `face_device` returned. ModelFileError says what is wrong with the file."""
        self.model = model
        proto = load_graph(model)
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
            dequantize_weights(proto)
            self._session = make_session(proto, device)
            self.dim = self.embed(np.zeros((self.size_px, self.size_px, 3), np.uint8)).size
        except Exception as error:
            raise ModelFileError(f"the face model {model.path} cannot embed a blank image: {error}") from error
        # where it runs, which is the CPU if onnxruntime cannot use the device after all
        self.device = device if uses_cuda(self._session) else "cpu"
        if self.dim < 2:
            raise ModelFileError(f"the face model {model.path} gives one number a face; an embedding has many")

    @classmethod
    def bundled(cls, device: str = "cpu") -> FaceEmbedder:
        return cls(bundled(SFACE), device)

    @classmethod
    def from_path(cls, path: str | Path, device: str = "cpu") -> FaceEmbedder:
        """A user's own model. ModelFileError as in the constructor."""
        return cls(read_model(Path(path)), device)

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


def _input_size(value: onnx.ValueInfoProto, path: Path) -> int:
    # 0 where free
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    shape = [dim or "free" for dim in dims]
    if len(dims) != 4 or dims[0] not in (0, 1) or dims[1] not in (0, 3) or dims[2] != dims[3]:
        raise ModelFileError(f"{path} must take [1, 3, S, S], a square RGB image, channels first; it takes {shape}")
    return dims[2] or TEMPLATE_SIZE_PX
