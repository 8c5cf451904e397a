import json

import pytest
import torch

from tests.trainer.helpers.toy_policy import ToyPolicy
from trainer.errors import PolicyError
from trainer.policies.adapters import add_lora, base_weights, is_adapter, load_peft, save_peft


def adapted(seed=0, rank=4, trained=True):
    network = ToyPolicy().network
    add_lora(network, ToyPolicy.lora_targets, rank, 2 * rank, seed)
    if trained:
        torch.manual_seed(seed)
        for name, parameter in network.named_parameters():
            if is_adapter(name):
                parameter.data.normal_(std=0.1)
    return network


def outputs(network):
    rng = torch.Generator().manual_seed(0)
    return network(torch.randn(3, 33, generator=rng), torch.full((3,), 0.5), torch.randn(3, 2, 8, generator=rng))


def test_lora_starts_as_the_base_and_alone_is_trained():
    network = adapted(trained=False)
    assert torch.equal(outputs(network), outputs(ToyPolicy().network))
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if is_adapter(name)}
    assert any("blocks.0.up.lora_A" in name for name in trained)
    assert not any("time" in name for name in trained)


def test_first_matrices_are_gaussian_by_the_seed():
    values = [
        torch.cat([p.flatten() for name, p in adapted(seed, 32, trained=False).named_parameters() if "lora_A" in name])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert values[0].std().item() == pytest.approx(1 / 32, rel=0.05)


def test_base_weights_switch_lora_off_and_on_again():
    network = adapted()
    before = outputs(network)
    assert not torch.equal(before, outputs(ToyPolicy().network))
    with torch.no_grad(), base_weights(network):
        assert torch.equal(outputs(network), outputs(ToyPolicy().network))
    assert torch.equal(outputs(network), before)
    assert {n for n, p in network.named_parameters() if p.requires_grad} == {
        n for n, _ in network.named_parameters() if is_adapter(n)
    }


def test_base_weights_between_a_pass_and_its_backward_keep_the_gradients():
    plain, switched = adapted(), adapted()
    outputs(plain).sum().backward()
    loss = outputs(switched).sum()
    with torch.no_grad(), base_weights(switched):
        outputs(switched)
    loss.backward()
    for a, b in zip(plain.parameters(), switched.parameters(), strict=True):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)


def test_saved_adapters_are_read_by_us_and_by_peft(tmp_path):
    from peft import PeftModel

    network = adapted(seed=1)
    save_peft(network, tmp_path / "adapter")
    fresh = adapted(seed=2, trained=False)
    load_peft(fresh, tmp_path / "adapter")
    assert torch.equal(outputs(fresh), outputs(network))
    by_peft = PeftModel.from_pretrained(ToyPolicy().network, str(tmp_path / "adapter"))
    assert torch.allclose(outputs(by_peft), outputs(network), atol=1e-6)
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["r"] == 4


def test_adapters_of_another_shape_and_missing_ones_are_errors(tmp_path):
    save_peft(adapted(rank=4), tmp_path / "adapter")
    with pytest.raises(PolicyError, match="other layers or another rank: it differs in"):
        load_peft(adapted(rank=8), tmp_path / "adapter")
    with pytest.raises(PolicyError, match="can't be read"):
        load_peft(adapted(), tmp_path / "none")


def test_names_of_no_layer_are_an_error():
    with pytest.raises(PolicyError, match="LoRA can't be added to to_q"):
        add_lora(ToyPolicy().network, ("to_q",), 4, 4, 0)
