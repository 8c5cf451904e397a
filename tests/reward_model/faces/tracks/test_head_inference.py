from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import reward_model
from reward_model.faces.tracks.feature_batch import FeatureBatch
from reward_model.faces.tracks.head_inference import HeadInference
from reward_model.faces.tracks.reward_head import TrackHead
from reward_model.folder import WEIGHTS, CheckpointError
from tests.reward_model.faces.heads import random_clip, random_reward_head

SHIPPED = Path(reward_model.__file__).parent / "presets/face_tracks"


@pytest.fixture(scope="module")
def shipped() -> TrackHead:
    inference = HeadInference.load(SHIPPED)
    head = TrackHead(inference.config)
    head.load_state_dict(load_file(SHIPPED / WEIGHTS))
    return head.eval()


@pytest.mark.parametrize(("people", "frames"), [(1, 1), (1, 16), (3, 16), (2, 5), (8, 2)])
@pytest.mark.parametrize("name", ["random", "shipped"])
def test_members_are_those_of_the_module_to_its_rounding(name, people, frames, shipped):
    head = random_reward_head() if name == "random" else shipped
    inference = head.inference()
    for seed in range(8):
        clip = random_clip(people, frames, seed)
        with torch.no_grad():
            batch = FeatureBatch.of([clip])
            exact = replace(batch, terms_N3=torch.tensor([astuple(clip.terms)], dtype=torch.float64))
            expected = head.double().per_member(exact)[:, 0].numpy()
            rounded = head.float().per_member(batch)[:, 0].numpy()
        actual = inference.per_member(clip)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(actual, rounded, rtol=1e-4, atol=1e-4)
        assert inference.reward(clip) == actual.mean()


def test_undefined_and_huge_features_have_the_rewards_of_the_module():
    head, clip = random_reward_head(), random_clip(2, 4, 5)
    undefined = replace(clip, frames_PTF=np.full_like(clip.frames_PTF, np.nan))
    huge = replace(clip, frames_PTF=clip.frames_PTF * 1e6, person_PC=clip.person_PC * 1e6)
    for odd in (undefined, huge):
        with torch.no_grad():
            expected = float(head(FeatureBatch.of([odd]))[0])
        assert head.inference().reward(odd) == pytest.approx(expected, abs=1e-5)


def test_tensors_that_do_not_fit_the_config_are_named():
    head = random_reward_head()
    tensors = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    tensors["members.0.vector.bias"] = np.zeros(3, np.float32)
    del tensors["frame_std"]
    with pytest.raises(CheckpointError, match=r"frame_std, members\.0\.vector\.bias"):
        HeadInference(head.config, tensors)


def test_number_of_parameters_is_that_of_the_module():
    head = random_reward_head()
    assert head.inference().num_parameters == sum(p.numel() for p in head.parameters())
