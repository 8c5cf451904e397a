import pytest
import torch

from trainer.algorithm.loss import StepNoise, StepValues, kl, policy_loss
from trainer.algorithm.sde import log_prob

STD, D = 0.3, -0.04


def values(mean, sample, mask=None):
    return StepValues(log_prob(sample, mean, STD, mask), mean)


def noisy(count=4, size=50, seed=0):
    rng = torch.Generator().manual_seed(seed)
    old, noise, shift = (torch.randn(count, size, generator=rng) for _ in range(3))
    return old, noise, 0.1 * shift


@pytest.mark.parametrize("name", ["clip", "guard"])
def test_the_same_policy_has_ratio_1_and_the_gradient_of_the_advantage(name):
    old, noise, _ = noisy()
    sample, advantages = old + STD * noise, torch.tensor([1.0, -2.0, 0.5, 0.0])
    mean = old.clone().requires_grad_()
    result = policy_loss(name)(values(mean, sample), values(old, sample), advantages, StepNoise(STD, D), 1e-3)
    assert result.ratio.tolist() == [1.0] * 4
    assert not result.clipped.any()
    result.loss.sum().backward()
    # the gradient of log p by the mean is noise / std, and a mean over dimensions; guard scales it by std / -d
    scale = 1 / STD if name == "clip" else 1 / -D
    assert torch.allclose(mean.grad, -advantages[:, None] * noise * scale / old.shape[1], atol=1e-6)


def test_clip_is_equation_8():
    log_ratio = torch.tensor([0.05, 0.05, -0.05, -0.05, 0.0005])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    empty = torch.zeros(5, 1)
    result = policy_loss("clip")(
        StepValues(log_ratio, empty), StepValues(torch.zeros(5), empty), advantages, StepNoise(STD, D), 0.01
    )
    ratio = log_ratio.exp()
    expected = -torch.minimum(ratio * advantages, ratio.clamp(0.99, 1.01) * advantages)
    assert torch.equal(result.loss, expected)
    assert result.clipped.tolist() == [True, False, False, True, False]


def test_a_clipped_sample_has_no_gradient():
    log_ratio = torch.tensor([0.05, -0.05], requires_grad=True)
    old = StepValues(torch.zeros(2), torch.zeros(2, 1))
    result = policy_loss("clip")(
        StepValues(log_ratio, torch.zeros(2, 1)), old, torch.tensor([1.0, 1.0]), StepNoise(STD, D), 0.01
    )
    result.loss.sum().backward()
    assert log_ratio.grad[0] == 0
    assert log_ratio.grad[1] < 0


def test_guard_ratios_are_the_mean_of_noise_times_shift():
    old, noise, shift = noisy()
    sample = old + STD * noise
    result = policy_loss("guard")(
        values(old + shift, sample), values(old, sample), torch.ones(4), StepNoise(STD, D), 10.0
    )
    assert torch.allclose(result.ratio.log(), (noise * shift).mean(1), atol=1e-5)
    assert torch.allclose(result.loss, -result.ratio / -D, atol=1e-4)


def test_guard_ratios_are_not_biased_and_clip_ratios_are():
    rng = torch.Generator().manual_seed(0)
    old, shift = torch.zeros(20_000, 8), 0.2
    sample = old + STD * torch.randn(old.shape, generator=rng)
    args = values(old + shift, sample), values(old, sample), torch.ones(len(old)), StepNoise(STD, D), 10.0
    assert policy_loss("guard")(*args).ratio.log().mean().item() == pytest.approx(0, abs=2e-3)
    assert policy_loss("clip")(*args).ratio.log().mean().item() == pytest.approx(-(shift**2) / (2 * STD**2), rel=0.05)


@pytest.mark.parametrize("name", ["clip", "guard"])
def test_dimensions_that_do_not_count_have_no_influence(name):
    old, noise, shift = noisy()
    mask = torch.arange(50) < 20
    sample = old + STD * noise
    other = torch.where(mask, old + shift, 7.0)

    def loss(mean):
        args = values(mean, sample, mask), values(old, sample, mask), torch.ones(4), StepNoise(STD, D, mask), 0.5
        return policy_loss(name)(*args).loss

    assert torch.allclose(loss(other), loss(old + shift), atol=1e-6)


def test_kl_is_that_of_normal_distributions_and_has_a_gradient():
    old, _, shift = noisy()
    mean = (old + shift).requires_grad_()
    divergence = kl(mean, old, StepNoise(STD, D))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(old + shift, STD), normal(old, STD)).mean(1)
    assert torch.allclose(divergence, expected, atol=1e-6)
    divergence.sum().backward()
    assert torch.allclose(mean.grad, shift / STD**2 / 50, atol=1e-6)


def test_an_unknown_loss_is_an_error():
    with pytest.raises(ValueError, match="loss is 'ppo'; there are clip, guard"):
        policy_loss("ppo")
