"""The policy against a restatement of Phantom's own loop and against diffusers' pipeline for text, in float32."""

import numpy as np
import pytest
import torch
from PIL import Image

from reward_model.training.errors import TrainingError
from tests.trainer.helpers.phantom_loop import TEXT, Euler, encoded_references, load_vae, original, unipc
from tests.trainer.helpers.runs import make_config
from trainer.errors import PolicyError
from trainer.noise import Noise
from trainer.policies.base import PreparesPrompts, StatesShift
from trainer.policies.check import check_policy
from trainer.policies.load import adapted_layers
from trainer.policies.load import load_policy as load_by_name
from trainer.policies.wan.options import read_options
from trainer.policies.wan.phantom import PhantomOptions, PhantomPolicy, load_policy
from trainer.prompts import Prompt
from trainer.rollout import Sampler, expand, sample_latents

CPU = torch.device("cpu")
NAME = "trainer.policies.wan.phantom:load_policy"
STEPS = 4


@pytest.fixture
def policy(phantom_options):
    return load_policy(CPU, **phantom_options)


@pytest.fixture
def vae(t2v_checkpoint):
    return load_vae(t2v_checkpoint)


def sampled(policy, prompt, members=1, batch=1, guidance=TEXT, schedule="wan"):
    """(noise, latents, conditioning) by the trainer's own ODE."""
    fields = {"num_steps": STEPS, "guidance": guidance}
    config = make_config(
        sampling={**fields, "batch": batch, "schedule": schedule, "shift": 5.0}, evaluation_sampling=fields
    )
    noise = Noise(1, -1)
    latents, conditioning = sample_latents(
        policy, policy.network, prompt, members, noise, config.sampling, config.evaluation_sampling
    )
    return noise.initial(policy.latent_shape(conditioning), prompt.key, range(members)), latents, conditioning


def embedding(policy, text):
    return policy._embeddings.get(text)[None]


@pytest.fixture
def people(prompts):
    """Prompts with one, two and four references."""
    one, two, other = prompts
    return [one, two, Prompt("p4", "two people in the rain", two.references + other.references)]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_latents_are_those_of_the_original_loop(policy, phantom_transformer, vae, people, index, record_property):
    prompt = people[index]
    noise, latents, conditioning = sampled(policy, prompt)
    references = encoded_references(vae, prompt)
    assert (conditioning["references"] - references).abs().max() <= 1e-5
    texts = [embedding(policy, text) for text in (prompt.text, "worst quality")]
    expected = original(phantom_transformer, references, noise, *texts, Euler(STEPS))
    assert latents.shape == expected.shape == (1, 16, 3, 4, 6)
    deviation = float((latents - expected).abs().max())
    record_property("deviation", deviation)
    assert deviation <= 1e-4
    # the references count, and so does their order
    others = [references.roll(1, 4)] + ([references.flip(2)] if index else [])
    for other in others:
        assert (latents - original(phantom_transformer, other, noise, *texts, Euler(STEPS))).abs().max() > 1e-3


@pytest.mark.parametrize("index", [0, 2])
def test_velocities_are_those_of_the_original_under_its_own_sampler(policy, phantom_transformer, vae, people, index):
    prompt = people[index]
    noise, _, conditioning = sampled(policy, prompt)
    texts = [embedding(policy, text) for text in (prompt.text, "worst quality")]
    expected = original(phantom_transformer, encoded_references(vae, prompt), noise, *texts, unipc(STEPS))
    scheduler, latents = unipc(STEPS), noise
    with torch.no_grad():
        for t in scheduler.timesteps:
            velocity = policy.velocity(policy.network, latents, int(t), conditioning, TEXT)
            latents = scheduler.step(velocity, t, latents, return_dict=False)[0]
    assert (latents - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("guidance", [1.0, TEXT])
def test_without_references_it_is_wan_for_text(policy, phantom_transformer, t2v_checkpoint, guidance):
    """diffusers' own pipeline with Phantom's weights, and UniPC that takes Euler's steps."""
    from diffusers import UniPCMultistepScheduler, WanPipeline

    pipeline = WanPipeline.from_pretrained(
        t2v_checkpoint, transformer=phantom_transformer, text_encoder=None, tokenizer=None
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = UniPCMultistepScheduler.from_config(
        pipeline.scheduler.config, flow_shift=5.0, solver_order=1, disable_corrector=list(range(STEPS))
    )
    prompt = Prompt("text", "two people walk in the rain", ())
    noise, latents, conditioning = sampled(policy, prompt, guidance=guidance, schedule="unipc")

    def run(output_type):
        return pipeline(
            prompt_embeds=embedding(policy, prompt.text),
            negative_prompt_embeds=embedding(policy, "worst quality"),
            latents=noise.clone(),
            height=32,
            width=48,
            num_frames=9,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            output_type=output_type,
        ).frames

    assert (latents - run("latent")).abs().max() <= 1e-4
    (clip,) = policy.decode(latents, conditioning)
    assert np.abs(clip - 255 * run("np")[0]).max() <= 1


def test_a_batch_of_prompts_equals_each_alone(policy, prompts):
    """Prompts with equally many references share a forward pass."""
    pair = prompts[1:]
    noise = torch.randn(2, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = policy.velocity(policy.network, noise, 500, policy.encode(pair), TEXT)
        for n, prompt in enumerate(pair):
            alone = policy.velocity(policy.network, noise[n : n + 1], 500, policy.encode([prompt]), TEXT)
            assert (together[n] - alone[0]).abs().max() <= 1e-4


def test_members_of_a_group_do_not_depend_on_the_batch(policy, prompts):
    _, together, conditioning = sampled(policy, prompts[1], members=3, batch=3)
    _, alone, _ = sampled(policy, prompts[1], members=3, batch=1)
    assert (together - alone).abs().max() <= 1e-4
    for n, clip in enumerate(policy.decode(together, expand(conditioning, 3))):
        assert np.array_equal(clip, policy.decode(together[n : n + 1], conditioning)[0])


@pytest.mark.parametrize(("guidance", "image_guidance", "passes"), [(1.0, 5.0, 1), (2.0, 1.0, 2), (2.0, 5.0, 3)])
def test_passes_that_add_nothing_are_left_out(phantom_options, prompts, guidance, image_guidance, passes):
    policy = load_policy(CPU, **phantom_options, image_guidance=image_guidance)
    conditioning, x, counted = policy.encode(prompts[:1]), torch.ones(1, 16, 3, 4, 6), []
    policy.network.register_forward_pre_hook(lambda *_: counted.append(1))
    with torch.no_grad():
        policy.velocity(policy.network, x, 500, conditioning, guidance)
    assert len(counted) == passes


def test_an_image_guidance_of_1_is_the_limit_of_the_formula(phantom_options, prompts):
    """It leaves the third pass out."""
    velocities = []
    for scale in (1.0, 1.0 + 1e-6):
        policy = load_policy(CPU, **phantom_options, image_guidance=scale)
        conditioning = policy.encode(prompts[:1])
        with torch.no_grad():
            velocities.append(policy.velocity(policy.network, torch.ones(1, 16, 3, 4, 6), 500, conditioning, TEXT))
    assert (velocities[0] - velocities[1]).abs().max() <= 1e-4


def test_references_are_no_part_of_the_latents(policy, prompts):
    """So that they take no part in noise, log-probabilities, KL and decoding; they are the same at every step."""
    conditioning = policy.encode(prompts[1:2])
    assert conditioning["references"].shape == (1, 16, 2, 4, 6)
    assert policy.latent_shape(conditioning) == (16, 3, 4, 6)
    assert policy.judged_mask(conditioning).all()
    inputs = []
    policy.network.register_forward_pre_hook(
        lambda _, args, kwargs: inputs.append(kwargs["hidden_states"]), with_kwargs=True
    )
    config = make_config(sampling={"num_steps": STEPS, "guidance": TEXT, "batch": 2})
    sampler = Sampler(policy, config.sampling)
    rollout = sampler.sample(policy.network, prompts[1], "key", 2, Noise(1, 0), (0, 1))
    frames = [x[:, :, 3:] for x in inputs]
    for both, image, neither in zip(frames[::3], frames[1::3], frames[2::3], strict=True):
        for appended in (both, image):
            assert torch.equal(appended, conditioning["references"].expand(2, -1, -1, -1, -1))
        assert not neither.any()
    assert [clip.shape for clip in sampler.decode(rollout)] == [(9, 32, 48, 3)] * 2


def test_transparency_is_dropped(policy, prompts, tmp_path):
    """The colours under it count, and not those of a background."""
    image = Image.open(prompts[0].references[0])
    image.putalpha(0)
    image.save(tmp_path / "transparent.png")
    prompt = Prompt("a", prompts[0].text, (tmp_path / "transparent.png",))
    with_alpha, without = (policy.encode([p])["references"] for p in (prompt, prompts[0]))
    assert torch.equal(with_alpha, without)


def test_layers_of_the_full_model(policy, phantom_options):
    """Phantom-1.3B without its weights, and LoRA of rank 32."""
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        network = WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30)
    full = PhantomPolicy(network, policy._vae, policy._embeddings, read_options(PhantomOptions, phantom_options))
    names = adapted_layers(full)
    sizes = [sum(network.get_submodule(name).weight.shape) * 32 for name in names]
    assert (len(names), round(sum(sizes) / 1e6, 1)) == (240, 23.6)


def test_the_shift_is_that_of_phantom_and_not_of_the_folder(policy):
    assert isinstance(policy, StatesShift)
    assert policy.flow_shift == 5.0


def test_a_run_accepts_its_prompts(policy, prompts):
    check_policy(policy, prompts)


def test_prompts_are_prepared_at_once(phantom_options, prompts, tmp_path):
    policy = load_policy(CPU, **{**phantom_options, "prompt_cache": str(tmp_path / "prompts")})
    assert isinstance(policy, PreparesPrompts)
    policy.prepare_prompts(prompts)
    # those of the prompts and the negative one
    assert len(list((tmp_path / "prompts").iterdir())) == 4


def test_bfloat16_keeps_norms_in_float32(phantom_options, prompts):
    policy = load_policy(CPU, **phantom_options, dtype="bfloat16")
    assert {p.dtype for p in policy.network.parameters()} == {torch.bfloat16, torch.float32}
    _, latents, conditioning = sampled(policy, prompts[0])
    assert latents.dtype == torch.float32
    assert policy.decode(latents, conditioning)[0].dtype == np.uint8


def test_what_does_not_fit_is_refused(policy, prompts, phantom_options, tmp_path):
    with pytest.raises(PolicyError, match="equally many references, at most 4; these have 1, 2"):
        policy.encode(prompts)
    with pytest.raises(PolicyError, match="at most 4; these have 5"):
        policy.encode([Prompt("a", "two", prompts[0].references * 5)])
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(PolicyError, match=r"the reference .*a.png can't be used"):
        policy.encode([Prompt("a", "two", (tmp_path / "a.png",))])
    with pytest.raises(PolicyError, match=r"the reference .*b.png can't be read"):
        policy.encode([Prompt("a", "two", (tmp_path / "b.png",))])
    conditioning = policy.encode(prompts[:1])
    for shape in [(1, 16, 3, 4, 8), (1, 16, 4, 4, 6)]:
        with pytest.raises(PolicyError, match="another resolution"):
            policy.velocity(policy.network, torch.zeros(shape), 1, conditioning, 1.0)
    larger = load_policy(CPU, **{**phantom_options, "width": 64}).encode(prompts[:1])
    with pytest.raises(PolicyError, match="another resolution"):
        policy.velocity(policy.network, torch.zeros(1, 16, 3, 4, 6), 1, larger, 1.0)


def test_a_transformer_of_other_channels_is_refused(policy, phantom_options):
    policy.network.register_to_config(in_channels=36)
    with pytest.raises(PolicyError, match="latents of 36 channels; the VAE makes 16"):
        PhantomPolicy(policy.network, policy._vae, policy._embeddings, read_options(PhantomOptions, phantom_options))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 10}, "num_frames is 1 more than a multiple of 4.*got 10"),
        ({"width": 40}, "multiples of 16; got 32 x 40"),
        ({"reference_order": "vace"}, "reference_order: Extra inputs are not permitted; there are checkpoint"),
        ({"checkpoint": "runs/none"}, "runs/none/transformer is no folder"),
        ({"weights": "runs/none.pth"}, "the weights runs/none.pth can't be read"),
        ({"compile_backend": "none"}, "compile_backend is 'none'; there are .*inductor"),
    ],
)
def test_wrong_options_are_one_line(phantom_options, changes, message):
    with pytest.raises(TrainingError, match=message):
        load_by_name(NAME, {**phantom_options, **changes}, CPU)
