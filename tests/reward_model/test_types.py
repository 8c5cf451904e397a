import numpy as np

from reward_model.types import ReferenceSet


def test_keys_of_references_depend_on_shape_and_pixels():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    same, reshaped, other = ReferenceSet((image.copy(), image.reshape(6, 4, 3), image + 1)).keys
    assert ReferenceSet((image[::-1][::-1],)).keys == (same,)
    assert len({same, reshaped, other}) == 3
