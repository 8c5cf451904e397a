"""Features of clips of photographs: each kind of identity error changes a specific feature."""

import cv2
import numpy as np
import pytest

from reward_model.faces.tracks.clip_faces import ClipReader
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, clip_features
from reward_model.types import Sample, Video


@pytest.fixture(scope="module")
def reader(scorer):
    return ClipReader(scorer.reader)


@pytest.fixture(scope="module")
def features_of(reader):
    """Sample -> (name of a feature, person of the references) -> its value in each frame, or over the clip."""

    def read(sample):
        clip = reader.read(sample)
        features = clip_features(clip)

        def feature(name, person=0):
            p = clip.order.index(person)
            if name in PERSON_FEATURES:
                return features.person_PC[p, list(PERSON_FEATURES).index(name)]
            return features.frames_PTF[p, :, list(FRAME_FEATURES).index(name)]

        return feature

    return read


def test_every_feature_is_within_its_range_or_undefined(reader, sample):
    features = clip_features(reader.read(sample((1, 5), (1, 5), (1, None), (None, None), (8, 9))))
    for values, table in ((features.frames_PTF, FRAME_FEATURES), (features.person_PC, PERSON_FEATURES)):
        assert values.dtype == np.float32
        assert values.shape[-1] == len(table)
        low, high = np.array(list(table.values()), np.float32).T
        undefined = np.isnan(values)
        assert ((values >= low) | undefined).all()
        assert ((values <= high) | undefined).all()
    present = features.frames_PTF[:, :, 0]
    assert not np.isnan(present).any()


def test_missing_person_is_absent_and_the_other_is_not(features_of, sample):
    feature = features_of(sample((1, 5), (1, 5), (1, None), (1, None)))
    assert feature("present", 0).tolist() == [1, 1, 1]
    assert feature("present", 1).tolist() == [1, 0, 0]
    assert feature("coverage", 1) == pytest.approx(1 / 3)
    assert feature("longest_absence", 1) == pytest.approx(2 / 3)
    assert np.isnan(feature("similarity", 1)[1:]).all()


def test_duplicated_person_is_seen_beside_and_instead_of_another(features_of, sample):
    good, added, replaced = (features_of(sample((1, 5), people, people)) for people in [(1, 5), (1, 5, 1), (1, 1)])
    assert added("double", 0).min() > good("double", 0).max() + 0.4
    assert added("extra_faces", 0).min() == pytest.approx(1, abs=0.3)
    assert replaced("twin", 0).min() > good("twin", 0).max() + 0.4
    assert replaced("margin_references", 1).max() < 0 < good("margin_references", 1).min()


def test_switched_person_has_low_similarity_to_the_first_frames(features_of, sample):
    unchanged, switched = features_of(sample((1,), *[(1,)] * 4)), features_of(sample((1,), (1,), (1,), (8,), (8,)))
    assert unchanged("first_similarity").min() > 0.95
    assert switched("first_similarity").min() < 0.6
    assert switched("previous_similarity")[2] < 0.4
    assert switched("below_best").min() < -0.3


def test_wrong_person_has_low_similarity_and_margin(features_of, sample):
    feature = features_of(sample((1, 5), (1, 8), (1, 8)))
    assert feature("similarity", 0).min() > 0.6
    assert feature("similarity", 1).max() < 0.4
    assert feature("mean_margin", 1) < 0.25 < feature("mean_margin", 0)


def test_blur_lowers_sharpness_relative_to_reference_and_other_frames(features_of, references, scene):
    frame = scene(1)
    frames = np.stack([frame, cv2.GaussianBlur(frame, (0, 0), 4), frame, frame])
    feature = features_of(Sample(references(1), Video(frames, 16.0, 4, (0, 1, 2, 3))))
    assert feature("sharpness_reference")[1] < feature("sharpness_reference")[0] - 1
    assert feature("sharpness_self")[1] < -1
    assert feature("sharpness_self")[[0, 2, 3]] == pytest.approx(0, abs=1e-6)


def test_frozen_face_does_not_change_and_a_pasted_reference_equals_the_reference(features_of, references, photograph):
    portrait = photograph(1, "studio_portrait")
    feature = features_of(Sample(references(1), Video(np.stack([portrait] * 3), 16.0, 3, (0, 1, 2))))
    assert feature("crop_previous")[1:].max() < 0.01
    assert feature("crop_reference").max() < 0.01
    other = features_of(
        Sample(references(1), Video(np.stack([photograph(1, "amateur_selfie")] * 3), 16.0, 3, (0, 1, 2)))
    )
    assert other("crop_reference").min() > 0.2


def test_light_hardly_changes_the_colours_of_hair_and_clothes(features_of, references, scene):
    frame = scene(1)
    dim = np.rint(frame * np.array([0.6, 0.55, 0.5])).astype(np.uint8)
    feature = features_of(Sample(references(1), Video(np.stack([frame, dim]), 16.0, 2, (0, 1))))
    assert feature("clothes_self").max() < 0.15
    assert feature("hair_self").max() < 0.15


def test_repeated_frame_is_read_once(reader, references, scene):
    frames = np.stack([scene(1)] * 4)
    clip = reader.read(Sample(references(1), Video(frames, 16.0, 2, (0, 0, 1, 1))))
    assert clip.frame_indices == (0, 1)
    assert clip_features(clip).frames_PTF.shape[1] == 2


@pytest.mark.parametrize("order", [(5, 1, 9), (9, 5, 1)])
def test_features_do_not_depend_on_the_order_of_references(reader, sample, order):
    frames = (1, 5, 8), (5, None, 9), (1, 9, 9)
    a, b = (clip_features(reader.read(sample(people, *frames))) for people in ((1, 5, 9), order))
    assert a.frames_PTF.tobytes() == b.frames_PTF.tobytes()
    assert a.person_PC.tobytes() == b.person_PC.tobytes()


def test_clip_without_any_face_has_features(features_of, sample):
    feature = features_of(sample((1, 5), (None, None), (None, None)))
    assert feature("coverage", 0) == feature("coverage", 1) == 0
    assert feature("present", 0).tolist() == [0, 0]
