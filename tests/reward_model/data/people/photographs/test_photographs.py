"""OpenPeople's photographs as a source of scenarios."""

from importlib.util import find_spec

import numpy as np
import pytest

from reward_model.data.people.photographs.openpeople import PEOPLE, head_and_shoulders
from reward_model.data.people.photographs.source import Photos
from reward_model.data.people.scenarios.options import PeopleError
from reward_model.data.people.scenarios.scenario import ClipSize

pytestmark = pytest.mark.skipif(find_spec("openpeople") is None, reason="needs the package openpeople")
SIZE = ClipSize(num_frames=9)


@pytest.fixture(scope="module")
def source():
    return Photos(3, SIZE, 6, {"train": 0.6, "test": 0.4})


def test_each_split_has_people_of_its_own(source):
    assert set(source.people["train"]) | set(source.people["test"]) == set(PEOPLE)
    assert not set(source.people["train"]) & set(source.people["test"])
    for split, people in source.people.items():
        for index in range(30):
            scene = source.scene(index, split)
            assert {person for person, _ in scene.references} <= set(people)
            assert scene.cluster == "+".join(sorted(person for person, _ in scene.references))
            for clip in scene.clips:
                strips = clip.draw.__self__.strips
                assert {shot.person for strip in strips for shot in strip.shots} <= set(people)


def test_modes_that_stills_allow(source):
    modes = {name for index in range(60) for clip in source.scene(index, "train").clips for name in clip.modes}
    assert modes == {
        "wrong-person", "one-replaced", "missing", "duplicated", "drift", "switch", "face-damage", "resolution",
    }  # fmt: skip


def test_too_few_people_for_the_splits():
    with pytest.raises(PeopleError, match="a split needs 3; too few for dev 1, test 1"):
        Photos(3, SIZE, 6, {"train": 0.8, "dev": 0.1, "test": 0.1})


def test_a_scene_draws_the_same_pixels_again(source):
    for index in range(2):
        first, again = (source.scene(index, "train") for _ in range(2))
        assert first.prompt == again.prompt
        for a, b in zip(first.clips[:2], again.clips[:2], strict=True):
            frames = a.draw([0, 4, 8])
            assert frames.shape == (3, 240, 416, 3)
            assert frames.dtype == np.uint8
            assert np.array_equal(frames, b.draw([0, 4, 8]))


def test_faces_are_where_they_should_be(source):
    """YuNet finds everybody in an original, and in the reference."""
    detect = pytest.importorskip("reward_model.faces.recognition.detection")
    detector = detect.FaceDetector()
    for index in range(4):
        scene = source.scene(index, "train")
        original = next(clip for clip in scene.clips if not clip.modes)
        for frame in original.draw([0, 8]):
            faces = detector.detect(frame)
            assert len(faces) == len(scene.references)
            assert min(face.box_xywh[3] for face in faces) > 55
    for person in PEOPLE:
        assert len(detector.detect(head_and_shoulders(person))) == 1
