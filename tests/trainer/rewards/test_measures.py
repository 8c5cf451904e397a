import numpy as np
import pytest
from PIL import Image

from tests.support.paths import EXAMPLES
from trainer.rewards.measures import clipped_pixels, motion, reference_similarity, saturation


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def anna():
    with Image.open(EXAMPLES / "references/anna.jpg") as image:
        return np.asarray(image.convert("RGB"))


def on_grey(picture, height, width, frame=(120, 208)):
    canvas = np.full((*frame, 3), 128, np.uint8)
    canvas[10 : 10 + height, 50 : 50 + width] = np.asarray(Image.fromarray(picture).resize((width, height)))
    return canvas


def test_motion_is_the_change_between_frames():
    still = np.repeat(noise(1, 1, 32, 48, 3), 5, axis=0)
    levels = np.arange(0, 50, 10, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 32, 48, 3), np.uint8)
    assert motion(still) == 0
    assert motion(levels) == pytest.approx(10 / 255, abs=1e-6)
    assert np.isnan(motion(still[:1]))


def test_a_large_frame_is_compared_at_a_small_size():
    flicker = noise(2, 4, 480, 832, 3)
    assert motion(flicker) < 0.1, "noise of single pixels averages out"


def test_saturation_and_clipped_pixels():
    red, grey, black = ([255, 0, 0], [90, 90, 90], [0, 0, 0])
    assert saturation(np.full((2, 4, 4, 3), red, np.uint8)) == 1
    assert saturation(np.full((2, 4, 4, 3), grey, np.uint8)) == 0
    assert saturation(np.full((2, 4, 4, 3), black, np.uint8)) == 0
    assert clipped_pixels(np.full((1, 4, 4, 3), red, np.uint8)) == 1
    assert clipped_pixels(np.full((1, 4, 4, 3), grey, np.uint8)) == 0


def test_a_pasted_reference_is_found_at_any_place(anna):
    height, width = anna.shape[:2]
    fit = min(120 / height, 208 / width)
    half = round(height * fit / 2), round(width * fit / 2)
    pasted = np.stack([on_grey(anna, *half)] * 3)
    assert reference_similarity(pasted, [noise(3, 64, 64, 3), anna]) > 0.9


def test_other_pictures_are_less_similar(anna):
    clip = noise(4, 3, 120, 208, 3)
    assert reference_similarity(clip, [anna]) < 0.7
    assert reference_similarity(np.full((2, 120, 208, 3), 128, np.uint8), [anna]) == 0
