import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from examples.people_policy.ground_truth import true_code
from examples.people_policy.network import (
    DEPTH,
    LORA_TARGETS,
    REFERENCE_SIZE,
    PeopleTransformer,
    PortraitEncoder,
)
from examples.people_policy.portrait_view import EMBEDDING_SIZE, FEATURES_SIZE
from reward_model.data.people.appearance.person_code import CODE_SIZE


@pytest.mark.parametrize("num_people", [1, 2])
def test_velocities_have_the_shape_of_the_latents(num_people):
    network = PeopleTransformer()
    latents = torch.randn(3, num_people, 4, CODE_SIZE)
    velocity = network(latents, torch.tensor([0.1, 0.5, 0.9]), torch.randn(3, num_people, REFERENCE_SIZE))
    assert velocity.shape == latents.shape
    assert velocity.dtype == torch.float32


def test_the_network_is_small():
    assert 1.0e6 < sum(p.numel() for p in PeopleTransformer().parameters()) < 1.6e6


def test_every_target_of_lora_is_a_linear_layer_of_every_block():
    network = PeopleTransformer()
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    for target in LORA_TARGETS:
        assert sum(name.endswith(f".{target}") for name in linear) == DEPTH
    inject_adapter_in_model(LoraConfig(r=4, target_modules=list(LORA_TARGETS)), network)
    assert sum("lora_A" in name for name, _ in network.named_parameters()) == DEPTH * len(LORA_TARGETS)


def test_a_sample_does_not_depend_on_the_others_of_its_batch():
    torch.manual_seed(0)
    network = PeopleTransformer()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    latents, references = torch.randn(3, 2, 4, CODE_SIZE), torch.randn(3, 2, REFERENCE_SIZE)
    time_B = torch.tensor([0.1, 0.5, 0.9])
    together = network(latents, time_B, references)
    alone = network(latents[1:2], time_B[1:2], references[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)
    assert together.std() > 0.01


def test_a_reference_is_the_estimate_and_the_face_embedding():
    encoder = PortraitEncoder()
    code = torch.from_numpy(true_code(1, "anna"))
    encoder.bias_C += code + 0.01
    features = torch.randn(3, FEATURES_SIZE)
    references = encoder(features)
    assert references.shape == (3, REFERENCE_SIZE)
    torch.testing.assert_close(references[:, :CODE_SIZE], code.expand(3, -1), atol=0.02, rtol=0)
    assert set(references[0, CODE_SIZE - 14 : CODE_SIZE].tolist()) <= {0.0, 2.0}
    torch.testing.assert_close(references[:, CODE_SIZE:], features[:, :EMBEDDING_SIZE] * EMBEDDING_SIZE**0.5)
