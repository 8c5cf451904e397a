import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from reward_model.faces.recognition import graphs, sessions
from reward_model.faces.recognition.alignment import align
from reward_model.faces.recognition.embedding import FaceEmbedder
from reward_model.faces.recognition.model_files import SFACE, YUNET, bundled


@pytest.fixture(scope="module")
def crops(scorer, photograph):
    """Six aligned faces."""

    def crop(person, kind):
        image = photograph(person, kind)
        return align(image, scorer.reader.detector.detect(image)[0].landmarks_52)

    return [crop(person, kind) for person in (1, 5, 9) for kind in ("studio_portrait", "amateur_selfie")]


def test_replaced_prelu_keeps_every_bit(scorer, crops, monkeypatch):
    monkeypatch.setattr(sessions, "replace_prelu", lambda proto: None)
    original = FaceEmbedder.bundled()
    for crop in crops:
        assert (original.embed(crop) == scorer.reader.embedder.embed(crop)).all()


def test_replaced_prelu_leaves_none_and_no_dequantization_of_sface():
    proto = graphs.load_graph(bundled(SFACE))
    graphs.dequantize_weights(proto)
    graphs.replace_prelu(proto)
    assert not {node.op_type for node in proto.graph.node} & {"PRelu", "DequantizeLinear"}


def test_dequantized_weights_of_sface_are_those_of_onnxruntime(crops):
    def outputs(proto):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [session.run(None, {"data": crop.astype(np.float32).transpose(2, 0, 1)[None]})[0] for crop in crops[:2]]

    stored, dequantized = graphs.load_graph(bundled(SFACE)), graphs.load_graph(bundled(SFACE))
    graphs.dequantize_weights(dequantized)
    for a, b in zip(outputs(stored), outputs(dequantized), strict=True):
        assert (a == b).all()


def test_blockwise_weights_have_one_scale_for_each_block():
    values = np.arange(-4, 4, dtype=np.int8).reshape(2, 4)
    node = onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1, block_size=2)
    graph = onnx.helper.make_graph(
        [node, onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])],
        [
            onnx.numpy_helper.from_array(values, "q"),
            onnx.numpy_helper.from_array(np.array([[1, 10], [100, 1000]], np.float32), "scale"),
            onnx.numpy_helper.from_array(np.array([[0, 1], [0, 0]], np.int8), "zero"),
        ],
    )  # fmt: skip
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
    graphs.dequantize_weights(proto)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    np.testing.assert_array_equal(weights["w"], [[-4, -3, -30, -20], [0, 100, 2000, 3000]])
    assert set(weights) == {"w"}


def test_detector_without_a_fixed_size_gives_the_outputs_of_its_own_size(photograph):
    fixed, free = graphs.load_graph(bundled(YUNET)), graphs.load_graph(bundled(YUNET))
    for proto in (fixed, free):
        graphs.dequantize_weights(proto)
    graphs.free_image_size(free)
    image = cv2.dnn.blobFromImage(photograph(1, "amateur_selfie"), size=(640, 640), swapRB=True)
    a, b = (sessions.make_session(proto).run(None, {"input": image}) for proto in (fixed, free))
    for x, y in zip(a, b, strict=True):
        assert (x == y).all()
