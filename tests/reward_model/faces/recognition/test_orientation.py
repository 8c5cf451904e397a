import numpy as np
import pytest

from reward_model.faces.recognition.orientation import suspected_rotation


def rotation_of(scorer, image_HWC):
    face, _ = scorer.reader.read_largest(image_HWC)
    return suspected_rotation(scorer.reader, image_HWC, face)


@pytest.mark.parametrize("kind", ["studio_portrait", "amateur_selfie"])
def test_upright_photographs_are_not_suspected(scorer, photograph, kind):
    assert {rotation_of(scorer, photograph(person, kind)) for person in range(1, 11)} == {0}


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_rotation_that_makes_a_rotated_photograph_upright_is_given(scorer, photograph, quarter_turns):
    rotated = np.ascontiguousarray(np.rot90(photograph(1, "studio_portrait"), quarter_turns))
    assert rotation_of(scorer, rotated) == 90 * quarter_turns
