"""Phantom's own generation of a video, restated: its canvas, its noise levels and its loop of three passes."""

import numpy as np
import torch
from PIL import Image, ImageOps

# scales of guidance as published
IMAGE, TEXT = 5.0, 7.5


def original_canvas(image, height, width):
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


def load_vae(checkpoint):
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan.from_pretrained(checkpoint, subfolder="vae")


@torch.no_grad()
def encoded_references(vae, prompt):
    """[1, C, R, h, w]: each image alone, the mode of the distribution, normalised."""
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    clips = [original_canvas(Image.open(path), 32, 48)[None, :, None] for path in prompt.references]
    return torch.cat([(vae.encode(clip).latent_dist.mode() - mean) / std for clip in clips], 2)


class Euler:
    """Steps on the noise levels of Phantom's own code: 0.999 (1 - k / N), shifted."""

    def __init__(self, steps):
        levels = 0.999 * (1 - np.arange(steps) / steps)
        self.sigmas = np.append(5 * levels / (1 + 4 * levels), 0.0)
        self.timesteps = [torch.tensor(int(1000 * sigma)) for sigma in self.sigmas[:-1]]

    def step(self, velocity, timestep, latents, return_dict):
        k = [int(t) for t in self.timesteps].index(int(timestep))
        return (latents + velocity * float(self.sigmas[k + 1] - self.sigmas[k]),)


def unipc(steps):
    """Of second order with its corrector, as Phantom's own code samples; with diffusers' noise levels."""
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def original(transformer, references, noise, prompt, negative, scheduler):
    """Phantom's own loop: latents have frames for references, which are overwritten before each of the three passes."""
    count = references.shape[2]
    zeros = torch.zeros_like(references)
    latents = torch.cat([noise, torch.randn(references.shape, generator=torch.Generator().manual_seed(9))], 2)
    for t in scheduler.timesteps:

        def model(references, text, latents=latents, t=t):
            x = torch.cat([latents[:, :, :-count], references], 2)
            return transformer(hidden_states=x, timestep=t[None], encoder_hidden_states=text).sample

        pos_it = model(references, prompt)
        pos_i = model(references, negative)
        neg = model(zeros, negative)
        velocity = neg + IMAGE * (pos_i - neg) + TEXT * (pos_it - pos_i)
        latents = scheduler.step(velocity, t, latents, return_dict=False)[0]
    return latents[:, :, :-count]
