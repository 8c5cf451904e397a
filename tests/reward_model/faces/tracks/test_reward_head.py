from dataclasses import replace

import numpy as np
import pytest
import torch

from reward_model.faces.tracks.feature_batch import FeatureBatch
from tests.reward_model.faces.heads import random_clip, random_reward_head


def test_padding_does_not_change_a_reward():
    reward_head = random_reward_head()
    clips = [random_clip(1, 5, 1), random_clip(3, 16, 2), random_clip(2, 1, 3)]
    together = reward_head(FeatureBatch.of(clips))
    alone = torch.cat([reward_head(FeatureBatch.of([clip])) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_reward_is_finite_for_undefined_and_for_huge_features():
    reward_head = random_reward_head()
    clip = random_clip(2, 4, 5)
    undefined = replace(clip, frames_PTF=np.full_like(clip.frames_PTF, np.nan))
    huge = replace(clip, frames_PTF=clip.frames_PTF * 1e6, person_PC=clip.person_PC * 1e6)
    assert torch.isfinite(reward_head(FeatureBatch.of([undefined, huge]))).all()


def test_features_that_are_constant_in_training_are_ignored():
    reward_head = random_reward_head()
    clips = [random_clip(2, 4, seed) for seed in range(3)]
    for clip in clips:
        clip.frames_PTF[..., 5] = 0.25
    reward_head.set_statistics(FeatureBatch.of(clips))
    changed = replace(clips[0], frames_PTF=clips[0].frames_PTF.copy())
    changed.frames_PTF[..., 5] = 1.0
    a, b = reward_head(FeatureBatch.of([clips[0], changed]))
    assert float(a) == pytest.approx(float(b), abs=1e-3)
