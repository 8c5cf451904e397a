import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainer.helpers.phantom_loop import original_canvas
from trainer.errors import PolicyError
from trainer.policies.wan.phantom_references import fit_reference
from trainer.policies.wan.references import fitted_size

RNG = np.random.default_rng(0)


def noise(width, height, channels=3):
    return Image.fromarray(RNG.integers(0, 256, (height, width, channels), np.uint8))


@pytest.mark.parametrize("size", [(50, 61), (37, 90), (64, 64), (48, 32), (96, 64), (480, 200), (7, 7), (417, 241)])
def test_the_canvas_is_that_of_the_original(size):
    image = noise(*size)
    for canvas in ((32, 48), (240, 416)):
        assert torch.equal(fit_reference(image, *canvas), original_canvas(image, *canvas))


def test_sizes_are_truncated_and_an_odd_pixel_is_below_and_on_the_right():
    # 32 * 37 / 90 = 13.2 columns of 48: 17 before them, 18 after
    canvas = fit_reference(Image.new("RGB", (37, 90)), 32, 48)
    columns = canvas.sum((0, 1)).eq(-96).nonzero().flatten()
    assert columns.tolist() == list(range(17, 30))
    assert canvas.max() == 1


def test_the_arithmetic_is_that_of_the_original():
    """For VACE's scale, min(H / h, W / w), these images are a row or a column smaller."""
    assert fitted_size(20, 92, 240, 416) == (90, 415)
    canvas = fit_reference(Image.new("RGB", (92, 20)), 240, 416)
    assert canvas.eq(-1).all(0).sum() == 90 * 416


def test_nothing_is_left_of_a_narrow_image():
    with pytest.raises(PolicyError, match="an image of 1 x 900 pixels is too narrow for 48 x 32"):
        fit_reference(Image.new("RGB", (1, 900)), 32, 48)
