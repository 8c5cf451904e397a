"""Fitted references and the control against what diffusers' pipeline makes of the same images."""

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.errors import PolicyError
from trainer.policies.wan.components import load_autoencoder
from trainer.policies.wan.vace_control import control_of, fit_reference
from trainer.policies.wan.vae import WanVae
from trainer.prompts.references import read_upright

HEIGHT, WIDTH, FRAMES = 32, 48, 9


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    from diffusers import WanVACEPipeline

    return WanVACEPipeline.from_pretrained(checkpoint, text_encoder=None, tokenizer=None)


def image(width, height, mode="RGB"):
    rng = np.random.default_rng(width * height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def prepared(pipeline, images):
    """(clip, mask, canvases) of the pipeline."""
    with torch.no_grad():
        return pipeline.preprocess_conditions(
            None, None, images, 1, HEIGHT, WIDTH, FRAMES, torch.float32, torch.device("cpu")
        )


@pytest.mark.parametrize(
    "size", [(48, 32), (50, 61), (37, 90), (8, 8), (300, 17), (1000, 900), (64, 64), (9, 200), (47, 31)]
)
def test_references_are_fitted_as_by_the_pipeline(pipeline, size):
    _, _, [[expected]] = prepared(pipeline, [image(*size)])
    assert torch.equal(fit_reference(image(*size), HEIGHT, WIDTH), expected)


@pytest.mark.parametrize("sizes", [[(50, 61)], [(37, 90), (64, 64)], [(37, 90), (64, 64), (20, 20)]])
def test_the_control_is_that_of_the_pipeline(pipeline, checkpoint, sizes):
    images = [image(*size) for size in sizes]
    clip, mask, canvases = prepared(pipeline, images)
    with torch.no_grad():
        latents = pipeline.prepare_video_latents(clip, mask, canvases, device=torch.device("cpu"))
        expected = torch.cat([latents, pipeline.prepare_masks(mask, canvases)], 1)[0]
    vae = WanVae(load_autoencoder(checkpoint, torch.float32, "cpu"))
    references = torch.stack([vae.encode(fit_reference(one, HEIGHT, WIDTH)[:, None])[:, 0] for one in images])
    zeros = vae.encode(torch.zeros(3, FRAMES, HEIGHT, WIDTH))
    assert torch.allclose(control_of(references, zeros, "diffusers"), expected, atol=1e-6)
    # as in VACE's own code: the frames of references the other way round
    original = control_of(references, zeros, "vace")
    count = len(images)
    assert torch.allclose(original[:, :count], expected[:, :count].flip(1), atol=1e-6)
    assert torch.allclose(original[:, count:], expected[:, count:], atol=1e-6)


def test_transparency_is_dropped_as_by_the_loader_of_diffusers(pipeline, tmp_path):
    """The pipeline itself takes no image with transparency."""
    from diffusers.utils import load_image

    path = tmp_path / "a.png"
    transparent = image(40, 40, "RGBA")
    transparent.putalpha(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40).astype(np.uint8)))
    transparent.save(path)
    with pytest.raises(RuntimeError):
        prepared(pipeline, [transparent])
    _, _, [[expected]] = prepared(pipeline, [load_image(str(path))])
    assert torch.equal(fit_reference(read_upright(path), HEIGHT, WIDTH), expected)


@pytest.mark.parametrize(
    ("size", "message"), [((7, 40), "7 x 40 pixels has a side below 8"), ((8, 4000), "too narrow")]
)
def test_images_of_which_nothing_would_be_left_are_refused(size, message):
    with pytest.raises(PolicyError, match=message):
        fit_reference(image(*size), HEIGHT, WIDTH)
