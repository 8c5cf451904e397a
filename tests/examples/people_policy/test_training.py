import numpy as np
import pytest
import torch

from examples.people_policy.ground_truth import sample_codes
from examples.people_policy.network import REFERENCE_SIZE
from examples.people_policy.portrait_view import FEATURES_SIZE
from examples.people_policy.portraits import PortraitSet
from examples.people_policy.training import Schedule, fit_encoder, train_flow
from reward_model.data.people.appearance.person_code import CODE_SIZE


@pytest.fixture(scope="module")
def portraits():
    """Features that hold a code of ten numbers under noise."""
    rng = np.random.default_rng(0)
    codes = sample_codes(4, 120)
    features = rng.standard_normal((120, FEATURES_SIZE)) + 3 * codes[:, :10] @ rng.standard_normal((10, FEATURES_SIZE))
    return PortraitSet(features.astype(np.float32), codes)


def test_estimates_of_portraits_are_made_without_them(portraits):
    shown, new = portraits.part(0, 100), portraits.part(100, 120)
    encoder, references = fit_encoder(shown)
    errors = np.square(references[:, :10].numpy() - shown.codes_NC[:, :10]).mean()
    errors_new = np.square(encoder(torch.from_numpy(new.features_NV))[:, :10].numpy() - new.codes_NC[:, :10]).mean()
    assert errors < 0.2
    assert 0.5 < errors / errors_new < 2
    refitted, _ = fit_encoder(PortraitSet(shown.features_NV[1:], shown.codes_NC[1:]))
    left_out = refitted(torch.from_numpy(shown.features_NV[:1]))
    torch.testing.assert_close(left_out[:, :10], references[:1, :10], atol=0.15, rtol=0)


def test_twenty_steps_lower_the_loss_and_repeat(portraits):
    losses, repeated = [], []
    schedule = Schedule(steps=20, batch_size=64, learning_rate=3e-3)
    _, references = fit_encoder(portraits)
    assert references.shape == (len(portraits), REFERENCE_SIZE)
    network = train_flow(references, portraits.codes_NC, schedule, 1, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])
    again = train_flow(references, portraits.codes_NC, schedule, 1, lambda _, loss: repeated.append(loss))
    assert losses == repeated
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert network.code_out.weight.shape[0] == CODE_SIZE


def test_the_learning_rate_rises_and_falls_to_zero():
    schedule = Schedule(steps=100, batch_size=1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] < 0.25
    assert max(factors) > 0.95
    assert factors[-1] < 0.01
