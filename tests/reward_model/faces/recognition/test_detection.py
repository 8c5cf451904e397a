from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from reward_model.faces.recognition.detection import FaceDetector
from reward_model.faces.recognition.model_files import YUNET, ModelFileError, bundled_folder, read_model

KINDS = ("studio_portrait", "amateur_selfie", "amateur_posture", "studio_posture")


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.mark.parametrize("kind", KINDS)
def test_every_person_has_a_largest_face_with_eyes_above_mouth_in_its_box(detector, picture, kind):
    for person in range(1, 11):
        faces = detector.detect(picture(person, kind))
        assert faces, f"P{person:03d}"
        (x, y, width, height), landmarks_52 = faces[0].box_xywh, faces[0].landmarks_52
        assert faces[0].score > 0.8
        assert ((landmarks_52 > [x, y]) & (landmarks_52 < [x + width, y + height])).all()
        assert landmarks_52[:2, 1].max() < landmarks_52[2, 1] < landmarks_52[3:, 1].min()


def test_coordinates_are_those_of_the_full_picture(detector, picture):
    small = picture(1, "studio_portrait")
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    at_small, at_large = detector.detect(small)[0], detector.detect(large)[0]
    np.testing.assert_allclose(np.array(at_small.box_xywh) * 3, at_large.box_xywh, atol=20)


def test_faces_come_largest_first(detector, picture):
    near, far = picture(1, "amateur_selfie"), picture(5, "amateur_posture")
    both = np.zeros((max(near.shape[0], far.shape[0]), near.shape[1] + far.shape[1], 3), np.uint8)
    both[: far.shape[0], : far.shape[1]] = far
    both[: near.shape[0], far.shape[1] :] = near
    faces = detector.detect(both)
    assert len(faces) == 2
    assert faces[0].box_xywh[0] > far.shape[1] > faces[1].box_xywh[0]


@pytest.mark.parametrize("person", [1, 5, 9])
def test_a_face_that_more_than_fills_the_picture_is_found_behind_a_grey_border(detector, picture, person):
    portrait = picture(person, "studio_portrait")
    x, y, width, height = (round(value) for value in detector.detect(portrait)[0].box_xywh)
    tight = portrait[y + height // 5 : y + height, x + width // 8 : x + width - width // 8]
    face = detector.detect(tight)[0]
    assert 0.5 < face.box_xywh[2] / tight.shape[1] < 1.6
    assert (face.landmarks_52 > 0).all()
    assert (face.landmarks_52 < tight.shape[1::-1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (7, 9), (31, 33), (480, 832)])
def test_blank_pictures_of_any_size_have_no_face(detector, shape):
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_view_of_other_memory_gives_the_same_faces(detector, picture):
    image = picture(3, "amateur_selfie")
    flipped = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    assert detector.detect(flipped)[0].box_xywh == detector.detect(image)[0].box_xywh


def test_threads_get_the_same_boxes(detector, picture):
    images = [picture(person, kind) for person in (1, 2, 5) for kind in KINDS] * 2
    one_by_one = [detector.detect(image)[0].box_xywh for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert [faces[0].box_xywh for faces in pool.map(detector.detect, images)] == one_by_one


def test_a_damaged_model_file_is_named_with_both_hashes(tmp_path):
    name, digest = YUNET
    damaged = bytearray((bundled_folder() / name).read_bytes())
    damaged[5000] ^= 1
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(ModelFileError, match=rf"(?s){name}.*damaged.*SHA-256.*{digest}.*pip install"):
        read_model(tmp_path / name, digest)


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"no_such\.onnx: No such file"):
        read_model(tmp_path / "no_such.onnx")
