import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from identity_reward_client.errors import ReferenceWithoutFace
from reward_model.faces.recognition.face import Face
from reward_model.faces.recognition.reference_faces import ReferenceFaces
from reward_model.types import ReferenceSet


class CountingReader:
    """A face reader without networks that records which images it reads."""

    def __init__(self):
        self.reads = []
        self.gate = threading.Event()
        self.gate.set()
        self.num_failures = 0

    def read_largest(self, image_HWC):
        self.reads.append(int(image_HWC[0, 0, 0]))
        self.gate.wait(300)
        if self.num_failures:
            self.num_failures -= 1
            raise MemoryError("out of memory")
        return Face((0, 0, 9, 9), 1.0, np.zeros((5, 2)), image_HWC[0, :1, 0] / 255), 1


def images(*values):
    return ReferenceSet(tuple(np.full((4, 4, 3), value, np.uint8) for value in values))


def test_image_in_several_reference_sets_is_read_once():
    faces = ReferenceFaces(reader := CountingReader())
    faces.read(images(1, 2))
    faces.read(images(2, 3, 1))
    assert reader.reads == [1, 2, 3]


def test_threads_share_one_reading_of_an_image():
    faces = ReferenceFaces(reader := CountingReader())
    reader.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(faces.read, images(7)) for _ in range(4)]
        reader.gate.set()
        distinct = {id(future.result(300)[0]) for future in waiting}
    assert reader.reads == [7]
    assert len(distinct) == 1


def test_least_recently_used_image_is_evicted_first():
    faces = ReferenceFaces(reader := CountingReader(), capacity=2)
    for value in (1, 2, 1, 3, 1, 2):
        faces.read(images(value))
    assert reader.reads == [1, 2, 3, 2]


def test_failed_reading_is_not_cached():
    faces = ReferenceFaces(reader := CountingReader())
    reader.num_failures = 1
    with pytest.raises(MemoryError):
        faces.read(images(1))
    assert faces.read(images(1))[0].num_faces == 1
    assert reader.reads == [1, 1]


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_error_of_a_rotated_photograph_states_the_rotation_that_shows_the_face(scorer, photograph, quarter_turns):
    rotated = np.ascontiguousarray(np.rot90(photograph(3, "amateur_posture"), quarter_turns))
    with pytest.raises(ReferenceWithoutFace, match=f"rotated clockwise by {90 * quarter_turns} degrees") as caught:
        ReferenceFaces(scorer.reader).read(ReferenceSet((rotated,)))
    assert caught.value.details["reference_rotation_degrees"] == 90 * quarter_turns


def test_error_of_an_image_without_a_face_in_any_rotation_says_what_to_send(scorer):
    with pytest.raises(ReferenceWithoutFace, match="half side, at least 20 pixels wide") as caught:
        ReferenceFaces(scorer.reader).read(images(90))
    assert caught.value.details == {"reference_index": 0, "width": 4, "height": 4}
