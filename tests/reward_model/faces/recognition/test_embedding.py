"""The bundled SFace network, and ONNX files of users: here SFace exported with other input conventions."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from scipy.optimize import minimize_scalar
from scipy.stats import mannwhitneyu

from identity_reward_client.preference import probabilities
from reward_model.faces.arcface import PREFERENCE_SCALE, load
from reward_model.faces.recognition.alignment import align
from reward_model.faces.recognition.detection import FaceDetector
from reward_model.faces.recognition.embedding import FaceEmbedder
from reward_model.faces.recognition.model_files import SFACE, ModelFileError, bundled_folder
from reward_model.registry import load_scorer

KINDS = ("studio_portrait", "amateur_selfie", "amateur_posture", "studio_posture")


@pytest.fixture(scope="module")
def embedder(scorer):
    return scorer.reader.embedder


@pytest.fixture(scope="module")
def crops(photograph):
    """[10 people, 4 images] aligned faces."""
    detector = FaceDetector()

    def crop(image):
        return align(image, detector.detect(image)[0].landmarks_52)

    return [[crop(photograph(person, kind)) for kind in KINDS] for person in range(1, 11)]


@pytest.fixture(scope="module")
def cosines(embedder, crops):
    """Over all pairs of the 40 photographs: (of the same person, of different people, [40, 40])."""
    embeddings = np.stack([embedder.embed(crop) for person in crops for crop in person])
    all_pairs = embeddings @ embeddings.T
    same = np.kron(np.eye(10), np.ones((4, 4))).astype(bool)
    upper = np.triu(np.ones((40, 40), bool), 1)
    return all_pairs[same & upper], all_pairs[~same & upper], all_pairs


def test_same_people_are_more_similar_than_others(cosines):
    same, other, _ = cosines
    auc = mannwhitneyu(same, other).statistic / (len(same) * len(other))
    assert auc > 0.99
    assert same.mean() - other.mean() > 0.4


def test_preference_scale_maximizes_the_likelihood(cosines):
    _, _, all_pairs = cosines
    person = np.arange(40) // 4
    wins, ties = [], []
    for anchor in range(40):
        same = np.delete(all_pairs[anchor], anchor)[np.delete(person, anchor) == person[anchor]]
        other = all_pairs[anchor][person != person[anchor]]
        wins.append((same[:, None] - other).ravel())
        ties += [same[0] - same[1], same[0] - same[2], same[1] - same[2]]

    def loss(scale):
        p_win, _, _ = probabilities(scale * np.concatenate(wins))
        _, p_tie, _ = probabilities(scale * np.array(ties))
        return -np.log(p_win).mean() - np.log(p_tie).mean()

    best = minimize_scalar(loss, bounds=(1, 40), method="bounded").x
    assert best == pytest.approx(PREFERENCE_SCALE, rel=0.15)


def test_embeddings_have_length_one_and_repeat_bit_by_bit(embedder, crops):
    first, second = embedder.embed(crops[0][0]), embedder.embed(crops[0][0])
    assert first.shape == (128,)
    assert first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert (first == second).all()


def test_bundled_network_normalizes_itself_and_expects_rgb(embedder, crops, cosines):
    assert embedder.normalizes_itself
    assert embedder.size_px == 112
    same, _, _ = cosines
    swapped = np.stack([embedder.embed(crop[:, :, ::-1]) for person in crops for crop in person])
    swapped_same = (swapped @ swapped.T)[np.kron(np.eye(10), np.triu(np.ones((4, 4)), 1)).astype(bool)]
    assert same.mean() > swapped_same.mean() + 0.01


def plain_sface() -> onnx.ModelProto:
    """SFace with float weights and a single input, as in a typical export."""
    proto = onnx.load(bundled_folder() / SFACE[0])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    nodes, floats = [], dict(stored)
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear":
            single = helper.make_graph([node], "one", [], [helper.make_empty_tensor_value_info(node.output[0])])
            single.initializer.extend(tensor for tensor in proto.graph.initializer if tensor.name in node.input)
            model = helper.make_model(single, opset_imports=proto.opset_import)
            floats[node.output[0]] = ReferenceEvaluator(model).run(None, {})[0]
        elif node.op_type == "Reshape" and node.input[0] in floats:
            floats[node.output[0]] = floats[node.input[0]].reshape(floats[node.input[1]])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, "sface", [value for value in proto.graph.input if value.name == "data"], proto.graph.output,
        [numpy_helper.from_array(value, name) for name, value in floats.items() if name in used],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)


@pytest.fixture(scope="module")
def user_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "my_arcface.onnx"
    onnx.save(plain_sface(), path)
    return path


@pytest.fixture(scope="module")
def user_model_without_normalization(user_model, tmp_path_factory):
    """The model without its Sub and Mul nodes: it expects values in -1..1, and its height and width are dynamic."""
    proto = onnx.load(user_model)
    last = next(node for node in proto.graph.node if node.op_type == "Mul").output[0]
    nodes = [node for node in proto.graph.node if node.op_type not in ("Sub", "Mul")]
    for node in nodes:
        node.input[:] = ["data" if name == last else name for name in node.input]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    for dim in proto.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "side"
    path = tmp_path_factory.mktemp("model") / "bare.onnx"
    onnx.save(proto, path)
    return path


def test_user_onnx_with_normalization_gets_values_0_to_255(user_model, embedder, crops):
    user_embedder = FaceEmbedder.from_path(user_model)
    assert user_embedder.normalizes_itself
    assert user_embedder.model.sha256 != embedder.model.sha256
    for person in crops[:3]:
        np.testing.assert_allclose(user_embedder.embed(person[0]), embedder.embed(person[0]), atol=2e-6)


def test_user_onnx_without_normalization_gets_values_minus_1_to_1(user_model_without_normalization, embedder, crops):
    user_embedder = FaceEmbedder.from_path(user_model_without_normalization)
    assert not user_embedder.normalizes_itself
    assert user_embedder.size_px == 112
    for person in crops[:3]:
        # SFace divides by 128, the convention of ArcFace by 127.5, which raises contrast by 0.4 %
        assert user_embedder.embed(person[0]) @ embedder.embed(person[0]) > 0.999


def test_user_onnx_scorer_has_its_own_name_and_fingerprint(user_model, scorer, sample, score):
    user_scorer = load_scorer(str(user_model))
    assert user_scorer.info.name == "arcface-my_arcface"
    assert user_scorer.info.fingerprint != scorer.info.fingerprint == load().info.fingerprint
    user_scorer.warm_up()
    pair = sample((1, 5), (1, 5))
    assert score(pair, user_scorer).reward == pytest.approx(score(pair).reward, abs=1e-5)


def one_node(shape, op="Flatten", outputs=("y",)):
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], list(outputs), axis=1)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a model", "is not an ONNX model"),
        (b"", "must have one input"),
        (one_node([1, 112, 112, 3]).SerializeToString(), r"channels first; it takes \[1, 112, 112, 3\]"),
        (one_node([1, 3, 112, 96]).SerializeToString(), r"square RGB image"),
        (one_node([8, 3, 112, 112]).SerializeToString(), r"it takes \[8, 3, 112, 112\]"),
        (one_node([1, 3, 112, 112], "NoSuchOp").SerializeToString(), "cannot embed a blank image"),
    ],
    ids=["text", "empty", "channels-last", "not-square", "fixed-batch", "unknown-op"],
)
def test_unusable_model_files_are_refused_with_the_reason(tmp_path, data, message):
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match=message):
        FaceEmbedder.from_path(tmp_path / "model.onnx")
