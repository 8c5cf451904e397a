import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from trainer.errors import PolicyError
from trainer.policies.wan.phantom_references import fit_reference
from trainer.policies.wan.references import fitted_size

RNG = np.random.default_rng(0)


def original(image, height, width):
    """Phantom's own loading of a reference, written out: the padding is that of a PIL image, then pixels are scaled."""
    image = image.convert("RGB")
    ratio = image.width / image.height
    if ratio > width / height:
        size = (width, int(width / ratio))
    else:
        size = (int(height * ratio), height)
    image = image.resize(size, Image.Resampling.LANCZOS)
    dx, dy = width - image.width, height - image.height
    image = ImageOps.expand(image, (dx // 2, dy // 2, dx - dx // 2, dy - dy // 2), fill=(255, 255, 255))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)


def noise(width, height, channels=3):
    return Image.fromarray(RNG.integers(0, 256, (height, width, channels), np.uint8))


@pytest.mark.parametrize("size", [(50, 61), (37, 90), (64, 64), (48, 32), (96, 64), (480, 200), (7, 7), (417, 241)])
def test_the_canvas_is_that_of_the_original(size):
    image = noise(*size)
    for canvas in ((32, 48), (240, 416)):
        assert torch.equal(fit_reference(image, *canvas), original(image, *canvas))


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
