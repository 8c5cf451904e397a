import numpy as np
import pytest

from reward_model.data.people.scenes.motion import sample_camera_motion, sample_person_motion, sample_wave
from reward_model.data.seeding import generator

TIMES_S = np.arange(0, 4, 1 / 16)


@pytest.mark.parametrize("seed", range(20))
def test_wave_is_smooth_and_stays_near_its_base(seed):
    wave = sample_wave(generator(seed), 3.0, 2.0, rate_hz=0.4)
    values = np.array([wave.at(t) for t in TIMES_S])
    assert np.abs(values - 3.0).max() <= 2.0
    # the fastest sine of the wave has 0.4 x 1.6 Hz
    assert np.abs(np.diff(values)).max() <= 2.0 * 2 * np.pi * 0.64 / 16
    assert values.std() > 0


@pytest.mark.parametrize("seed", range(20))
def test_yaw_differs_from_that_of_the_reference(seed):
    motion = sample_person_motion(generator(seed), 0.3, 0.4, 2.0, not_yaw=12.0)
    assert abs(motion.yaw.base - 12.0) >= 14
    poses, expressions = zip(*((motion.pose(t), motion.expression(t)) for t in TIMES_S), strict=True)
    assert all(0.25 <= pose.x <= 0.35 and pose.size == 0.4 for pose in poses)
    assert len({pose.yaw for pose in poses}) > 10
    for expression in expressions:
        weights = {name: value for name, value in vars(expression).items() if not name.startswith("gaze")}
        assert all(0 <= value <= 1 for value in weights.values())
        assert abs(expression.gaze_x) <= 25
        assert abs(expression.gaze_y) <= 25


def test_same_generator_gives_same_motion():
    first, again = (sample_person_motion(generator("a"), 0.3, 0.4, 2.0, 0.0) for _ in range(2))
    other = sample_person_motion(generator("b"), 0.3, 0.4, 2.0, 0.0)
    assert [first.pose(t) for t in TIMES_S] == [again.pose(t) for t in TIMES_S]
    assert first.pose(1.0) != other.pose(1.0)


def test_moved_to_shifts_the_motion_and_sets_its_size():
    motion = sample_person_motion(generator("a"), 0.3, 0.4, 2.0, 0.0)
    assert motion.moved_to(0.7, 0.3).pose(0.5).x == pytest.approx(motion.pose(0.5).x + 0.4)
    assert motion.moved_to(0.7, 0.3).pose(0.5).size == 0.3


def test_camera_stays_close_to_its_start():
    for seed in range(20):
        motion = sample_camera_motion(generator(seed))
        for t in TIMES_S:
            camera = motion.at(t)
            assert abs(camera.dx) <= 0.02
            assert abs(camera.dy) <= 0.015
            assert 0.95 <= camera.zoom <= 1.05
