import numpy as np
import pytest

from reward_model.data.people.scenes.camera import camera_matrix
from reward_model.data.people.scenes.scene import Camera


def apply_camera(camera, x, y, parallax=1.0):
    matrix = camera_matrix(camera, 200, 100, parallax)
    return matrix[:, :2] @ [x, y] + matrix[:, 2]


def test_default_camera_is_the_identity():
    np.testing.assert_allclose(apply_camera(Camera(), 30, 40), [30, 40])


def test_points_move_against_the_camera():
    np.testing.assert_allclose(apply_camera(Camera(dx=0.1, dy=-0.2), 30, 40), [10, 60])


def test_zoom_and_roll_are_about_the_middle_of_the_frame():
    np.testing.assert_allclose(apply_camera(Camera(zoom=2.0), 100, 50), [100, 50])
    np.testing.assert_allclose(apply_camera(Camera(zoom=2.0), 110, 50), [120, 50])
    np.testing.assert_allclose(apply_camera(Camera(roll=90), 110, 50), [100, 60])


def test_parallax_scales_the_movement():
    assert apply_camera(Camera(dx=0.1), 30, 40, parallax=0.5)[0] == pytest.approx(20)
