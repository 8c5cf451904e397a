"""Renderers, pairs of scenarios, and a scene of two people. The tests require EGL (apt.txt)."""

import pytest

from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.dataset.pairs import sample_pairs
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenarios.scenario import ClipSize, sample_scenario
from reward_model.data.people.scenes.renderer import RendererError
from reward_model.data.people.scenes.scene import Actor, Background, Expression, Pose, Scene
from reward_model.data.seeding import generator


@pytest.fixture(scope="session")
def gl_renderer():
    try:
        renderer = open_renderer("gl")
    except RendererError as error:
        pytest.fail(f"{error}; install what apt.txt lists")
    yield renderer
    renderer.close()


@pytest.fixture(scope="session")
def numpy_renderer():
    return open_renderer("numpy")


@pytest.fixture(scope="session")
def sampled_pairs():
    """(severities of A, of B) of the pairs of some scenarios."""
    pairs = []
    for index in range(150):
        clips = [clip.severities for clip in sample_scenario(1, index, ClipSize()).clips]
        pairs += [(clips[a], clips[b]) for a, b in sample_pairs(generator("t", index), clips, 6)]
    return pairs


@pytest.fixture
def two_people():
    """A scene of two people at 416 x 240 whose faces are about 75 px high."""
    actors = tuple(
        Actor(
            sample_person(3, name),
            sample_clothes(3, name),
            Pose(x=x, size=0.31, yaw=yaw, turn=yaw / 2),
            Expression(smile=0.6, jaw_open=0.1, gaze_x=5),
        )
        for name, x, yaw in (("ann", 0.3, 20.0), ("bob", 0.7, -25.0))
    )
    return Scene(actors, Background("outdoors", 5))
