import numpy as np

from reward_model.faces.recognition.face import Face


def test_area_is_that_of_the_box():
    face = Face((3.0, 4.0, 10.0, 20.0), 0.9, np.zeros((5, 2), np.float32), np.ones(1, np.float32))
    assert face.area_px == 200
