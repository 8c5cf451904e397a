"""Copies and other photographs of one person of OpenPeople."""

import cv2
import numpy as np
import pytest
from PIL import Image

from reward_model.data.people.photographs.openpeople import PEOPLE, head_and_shoulders, photograph
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.faces.tracks.appearance import measure_appearance
from reward_model.faces.tracks.copies import NEAR_COPY, SIDE_PX, clip_copies, copy_share
from tests.support.paths import EXAMPLES

PERSON = "P005"


def crop_of(image: np.ndarray) -> np.ndarray:
    return measure_appearance(image, bundled_reader().read(image)[0]).crop_SS


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return head_and_shoulders(PERSON)


@pytest.fixture(scope="module")
def reference(portrait) -> np.ndarray:
    return crop_of(portrait)


def smaller(image: np.ndarray, share: float) -> np.ndarray:
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def turned(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 10, 0.9)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def waved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        image, x + 0.015 * width * np.sin(y / height * 6), y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def relit(image: np.ndarray) -> np.ndarray:
    light = np.linspace(0.6, 1.2, image.shape[1])[None, :, None]
    return np.clip(255 * (image / 255) ** 1.3 * light, 0, 255).astype(np.uint8)


def compressed(image: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def sharpened(image: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(image, 3.0, cv2.GaussianBlur(image, (0, 0), 2.0), -2.0, 0)


def stretched(image: np.ndarray) -> np.ndarray:
    return np.clip(128 + 1.7 * (image.astype(np.float32) - 128) + 20, 0, 255).astype(np.uint8)


def blurred(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), 2.5)


def sharpened_and_stretched(image: np.ndarray) -> np.ndarray:
    return stretched(sharpened(smaller(image, 0.6)))


def pasted(image: np.ndarray) -> np.ndarray:
    """Over another person and sharpened, as the search of attacks found it."""
    frame = head_and_shoulders("P008", 512).copy()
    frame[-256:, -256:] = image
    return sharpened(frame)[-300:, -300:]


def with_another_mouth(image: np.ndarray) -> np.ndarray:
    """The mouth opened, as of a talking photograph."""
    mouth_x, mouth_y = bundled_reader().read(image)[0].landmarks_52[3:].mean(0)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    near = np.exp(-(((x - mouth_x) / 22) ** 2) - ((y - mouth_y) / 14) ** 2)
    return cv2.remap(image, x, y - 6 * near * np.sign(y - mouth_y), cv2.INTER_LINEAR)


CHANGES = (
    mirrored, turned, waved, relit, compressed, sharpened, stretched, blurred, sharpened_and_stretched, pasted,
    with_another_mouth,
)  # fmt: skip


@pytest.mark.parametrize("change", [*CHANGES, lambda image: smaller(image, 0.5)])
def test_changed_copies_of_the_reference_are_copies(portrait, reference, change):
    assert copy_share(crop_of(change(portrait)), reference) >= NEAR_COPY


@pytest.mark.parametrize("person", ["anna", "bea", "carl"])
@pytest.mark.parametrize("change", [mirrored, sharpened, stretched, blurred, compressed])
def test_changed_copies_of_the_example_references_are_copies(person, change):
    image = np.asarray(Image.open(EXAMPLES / f"references/{person}.jpg").convert("RGB"))
    assert copy_share(crop_of(change(image)), crop_of(image)) >= NEAR_COPY


def faded(image: np.ndarray) -> np.ndarray:
    return np.rint(20 + 0.15 * image).astype(np.uint8)


def other_photograph(name: str) -> np.ndarray:
    """The part of a photograph around the person's face."""
    x, y, width, height = PEOPLE[PERSON].face_box(name)
    return photograph(PERSON, name)[max(y - height, 0) : y + 2 * height, max(x - height, 0) : x + width + height]


@pytest.mark.parametrize("name", ["amateur_posture", "amateur_selfie", "studio_posture"])
def test_other_photographs_of_the_person_are_no_copies(reference, name):
    for face_px in (100, 50):
        image = smaller(other_photograph(name), face_px / PEOPLE[PERSON].face_box(name)[3])
        for change in (np.asarray, sharpened, stretched, blurred, compressed, faded):
            assert copy_share(crop_of(change(image)), reference) < 0.2


def test_another_person_and_images_without_detail_are_no_copies(reference):
    assert copy_share(crop_of(head_and_shoulders("P008")), reference) == 0
    grey = np.full((SIDE_PX, SIDE_PX), 128, np.uint8)
    assert copy_share(grey, reference) == 0
    assert copy_share(grey, grey) < 1
    assert copy_share(reference, reference) == 1


def test_a_loop_of_two_photographs_is_copied_throughout(reference):
    other = crop_of(other_photograph("amateur_posture"))
    moving = [crop_of(turned(head_and_shoulders(person))) for person in ("P007", "P008")]
    assert min(clip_copies([reference, other] * 4, reference, [0.9] * 8)) > 0.9
    # the reference at the beginning and the end of a clip that moves
    assert clip_copies([reference, *moving, reference], reference, [0.9] * 4) == [1.0, 0.0, 0.0, 1.0]
    # a held photograph alone is no copy
    assert clip_copies([other] * 4, reference, [0.9] * 4) == [0.0] * 4


def test_a_copy_among_the_most_similar_frames_is_found(reference):
    """Most frames of a clip without copies are not compared."""
    other = crop_of(other_photograph("amateur_posture"))
    crops, similarities = [other] * 16, [0.7] * 16
    for n in (4, 7, 9):
        crops[n], similarities[n] = reference, 0.95
    assert [n for n, copied in enumerate(clip_copies(crops, reference, similarities)) if copied] == [4, 7, 9]
    # faces that are too unlike the reference are not compared at all
    assert clip_copies([reference] * 3, reference, [0.4] * 3) == [0.0] * 3
    assert clip_copies([], reference, []) == []
