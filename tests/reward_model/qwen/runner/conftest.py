"""Sequences with the real layout for the toy model, and the plain transformers forward as the peer."""

import numpy as np
import pytest
import torch

from reward_model.qwen.positions import Span, position_ids
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.runner import Runner
from reward_model.qwen.runner.sequence import TokenSequence, VisionClip
from reward_model.qwen.tiny import load

PICTURE, VIDEO = (1, 8, 6), (2, 6, 10)


@pytest.fixture(scope="session")
def model():
    return load().model


@pytest.fixture
def runner(model):
    return Runner(model.body, RunnerConfig())


class Maker:
    """Builds sequences; pictures are drawn by number, so that equal numbers are equal pictures."""

    def __init__(self, model):
        self.config = model.body.config

    def patches(self, grid, seed):
        rows = grid[0] * grid[1] * grid[2]
        return torch.randn(rows, 1176, generator=torch.Generator().manual_seed(seed))

    def __call__(
        self, pictures=(1, 2), video=100, video_grid=VIDEO, text=20, text_first=0, picture_grid=PICTURE, rewards=1
    ):
        ids, spans, clips = [1, 2, 3], [Span(3)], []

        def medium(grid, token, key, seed):
            count = grid[0] * grid[1] * grid[2] // 4
            ids.append(self.config.vision_start_token_id)
            clips.append(VisionClip(grid, self.patches(grid, seed), len(ids), key))
            ids.extend([token] * count + [self.config.vision_end_token_id])
            merged = (grid[0], grid[1] // 2, grid[2] // 2)
            spans.extend([Span(1), Span(count, merged, None if key else 0.5), Span(1)])

        for number in pictures:
            medium(picture_grid, self.config.image_token_id, f"{number}/{picture_grid}", number)
        ids.extend(4 + i % 200 for i in range(text_first))
        spans.append(Span(text_first))
        medium(video_grid, self.config.video_token_id, None, video)
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
    """The plain transformers path, one sequence at a time: float32 [rewards, hidden] after no final norm."""

    @torch.inference_mode()
    def run(sequence):
        def pixels(pick):
            clips = [clip for clip in sequence.clips if (clip.key is not None) == pick]
            return torch.cat([clip.patches for clip in clips]), torch.tensor([clip.grid for clip in clips])

        media = {}
        if any(clip.key for clip in sequence.clips):
            media["pixel_values"], media["image_grid_thw"] = pixels(True)
        media["pixel_values_videos"], media["video_grid_thw"] = pixels(False)
        hidden = model.body(
            input_ids=torch.from_numpy(sequence.token_ids)[None],
            position_ids=torch.from_numpy(sequence.positions)[:, None],
            use_cache=False,
            **media,
        ).last_hidden_state[0]
        return hidden[list(sequence.reward_indices)]

    return run
