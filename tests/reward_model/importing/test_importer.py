"""Scores against the released code, run with its pinned packages on the checkpoint of this folder's conftest.

The golden file holds its results for images and frames sampled from a seed: tokens, positions, pixels and scores, in
float32 on a CPU with its processor, its resizes (torchvision, Pillow 10.4) and separate LoRA matrices.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frame_ops.resize_normalize_patchify.naive import MEAN, STD
from reward_model.config import FRAME_SAMPLINGS, IDENTITY_GRPO, PAPER
from reward_model.folder import CheckpointError
from reward_model.importing.importer import frame_sampling, import_checkpoint
from reward_model.qwen.loading import load_folder

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/released_code.json").read_text())
CASES = GOLDEN["cases"]


@pytest.fixture(scope="module")
def scorers(release_of, tmp_path_factory):
    release = release_of(tmp_path_factory.mktemp("release"))
    checkpoint, upstream, base = release.write("lora")
    loaded = {}
    for sampling in ("identity-grpo", "paper"):
        import_checkpoint(checkpoint, upstream, release.folder / sampling, base, sampling=sampling)
        loaded[sampling] = load_folder(release.folder / sampling)
    return loaded


def short(data):
    return hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()[:16]


def bytes_of(clips):
    """The uint8 pixels that the normalised patches were computed from."""
    rows = np.concatenate([clip.patches.numpy() for clip in clips]).reshape(-1, 3, 392)
    return np.round((rows * np.array(STD)[:, None] + np.array(MEAN)[:, None]) * 255).astype(np.uint8)


@pytest.fixture
def sample(noise_sample):
    def make(case):
        sizes = [tuple(size) for size in case["references"]]
        noise = noise_sample(case["seed"], sizes, case["frames"], tuple(case["size"]), case["fps"], case["source"])
        return replace(noise, video=replace(noise.video, frame_indices=tuple(case["indices"])))

    return make


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed-{case['seed']}")
def test_frames_tokens_positions_and_pixels_equal_those_of_the_released_code(scorers, sample, case):
    assert list(FRAME_SAMPLINGS[case["sampling"]].indices(case["source"], case["fps"])) == case["indices"]
    sequence = scorers[case["sampling"]].preprocess(sample(case))
    assert len(sequence) == case["tokens"]
    assert short(sequence.token_ids) == case["ids_sha256"]
    assert short(sequence.positions) == case["positions_sha256"]
    assert short(bytes_of(sequence.clips[:-1])) == case["image_sha256"]
    assert short(bytes_of(sequence.clips[-1:])) == case["video_sha256"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed-{case['seed']}")
def test_scores_equal_those_of_the_released_code(scorers, sample, case):
    scorer = scorers[case["sampling"]]
    score = scorer.postprocess(scorer.forward([scorer.preprocess(sample(case))])[0]).reward
    assert score == pytest.approx(case["score"], abs=1e-5)


def test_alternative_choices_would_change_the_scores(scorers, sample, release_of, tmp_path):
    """Vision ids and another resize change scores by more than rounding."""
    release = release_of(tmp_path)
    checkpoint, upstream, base = release.write("lora")
    import_checkpoint(checkpoint, upstream, tmp_path / "ids", base, vision_ids=True)
    import_checkpoint(checkpoint, upstream, tmp_path / "u8", base, sampling="uniform-4")
    case = CASES[0]
    for name in ("ids", "u8"):
        scorer = load_folder(tmp_path / name)
        score = scorer.postprocess(scorer.forward([scorer.preprocess(sample(case))])[0]).reward
        assert abs(score - case["score"]) > 1e-4, name


@pytest.mark.parametrize(
    ("data", "sampling"),
    [
        ({"num_frames": 5.0}, IDENTITY_GRPO),
        ({"num_frames": None, "fps": 2.0}, PAPER),
    ],
)
def test_named_frame_samplings_are_recognised(data, sampling):
    assert frame_sampling({"max_frame_pixels": 399360, **data}) == sampling


def test_name_of_another_frame_sampling_states_its_settings():
    assert frame_sampling({"num_frames": 8.0, "max_frame_pixels": 399360}).name == "identity-grpo-8-frames"
    small = frame_sampling({"num_frames": None, "fps": 1.0, "max_frame_pixels": 200704})
    assert small.name == "identity-grpo-1-fps-200704-pixels"
    assert small.frame_pixels.max_pixels == small.reference_pixels.max_pixels == 200704
    assert frame_sampling({"num_frames": 4, "max_frame_pixels": 10**7}).frame_pixels.max_pixels == 602112
    with pytest.raises(CheckpointError, match="neither num_frames nor fps"):
        frame_sampling({})
