import numpy as np

from examples.people_policy.portraits import PortraitSet, make_portraits


def test_portraits_repeat_and_are_kept_in_a_file(tmp_path):
    numbers = []
    portraits = make_portraits(1, 3, workers=1, on_portrait=numbers.append)
    assert numbers == [1, 2, 3]
    assert 1 <= len(portraits) <= 3
    portraits.save(tmp_path / "portraits.npz")
    loaded = PortraitSet.load(tmp_path / "portraits.npz")
    again = make_portraits(1, 3, workers=2)
    for name in ("features_NV", "codes_NC"):
        assert np.array_equal(getattr(portraits, name), getattr(loaded, name))
        assert np.array_equal(getattr(portraits, name), getattr(again, name))
    assert len(loaded.part(1, 2)) == 1
