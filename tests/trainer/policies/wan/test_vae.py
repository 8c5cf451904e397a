import numpy as np
import pytest
import torch

from trainer.errors import PolicyError
from trainer.policies.wan.components import load_autoencoder
from trainer.policies.wan.vae import WanVae


@pytest.fixture(scope="module")
def vae(checkpoint):
    return WanVae(load_autoencoder(checkpoint, torch.float32, "cpu"))


def test_sizes_of_latents(vae):
    assert vae.latent_size(33, 240, 416) == (9, 30, 52)
    assert vae.latent_size(1, 16, 32) == (1, 2, 4)
    for num_frames in (0, 4, 34):
        with pytest.raises(PolicyError, match="1 more than a multiple of 4"):
            vae.latent_size(num_frames, 240, 416)
    with pytest.raises(PolicyError, match="multiples of 16; got 248 x 416"):
        vae.latent_size(33, 248, 416)


def test_latents_are_normalised_by_the_statistics_of_the_checkpoint(vae, checkpoint):
    autoencoder = load_autoencoder(checkpoint, torch.float32, "cpu")
    clip = torch.rand(3, 5, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = vae.encode(clip)
    assert latents.shape == (16, 2, 4, 4)
    mean, std = (torch.tensor(getattr(autoencoder.config, f"latents_{name}")) for name in ("mean", "std"))
    with torch.no_grad():
        mode = autoencoder.encode(clip[None]).latent_dist.mode()[0]
        frames = autoencoder.decode(mode[None]).sample[0]
    assert torch.allclose(latents * std.view(-1, 1, 1, 1) + mean.view(-1, 1, 1, 1), mode, atol=1e-5)
    (decoded,) = vae.decode(latents[None])
    assert decoded.shape == (5, 32, 32, 3)
    expected = (frames.permute(1, 2, 3, 0).numpy() / 2 + 0.5) * 255
    assert np.abs(decoded - expected).max() <= 0.51


def test_frames_need_all_latent_frames_before_them(vae):
    """Why every frame is decoded: alone, a later latent frame gives other pixels."""
    latents = 3 * torch.randn(1, 16, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    (whole,), (start,), (end,) = vae.decode(latents), vae.decode(latents[:, :, :2]), vae.decode(latents[:, :, 1:])
    assert np.array_equal(whole[:5], start)
    assert not np.array_equal(whole[-4:], end[-4:])


def test_bfloat16_is_close(vae, checkpoint):
    half = WanVae(load_autoencoder(checkpoint, torch.bfloat16, "cpu"))
    latents = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    difference = np.abs(half.decode(latents)[0].astype(int) - vae.decode(latents)[0])
    assert 0 < difference.max() <= 8
    assert half.encode(torch.zeros(3, 1, 32, 32)).dtype == torch.bfloat16


def test_other_statistics_are_refused(checkpoint):
    autoencoder = load_autoencoder(checkpoint, torch.float32, "cpu")
    values = [value + (channel < 2) for channel, value in enumerate(autoencoder.config.latents_std)]
    autoencoder.register_to_config(latents_std=values)
    with pytest.raises(PolicyError, match="2 of 16 numbers of latents_std differ"):
        WanVae(autoencoder)
    autoencoder.register_to_config(latents_mean=[0.0] * 48)
    with pytest.raises(PolicyError, match="48 of 16 numbers of latents_mean differ"):
        WanVae(autoencoder)
