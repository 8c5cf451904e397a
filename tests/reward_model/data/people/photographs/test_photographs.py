"""Scenarios of people in photographs."""

from importlib.util import find_spec

import numpy as np
import pytest

from reward_model.data.people.photographs.openpeople import PEOPLE, head_and_shoulders
from reward_model.data.people.photographs.source import PhotographedPeople
from reward_model.data.people.scenarios.options import PeopleError
from reward_model.data.people.scenarios.scenario import ClipSize

pytestmark = pytest.mark.skipif(find_spec("openpeople") is None, reason="needs the package openpeople")
SIZE = ClipSize(num_frames=9)


@pytest.fixture(scope="module")
def source():
    return PhotographedPeople(3, SIZE, 6, {"train": 0.6, "test": 0.4})


def test_splits_share_nobody(source):
    assert set(source.people["train"]) | set(source.people["test"]) == set(PEOPLE)
    assert not set(source.people["train"]) & set(source.people["test"])
    for split, people in source.people.items():
        for index in range(30):
            scenario = source.scenario(index, split)
            cast = sorted(reference.person for reference in scenario.references)
            assert set(cast) <= set(people)
            assert scenario.cluster == "+".join(cast)
            for clip in scenario.clips:
                strips = clip.render.__self__.strips
                assert {shot.person for strip in strips for shot in strip.shots} <= set(people)


def test_only_corruptions_possible_with_still_photographs_occur(source):
    names = {name for index in range(60) for clip in source.scenario(index, "train").clips for name in clip.severities}
    assert names == {
        "wrong-person", "one-replaced", "missing", "duplicated", "drift", "switch", "face-damage", "resolution",
    }  # fmt: skip


def test_splits_with_too_few_people_are_refused():
    with pytest.raises(PeopleError, match="a split needs 3; too few for dev 1, test 1"):
        PhotographedPeople(3, SIZE, 6, {"train": 0.8, "dev": 0.1, "test": 0.1})


def test_rendering_a_scenario_twice_gives_the_same_pixels(source):
    for index in range(2):
        first, again = (source.scenario(index, "train") for _ in range(2))
        assert first.prompt == again.prompt
        for a, b in zip(first.clips[:2], again.clips[:2], strict=True):
            frames = a.render([0, 4, 8])
            assert frames.shape == (3, 240, 416, 3)
            assert frames.dtype == np.uint8
            assert np.array_equal(frames, b.render([0, 4, 8]))


def test_every_face_of_originals_and_references_is_detected(source):
    detection = pytest.importorskip("reward_model.faces.recognition.detection")
    detector = detection.FaceDetector()
    for index in range(4):
        scenario = source.scenario(index, "train")
        original = next(clip for clip in scenario.clips if not clip.severities)
        for frame in original.render([0, 8]):
            faces = detector.detect(frame)
            assert len(faces) == len(scenario.references)
            assert min(face.box_xywh[3] for face in faces) > 55
    for person in PEOPLE:
        assert len(detector.detect(head_and_shoulders(person))) == 1
