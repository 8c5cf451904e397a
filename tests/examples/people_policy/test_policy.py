import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from torch import nn

from examples.people_policy.policy import PeoplePolicy, load_policy, save_networks
from examples.people_policy.sampling import sample_latents
from examples.people_policy.scene import CLIP_SIZE, NUM_KEY_FRAMES
from reward_model.data.people.appearance.person_code import CODE_SIZE
from trainer.errors import PolicyError
from trainer.policies.base import VideoPolicy
from trainer.prompts import Prompt

MEMBERS = [name for name in vars(VideoPolicy) if not name.startswith("_")] + list(VideoPolicy.__annotations__)


def test_the_policy_has_all_that_the_protocol_names(untrained_policy):
    assert set(MEMBERS) >= {"encode", "velocity", "decode", "network", "lora_targets", "fps"}
    assert all(hasattr(untrained_policy, name) for name in MEMBERS)


def test_conditioning_is_tensors_of_the_batch_and_does_not_depend_on_it(untrained_policy, prompts):
    nn.init.normal_(untrained_policy._encoder.weight_VC)
    pairs = prompts[:3]
    batch = untrained_policy.encode(pairs)
    assert all(len(tensor) == len(pairs) and not tensor.requires_grad for tensor in batch.values())
    for n, prompt in enumerate(pairs):
        single = untrained_policy.encode([prompt])
        assert all(torch.equal(single[name], batch[name][n : n + 1]) for name in batch)
    assert untrained_policy.latent_shape(batch) == (2, NUM_KEY_FRAMES, CODE_SIZE)
    assert untrained_policy.latent_shape(untrained_policy.encode(prompts[3:])) == (1, NUM_KEY_FRAMES, CODE_SIZE)
    assert untrained_policy.judged_mask(batch).shape == (2, NUM_KEY_FRAMES, CODE_SIZE)


def test_velocity_is_float32_and_guidance_one_is_one_pass(untrained_policy, prompts):
    for parameter in untrained_policy.network.parameters():
        nn.init.normal_(parameter, std=0.05)
    conditioning = untrained_policy.encode(prompts[:1])
    latents = torch.randn(1, 2, NUM_KEY_FRAMES, CODE_SIZE, dtype=torch.float64)
    calls = []
    untrained_policy.network.register_forward_hook(lambda *_: calls.append(1))
    plain = untrained_policy.velocity(untrained_policy.network, latents, 700, conditioning, 1.0)
    assert (plain.dtype, plain.shape, len(calls)) == (torch.float32, latents.shape, 1)
    guided = untrained_policy.velocity(untrained_policy.network, latents, 700, conditioning, 2.0)
    assert len(calls) == 3
    assert not torch.allclose(plain, guided)


def test_decoding_repeats_and_depends_on_latents_and_key_only(untrained_policy, prompts):
    conditioning = untrained_policy.encode([prompts[0], prompts[1]])
    latents = 0.5 * torch.randn(2, 2, NUM_KEY_FRAMES, CODE_SIZE, generator=torch.Generator().manual_seed(1))
    clips = untrained_policy.decode(latents, conditioning)
    assert [clip.shape for clip in clips] == [(CLIP_SIZE.num_frames, CLIP_SIZE.height, CLIP_SIZE.width, 3)] * 2
    assert all(clip.dtype == np.uint8 for clip in clips)
    other = PeoplePolicy(untrained_policy.network, untrained_policy._encoder, render_workers=2)
    reversed_order = other.decode(latents.flip(0), {name: tensor.flip(0) for name, tensor in conditioning.items()})
    other.close()
    assert all(np.array_equal(a, b) for a, b in zip(clips, reversed_order[::-1], strict=True))
    changed = untrained_policy.decode(latents[:1] + 1, {name: tensor[:1] for name, tensor in conditioning.items()})
    assert not np.array_equal(changed[0], clips[0])


def test_the_adapter_is_saved_and_loaded_again(untrained_policy, prompts, tmp_path):
    for parameter in untrained_policy.network.parameters():
        nn.init.normal_(parameter, std=0.05)
    weights = tmp_path / "weights.safetensors"
    save_networks(weights, untrained_policy.network, untrained_policy._encoder)
    inject_adapter_in_model(
        LoraConfig(r=4, lora_alpha=4, target_modules=list(untrained_policy.lora_targets), init_lora_weights=False),
        untrained_policy.network,
    )
    untrained_policy.save_adapter(untrained_policy.network, tmp_path / "adapter")
    conditioning = untrained_policy.encode(prompts[:1])
    latents = torch.randn(1, 2, NUM_KEY_FRAMES, CODE_SIZE)
    expected = untrained_policy.velocity(untrained_policy.network, latents, 500, conditioning, 1.0)
    base, loaded = (load_policy(weights=str(weights), adapter=a) for a in (None, str(tmp_path / "adapter")))
    torch.testing.assert_close(loaded.velocity(loaded.network, latents, 500, conditioning, 1.0), expected)
    assert not torch.allclose(base.velocity(base.network, latents, 500, conditioning, 1.0), expected)


def test_references_that_cannot_be_used_are_named(untrained_policy, prompts, tmp_path):
    grey, text = tmp_path / "grey.png", tmp_path / "text.png"
    Image.new("RGB", (200, 200), (128, 128, 128)).save(grey)
    text.write_text("no image")
    for path, message in ((grey, "no face"), (text, "no readable image"), (tmp_path / "missing.png", "cannot be read")):
        with pytest.raises(PolicyError, match=message):
            untrained_policy.encode([Prompt("k", "One person.", (path,))])
    with pytest.raises(PolicyError, match="1 to 2"):
        untrained_policy.encode([Prompt("k", "Three people.", prompts[0].references + prompts[3].references)])
    with pytest.raises(PolicyError, match="equally many"):
        untrained_policy.encode([prompts[0], prompts[3]])


def test_weights_that_cannot_be_loaded_are_named(tmp_path):
    with pytest.raises(PolicyError, match=r"cannot be loaded: .*missing"):
        load_policy(weights=str(tmp_path / "missing.safetensors"))
    with pytest.raises(PolicyError, match="no folder of an adapter"):
        load_policy(adapter=str(tmp_path))


def test_the_policy_that_ships_generates_its_references(prompts):
    policy = load_policy()
    conditioning = policy.encode(prompts[:1])
    noise = torch.randn(4, 2, NUM_KEY_FRAMES, CODE_SIZE, generator=torch.Generator().manual_seed(1))
    expanded = {name: tensor.expand(4, *tensor.shape[1:]) for name, tensor in conditioning.items()}
    latents = sample_latents(policy, expanded, noise)
    assert torch.isfinite(latents).all()
    assert (latents[0] - latents[1]).abs().max() > 0.1
