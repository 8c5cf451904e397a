import numpy as np
import pytest

from reward_model.data.people.scenes.motion import draw_camera, draw_head, draw_wave
from reward_model.data.seeding import generator

TIMES = np.arange(0, 4, 1 / 16)


@pytest.mark.parametrize("seed", range(20))
def test_a_wave_is_smooth_and_stays_near_its_base(seed):
    wave = draw_wave(generator(seed), 3.0, 2.0, rate_hz=0.4)
    values = np.array([wave.at(t) for t in TIMES])
    assert np.abs(values - 3.0).max() <= 2.0
    # no sine of it is faster than 0.4 x 1.6 Hz
    assert np.abs(np.diff(values)).max() <= 2.0 * 2 * np.pi * 0.64 / 16
    assert values.std() > 0


@pytest.mark.parametrize("seed", range(20))
def test_heads_look_another_way_than_the_reference(seed):
    head = draw_head(generator(seed), 0.3, 0.4, 2.0, not_yaw=12.0)
    assert abs(head.yaw.base - 12.0) >= 14
    poses, faces = zip(*((head.pose(t), head.expression(t)) for t in TIMES), strict=True)
    assert all(0.25 <= pose.x <= 0.35 and pose.size == 0.4 for pose in poses)
    assert len({pose.yaw for pose in poses}) > 10
    for face in faces:
        weights = {name: value for name, value in vars(face).items() if not name.startswith("gaze")}
        assert all(0 <= value <= 1 for value in weights.values())
        assert abs(face.gaze_x) <= 25
        assert abs(face.gaze_y) <= 25


def test_the_same_draw_moves_alike():
    first, again = (draw_head(generator("a"), 0.3, 0.4, 2.0, 0.0) for _ in range(2))
    other = draw_head(generator("b"), 0.3, 0.4, 2.0, 0.0)
    assert [first.pose(t) for t in TIMES] == [again.pose(t) for t in TIMES]
    assert first.pose(1.0) != other.pose(1.0)
    assert first.at_place(0.7, 0.3).pose(0.5).x == pytest.approx(first.pose(0.5).x + 0.4)


def test_cameras_stay_close():
    for seed in range(20):
        camera = draw_camera(generator(seed))
        for t in TIMES:
            at = camera.at(t)
            assert abs(at.dx) <= 0.02
            assert abs(at.dy) <= 0.015
            assert 0.95 <= at.zoom <= 1.05
