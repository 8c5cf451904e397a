import numpy as np

from reward_model.data.people.appearance.person_code import CODE_SIZE, person_code
from reward_model.data.people.appearance.sampling import sample_person


def test_person_codes_have_about_unit_deviation_and_are_distinct():
    codes = np.stack([person_code(sample_person(1, f"p{n}")) for n in range(100)])
    assert codes.shape == (100, CODE_SIZE)
    assert codes.dtype == np.float32
    assert len(np.unique(codes, axis=0)) == 100
    assert 0.5 < codes.std() < 1.5
