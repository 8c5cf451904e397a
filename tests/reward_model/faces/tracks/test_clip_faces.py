import numpy as np
import pytest

from identity_reward_client.errors import ReferenceWithoutFace
from reward_model.faces.tracks.clip_faces import ClipReader
from reward_model.types import ReferenceSet, Sample


@pytest.fixture(scope="module")
def reader(scorer):
    return ClipReader(scorer.reader)


def test_people_keep_their_faces_when_they_change_places(reader, sample):
    clip = reader.read(sample((1, 5), (1, 5), (5, 1)))
    similarity_TP = np.array([[clip.similarities[t][clip.face_of_TP[t, p], p] for p in range(2)] for t in range(2)])
    assert similarity_TP.min() > 0.5
    assert sorted(clip.order) == [0, 1]


def test_absent_person_has_no_face(reader, sample):
    clip = reader.read(sample((1, 5), (1, None), (None, None)))
    absent = clip.order.index(1)
    assert clip.face_of_TP[:, absent].tolist() == [-1, -1]
    assert clip.num_tracks == 1


def test_reference_without_a_face_is_named_by_its_index(reader, references, sample):
    blank = np.full((300, 400, 3), 200, np.uint8)
    good = sample((1,), (1,))
    for images, index in (((good.references.images[0], blank), 1), ((blank, good.references.images[0]), 0)):
        with pytest.raises(ReferenceWithoutFace) as caught:
            reader.read(Sample(ReferenceSet(images), good.video))
        assert caught.value.details["reference_index"] == index
