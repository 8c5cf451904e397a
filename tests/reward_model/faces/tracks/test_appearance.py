import cv2
import numpy as np
import pytest

from reward_model.faces.recognition.alignment import TEMPLATE_52
from reward_model.faces.tracks.appearance import colour_distance, crop_change, measure_appearance, pose, shape_change


def test_sharpness_hardly_depends_on_size(scorer, scene):
    frame = scene(1)
    small = cv2.resize(frame, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    appearances = [measure_appearance(image, scorer.reader.read(image)[0]) for image in (frame, small)]
    assert appearances[0].sharpness == pytest.approx(appearances[1].sharpness, abs=0.5)


def test_blur_lowers_sharpness(scorer, scene):
    frame = scene(1)
    face = scorer.reader.read(frame)[0]
    sharp, blurred = (measure_appearance(image, face) for image in (frame, cv2.GaussianBlur(frame, (0, 0), 4)))
    assert blurred.sharpness < sharp.sharpness - 1


def test_same_face_has_no_changes(scorer, scene):
    frame = scene(1)
    appearance = measure_appearance(frame, scorer.reader.read(frame)[0])
    assert crop_change(appearance, appearance) == shape_change(appearance, appearance) == 0
    assert colour_distance(appearance.hair_6, appearance.hair_6) == 0


def test_pose_of_the_template_is_frontal_and_roll_follows_a_rotation():
    yaw, pitch, roll = pose(TEMPLATE_52)
    assert yaw == pytest.approx(0, abs=0.05)
    assert 0.3 < pitch < 0.7
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert pose(TEMPLATE_52 @ turn.T)[2] - roll == pytest.approx(angle)
