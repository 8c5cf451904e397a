import numpy as np

from reward_model.faces.recognition.face import Face
from reward_model.faces.warnings.people import face_sides_px, people_warnings

LANDMARKS_52 = np.zeros((5, 2), np.float32)


def face(side_px: float) -> Face:
    return Face((0.0, 0.0, side_px, side_px), 0.9, LANDMARKS_52, np.ones(1, np.float32))


def test_sides_are_those_of_each_persons_own_face():
    frames = [(face(50), face(20)), (), (face(30),)]
    sides_px_TP = face_sides_px(frames, np.array([[1, 0], [-1, -1], [-1, 0]]))
    np.testing.assert_allclose(sides_px_TP, [[20, 50], [np.nan, np.nan], [np.nan, 30]])


def test_a_person_in_less_than_half_of_the_frames_is_rarely_seen():
    sides_px_TP = np.full((16, 2), 90.0)
    sides_px_TP[8:, 0] = sides_px_TP[7:, 1] = np.nan
    (warning,) = people_warnings(sides_px_TP)
    assert (warning.code, warning.reference_index) == ("person_rarely_seen", 1)
    assert warning.message == "the person of reference 1 was found in 7 of 16 sampled frames (44%), below 50%"


def test_a_person_who_is_never_seen_has_no_resolution():
    assert [warning.code for warning in people_warnings(np.full((4, 1), np.nan))] == ["person_rarely_seen"]


def test_a_median_face_below_40_pixels_is_small():
    assert people_warnings(np.array([[40.0], [40.0], [12.0]])) == []
    (warning,) = people_warnings(np.array([[60.0], [39.0], [12.0]]))
    assert (warning.code, warning.reference_index) == ("low_face_resolution", 0)
    assert warning.message.endswith("its median side is 39 pixels, below 40")
