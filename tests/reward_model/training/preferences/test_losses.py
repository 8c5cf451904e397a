import numpy as np
import pytest
import torch

from identity_reward_client.preference import probabilities
from reward_model.training.preferences.losses import BradleyTerryWithTies, preference_loss

LABELS = torch.tensor([1, 0, -1])


def test_golden_values_at_equal_rewards():
    loss = preference_loss("btt")(torch.zeros(3), LABELS)
    torch.testing.assert_close(loss, torch.tensor([1.7918, 0.4055, 1.7918]), atol=5e-5, rtol=0)


@pytest.mark.parametrize("theta", [1.5, 5.0, 40.0])
def test_loss_is_the_negative_log_likelihood(theta):
    d = torch.linspace(-9, 9, 37, dtype=torch.float64)
    loss = BradleyTerryWithTies(theta)
    p_a, p_tie, p_b = probabilities(d.numpy(), theta)
    for label, probability in ((1, p_a), (0, p_tie), (-1, p_b)):
        values = loss(d, torch.full_like(d, label))
        np.testing.assert_allclose(np.exp(-values.numpy()), probability, rtol=1e-12)


def test_bt_and_margin_losses_of_ties_are_zero():
    d = torch.tensor([2.0, 2.0, 2.0])
    for kind, margin in (("bt", 0.0), ("margin", 0.57)):
        loss = preference_loss(kind)
        assert not loss.learns_from_ties
        expected = [np.log1p(np.exp(-(2 - margin))), 0.0, np.log1p(np.exp(2 + margin))]
        torch.testing.assert_close(loss(d, LABELS), torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("kind", ["btt", "bt", "margin"])
def test_gradients_equal_finite_differences(kind):
    d = torch.tensor([-3.0, -0.4, 0.0, 0.7, 5.0], dtype=torch.float64, requires_grad=True)
    for label in (-1, 0, 1):
        labels = torch.full((5,), label)
        assert torch.autograd.gradcheck(lambda x, labels=labels: preference_loss(kind)(x, labels), (d,))


@pytest.mark.parametrize("kind", ["btt", "bt", "margin"])
def test_losses_and_gradients_of_extreme_differences_are_finite(kind):
    d = torch.tensor([-1e4, 1e4] * 3, requires_grad=True)
    loss = preference_loss(kind)(d, torch.tensor([1, 1, 0, 0, -1, -1]))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(d.grad).all()
    # a decided pair with the wrong order has a gradient of magnitude 1
    assert d.grad[0] == pytest.approx(-1)
    assert d.grad[5] == pytest.approx(1)


@pytest.mark.parametrize("theta", [1.0, 0.5, float("nan"), float("inf")])
def test_theta_at_most_one_or_not_finite_is_refused(theta):
    with pytest.raises(ValueError, match="above 1"):
        BradleyTerryWithTies(theta)
