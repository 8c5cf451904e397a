import pytest
import torch

from tests.support.paths import EXAMPLES
from trainer.errors import PolicyError
from trainer.policies.load import load_policy
from trainer.prompts import Prompt, read_prompts

CPU = torch.device("cpu")
NAME = "trainer.policies.tiny:load"


@pytest.fixture
def policy():
    return load_policy(NAME, {"width": 8}, CPU)


def prompt(*names):
    return Prompt("a", "x", tuple(EXAMPLES / f"references/{name}.jpg" for name in names))


def test_the_prompts_of_the_examples_fit(policy):
    for example in read_prompts(EXAMPLES / "prompts.jsonl"):
        assert policy.encode([example])["references"].shape == (1, len(example.references), 192)


def test_velocity_depends_on_references_and_their_order(policy):
    x = torch.randn(2, *policy.latent_shape({}), generator=torch.Generator().manual_seed(1))
    a, b, swapped = (
        policy.velocity(policy.network, x, 500, policy.encode([prompt(*names)] * 2), 1.0)
        for names in (("anna",), ("bea", "anna"), ("anna", "bea"))
    )
    assert a.shape == x.shape
    assert not torch.allclose(a, b)
    assert not torch.allclose(b, swapped)


def test_guidance_moves_away_from_no_references(policy):
    x, conditioning = torch.zeros(1, *policy.latent_shape({})), policy.encode([prompt("anna")])
    none, one, two = (policy.velocity(policy.network, x, 500, conditioning, guidance) for guidance in (0, 1, 2))
    torch.testing.assert_close(two - one, one - none)


def test_a_clip_has_a_tile_for_each_latent(policy):
    [dark, light] = policy.decode(torch.stack([torch.full(policy.latent_shape({}), v) for v in (-9.0, 9.0)]), {})
    assert dark.shape == (4, 48, 64, 3)
    assert (dark.max(), light.min()) == (0, 255)


def test_weights_follow_from_the_seed():
    first, same, other = (load_policy(NAME, {"seed": seed}, CPU).network.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_too_many_references_are_refused(policy):
    with pytest.raises(PolicyError, match="1 to 3 of them"):
        policy.encode([prompt("anna", "bea", "carl", "anna")])
