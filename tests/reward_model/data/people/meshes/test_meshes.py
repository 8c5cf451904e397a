"""The mesh model, figures, their projection, and the rasterizer."""

from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.appearance.person import HAIR_STYLES
from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.meshes.basis import DROP_M, load_basis
from reward_model.data.people.meshes.figure import build_figure, posed_points
from reward_model.data.people.meshes.projection import project_actor
from reward_model.data.people.meshes.raster import rasterize
from reward_model.data.people.scenes.scene import Actor, Expression, Pose


def test_basis_is_a_valid_mesh_of_head_and_upper_body():
    basis = load_basis()
    points = basis.points[: basis.count]
    assert basis.count < 7000
    assert np.isfinite(basis.points).all()
    assert basis.faces.max() < basis.count
    assert 0.2 < points[basis.crown, 1] - points[basis.chin, 1] < 0.26  # metres
    assert points[:, 1].min() < -DROP_M + 0.5
    assert (basis.bones.sum(1) <= 1.01).all()
    assert (basis.uv >= 0).all()
    assert (basis.uv <= 1).all()
    assert (basis.source[basis.uv_faces] == basis.faces).all()


def test_shape_moves_the_face_and_not_the_shoulders():
    basis, person = load_basis(), sample_person(1, "a")
    moved = np.linalg.norm(basis.neutral(person) - basis.neutral(sample_person(1, "b")), axis=1)
    moved_by_shape = np.linalg.norm(basis.neutral(person) - basis.neutral(replace(person, shape=(0.0,) * 64)), axis=1)
    below_face = basis.points[: basis.count, 1] < 0.5
    assert np.median(moved) > 1e-4
    assert moved_by_shape[: basis.count][basis.bones[:, 1] > 0.95].mean() > 1e-3
    assert moved_by_shape[: basis.count][below_face].max() < 1e-3


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_covers_the_crown(style):
    person = sample_person(1, "a")
    figure = build_figure(
        replace(person, hair=replace(person.hair, style=style), glasses=None), sample_clothes(1, "a"), None
    )
    basis = load_basis()
    hair = figure.points[basis.count :]
    assert np.isfinite(figure.points).all()
    assert (style == "bald") == (len(hair) == 0)
    if len(hair):
        assert hair[:, 1].max() > figure.points[basis.crown, 1]


def test_exchanged_face_keeps_the_head_and_takes_the_build():
    basis = load_basis()
    a, b, clothes = sample_person(1, "a"), replace(sample_person(1, "b"), weight=1.0), sample_clothes(1, "a")
    figure_a, figure_b, combined = (
        build_figure(a, clothes, None),
        build_figure(b, clothes, None),
        build_figure(a, clothes, b),
    )
    head, trunk = basis.bones[:, 1] > 0.999, basis.bones.sum(1) < 1e-3
    count = basis.count
    np.testing.assert_allclose(combined.points[:count][head], figure_a.points[:count][head], atol=5e-5)
    shift = combined.points[:count][trunk] - figure_b.points[:count][trunk]
    # the trunk is that of b, up to a shift; the thickness of cloth is constant in metres, not in head heights
    assert np.ptp(shift, axis=0).max() < 5e-3


def test_yaw_turns_the_face_and_not_the_chest():
    basis, person, clothes = load_basis(), sample_person(1, "a"), sample_clothes(1, "a")
    figure = build_figure(person, clothes, None)
    front = posed_points(figure, Actor(person, clothes, Pose()))
    right = posed_points(figure, Actor(person, clothes, Pose(yaw=30)))
    up = posed_points(figure, Actor(person, clothes, Pose(pitch=20)))
    nose = int(np.argmax(figure.points[: basis.count, 2] * (basis.bones[:, 1] > 0.99)))
    assert right[nose, 0] > front[nose, 0] + 0.1
    assert up[nose, 1] > front[nose, 1] + 0.05
    chest = basis.bones.sum(1) < 1e-3
    assert np.ptp(right[: basis.count][chest] - front[: basis.count][chest], axis=0).max() < 1e-4


def test_open_jaw_lowers_the_chin():
    basis, person, clothes = load_basis(), sample_person(1, "a"), sample_clothes(1, "a")
    figure = build_figure(person, clothes, None)
    closed = posed_points(figure, Actor(person, clothes))
    opened = posed_points(figure, Actor(person, clothes, expression=Expression(jaw_open=1.0)))
    assert opened[basis.chin, 1] < closed[basis.chin, 1] - 0.03


def test_face_box_has_the_requested_height_and_follows_the_camera(two_people):
    box = project_actor(two_people, two_people.actors[0], 416, 240).face_box
    x, size = 0.3 * 416, 0.31 * 240
    assert box[0] < x < box[2]
    assert box[3] - box[1] == pytest.approx(size, rel=0.1)
    assert (box[1] + box[3]) / 2 == pytest.approx(0.45 * 240, abs=4)
    moved = replace(two_people, camera=replace(two_people.camera, dx=0.1))
    assert project_actor(moved, moved.actors[0], 416, 240).face_box[0] == pytest.approx(box[0] - 41.6, abs=0.1)
    gone = replace(two_people.actors[0], pose=Pose(x=-1.0))
    assert project_actor(two_people, gone, 416, 240).face_box is None


def test_rasterize_keeps_the_nearer_triangle():
    corners = np.array([[[0, 0], [8, 0], [0, 8]], [[0, 0], [8, 0], [0, 8]], [[4, 4], [8, 4], [8, 8]]], float)
    depth = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], float)
    triangle, share = rasterize(corners, depth, 8, 8)
    assert triangle[0, 0] == 1
    assert triangle[5, 6] == 2
    assert triangle[7, 0] in (0, 1, -1)
    assert triangle[7, 3] == -1
    np.testing.assert_allclose(share[triangle >= 0].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(share[1, 2], [1 - 4 / 8, 2.5 / 8, 1.5 / 8], atol=1e-6)
