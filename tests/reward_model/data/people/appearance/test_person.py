from dataclasses import replace

import pytest

from reward_model.data.people.appearance.sampling import sample_person


def test_shape_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="shape has 3 values; it takes 64"):
        replace(sample_person(1, "a"), shape=(0.0, 0.0, 0.0))
