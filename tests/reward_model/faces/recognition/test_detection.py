from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from reward_model.faces.recognition.detection import FaceDetector

KINDS = ("studio_portrait", "amateur_selfie", "amateur_posture", "studio_posture")


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.mark.parametrize("kind", KINDS)
def test_every_person_has_a_largest_face_with_eyes_above_mouth_in_its_box(detector, photograph, kind):
    for person in range(1, 11):
        faces = detector.detect(photograph(person, kind))
        assert faces, f"P{person:03d}"
        (x, y, width, height), landmarks_52 = faces[0].box_xywh, faces[0].landmarks_52
        assert faces[0].score > 0.8
        assert ((landmarks_52 > [x, y]) & (landmarks_52 < [x + width, y + height])).all()
        assert landmarks_52[:2, 1].max() < landmarks_52[2, 1] < landmarks_52[3:, 1].min()


def test_coordinates_are_those_of_the_full_image(detector, photograph):
    small = photograph(1, "studio_portrait")
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    at_small, at_large = detector.detect(small)[0], detector.detect(large)[0]
    np.testing.assert_allclose(np.array(at_small.box_xywh) * 3, at_large.box_xywh, atol=20)


def test_faces_come_largest_first(detector, photograph):
    near, far = photograph(1, "amateur_selfie"), photograph(5, "amateur_posture")
    both = np.zeros((max(near.shape[0], far.shape[0]), near.shape[1] + far.shape[1], 3), np.uint8)
    both[: far.shape[0], : far.shape[1]] = far
    both[: near.shape[0], far.shape[1] :] = near
    faces = detector.detect(both)
    assert len(faces) == 2
    assert faces[0].box_xywh[0] > far.shape[1] > faces[1].box_xywh[0]


@pytest.mark.parametrize("person", [1, 5, 9])
def test_face_larger_than_the_image_is_detected_with_a_grey_border(detector, photograph, person):
    portrait = photograph(person, "studio_portrait")
    x, y, width, height = (round(value) for value in detector.detect(portrait)[0].box_xywh)
    tight = portrait[y + height // 5 : y + height, x + width // 8 : x + width - width // 8]
    face = detector.detect(tight)[0]
    assert 0.5 < face.box_xywh[2] / tight.shape[1] < 1.6
    assert (face.landmarks_52 > 0).all()
    assert (face.landmarks_52 < tight.shape[1::-1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (7, 9), (31, 33), (480, 832)])
def test_blank_images_of_any_size_have_no_face(detector, shape):
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_non_contiguous_image_gives_the_same_faces(detector, photograph):
    image = photograph(3, "amateur_selfie")
    flipped = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    assert detector.detect(flipped)[0].box_xywh == detector.detect(image)[0].box_xywh


def test_threads_get_the_same_boxes(detector, photograph):
    images = [photograph(person, kind) for person in (1, 2, 5) for kind in KINDS] * 2
    one_by_one = [detector.detect(image)[0].box_xywh for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert [faces[0].box_xywh for faces in pool.map(detector.detect, images)] == one_by_one


@pytest.mark.parametrize(("width", "height"), [(640, 369), (512, 512), (320, 240), (33, 70)])
def test_faces_are_those_of_opencv(detector, photograph, width, height):
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    config = detector.config
    opencv = cv2.FaceDetectorYN.create(
        "onnx", np.frombuffer(detector.model.data, np.uint8), np.empty(0, np.uint8), (width, height), config.min_score,
        config.nms_iou,
    )  # fmt: skip
    num_faces = 0
    for person in range(1, 11):
        image = cv2.resize(photograph(person, "amateur_selfie"), (width, height), interpolation=cv2.INTER_AREA)
        rows = opencv.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        expected = np.zeros((0, 15)) if rows is None else rows
        num_faces += len(expected)
        # float32 rounding: a thousandth of a pixel
        np.testing.assert_allclose(detector._rows(image, config.min_score), expected, atol=1e-3, rtol=0)
    assert num_faces >= 10 or width == 33


def test_faint_boxes_come_beside_the_same_faces(detector, scene):
    num_faint = 0
    for sigma in range(4, 24):
        image = scene(1, 2)
        image[:, 320:] = cv2.GaussianBlur(image[:, 320:], (0, 0), sigma)
        faces, faint = detector.detect_faint(image, 0.5)
        assert [face.box_xywh for face in faces] == [face.box_xywh for face in detector.detect(image)]
        assert all(0.5 <= box.score < detector.config.min_score for box in faint)
        num_faint += len(faint)
    assert num_faint
