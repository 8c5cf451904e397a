import pytest

from reward_model.registry import load_scorer


@pytest.fixture(scope="module")
def tiny():
    scorer = load_scorer("tiny")
    scorer.warm_up()
    return scorer


def test_info_states_that_rewards_are_meaningless(tiny):
    assert not tiny.info.meaningful
    assert "mean nothing" in tiny.info.description
    assert tiny.info.domain == "none"
    assert tiny.info.num_parameters < 1_000_000
    assert tiny.info.frame_sampling.indices(33, 10.0) == (0, 11, 21, 32)


def test_weights_are_the_same_on_every_machine(tiny):
    assert tiny.info.fingerprint == load_scorer("tiny").info.fingerprint
    assert tiny.model.config.weights_sha256 == WEIGHTS


WEIGHTS = "e5a84865c560e75662b0d72822bb75ecc463d3a248bace03c294fb941a550a14"
