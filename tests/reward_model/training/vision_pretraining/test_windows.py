import numpy as np
import pytest

from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE, RenderedFace
from reward_model.training.vision_pretraining.windows import cut_window


def face(x0, y0, x1, y1, reference=0):
    return RenderedFace(np.array([x0, y0, x1, y1], np.float32), np.arange(FACE_CODE_SIZE, dtype=np.float32), reference)


@pytest.fixture
def frames():
    """[2, 140, 252, 3]: a pixel's row and column are its first two values."""
    rows, columns = np.mgrid[:140, :252]
    return np.repeat(np.stack([rows, columns, rows * 0], -1).astype(np.uint8)[None], 2, 0)


def test_box_of_a_face_is_relative_to_its_window(frames):
    rng = np.random.default_rng(0)
    centres = set()
    for _ in range(50):
        x, y = rng.uniform(0.05, 0.75), rng.uniform(0, 0.6)
        source = face(x, y, x + 0.2, y + 0.4)
        window, (moved,) = cut_window(frames, [source], 84, rng)
        assert window.shape == (2, 84, 84, 3)
        top, left = window[0, 0, 0, :2].astype(int)
        assert np.allclose(moved.box * 84 + [left, top] * 2, source.box * [252, 140, 252, 140], atol=1e-3)
        centres.add(round(float(moved.box[[0, 2]].mean()), 2))
    assert len(centres) > 10


def test_window_contains_other_faces_whose_centre_is_inside(frames):
    near, far = face(0.45, 0.3, 0.6, 0.6, 0), face(0.9, 0.3, 1.0, 0.6, 1)
    for seed in range(20):
        _, faces = cut_window(frames, [near, far], 84, np.random.default_rng(seed))
        assert len(faces) == 1
    neighbour = face(0.5, 0.3, 0.65, 0.6, 2)
    assert len(cut_window(frames, [near, neighbour], 84, np.random.default_rng(0))[1]) == 2


def test_a_window_is_clipped_to_a_smaller_frame(frames):
    window, faces = cut_window(frames[:, :56], [face(0.4, 0.2, 0.6, 0.8)], 84, np.random.default_rng(0))
    assert window.shape == (2, 56, 84, 3)
    assert np.allclose(faces[0].box[[1, 3]], [0.2, 0.8])
