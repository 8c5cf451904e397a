import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reward_model.faces.recognition.face import Face
from reward_model.faces.recognition.reference_faces import ReferenceFaces
from reward_model.types import ReferenceSet


class CountingReader:
    """Stands where the networks are, to count how often and when they would run."""

    def __init__(self):
        self.reads = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures = 0

    def read_largest(self, image_HWC):
        self.reads.append(int(image_HWC[0, 0, 0]))
        self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise MemoryError("no room")
        return Face((0, 0, 9, 9), 1.0, np.zeros((5, 2)), image_HWC[0, :1, 0] / 255), 1


def pictures(*values):
    return ReferenceSet(tuple(np.full((4, 4, 3), value, np.uint8) for value in values))


def test_a_picture_is_read_once_whatever_set_it_comes_in():
    faces = ReferenceFaces(reader := CountingReader())
    faces.read(pictures(1, 2))
    faces.read(pictures(2, 3, 1))
    assert reader.reads == [1, 2, 3]


def test_threads_that_ask_at_once_wait_for_one_reading():
    faces = ReferenceFaces(reader := CountingReader())
    reader.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(faces.read, pictures(7)) for _ in range(4)]
        reader.gate.set()
        got = {id(future.result(10)[0]) for future in waiting}
    assert reader.reads == [7]
    assert len(got) == 1


def test_the_least_recently_used_picture_leaves_first():
    faces = ReferenceFaces(reader := CountingReader(), capacity=2)
    for value in (1, 2, 1, 3, 1, 2):
        faces.read(pictures(value))
    assert reader.reads == [1, 2, 3, 2]


def test_a_reading_that_failed_is_tried_again():
    faces = ReferenceFaces(reader := CountingReader())
    reader.failures = 1
    with pytest.raises(MemoryError):
        faces.read(pictures(1))
    assert faces.read(pictures(1))[0].num_faces == 1
    assert reader.reads == [1, 1]
