import numpy as np

from reward_model.types import ReferenceSet


def test_keys_are_hashes_of_shape_and_pixels():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    same, turned, other = ReferenceSet((image.copy(), image.reshape(6, 4, 3), image + 1)).keys
    assert ReferenceSet((image[::-1][::-1],)).keys == (same,)
    assert len({same, turned, other}) == 3
