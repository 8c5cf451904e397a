import numpy as np
import pytest

from reward_model.data.people.scenes.degradation import damage_face, lower_resolution

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 84, 3), dtype=np.uint8)


def test_resolution_share_of_one_changes_nothing():
    assert np.array_equal(lower_resolution(IMAGE, 1.0), IMAGE)


def test_lower_resolution_keeps_the_size_and_reduces_detail():
    coarse = lower_resolution(IMAGE, 0.2)
    assert coarse.shape == IMAGE.shape
    assert coarse.std() < 0.5 * IMAGE.std()


@pytest.mark.parametrize("kind", ["blur", "warp"])
def test_face_damage_changes_only_pixels_around_the_face(kind):
    damaged = damage_face(IMAGE, (30.0, 12.0, 50.0, 36.0), kind, 0.8)
    assert damaged.dtype == np.uint8
    assert not np.array_equal(damaged[18:30, 35:45], IMAGE[18:30, 35:45])
    assert np.array_equal(damaged[:, :15], IMAGE[:, :15])
    assert np.array_equal(damaged[:, 65:], IMAGE[:, 65:])
