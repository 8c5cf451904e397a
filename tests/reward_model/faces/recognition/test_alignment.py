import cv2
import numpy as np
import pytest

from reward_model.faces.recognition.alignment import TEMPLATE_52, align, similarity_transform


@pytest.mark.parametrize("degrees", [0, 25, -140])
@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_rotation_scale_and_shift_are_recovered(degrees, scale):
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([40.0, -3.0])
    estimate = similarity_transform(TEMPLATE_52, TEMPLATE_52 @ matrix.T + shift)
    np.testing.assert_allclose(estimate, np.column_stack([matrix, shift]), atol=1e-9)


def test_similarity_transform_never_mirrors():
    mirrored_52 = TEMPLATE_52 * [-1, 1]
    assert np.linalg.det(similarity_transform(mirrored_52, TEMPLATE_52)[:, :2]) > 0


@pytest.mark.parametrize("size_px", [112, 224])
def test_align_moves_landmarks_to_the_template(size_px):
    canvas = np.zeros((600, 800, 3), np.uint8)
    landmarks_52 = TEMPLATE_52 * 3 + [200, 100]
    for x, y in landmarks_52:
        cv2.circle(canvas, (round(x), round(y)), 6, (255, 255, 255), -1)
    crop = align(canvas, landmarks_52, size_px)
    assert crop.shape == (size_px, size_px, 3)
    for x, y in TEMPLATE_52 * size_px / 112:
        assert crop[round(y), round(x)].min() > 200
