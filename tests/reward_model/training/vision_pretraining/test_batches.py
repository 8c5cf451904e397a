import shutil
from pathlib import Path

import numpy as np
import pytest

from reward_model.data.packed_clip import read_packed, write_packed
from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.training.configs.files import read_config
from reward_model.training.data.casts import by_cast
from reward_model.training.errors import TrainingError
from reward_model.training.models.initial import initial_model
from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE, GroundTruth
from reward_model.training.vision_pretraining.batches import FaceBatchLoader
from reward_model.training.vision_pretraining.losses import FaceReadout
from reward_model.types import Video
from tests.reward_model.training.vision_pretraining.vision_config import vision_config


def test_windows_require_frames_of_the_size_of_the_model(people, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(people, folder)
    casts = by_cast(read_pairs(folder / "train.jsonl"))[:1]
    for name in {name for pair in casts[0] for name in (pair.video_a, pair.video_b)}:
        path = folder / Path(name)
        clip = read_packed(path)
        write_packed(path, Video(clip.frames_THWC[:, 3:], clip.fps, clip.num_source_frames, clip.frame_indices))
    settings = ["model.backbone=tiny", "model.frame_sampling=compact-uniform-8"]
    model, tokenizer = initial_model(read_config("compact-vision", settings).model, 0)
    load = FaceBatchLoader(folder / "train.jsonl", GroundTruth(folder), Preprocessor(model.config, tokenizer), 6, 84)
    with pytest.raises(
        TrainingError, match=r"has frames of \d+x\d+, which the model sees at \d+x\d+; .*--frames packed"
    ):
        load(casts, np.random.default_rng(0))


def test_a_batch_without_a_face_has_finite_losses(people):
    class NoFaces(GroundTruth):
        def faces(self, scenario, clip, frames):
            return ()

    model, tokenizer = initial_model(vision_config(people).model, 0)
    casts = by_cast(read_pairs(people / "train.jsonl"))[:2]
    load = FaceBatchLoader(people / "train.jsonl", NoFaces(people), Preprocessor(model.config, tokenizer), 3)
    batch = load(casts, np.random.default_rng(0))
    assert (batch.num_slices, len(batch.match)) == (0, 0)
    losses = FaceReadout(model.requires_grad_(True), FACE_CODE_SIZE).losses(batch)
    sum(losses.values()).backward()
    assert losses["look"].item() > 0
    assert (losses["matching"].item(), losses["attention"].item()) == (0, 0)
