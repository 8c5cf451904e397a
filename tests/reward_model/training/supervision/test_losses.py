"""Losses of face supervision against values computed by hand and in the packed forward pass."""

from math import log

import numpy as np
import pytest
import torch

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.records import read_pairs
from reward_model.qwen.runner.plan import lay_out
from reward_model.training.data.casts import by_cast
from reward_model.training.models.packed import PackedRewards
from reward_model.training.preferences.groups import Augmentation, load_group
from reward_model.training.supervision.face_tokens import FaceTokens
from reward_model.training.supervision.losses import UNMATCHED, FaceSupervision, token_rows


def test_token_rows_include_the_shared_prefix(people, media, cast):
    other = by_cast(read_pairs(people / "dev.jsonl"))[0]
    groups = [
        load_group(media, people / name, pairs, Augmentation(0, permute_references=True))
        for name, pairs in (("train.jsonl", cast), ("dev.jsonl", other))
    ]
    sequences = [sequence for group in groups for sequence in group.sequences]
    layout = lay_out(sequences, set())
    tokens = np.concatenate([sequence.token_ids[start:end] for sequence, start, end in layout.sources])
    assert len(tokens) < sum(map(len, sequences))
    for number, rows in token_rows(layout).items():
        assert np.array_equal(tokens[rows], sequences[number].token_ids)
    assert len(token_rows(layout)) == len(sequences)


def test_losses_equal_values_computed_by_hand(people, media, cast):
    """With zero queries and keys, attention is uniform over visible tokens; zero weights and a bias of log(3) give
    every prediction of a match and of a corruption odds of three to one."""
    group = load_group(media, people / "train.jsonl", cast)
    sequence = group.sequences[0]
    layout = lay_out([sequence], set())
    video, image = sequence.clips[-1], sequence.clips[0]
    per_slice = video.num_tokens // video.grid[0]
    shares = np.zeros((2, per_slice), np.float32)
    shares[0, 3] = shares[1, 1] = 1
    severity = np.zeros(len(CORRUPTION_KINDS), np.float32)
    severity[:2] = 1, 0.5
    faces = FaceTokens(shares, np.array([0, 1]), np.array([0, -1]), severity)
    supervision = FaceSupervision(8)
    for classifier in (supervision.matched, supervision.failures):
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.constant_(classifier.bias, log(3))
    query = key = torch.zeros(2, len(sequence), 4)
    hidden = torch.randn(len(sequence), 8), torch.randn(1, 8)
    attention, matching, corruptions = supervision(query, key, *hidden, layout, [sequence], [faces]).tolist()
    visible = [video.start + 3 + 1, video.start + per_slice + 1 + 1]
    expected = [log(visible[0] / image.num_tokens), UNMATCHED * log(visible[1])]
    assert attention == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert matching == pytest.approx((-log(3 / 4) - log(1 / 4)) / 2, rel=1e-5)
    expected_corruptions = -1.5 * log(3 / 4) - (len(CORRUPTION_KINDS) - 1.5) * log(1 / 4)
    assert corruptions == pytest.approx(expected_corruptions / len(CORRUPTION_KINDS), rel=1e-5)
    no_faces = FaceTokens(shares[:0], np.zeros(0, np.int64), np.zeros(0, np.int64), severity)
    assert supervision(query, key, *hidden, layout, [sequence], [no_faces]).tolist() == pytest.approx(
        [0, 0, corruptions]
    )


def test_supervision_leaves_rewards_unchanged_and_trains_the_language_model(people, media, find, initial_weights, cast):
    model, _ = initial_weights
    group = load_group(media, people / "train.jsonl", cast, find_faces=find)
    packed = PackedRewards(model.requires_grad_(True), supervision=FaceSupervision(model.head.weight.shape[1]))
    rewards, losses = packed(group.sequences, group.faces)
    layers = len(model.body.language_model.layers)
    assert torch.equal(rewards, packed(group.sequences))
    trained_parameters = ("layers.0.self_attn.k_proj", "layers.0.mlp.up_proj", f"layers.{layers - 1}.mlp.up_proj")
    for index, name in enumerate(trained_parameters):
        packed.zero_grad()
        losses[index].backward(retain_graph=True)
        weight = model.body.language_model.get_parameter(f"{name}.weight")
        assert float(weight.grad.abs().max()) > 0
        # the reward head gets no gradient
        assert model.head.weight.grad is None or not model.head.weight.grad.any()
