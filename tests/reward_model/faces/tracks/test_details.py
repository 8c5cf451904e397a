import pytest

from reward_model.faces.tracks.clip_faces import ClipReader
from reward_model.faces.tracks.details import track_details
from reward_model.faces.tracks.features import clip_features


@pytest.fixture(scope="module")
def details_of(scorer):
    reader = ClipReader(scorer.reader)

    def details(sample):
        clip = reader.read(sample)
        return track_details(clip, clip_features(clip))

    return details


def test_people_are_in_the_order_of_the_references(details_of, sample):
    details = details_of(sample((5, 1), (1, 5), (1, None)))
    assert [person["reference_index"] for person in details["people"]] == [0, 1]
    assert [person["coverage"] for person in details["people"]] == [0.5, 1.0]
    assert details["num_frame_faces"] == [2, 1]


def test_double_and_drift_are_reported_for_the_person(details_of, sample):
    good, doubled, switched = (
        details_of(sample((1,), *frames))["people"][0] for frames in ([(1,), (1,)], [(1, 1), (1, 1)], [(1,), (8,)])
    )
    assert doubled["double"] > good["double"] + 0.4
    assert switched["drift"] > good["drift"] + 0.3


def test_upright_reference_has_a_high_face_score_and_no_rotation(details_of, sample):
    person = details_of(sample((1,), (1,)))["people"][0]
    assert person["reference_face_score"] > 0.9
    assert person["reference_rotation_degrees"] == 0
    assert person["num_reference_faces"] == 1
