"""Squares around heads, cut out of frames."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from reward_model.data.packed_clip import read_packed, write_packed
from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.training.configs.files import read_config
from reward_model.training.errors import TrainingError
from reward_model.training.models.initial import initial_model
from reward_model.training.preferences.groups import by_cast
from reward_model.training.supervision.ground_truth import HEAD_CODE_SIZE, YAW, Head, HeadTruth
from reward_model.training.vision_pretraining.batches import HeadLoader, cut_window
from reward_model.types import Video


def head(x0, y0, x1, y1, reference=0):
    return Head(np.array([x0, y0, x1, y1], np.float32), np.arange(HEAD_CODE_SIZE, dtype=np.float32), reference)


@pytest.fixture
def frames():
    """[2, 140, 252, 3]: a pixel's row and column are its first two values."""
    rows, columns = np.mgrid[:140, :252]
    return np.repeat(np.stack([rows, columns, rows * 0], -1).astype(np.uint8)[None], 2, 0)


def test_a_window_holds_its_head_where_the_box_says(frames):
    rng = np.random.default_rng(0)
    middles = set()
    for _ in range(50):
        x, y = rng.uniform(0.05, 0.75), rng.uniform(0, 0.6)
        given = head(x, y, x + 0.2, y + 0.4)
        window, (found,) = cut_window(frames, [given], 84, rng)
        assert window.shape == (2, 84, 84, 3)
        top, left = window[0, 0, 0, :2].astype(int)
        assert np.allclose(found.box * 84 + [left, top] * 2, given.box * [252, 140, 252, 140], atol=1e-3)
        middles.add(round(float(found.box[[0, 2]].mean()), 2))
    assert len(middles) > 10


def test_other_heads_stay_where_their_middle_is_inside(frames):
    near, far = head(0.45, 0.3, 0.6, 0.6, 0), head(0.9, 0.3, 1.0, 0.6, 1)
    for seed in range(20):
        _, found = cut_window(frames, [near, far], 84, np.random.default_rng(seed))
        assert len(found) == 1
    neighbour = head(0.5, 0.3, 0.65, 0.6, 2)
    assert len(cut_window(frames, [near, neighbour], 84, np.random.default_rng(0))[1]) == 2


def test_a_frame_smaller_than_the_window_is_taken_as_far_as_it_goes(frames):
    window, found = cut_window(frames[:, :56], [head(0.4, 0.2, 0.6, 0.8)], 84, np.random.default_rng(0))
    assert window.shape == (2, 56, 84, 3)
    assert np.allclose(found[0].box[[1, 3]], [0.2, 0.8])


def test_a_mirror_turns_a_head_to_the_other_side():
    given = head(0, 0, 1, 1)
    changed = np.flatnonzero(given.mirrored_code != given.code)
    assert changed.tolist() == [YAW]
    assert given.mirrored_code[YAW] == -given.code[YAW]


def test_a_window_out_of_frames_of_another_size_is_refused(people, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(people, folder)
    casts = by_cast(read_pairs(folder / "train.jsonl"))[:1]
    for name in {name for pair in casts[0] for name in (pair.video_a, pair.video_b)}:
        path = folder / Path(name)
        clip = read_packed(path)
        write_packed(path, Video(clip.frames_THWC[:, 3:], clip.fps, clip.num_source_frames, clip.frame_indices))
    settings = ["model.backbone=tiny", "model.frame_sampling=compact-uniform-8"]
    model, tokenizer = initial_model(read_config("compact-heads", settings).model, 0)
    load = HeadLoader(folder / "train.jsonl", HeadTruth(folder), Preprocessor(model.config, tokenizer), 6, 84)
    with pytest.raises(
        TrainingError, match=r"has frames of \d+x\d+, which the model sees at \d+x\d+; .*--frames packed"
    ):
        load(casts, np.random.default_rng(0))
