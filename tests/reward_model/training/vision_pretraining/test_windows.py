import numpy as np
import pytest

from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE, RenderedFace
from reward_model.training.vision_pretraining.windows import cut_window


def head(x0, y0, x1, y1, reference=0):
    return RenderedFace(np.array([x0, y0, x1, y1], np.float32), np.arange(FACE_CODE_SIZE, dtype=np.float32), reference)


@pytest.fixture
def frames():
    """[2, 140, 252, 3]: a pixel's row and column are its first two values."""
    rows, columns = np.mgrid[:140, :252]
    return np.repeat(np.stack([rows, columns, rows * 0], -1).astype(np.uint8)[None], 2, 0)


def test_a_window_contains_its_face_at_the_new_box(frames):
    rng = np.random.default_rng(0)
    middles = set()
    for _ in range(50):
        x, y = rng.uniform(0.05, 0.75), rng.uniform(0, 0.6)
        given = head(x, y, x + 0.2, y + 0.4)
        window, (found,) = cut_window(frames, [given], 84, rng)
        assert window.shape == (2, 84, 84, 3)
        top, left = window[0, 0, 0, :2].astype(int)
        assert np.allclose(found.box * 84 + [left, top] * 2, given.box * [252, 140, 252, 140], atol=1e-3)
        middles.add(round(float(found.box[[0, 2]].mean()), 2))
    assert len(middles) > 10


def test_other_faces_stay_where_their_centre_is_inside(frames):
    near, far = head(0.45, 0.3, 0.6, 0.6, 0), head(0.9, 0.3, 1.0, 0.6, 1)
    for seed in range(20):
        _, found = cut_window(frames, [near, far], 84, np.random.default_rng(seed))
        assert len(found) == 1
    neighbour = head(0.5, 0.3, 0.65, 0.6, 2)
    assert len(cut_window(frames, [near, neighbour], 84, np.random.default_rng(0))[1]) == 2


def test_a_window_is_clipped_to_a_smaller_frame(frames):
    window, found = cut_window(frames[:, :56], [head(0.4, 0.2, 0.6, 0.8)], 84, np.random.default_rng(0))
    assert window.shape == (2, 56, 84, 3)
    assert np.allclose(found[0].box[[1, 3]], [0.2, 0.8])
