"""The runner against transformers, and batches against single sequences: zero difference on CPU in float32."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_reward_client.errors import OutOfMemory
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.memory import bytes_per_token
from reward_model.qwen.runner.runner import Runner

TOLERANCE = 1e-5


def close(hidden, expected):
    assert hidden.shape == expected.shape
    return (hidden - expected).abs().max().item() <= TOLERANCE


def test_one_sequence_equals_transformers(runner, make, peer):
    sequence = make()
    assert close(runner([sequence])[0], peer(sequence))


def test_sequences_without_images_equal_transformers(runner, make, peer):
    sequence = make(images=())
    assert close(runner([sequence])[0], peer(sequence))


def test_each_of_three_rewards_is_read_at_its_own_token(runner, make, peer):
    sequence = make(rewards=3)
    hidden = runner([sequence])[0]
    assert hidden.shape[0] == 3
    assert close(hidden, peer(sequence))


def test_different_sequences_in_one_batch_do_not_influence_each_other(runner, make, peer):
    batch = [
        make(),
        make(images=(3,), video=7, video_grid=(1, 4, 4), text=3),
        make(video=8, text=50),
        make(text_first=9),
    ]
    for hidden, sequence in zip(runner(batch), batch, strict=True):
        assert close(hidden, peer(sequence))


@settings(max_examples=15, deadline=None)
@given(
    group=st.integers(1, 5),
    images=st.lists(st.integers(1, 4), max_size=3),
    image_grid=st.tuples(st.just(1), *[st.sampled_from([2, 4, 8, 10, 18])] * 2),
    video_grid=st.tuples(st.integers(1, 3), *[st.sampled_from([2, 4, 6, 12])] * 2),
    text=st.integers(1, 40),
    text_first=st.integers(0, 20),
)
def test_groups_of_any_shape_equal_transformers(model, make, peer, group, **shape):
    runner = Runner(model.body)
    sequences = [make(video=100 + n, **shape) for n in range(group)]
    for hidden, sequence in zip(runner(sequences), sequences, strict=True):
        assert close(hidden, peer(sequence))


def pool(make):
    return [
        make(images=images, video=video, video_grid=grid, text=text)
        for images in ((1, 2), (2, 1), (3,))
        for video, grid in ((100, (2, 6, 10)), (101, (2, 6, 10)), (102, (1, 8, 4)))
        for text in (1, 20, 33)
    ]


def test_rewards_are_bit_equal_in_random_batches(model, make):
    sequences = pool(make)
    alone = [Runner(model.body)([sequence])[0] for sequence in sequences]
    runner, generator = Runner(model.body), random.Random(7)
    for _ in range(64):
        chosen = generator.sample(range(len(sequences)), generator.randint(1, 12))
        if generator.random() < 0.3:
            runner.prefixes.clear()
        if generator.random() < 0.3:
            runner.features.clear()
        for number, hidden in zip(chosen, runner([sequences[n] for n in chosen]), strict=True):
            assert torch.equal(hidden, alone[number])


@pytest.mark.parametrize("budget", [1, 150, 400, 100_000])
def test_rewards_are_bit_equal_under_every_token_budget(model, make, budget):
    sequences = pool(make)
    expected = Runner(model.body)(sequences)
    hidden = Runner(model.body, RunnerConfig(token_budget=budget))(sequences)
    assert all(torch.equal(a, b) for a, b in zip(hidden, expected, strict=True))


class LimitedMemory:
    """Replaces the language runner with one that runs out of memory above `rows` rows."""

    def __init__(self, runner, rows):
        self.inner, self.rows, self.calls = runner.language, rows, 0
        runner.language = self

    def __call__(self, embedded, *rest):
        self.calls += 1
        if embedded.shape[0] > self.rows:
            raise torch.OutOfMemoryError("no more")
        return self.inner(embedded, *rest)


def test_out_of_memory_halves_the_batch_and_gives_the_same_bits(model, make):
    sequences = [make(video=n) for n in range(6)]
    expected = Runner(model.body)(sequences)
    runner = Runner(model.body)
    limited = LimitedMemory(runner, rows=250)
    assert all(torch.equal(a, b) for a, b in zip(runner(sequences), expected, strict=True))
    assert limited.calls == 3


def test_only_sequences_that_do_not_fit_get_an_error(model, make):
    sequences = [make(video=1), make(video=2), make(video=3, text=400), make(video=4, text=401)]
    expected = Runner(model.body)(sequences[:2])
    runner = Runner(model.body)
    LimitedMemory(runner, rows=250)
    results = runner(sequences)
    assert all(torch.equal(a, b) for a, b in zip(results[:2], expected, strict=True))
    assert all(isinstance(error, OutOfMemory) for error in results[2:])
    assert torch.equal(runner(sequences[:1])[0], expected[0])


def test_memory_budget_makes_batches_smaller(model, make):
    sequences = [make(video=n) for n in range(4)]
    price = bytes_per_token(model.body)
    runner = Runner(model.body, RunnerConfig(batch_memory_bytes=price * (len(sequences[0]) + 10)))
    assert runner.token_budget == len(sequences[0]) + 10
    expected = Runner(model.body)(sequences)
    assert all(torch.equal(a, b) for a, b in zip(runner(sequences), expected, strict=True))


def test_forward_does_not_synchronise_with_the_host(model, make):
    """No operation is called that would wait for the device on CUDA."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Forbid(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            assert name not in {"_local_scalar_dense", "nonzero", "masked_select", "unique"}, name
            return func(*args, **(kwargs or {}))

    runner = Runner(model.body)
    sequences = [make(), make(video=101), make(images=(3,), text=5)]
    with Forbid():
        runner(sequences)
        runner(sequences)


def test_features_of_a_reference_are_computed_once(model, make):
    runner, calls = Runner(model.body), []
    vision = runner.vision
    runner.vision = lambda patches, grids: calls.append(list(grids)) or vision(patches, grids)
    group = [make(video=n) for n in range(4)]
    runner(group)
    assert calls == [[(1, 8, 6)] * 2 + [(2, 6, 10)] * 4]
    runner(group[:1])
    assert calls[1] == [(2, 6, 10)]
    assert runner.prefixes.hits == 1


@pytest.mark.parametrize("budget", [0, 3000])
def test_rewards_are_bit_equal_with_small_caches(model, make, budget):
    sequences = [make(images=(p, p + 1), video=n) for p in range(1, 4) for n in range(2)]
    expected = Runner(model.body)(sequences)
    config = RunnerConfig(feature_cache_bytes=budget, prefix_cache_bytes=budget, prefix_host_cache_bytes=budget)
    runner = Runner(model.body, config)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(runner(sequences), expected, strict=True))
