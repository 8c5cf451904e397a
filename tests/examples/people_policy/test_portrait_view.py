import numpy as np
import pytest
from PIL import Image

from examples.people_policy.portrait_view import (
    EMBEDDING_SIZE,
    FEATURES_SIZE,
    HEAD_PX,
    NUM_DIRECTIONS,
    PortraitReader,
    edge_histograms,
    view_portrait,
)
from reward_model.faces.recognition.reader import bundled_reader
from trainer.errors import PolicyError


def test_features_begin_with_the_embedding_and_a_picture_without_a_face_has_none(prompts):
    image_HWC = np.asarray(Image.open(prompts[0].references[0]))
    features = view_portrait(bundled_reader(), image_HWC)
    assert (features.shape, features.dtype) == ((FEATURES_SIZE,), np.float32)
    assert np.linalg.norm(features[:EMBEDDING_SIZE]) == pytest.approx(1, abs=1e-5)
    assert 0 <= features[EMBEDDING_SIZE:].min() < features[EMBEDDING_SIZE:].max() < 3
    assert view_portrait(bundled_reader(), np.full((256, 256, 3), 128, np.uint8)) is None


def test_edges_are_counted_by_direction():
    head = np.zeros((HEAD_PX, HEAD_PX, 3), np.uint8)
    head[:, HEAD_PX // 2 :] = 255
    histogram = edge_histograms(head).sum((1, 2))
    assert histogram.argmax() == 0
    assert histogram[0] > 0.99 * histogram.sum()
    assert edge_histograms(head.transpose(1, 0, 2)).sum((1, 2)).argmax() == NUM_DIRECTIONS // 4


def test_a_file_is_read_once_by_its_content(prompts, tmp_path):
    reader = PortraitReader()
    copy = tmp_path / "copy.png"
    copy.write_bytes(prompts[0].references[0].read_bytes())
    assert reader.read(prompts[0].references[0]) is reader.read(copy)
    with pytest.raises(PolicyError, match="cannot be read"):
        reader.read(tmp_path / "missing.png")
