from trainer.policies.sizes import Activations
from trainer.policies.wan.sizes.checkpoint import wan_sizes
from trainer.policies.wan.sizes.transformer import VACE_1_3B
from trainer.policies.wan.vace import VaceOptions


def test_activations_grow_with_the_samples():
    assert Activations(3.0, 10.0).of(4) == 22.0


def test_lora_has_two_matrices_of_the_rank_in_every_layer():
    sizes = wan_sizes(VACE_1_3B, VaceOptions(checkpoint=""), 2, 32, True)
    assert sizes.lora_parameters(32) == 35_389_440
    assert sizes.lora_parameters(1) * 32 == sizes.lora_parameters(32)
