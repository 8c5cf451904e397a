import numpy as np

from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.scenes.portrait import SIDE_PX, sample_portrait


def test_portrait_is_a_function_of_seed_and_person(gl_renderer):
    person, clothes = sample_person(1, "ann"), sample_clothes(1, "ann")
    portrait = sample_portrait(1, person, clothes)
    assert portrait == sample_portrait(1, person, clothes)
    assert portrait.light != sample_portrait(2, person, clothes).light
    image = portrait.render(gl_renderer)
    assert image.shape == (SIDE_PX, SIDE_PX, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10
