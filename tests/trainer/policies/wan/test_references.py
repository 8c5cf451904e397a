import numpy as np
import pytest
import torch
from PIL import Image

from trainer.errors import PolicyError
from trainer.policies.wan.components import load_autoencoder
from trainer.policies.wan.references import ReferenceEncoder, centred_on_white, fitted_size
from trainer.policies.wan.vae import WanVae


@pytest.fixture
def encoder(checkpoint):
    """With the images that it fitted."""
    fitted = []

    def fit(image):
        fitted.append(image)
        pixels = torch.from_numpy(np.asarray(image.resize((32, 32)), np.float32)).permute(2, 0, 1)
        return pixels / 127.5 - 1

    encoder = ReferenceEncoder(WanVae(load_autoencoder(checkpoint, torch.float32, "cpu")), fit)
    encoder.fitted = fitted
    return encoder


def save(path, colour, size=(40, 30), **options):
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_every_distinct_image_is_encoded_once(encoder, tmp_path):
    red, blue = save(tmp_path / "a.png", "red"), save(tmp_path / "b.png", "blue")
    copy = tmp_path / "c.png"
    copy.write_bytes(red.read_bytes())
    latents = encoder.encode([red, blue, copy])
    assert latents.shape == (3, 16, 4, 4)
    assert len(encoder.fitted) == 2
    assert torch.equal(latents[0], latents[2])
    assert not torch.equal(latents[0], latents[1])
    # another image under the same name
    save(red, "green")
    assert not torch.equal(encoder.encode([red])[0], latents[0])


def test_a_file_that_is_no_image_is_named(encoder, tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(PolicyError, match=r"the reference .*a.jpg can't be used"):
        encoder.encode([tmp_path / "a.jpg"])
    with pytest.raises(PolicyError, match=r"the reference .*b.jpg can't be read"):
        encoder.encode([tmp_path / "b.jpg"])


def test_fitted_sizes_are_truncated():
    assert fitted_size(90, 37, 32, 48) == (32, 13)
    assert fitted_size(16, 24, 32, 48) == (32, 48)
    with pytest.raises(PolicyError, match="an image of 1 x 900 pixels is too narrow for 48 x 32"):
        fitted_size(900, 1, 32, 48)


def test_the_canvas_is_white_and_an_odd_pixel_is_below_and_on_the_right():
    canvas = centred_on_white(torch.zeros(3, 2, 3), 5, 6)
    assert canvas.sum(0).bool().logical_not().nonzero().tolist() == [[y, x] for y in (1, 2) for x in (1, 2, 3)]
    assert canvas.max() == 1
