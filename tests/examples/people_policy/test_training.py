import numpy as np
import pytest
import torch

from examples.people_policy.ground_truth import sample_codes
from examples.people_policy.network import REFERENCE_SIZE
from examples.people_policy.portraits import PortraitSet
from examples.people_policy.training import Schedule, reference_features, train_encoder, train_flow


@pytest.fixture(scope="module")
def portraits():
    """Colours of people instead of their pictures."""
    codes = sample_codes(4, 48)
    colours = ((codes[:, 67:70] / 5 + 0.45) * 255).clip(0, 255).astype(np.uint8)
    heads = np.broadcast_to(colours[:, None, None], (48, 64, 64, 3)).copy()
    embeddings = codes[:, :128] if codes.shape[1] >= 128 else np.pad(codes, ((0, 0), (0, 128 - codes.shape[1])))
    return PortraitSet(
        heads, (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32), codes
    )


def test_twenty_steps_lower_both_losses_and_repeat(portraits):
    encoder_losses, losses, repeated = [], [], []
    schedule = Schedule(steps=20, batch_size=16)
    encoder = train_encoder(portraits, schedule, 1, lambda _, loss: encoder_losses.append(loss))
    assert np.mean(encoder_losses[-5:]) < 0.95 * np.mean(encoder_losses[:5])
    features = reference_features(encoder, portraits)
    assert features.shape == (len(portraits), REFERENCE_SIZE)
    network = train_flow(features, portraits.codes_NC, schedule, 1, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])
    again = train_flow(features, portraits.codes_NC, schedule, 1, lambda _, loss: repeated.append(loss))
    assert losses == repeated
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_learning_rate_rises_and_falls_to_zero():
    schedule = Schedule(steps=100, batch_size=1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] < 0.25
    assert max(factors) > 0.95
    assert factors[-1] < 0.01
