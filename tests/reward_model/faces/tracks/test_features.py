"""What the head sees of clips of photographs: each way to lose a person shows in its own number."""

import cv2
import numpy as np
import pytest

from identity_reward_client.errors import ReferenceWithoutFace
from reward_model.faces.tracks.appearance import look_at
from reward_model.faces.tracks.clip_faces import ClipReader
from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, clip_features
from reward_model.types import ReferenceSet, Sample, Video


@pytest.fixture(scope="module")
def reader(scorer):
    return ClipReader(scorer.reader)


@pytest.fixture(scope="module")
def seen(reader):
    """Sample -> (name of a number, person of the references) -> its value in each frame, or over the clip."""

    def read(sample):
        clip = reader.read(sample)
        features = clip_features(clip)

        def number(name, person=0):
            p = clip.order.index(person)
            if name in PERSON_FEATURES:
                return features.person_PC[p, list(PERSON_FEATURES).index(name)]
            return features.frames_PTF[p, :, list(FRAME_FEATURES).index(name)]

        return number

    return read


def test_every_number_is_within_its_range_or_says_nothing(reader, sample):
    features = clip_features(reader.read(sample((1, 5), (1, 5), (1, None), (None, None), (8, 9))))
    for values, table in ((features.frames_PTF, FRAME_FEATURES), (features.person_PC, PERSON_FEATURES)):
        assert values.dtype == np.float32
        assert values.shape[-1] == len(table)
        low, high = np.array(list(table.values()), np.float32).T
        known = ~np.isnan(values)
        assert ((values >= low) | ~known).all()
        assert ((values <= high) | ~known).all()
    present = features.frames_PTF[:, :, 0]
    assert not np.isnan(present).any()


def test_a_missing_person_is_absent_and_the_other_is_not(seen, sample):
    number = seen(sample((1, 5), (1, 5), (1, None), (1, None)))
    assert number("present", 0).tolist() == [1, 1, 1]
    assert number("present", 1).tolist() == [1, 0, 0]
    assert number("coverage", 1) == pytest.approx(1 / 3)
    assert number("longest_absence", 1) == pytest.approx(2 / 3)
    assert np.isnan(number("similarity", 1)[1:]).all()


def test_a_double_shows_whether_it_is_one_too_many_or_in_another_s_place(seen, sample):
    good, three, instead = (seen(sample((1, 5), people, people)) for people in [(1, 5), (1, 5, 1), (1, 1)])
    assert three("double", 0).min() > good("double", 0).max() + 0.4
    assert three("extra_faces", 0).min() == pytest.approx(1, abs=0.3)
    assert instead("twin", 0).min() > good("twin", 0).max() + 0.4
    assert instead("margin_references", 1).max() < 0 < good("margin_references", 1).min()


def test_a_switch_in_mid_clip_shows_as_drift_from_the_person_s_own_start(seen, sample):
    kept, switched = seen(sample((1,), *[(1,)] * 4)), seen(sample((1,), (1,), (1,), (8,), (8,)))
    assert kept("first_similarity").min() > 0.95
    assert switched("first_similarity").min() < 0.6
    assert switched("previous_similarity")[2] < 0.4
    assert switched("below_best").min() < -0.3


def test_a_wrong_person_has_neither_similarity_nor_margin(seen, sample):
    number = seen(sample((1, 5), (1, 8), (1, 8)))
    assert number("similarity", 0).min() > 0.6
    assert number("similarity", 1).max() < 0.4
    assert number("mean_margin", 1) < 0.25 < number("mean_margin", 0)


def test_blur_shows_against_the_reference_and_against_the_other_frames(seen, references, scene):
    frame = scene(1)
    frames = np.stack([frame, cv2.GaussianBlur(frame, (0, 0), 4), frame, frame])
    number = seen(Sample(references(1), Video(frames, 16.0, 4, (0, 1, 2, 3))))
    assert number("sharpness_reference")[1] < number("sharpness_reference")[0] - 1
    assert number("sharpness_self")[1] < -1
    assert number("sharpness_self")[[0, 2, 3]] == pytest.approx(0, abs=1e-6)


def test_sharpness_hardly_depends_on_size(scorer, scene):
    frame = scene(1)
    small = cv2.resize(frame, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    looks = [look_at(image, scorer.reader.read(image)[0]) for image in (frame, small)]
    assert looks[0].sharpness == pytest.approx(looks[1].sharpness, abs=0.5)


def test_a_frozen_face_doesn_t_move_and_a_pasted_reference_is_the_reference(seen, references, picture):
    portrait = picture(1, "studio_portrait")
    number = seen(Sample(references(1), Video(np.stack([portrait] * 3), 16.0, 3, (0, 1, 2))))
    assert number("crop_previous")[1:].max() < 0.01
    assert number("crop_reference").max() < 0.01
    other = seen(Sample(references(1), Video(np.stack([picture(1, "amateur_selfie")] * 3), 16.0, 3, (0, 1, 2))))
    assert other("crop_reference").min() > 0.2


def test_light_hardly_moves_the_colours_of_hair_and_clothes(seen, references, scene):
    frame = scene(1)
    dim = np.rint(frame * np.array([0.6, 0.55, 0.5])).astype(np.uint8)
    number = seen(Sample(references(1), Video(np.stack([frame, dim]), 16.0, 2, (0, 1))))
    assert number("clothes_self").max() < 0.15
    assert number("hair_self").max() < 0.15


def test_a_repeated_frame_is_looked_at_once_and_is_no_motion(reader, references, scene):
    frames = np.stack([scene(1)] * 4)
    clip = reader.read(Sample(references(1), Video(frames, 16.0, 2, (0, 0, 1, 1))))
    assert clip.frame_indices == (0, 1)
    assert clip_features(clip).frames_PTF.shape[1] == 2


@pytest.mark.parametrize("order", [(5, 1, 9), (9, 5, 1)])
def test_the_order_of_references_changes_no_bit(reader, sample, order):
    frames = (1, 5, 8), (5, None, 9), (1, 9, 9)
    a, b = (clip_features(reader.read(sample(people, *frames))) for people in ((1, 5, 9), order))
    assert a.frames_PTF.tobytes() == b.frames_PTF.tobytes()
    assert a.person_PC.tobytes() == b.person_PC.tobytes()


def test_a_clip_without_any_face_is_a_measurement(seen, sample):
    number = seen(sample((1, 5), (None, None), (None, None)))
    assert number("coverage", 0) == number("coverage", 1) == 0
    assert number("present", 0).tolist() == [0, 0]


def test_a_reference_without_a_face_is_named_by_its_place(reader, references, sample):
    blank = np.full((300, 400, 3), 200, np.uint8)
    good = sample((1,), (1,))
    for images, index in (((good.references.images[0], blank), 1), ((blank, good.references.images[0]), 0)):
        with pytest.raises(ReferenceWithoutFace) as caught:
            reader.read(Sample(ReferenceSet(images), good.video))
        assert caught.value.details["reference_index"] == index
