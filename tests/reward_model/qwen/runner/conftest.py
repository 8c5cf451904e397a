"""Sequences with the real layout for the toy model, and transformers' forward pass as the reference."""

import numpy as np
import pytest
import torch

from reward_model.qwen.positions import Span, position_ids
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.runner import Runner
from reward_model.qwen.runner.sequence import TokenSequence, VisionClip
from reward_model.qwen.tiny import load

IMAGE, VIDEO = (1, 8, 6), (2, 6, 10)


@pytest.fixture(scope="session")
def model():
    return load().model


@pytest.fixture
def runner(model):
    return Runner(model.body, RunnerConfig())


class Maker:
    """Builds sequences; images and videos are numbered, and equal numbers have equal pixels."""

    def __init__(self, model):
        self.config = model.body.config

    def patches(self, grid, seed):
        rows = grid[0] * grid[1] * grid[2]
        return torch.randn(rows, 1176, generator=torch.Generator().manual_seed(seed))

    def __call__(self, images=(1, 2), video=100, video_grid=VIDEO, text=20, text_first=0, image_grid=IMAGE, rewards=1):
        ids, spans, clips = [1, 2, 3], [Span(3)], []

        def add(grid, token, key, seed):
            count = grid[0] * grid[1] * grid[2] // 4
            ids.append(self.config.vision_start_token_id)
            clips.append(VisionClip(grid, self.patches(grid, seed), len(ids), key))
            ids.extend([token] * count + [self.config.vision_end_token_id])
            merged = (grid[0], grid[1] // 2, grid[2] // 2)
            spans.extend([Span(1), Span(count, merged, None if key else 0.5), Span(1)])

        for number in images:
            add(image_grid, self.config.image_token_id, f"{number}/{image_grid}", number)
        ids.extend(4 + i % 200 for i in range(text_first))
        spans.append(Span(text_first))
        add(video_grid, self.config.video_token_id, None, video)
        ids.extend(5 + i % 200 for i in range(text))
        spans.append(Span(text))
        length = len(ids)
        return TokenSequence(
            np.array(ids), position_ids(spans, 2.0, "5"), tuple(clips), tuple(range(length - rewards, length))
        )


@pytest.fixture(scope="session")
def make(model):
    return Maker(model)


@pytest.fixture(scope="session")
def peer(model):
    """transformers' forward pass, one sequence at a time: float32 [rewards, hidden] before the final norm."""

    @torch.inference_mode()
    def run(sequence):
        def pixels(images):
            clips = [clip for clip in sequence.clips if (clip.key is not None) == images]
            return torch.cat([clip.patches for clip in clips]), torch.tensor([clip.grid for clip in clips])

        vision_inputs = {}
        if any(clip.key for clip in sequence.clips):
            vision_inputs["pixel_values"], vision_inputs["image_grid_thw"] = pixels(True)
        vision_inputs["pixel_values_videos"], vision_inputs["video_grid_thw"] = pixels(False)
        hidden = model.body(
            input_ids=torch.from_numpy(sequence.token_ids)[None],
            position_ids=torch.from_numpy(sequence.positions)[:, None],
            use_cache=False,
            **vision_inputs,
        ).last_hidden_state[0]
        return hidden[list(sequence.reward_indices)]

    return run
