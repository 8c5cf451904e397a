from math import log

import numpy as np
import pytest
import torch

from reward_model.training.vision_pretraining.batches import token_shares
from reward_model.training.vision_pretraining.losses import matching_loss


def test_shares_of_tokens():
    """A box over the second column of two rows of tokens, and half of the third."""
    shares = token_shares(np.array([1 / 4, 0, 5 / 8, 1]), (1, 4, 8), mirrored=False).reshape(2, 4)
    assert shares.sum() == pytest.approx(1)
    assert np.allclose(shares[0], shares[1])
    # a full token counts 1, half of one 0.5 ** 1.5
    assert shares[0, 2] / shares[0, 1] == pytest.approx(0.5**1.5, rel=1e-3)
    assert shares[0, [0, 3]].max() < 1e-4
    mirrored = token_shares(np.array([1 / 4, 0, 5 / 8, 1]), (1, 4, 8), mirrored=True).reshape(2, 4)
    assert np.allclose(mirrored, shares[:, ::-1])


def test_matching_by_hand():
    """Two heads of two references, and a look-alike that nobody's picture shows."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, -50.0]])
    match = torch.tensor([0, 1, -1])
    heads = (log(1 + np.exp(-2)) + log(1 + np.exp(-1))) / 2
    references = (log(np.exp(2) + 1 + np.exp(1)) - 2 + log(1 + np.exp(1)) - 1) / 2
    assert matching_loss(logits, match).item() == pytest.approx((heads + references) / 2, rel=1e-5)


def test_several_heads_of_one_reference_are_all_right():
    logits = torch.tensor([[30.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    assert matching_loss(logits, torch.tensor([0, 0, 1])).item() == pytest.approx(0, abs=1e-6)


def test_nobody_matches():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = matching_loss(logits, torch.tensor([-1, -1]))
    loss.backward()
    assert loss.item() == 0
