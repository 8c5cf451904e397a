from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.errors import InvalidMedia
from reward_model.config import FRAME_SAMPLINGS, IDENTITY_GRPO, PAPER
from reward_model.qwen.patches import packed_patches
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.prompt import IDENTITY_FIRST
from reward_model.qwen.tiny import tiny_config, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def preprocessor(sampling=IDENTITY_GRPO, **changes):
    return Preprocessor(replace(tiny_config(TOKENIZER), frame_sampling=sampling, **changes), TOKENIZER)


@pytest.mark.parametrize(
    ("references", "size", "frames", "image_tokens", "video_tokens"),
    [
        (((1024, 1024), (1024, 1024)), (240, 416), 4, [484, 484], 270),
        (((512, 512),), (480, 832), 10, [324], 2465),
        (((256, 256),), (720, 1280), 4, [81], 960),
    ],
)
def test_token_counts_of_the_released_pixel_rules(noise_sample, references, size, frames, image_tokens, video_tokens):
    sequence = preprocessor()(noise_sample(references=references, size=size, frames=frames))
    assert [clip.num_tokens for clip in sequence.clips] == [*image_tokens, video_tokens]
    ids = sequence.token_ids
    assert (ids == TOKENIZER.special("<|image_pad|>")).sum() == sum(image_tokens)
    assert (ids == TOKENIZER.special("<|video_pad|>")).sum() == video_tokens
    assert sequence.reward_indices == (len(sequence) - 1,)
    for clip in sequence.clips:
        assert clip.patches.shape == (4 * clip.num_tokens, 1176)
        pad = ids[clip.start]
        assert (ids[clip.start : clip.start + clip.num_tokens] == pad).all()


def test_temporal_positions_follow_the_source_frame_rate(noise_sample):
    steps = {}
    for fps in (10.0, 16.0):
        sequence = preprocessor()(noise_sample(fps=fps))
        video = sequence.clips[-1]
        time = sequence.positions[0, video.start : video.start + video.num_tokens]
        steps[fps] = sorted(set((time - time.min()).tolist()))
    assert steps == {10.0: [0, 3], 16.0: [0, 2]}


def test_keys_of_references_depend_on_content_and_rule_and_videos_have_none(noise_sample):
    first, same, other = (preprocessor()(noise_sample(seed)).clips for seed in (0, 0, 1))
    assert [clip.key for clip in first] == [clip.key for clip in same]
    assert first[0].key != other[0].key
    assert first[0].key != preprocessor(FRAME_SAMPLINGS["uniform-4"])(noise_sample(0)).clips[0].key
    assert first[-1].key is None


def test_prompt_is_used_only_where_the_template_contains_it(noise_sample):
    def ids(prompt, **changes):
        return preprocessor(**changes)(noise_sample(prompt=prompt)).token_ids.tolist()

    assert ids("two people") == ids(None)
    assert ids("two people", template=IDENTITY_FIRST) != ids(None, template=IDENTITY_FIRST)


def test_named_samplings_select_the_released_frames():
    assert IDENTITY_GRPO.indices(33, 10.0) == (0, 11, 21, 32)
    assert IDENTITY_GRPO.count(81, 16.0) == 4
    assert PAPER.indices(120, 24.0) == (0, 13, 26, 40, 53, 66, 79, 93, 106, 119)
    assert PAPER.count(1000, 24.0) == 10
    assert PAPER.count(33, 10.0) == 6
    assert PAPER.count(24, 24.0) == 4
    assert IDENTITY_GRPO.compat_fps == 10.0


@given(st.integers(1, 20_000), st.floats(0.5, 1000))
def test_released_sampling_selects_four_frames_of_any_video(count, fps):
    indices = IDENTITY_GRPO.indices(count, fps)
    assert indices == tuple(round(i * (count - 1) / 3) for i in range(4))


@given(st.integers(1, 20_000), st.floats(0.5, 1000))
def test_sampling_of_the_paper_selects_four_to_ten_frames_in_pairs(count, fps):
    selected = PAPER.count(count, fps)
    assert selected % 2 == 0
    assert min(4, max(count // 2 * 2, 2)) <= selected <= 10


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((300, 400, 3), np.float32), "reference image 2 has pixels float32"),
        (np.zeros((300, 400, 4), np.uint8), "reference image 2 has pixels uint8"),
        (np.zeros((2, 900, 3), np.uint8), "reference image 2 can't be resized: .* at most 200"),
    ],
)
def test_unusable_pixels_are_invalid_media(noise_sample, pixels, message):
    sample = noise_sample()
    references = replace(sample.references, images=(sample.references.images[0], pixels))
    with pytest.raises(InvalidMedia, match=message):
        preprocessor()(replace(sample, references=references))


def test_read_only_pixels_are_accepted(noise_sample):
    sample = noise_sample()
    frames = sample.video.frames_THWC.copy()
    frames.flags.writeable = False
    sequence = preprocessor()(replace(sample, video=replace(sample.video, frames_THWC=frames)))
    assert np.array_equal(sequence.clips[-1].patches, preprocessor()(sample).clips[-1].patches)


def test_patches_computed_later_on_the_device_are_equal(noise_sample):
    """Runs the code path of models on another device on the CPU."""
    config = replace(tiny_config(TOKENIZER), frame_sampling=IDENTITY_GRPO)
    samples = [noise_sample(0), noise_sample(1, references=((60, 200),)), noise_sample(0)]
    now = [Preprocessor(config, TOKENIZER)(sample) for sample in samples]
    later = [Preprocessor(config, TOKENIZER, patch_later=True)(sample) for sample in samples]
    assert {clip.patches.dtype for sequence in later for clip in sequence.clips} == {torch.uint8}
    for deferred, immediate in zip(later, now, strict=True):
        assert np.array_equal(deferred.token_ids, immediate.token_ids)
        for a, b in zip(deferred.clips, immediate.clips, strict=True):
            assert (a.grid, a.start, a.key) == (b.grid, b.start, b.key)
    for dtype in (torch.float32, torch.bfloat16):
        options = {"config": config, "device": torch.device("cpu"), "dtype": dtype}
        from_later, from_now = (
            packed_patches([clip for sequence in sequences for clip in sequence.clips], **options)
            for sequences in (later, now)
        )
        assert torch.equal(from_later, from_now)
