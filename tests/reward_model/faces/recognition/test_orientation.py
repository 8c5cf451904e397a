import numpy as np
import pytest

from reward_model.faces.recognition.orientation import suspected_rotation


def rotation_of(scorer, image_HWC):
    face, _ = scorer.reader.read_largest(image_HWC)
    return suspected_rotation(scorer.reader, image_HWC, face)


@pytest.mark.parametrize("kind", ["studio_portrait", "amateur_selfie"])
def test_suspected_rotation_of_upright_photographs_is_zero(scorer, photograph, kind):
    assert {rotation_of(scorer, photograph(person, kind)) for person in range(1, 11)} == {0}


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_suspected_rotation_makes_the_photograph_upright(scorer, photograph, quarter_turns):
    rotated = np.ascontiguousarray(np.rot90(photograph(1, "studio_portrait"), quarter_turns))
    assert rotation_of(scorer, rotated) == 90 * quarter_turns


def test_suspected_rotation_of_an_image_without_a_face_is_zero(scorer):
    assert suspected_rotation(scorer.reader, np.full((200, 300, 3), 90, np.uint8), None) == 0
