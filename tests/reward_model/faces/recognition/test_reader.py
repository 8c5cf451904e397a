from dataclasses import replace

import numpy as np

from reward_model.faces.recognition.reader import bundled_reader


def test_at_most_max_faces_are_embedded_largest_first(scorer, scene):
    image = scene(1, 5, 8)
    faces = scorer.reader.read(image)
    assert len(faces) == 3
    assert [face.area_px for face in faces] == sorted((face.area_px for face in faces), reverse=True)
    fewer = replace(scorer.reader, max_faces=2).read(image)
    assert [face.box_xywh for face in fewer] == [face.box_xywh for face in faces[:2]]


def test_read_largest_returns_the_largest_face_and_the_number_of_faces(scorer, scene):
    face, count = scorer.reader.read_largest(scene(1, 5))
    assert count == 2
    assert face.box_xywh == scorer.reader.read(scene(1, 5))[0].box_xywh
    assert scorer.reader.read_largest(np.full((64, 64, 3), 90, np.uint8)) == (None, 0)


def test_bundled_reader_is_shared():
    assert bundled_reader() is bundled_reader()
