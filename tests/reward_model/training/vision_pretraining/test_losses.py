from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch

from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.training.data.casts import by_cast
from reward_model.training.models.initial import initial_model
from reward_model.training.models.packed import PackedRewards
from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE, GroundTruth
from reward_model.training.supervision.losses import FaceSupervision
from reward_model.training.vision_pretraining.batches import FaceBatchLoader
from reward_model.training.vision_pretraining.losses import FaceReadout, matching_loss
from tests.reward_model.training.vision_pretraining.vision_config import vision_config


def test_matching_loss_equals_the_value_computed_by_hand():
    """Two faces with a matching reference each, and a third face without one."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, -50.0]])
    match = torch.tensor([0, 1, -1])
    over_references = (log(1 + np.exp(-2)) + log(1 + np.exp(-1))) / 2
    over_faces = (log(np.exp(2) + 1 + np.exp(1)) - 2 + log(1 + np.exp(1)) - 1) / 2
    assert matching_loss(logits, match).item() == pytest.approx((over_references + over_faces) / 2, rel=1e-5)


def test_several_faces_can_match_one_reference():
    logits = torch.tensor([[30.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    assert matching_loss(logits, torch.tensor([0, 0, 1])).item() == pytest.approx(0, abs=1e-6)


def test_matching_loss_without_a_match_is_zero():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = matching_loss(logits, torch.tensor([-1, -1]))
    loss.backward()
    assert loss.item() == 0


def test_attention_loss_equals_that_of_the_packed_forward(people):
    """The loss of the first layer alone equals that of the packed forward pass."""
    model, tokenizer = initial_model(vision_config(people).model, 0)
    preprocess = Preprocessor(model.config, tokenizer)
    casts = by_cast(read_pairs(people / "train.jsonl"))[:2]
    batch = FaceBatchLoader(people / "train.jsonl", GroundTruth(people), preprocess, 3)(casts, np.random.default_rng(0))
    readout = FaceReadout(model.requires_grad_(True), FACE_CODE_SIZE)
    features = readout(batch)
    packed = PackedRewards(model, supervision=FaceSupervision(model.head.weight.shape[1]))
    sequences = []
    for number, view in enumerate(batch.views):
        parts = [*(features.images_RTD[n] for n in view.references), features.slices_STD[number]]
        clips = [replace(clip, patches=part) for clip, part in zip(view.sequence.clips, parts, strict=True)]
        sequences.append(replace(view.sequence, clips=tuple(clips)))
    _, losses = packed(sequences, [view.faces for view in batch.views])
    torch.testing.assert_close(readout.attention(features, batch), losses[0] / len(sequences))
    readout.attention(features, batch).backward()
    assert float(readout.query.weight.grad.abs().max()) > 0
    assert float(readout.tower.patch_embed.proj.weight.grad.abs().max()) > 0
