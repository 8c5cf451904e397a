"""Reward heads of random weights, and random features for them."""

import numpy as np
import torch

from reward_model.faces.tracks.features import FRAME_FEATURES, PERSON_FEATURES, ClipFeatures
from reward_model.faces.tracks.head_config import TrackHeadConfig
from reward_model.faces.tracks.reward_head import TrackHead


def random_reward_head() -> TrackHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return TrackHead(TrackHeadConfig(num_members=2)).eval()


def random_clip(people: int, frames: int, seed: int) -> ClipFeatures:
    rng = np.random.Generator(np.random.Philox(seed))
    frames_PTF = rng.normal(size=(people, frames, len(FRAME_FEATURES))).astype(np.float32)
    frames_PTF[rng.uniform(size=frames_PTF.shape) < 0.2] = np.nan
    return ClipFeatures(frames_PTF, rng.normal(size=(people, len(PERSON_FEATURES))).astype(np.float32))
