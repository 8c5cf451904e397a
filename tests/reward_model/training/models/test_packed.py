"""The packed forward pass against transformers' forward pass of each sequence, in values and gradients."""

import numpy as np
import pytest
import torch

from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.models.packed import PackedRewards
from reward_model.types import ReferenceSet, Sample, Video


@pytest.fixture(scope="module")
def sequences():
    """Two pairs, one of two references and one of one; the pairs' videos differ in length and size."""
    rng = np.random.default_rng(0)
    tokenizer = tiny_tokenizer()
    preprocess = Preprocessor(tiny_config(tokenizer), tokenizer)

    def image(height, width):
        return rng.integers(0, 256, (height, width, 3), np.uint8)

    prepared = []
    for count, sizes in ((2, [(4, 84, 112), (4, 112, 84)]), (1, [(4, 56, 140), (2, 56, 140)])):
        references = ReferenceSet(tuple(image(84, 84) for _ in range(count)))
        for frames, height, width in sizes:
            video = Video(np.stack([image(height, width) for _ in range(frames)]), 8.0, frames, tuple(range(frames)))
            prepared.append(preprocess(Sample(references, video)))
    return prepared


def fresh_model():
    model = tiny_model(tiny_config(tiny_tokenizer()))
    return model.requires_grad_(True)


def one_by_one(model, sequences):
    """RewardModel.forward is in inference mode; this is the same computation with gradients."""
    return torch.stack([type(model).forward.__wrapped__(model, sequence) for sequence in sequences])


def test_values_and_gradients_equal_those_of_transformers(sequences):
    weights = torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    peer = fresh_model()
    expected = one_by_one(peer, sequences)
    (expected * weights).sum().backward()
    model = fresh_model()
    packed = PackedRewards(model)(sequences)
    (packed * weights).sum().backward()
    assert packed.shape == (4, 1)
    torch.testing.assert_close(packed, expected, atol=2e-5, rtol=0)
    num_compared = 0
    for (name, parameter), expected_parameter in zip(model.named_parameters(), peer.parameters(), strict=True):
        assert (parameter.grad is None) == (expected_parameter.grad is None), name
        if expected_parameter.grad is not None:
            torch.testing.assert_close(
                parameter.grad,
                expected_parameter.grad,
                atol=1e-4 * float(expected_parameter.grad.abs().max()),
                rtol=1e-3,
            )
            num_compared += 1
    assert num_compared > 30


def test_references_of_a_pair_are_computed_once(sequences):
    model = fresh_model()
    packed = PackedRewards(model)
    lengths = []
    model.body.visual.register_forward_pre_hook(lambda module, args: lengths.append(len(args[0])))
    model.body.language_model.layers[0].register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
    packed(sequences[:2])
    num_shared = sequences[0].prefix_length
    assert lengths[0] == sum(clip.grid[0] * clip.grid[1] * clip.grid[2] for clip in sequences[0].clips) + len(
        sequences[1].clips[-1].patches
    )
    assert lengths[1] == len(sequences[0]) + len(sequences[1]) - num_shared


def test_reward_does_not_depend_on_batch_order_or_composition(sequences):
    packed = PackedRewards(fresh_model())
    with torch.no_grad():
        together = packed(sequences)
        reversed_order = packed(sequences[::-1]).flip(0)
        alone = torch.cat([packed([sequence]) for sequence in sequences])
    torch.testing.assert_close(together, reversed_order, atol=2e-6, rtol=0)
    torch.testing.assert_close(together, alone, atol=2e-6, rtol=0)


def test_gradient_checkpointing_gives_the_same_gradients(sequences):
    grads = []
    for checkpointing in (False, True):
        model = fresh_model().train()
        if checkpointing:
            model.body.gradient_checkpointing_enable({"use_reentrant": False})
        PackedRewards(model)(sequences[:2]).sum().backward()
        grads.append(model.body.language_model.layers[0].self_attn.q_proj.weight.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_bfloat16_tower_gives_the_same_features_with_and_without_autocast(sequences):
    """A frozen tower is in bfloat16; features are computed without autocast."""
    model = fresh_model()
    PackedRewards(model)
    tower = model.body.visual.bfloat16()
    clips = sequences[0].clips
    patches = torch.cat([clip.patches for clip in clips]).bfloat16()
    grids = torch.tensor([clip.grid for clip in clips])
    with torch.no_grad():
        plain = tower(patches, grid_thw=grids).pooler_output
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(tower(patches, grid_thw=grids).pooler_output, plain, atol=0.05, rtol=0.05)
    assert plain.dtype == torch.bfloat16
