import numpy as np
import pytest
import torch

from tests.trainer.helpers.runs import make_config
from tests.trainer.helpers.toy_policy import ToyPolicy, make_prompts
from trainer.configs.sampling import WindowConfig
from trainer.noise import Noise
from trainer.policies.adapters import add_lora
from trainer.rollout import Sampler, chunks, sample_clips, trained_steps


@pytest.fixture(scope="module")
def prompt(tmp_path_factory):
    return make_prompts(tmp_path_factory.mktemp("references"), 1)[0]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def sampler_of(**fields):
    return Sampler(ToyPolicy(), make_config(**fields).sampling, keep_means=True)


def sampled(prompt, window=(0, 1, 2, 3, 4), size=4, noise=Noise(1, 0), key="key", **fields):
    sampler = sampler_of(**fields)
    return sampler.sample(sampler.policy.network, prompt, key, size, noise, window)


def test_no_two_members_are_equal(prompt):
    assert len(np.unique(sampled(prompt, size=8).final.numpy(), axis=0)) == 8


def test_members_with_the_same_initial_noise_are_as_different_as_their_steps(prompt):
    rollout = sampled(prompt, sampling__initial_noise="same")
    assert torch.equal(rollout.latents[0], rollout.latents[0][:1].expand(4, -1))
    assert len(np.unique(rollout.final.numpy(), axis=0)) == 4


def test_without_noise_members_of_the_same_initial_noise_are_equal(prompt):
    rollout = sampled(prompt, window=(), sampling__initial_noise="same")
    assert torch.allclose(rollout.final, rollout.final[:1].expand(4, -1), atol=1e-6)


def test_samples_depend_on_neither_the_micro_batch_nor_the_rest_of_the_group(prompt):
    whole = sampled(prompt, size=6, sampling__batch=6)
    for batch in (1, 4):
        assert torch.allclose(sampled(prompt, size=6, sampling__batch=batch).final, whole.final, atol=1e-5)
    assert torch.allclose(sampled(prompt, size=3, sampling__batch=3).final, whole.final[:3], atol=1e-5)


def test_only_the_window_is_stored(prompt):
    rollout = sampled(prompt, window=(2, 3))
    assert sorted(rollout.latents) == [2, 3, 4]
    assert sorted(rollout.log_probs) == sorted(rollout.means) == [2, 3]
    assert sampled(prompt, window=()).latents == {}


def test_steps_outside_the_window_add_no_noise(prompt):
    """Up to the window, samples are those of the ODE, whatever the noise of steps."""
    ode, windowed = sampled(prompt, window=()), sampled(prompt, window=(3,))
    sampler = sampler_of()
    conditioning = sampler.policy.encode([prompt])
    x = Noise(1, 0).initial((33,), "key", range(4))
    for step in range(3):
        repeated = {"codes": conditioning["codes"].expand(4, -1, -1)}
        x = sampler.transition(sampler.policy.network, x, step, repeated, windowed.mask, "ode").mean
    assert torch.allclose(windowed.latents[3], x, atol=1e-5)
    assert not torch.allclose(windowed.final, ode.final, atol=1e-2)


def test_stored_transitions_have_the_log_probabilities_and_means_that_an_update_computes(prompt):
    sampler = sampler_of()
    rollout = sampler.sample(sampler.policy.network, prompt, "key", 4, Noise(1, 0), (1, 2))
    for step in (1, 2):
        repeated = {"codes": rollout.conditioning["codes"].expand(4, -1, -1)}
        result = sampler.transition(sampler.policy.network, rollout.latents[step], step, repeated, rollout.mask)
        assert torch.equal(result.mean, rollout.means[step])
        error = (rollout.latents[step + 1] - result.mean)[:, rollout.mask] / result.std
        assert torch.allclose(
            rollout.log_probs[step], (-(error**2) / 2).mean(1) - np.log(result.std) - np.log(2 * np.pi) / 2, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stored_latents_take_the_round_trip_through_their_dtype(prompt, dtype):
    """Sampling goes on from the stored values, so that log-probabilities are of the same values."""
    rollout = sampled(prompt, sampling__storage_dtype=str(dtype).removeprefix("torch."))
    assert {latents.dtype for latents in rollout.latents.values()} == {dtype}
    noisy = rollout.latents[3].float()
    error = (noisy - rollout.means[2])[:, rollout.mask]
    std = (rollout.means[2] - rollout.latents[2].float()).std()
    assert error.abs().mean() < 3 * std
    sampler = sampler_of()
    repeated = {"codes": rollout.conditioning["codes"].expand(4, -1, -1)}
    again = sampler.transition(sampler.policy.network, rollout.latents[3].float(), 3, repeated, rollout.mask)
    assert torch.equal(again.mean, rollout.means[3])


def test_latents_that_are_not_decoded_take_no_noise(prompt):
    """The toy's last latent, as that of a reference frame: with the same initial noise it is the same at first."""
    rollout = sampled(prompt, window=(0,), sampling__initial_noise="same")
    after = rollout.latents[1]
    assert torch.allclose(after[:, -1], after[:1, -1].expand(4), atol=1e-6)
    assert len(torch.unique(after[:, 0])) == 4


def test_a_noisy_last_step_is_for_compatibility(prompt):
    plain, noisy = sampled(prompt), sampled(prompt, sampling__noisy_last_step=True)
    assert torch.equal(plain.latents[5], noisy.latents[5])
    difference = (noisy.final - plain.final)[:, :-1].std()
    assert difference > 0.05
    assert noisy.window == (0, 1, 2, 3, 4)


def test_clips_are_uint8_frames(prompt):
    sampler = sampler_of()
    rollout = sampler.sample(sampler.policy.network, prompt, "key", 5, Noise(1, 0), ())
    clips = sampler.decode(rollout)
    assert [(clip.shape, clip.dtype) for clip in clips] == [((2, 2, 8, 3), np.uint8)] * 5


def test_evaluation_clips_are_the_same_for_the_same_noise(prompt):
    config = make_config(sampling__batch=2)
    policy = ToyPolicy()

    def clips(seed=1):
        sampling = config.sampling, config.evaluation_sampling
        return sample_clips(policy, policy.network, prompt, 3, Noise(seed, -1), *sampling)

    first, again, other = clips(), clips(), clips(seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])


def test_lora_changes_nothing_before_it_is_trained(prompt):
    plain, sampler = sampled(prompt), sampler_of()
    add_lora(sampler.policy.network, sampler.policy.lora_targets, 4, 4, seed=0)
    with_lora = sampler.sample(sampler.policy.network, prompt, "key", 4, Noise(1, 0), plain.window)
    assert torch.equal(with_lora.final, plain.final)


@pytest.mark.parametrize(
    ("window", "steps"),
    [
        ({"kind": "all"}, [(0, 1, 2, 3, 4, 5, 6, 7, 8)] * 6),
        ({"kind": "fixed", "first": 1, "size": 3}, [(1, 2, 3)] * 6),
        (
            {"kind": "progressive", "first": 1, "size": 4, "stride": 2, "every": 2},
            [(1, 2, 3, 4)] * 2 + [(3, 4, 5, 6)] * 2 + [(5, 6, 7, 8)] * 2 + [(1, 2, 3, 4)] * 2,
        ),
    ],
)
def test_windows(window, steps):
    assert [trained_steps(WindowConfig(**window), 10, 0, n) for n in range(len(steps))] == steps


def test_random_windows_start_anywhere_but_at_the_last_step():
    window = WindowConfig(kind="random", first=1, size=3)
    starts = [trained_steps(window, 10, 0, n)[0] for n in range(200)]
    assert set(starts) == set(range(1, 7))
    assert starts == [trained_steps(window, 10, 0, n)[0] for n in range(200)]


def test_chunks_cover_everything_once():
    assert [list(part) for part in chunks(5, 2)] == [[0, 1], [2, 3], [4]]
