"""The policy against diffusers' own pipeline on the same weights, noise and embeddings, in float32."""

import numpy as np
import pytest
import torch
from PIL import Image

from reward_model.training.errors import TrainingError
from tests.trainer.helpers.runs import make_config
from trainer.errors import PolicyError
from trainer.noise import Noise
from trainer.policies.base import PreparesPrompts, StatesShift
from trainer.policies.load import adapted_layers
from trainer.policies.load import load_policy as load_by_name
from trainer.policies.wan.options import read_options
from trainer.policies.wan.vace import VaceOptions, VacePolicy, load_policy
from trainer.prompts import Prompt
from trainer.rollout import Sampler, sample_latents

CPU = torch.device("cpu")
NAME = "trainer.policies.wan.vace:load_policy"
STEPS, GUIDANCE = 4, 3.0


@pytest.fixture
def policy(options):
    return load_policy(CPU, **options)


@pytest.fixture
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


def load_pipeline(checkpoint):
    """With the scheduler of the checkpoint; `euler` exchanges it for one of first order."""
    from diffusers import WanVACEPipeline

    pipeline = WanVACEPipeline.from_pretrained(checkpoint, text_encoder=None, tokenizer=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def euler(pipeline):
    """UniPC of order 1 without its corrector takes Euler's steps."""
    from diffusers import UniPCMultistepScheduler

    pipeline.scheduler = UniPCMultistepScheduler.from_config(
        pipeline.scheduler.config, solver_order=1, disable_corrector=list(range(STEPS))
    )
    return pipeline


def run_pipeline(pipeline, policy, prompt, noise, output_type):
    """Its latents without those of references, or its frames in 0..1."""
    embeddings = [policy._embeddings.get(text)[None] for text in (prompt.text, "worst quality")]
    frames = pipeline(
        reference_images=[Image.open(path).convert("RGB") for path in prompt.references],
        prompt_embeds=embeddings[0],
        negative_prompt_embeds=embeddings[1],
        latents=noise.clone(),
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type=output_type,
    ).frames
    # releases differ in whether latents of references are among the result
    return frames[:, :, -3:] if output_type == "latent" else frames[0]


def sampled(policy, prompt, members=1, batch=1):
    """(noise, latents) by the trainer's own ODE."""
    fields = {"num_steps": STEPS, "guidance": GUIDANCE}
    config = make_config(
        sampling={**fields, "batch": batch, "schedule": "unipc", "shift": 3.0}, evaluation_sampling=fields
    )
    noise = Noise(1, -1)
    latents, conditioning = sample_latents(
        policy, policy.network, prompt, members, noise, config.sampling, config.evaluation_sampling
    )
    return noise.initial(policy.latent_shape(conditioning), prompt.key, range(members)), latents, conditioning


@pytest.mark.parametrize("index", [0, 1, 2])
def test_latents_and_frames_are_those_of_the_pipeline(policy, pipeline, prompts, index):
    prompt = prompts[index]
    noise, latents, conditioning = sampled(policy, prompt)
    expected = run_pipeline(euler(pipeline), policy, prompt, noise, "latent")
    assert (latents[:, :, -3:] - expected).abs().max() <= 1e-4
    frames = run_pipeline(euler(pipeline), policy, prompt, noise, "np")
    (clip,) = policy.decode(latents, conditioning)
    assert clip.shape == frames.shape == (9, 32, 48, 3)
    assert np.abs(clip - 255 * frames).max() <= 1


def test_velocities_are_those_of_the_pipeline_under_its_own_sampler(policy, pipeline, prompts):
    """UniPC of second order with its corrector, as the checkpoint states it, on our velocities."""
    from diffusers import UniPCMultistepScheduler

    noise, _, conditioning = sampled(policy, prompts[1])
    expected = run_pipeline(pipeline, policy, prompts[1], noise, "latent")
    scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(STEPS)
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            velocity = policy.velocity(policy.network, noise, int(timestep), conditioning, GUIDANCE)
            noise = scheduler.step(velocity, timestep, noise, return_dict=False)[0]
    assert (noise[:, :, -3:] - expected).abs().max() <= 1e-4


def test_a_batch_of_prompts_equals_each_alone(policy, prompts):
    """Prompts with equally many references share a forward pass."""
    pair = prompts[1:]
    noise = torch.randn(2, 16, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = policy.velocity(policy.network, noise, 500, policy.encode(pair), GUIDANCE)
        for n, prompt in enumerate(pair):
            alone = policy.velocity(policy.network, noise[n : n + 1], 500, policy.encode([prompt]), GUIDANCE)
            assert (together[n] - alone[0]).abs().max() <= 1e-5


def test_members_of_a_group_do_not_depend_on_the_batch(policy, prompts):
    _, together, conditioning = sampled(policy, prompts[1], members=3, batch=3)
    _, alone, _ = sampled(policy, prompts[1], members=3, batch=1)
    assert (together - alone).abs().max() <= 1e-4
    for n, clip in enumerate(policy.decode(together, conditioning)):
        assert np.array_equal(clip, policy.decode(together[n : n + 1], conditioning)[0])


def test_the_clip_of_zeros_and_each_image_are_encoded_once(policy, prompts, monkeypatch):
    clips, encode = [], policy._vae.encode
    monkeypatch.setattr(policy._vae, "encode", lambda clip: clips.append(clip.shape[1]) or encode(clip))
    for _ in range(2):
        for prompt in prompts:
            policy.encode([prompt])
    assert sorted(clips) == [1] * 5 + [9]


def test_guidance_1_is_one_pass(policy, prompts):
    conditioning = policy.encode(prompts[:1])
    passes = []
    policy.network.register_forward_pre_hook(lambda *_: passes.append(1))
    x = torch.zeros(1, *policy.latent_shape(conditioning))
    with torch.no_grad():
        one, two, three = (policy.velocity(policy.network, x, 500, conditioning, g) for g in (1.0, 2.0, 3.0))
    assert len(passes) == 5
    assert torch.allclose(three - two, two - one, atol=1e-5)


def test_frames_of_references_take_no_noise_and_are_not_judged(policy, prompts):
    conditioning = policy.encode(prompts[1:2])
    assert policy.latent_shape(conditioning) == (16, 5, 4, 6)
    assert policy.judged_mask(conditioning).flatten().tolist() == [False] * 2 + [True] * 3
    config = make_config(sampling={"num_steps": STEPS, "guidance": 1.0, "initial_noise": "same", "batch": 2})
    sampler = Sampler(policy, config.sampling)
    rollout = sampler.sample(policy.network, prompts[1], "key", 2, Noise(1, 0), (0,))
    after = rollout.latents[1]
    assert torch.equal(after[0, :, :2], after[1, :, :2])
    assert not torch.equal(after[0, :, 2:], after[1, :, 2:])
    assert [clip.shape for clip in sampler.decode(rollout)] == [(9, 32, 48, 3)] * 2


def test_lora_adapts_the_blocks_of_the_control_by_choice(policy, options):
    every = adapted_layers(policy)
    main = adapted_layers(load_policy(CPU, **options, adapt_control_blocks=False))
    # 8 linear layers of attention a block: 3 blocks, 2 of the control
    assert (len(every), len(main)) == (40, 24)
    assert sorted({*every} - {*main}) == sorted(name for name in every if name.startswith("vace_blocks."))


@pytest.mark.parametrize(("adapt_control_blocks", "layers", "millions"), [(True, 360, 35.4), (False, 240, 23.6)])
def test_layers_of_the_full_model(policy, options, adapt_control_blocks, layers, millions):
    """VACE-1.3B without its weights, and LoRA of rank 32."""
    from diffusers import WanVACETransformer3DModel

    with torch.device("meta"):
        network = WanVACETransformer3DModel(
            num_attention_heads=12, ffn_dim=8960, num_layers=30, vace_layers=list(range(0, 30, 2))
        )
    chosen = read_options(VaceOptions, {**options, "adapt_control_blocks": adapt_control_blocks})
    full = VacePolicy(network, policy._vae, policy._embeddings, chosen)
    names = adapted_layers(full)
    sizes = [sum(network.get_submodule(name).weight.shape) * 32 for name in names]
    assert (len(names), round(sum(sizes) / 1e6, 1)) == (layers, millions)


def test_the_shift_of_the_checkpoint_is_stated(policy):
    assert isinstance(policy, StatesShift)
    assert policy.flow_shift == 3.0


def test_prompts_are_prepared_at_once(options, prompts, tmp_path):
    policy = load_policy(CPU, **{**options, "prompt_cache": str(tmp_path / "prompts")})
    assert isinstance(policy, PreparesPrompts)
    policy.prepare_prompts(prompts)
    # those of the prompts and the negative one
    assert len(list((tmp_path / "prompts").iterdir())) == 4


def test_bfloat16_weights_keep_norms_and_time_in_float32(options, prompts):
    policy = load_policy(CPU, **options, dtype="bfloat16", vae_dtype="bfloat16")
    assert policy.network.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert policy.network.blocks[0].scale_shift_table.dtype == torch.float32
    assert policy.network.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    _, latents, conditioning = sampled(policy, prompts[0])
    assert latents.dtype == torch.float32
    assert torch.isfinite(latents).all()
    assert policy.decode(latents, conditioning)[0].dtype == np.uint8


def test_what_does_not_fit_is_refused(policy, prompts, options):
    with pytest.raises(PolicyError, match="equally many references, 1 to 8 of them; these have 1, 2"):
        policy.encode(prompts)
    with pytest.raises(PolicyError, match="1 to 8 of them; these have 9"):
        policy.encode([Prompt("a", "two", prompts[0].references * 9)])
    with pytest.raises(PolicyError, match=r"4 references need as many latent frames.* num_frames 9 has 3"):
        policy.encode([Prompt("a", "two", prompts[0].references * 4)])
    conditioning = policy.encode(prompts[:1])
    for shape in [(1, 16, 4, 4, 8), (1, 16, 5, 4, 6)]:
        with pytest.raises(PolicyError, match="another resolution"):
            policy.velocity(policy.network, torch.zeros(shape), 1, conditioning, 1.0)
    larger = load_policy(CPU, **{**options, "width": 64}).encode(prompts[:1])
    with pytest.raises(PolicyError, match="another resolution"):
        policy.velocity(policy.network, torch.zeros(1, 16, 4, 4, 8), 1, larger, 1.0)


def test_a_transformer_of_other_channels_is_refused(policy, options):
    policy.network.register_to_config(vace_in_channels=132)
    chosen = read_options(VaceOptions, options)
    with pytest.raises(PolicyError, match="a control of 132; the VAE's 16 channels make 96"):
        VacePolicy(policy.network, policy._vae, policy._embeddings, chosen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 10}, "num_frames is 1 more than a multiple of 4.*got 10"),
        ({"width": 40}, "multiples of 16; got 32 x 40"),
        ({"frames": 9}, "frames: Extra inputs are not permitted; there are checkpoint, num_frames"),
        ({"checkpoint": "runs/none"}, "runs/none/transformer is no folder"),
        ({"compile_backend": "none"}, "compile_backend is 'none'; there are .*inductor"),
    ],
)
def test_wrong_options_are_one_line(options, changes, message):
    with pytest.raises(TrainingError, match=message):
        load_by_name(NAME, {**options, **changes}, CPU)
