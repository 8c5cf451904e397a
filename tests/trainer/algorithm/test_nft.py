import pytest
import torch

from trainer.algorithm.nft import nft_loss, noised, optimality

SIGMA, SIZE = 0.6, 40


def case(seed=0):
    rng = torch.Generator().manual_seed(seed)
    clean, noise, error = (torch.randn(3, SIZE, generator=rng) for _ in range(3))
    return clean, noised(clean, noise, SIGMA), noise - clean, 0.1 * error


def test_optimality_is_half_for_advantage_0_and_saturates():
    assert optimality(torch.tensor([-9.0, -5.0, 0.0, 2.5, 9.0]), 5.0).tolist() == [0.0, 0.0, 0.5, 0.75, 1.0]


def test_a_good_sample_with_beta_1_has_the_flow_matching_loss():
    clean, latents, exact, error = case()
    good = torch.ones(3)
    assert nft_loss(exact, exact, clean, latents, SIGMA, good, 1.0).abs().max() < 1e-5
    loss = nft_loss(exact + error, exact, clean, latents, SIGMA, good, 1.0)
    # squared error of the clean latents over their mean absolute error
    expected = (SIGMA * error).square().mean(1) / (SIGMA * error).abs().mean(1)
    assert torch.allclose(loss, expected, atol=1e-5)


@pytest.mark.parametrize(("good", "sign"), [(1.0, -1), (0.0, 1)])
def test_a_step_on_the_loss_moves_towards_good_samples_and_away_from_bad_ones(good, sign):
    clean, latents, exact, error = case()
    old = exact + error
    velocity = old.clone().requires_grad_()
    nft_loss(velocity, old, clean, latents, SIGMA, torch.full((3,), good), 0.5).sum().backward()
    after = old - 0.01 * velocity.grad
    distance = ((after - exact).square().mean() - error.square().mean()).item()
    assert distance * sign > 0


def test_advantage_0_trains_nothing_at_the_old_policy():
    clean, latents, exact, error = case()
    old = exact + error
    velocity = old.clone().requires_grad_()
    nft_loss(velocity, old, clean, latents, SIGMA, torch.full((3,), 0.5), 1.0).sum().backward()
    assert velocity.grad.abs().max() < 1e-6


def test_dimensions_that_do_not_count_have_no_influence():
    clean, latents, exact, error = case()
    mask = torch.arange(SIZE) < 10
    args = clean, latents, SIGMA, torch.full((3,), 0.7), 0.5, mask
    other = torch.where(mask, exact + error, 100.0)
    assert torch.allclose(nft_loss(other, exact, *args), nft_loss(exact + error, exact, *args), atol=1e-6)
