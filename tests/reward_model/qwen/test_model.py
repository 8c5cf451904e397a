"""The model against the released forward pass, reimplemented with modules of the installed transformers."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration

from reward_model.qwen.backbone import backbone_config
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


class ReleasedForward(Qwen2_5_VLForConditionalGeneration):
    """The reward head is applied to every position of the whole conversation and read at the reward token; batches are
    padded on the right."""

    def __init__(self, config):
        super().__init__(config)
        self.rm_head = nn.Linear(config.text_config.hidden_size, 1, bias=False)

    def score(self, batch, reward_token):
        hidden = self.model(**batch, use_cache=False).last_hidden_state
        return self.rm_head(hidden)[batch["input_ids"] == reward_token][:, 0]


@pytest.fixture(scope="module")
def models():
    model = tiny_model(tiny_config(TOKENIZER))
    released = ReleasedForward(backbone_config(model.config.backbone)).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        if name == "head.weight":
            state["rm_head.weight"] = tensor
        elif name == "norm.weight":
            state["model.language_model.norm.weight"] = tensor
        else:
            state["model." + name.removeprefix("body.")] = tensor
    missing, unexpected = released.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return model, released


def whole_conversations(sequences, samples):
    """Inputs of transformers' model, including the tokens after the reward token, padded to one length."""
    tail = [*TOKENIZER.encode("\nEND\n"), TOKENIZER.special("<|im_end|>"), *TOKENIZER.encode("\nassistant\n")]
    rows = [torch.tensor([*sequence.token_ids.tolist(), *tail]) for sequence in sequences]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=TOKENIZER.special("<|endoftext|>"))
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    kinds = (ids == TOKENIZER.special("<|image_pad|>")).int() + 2 * (ids == TOKENIZER.special("<|video_pad|>")).int()
    images = [clip for sequence in sequences for clip in sequence.clips[:-1]]
    videos = [sequence.clips[-1] for sequence in sequences]
    rates = [s.video.frames_THWC.shape[0] / s.video.num_source_frames * s.video.fps for s in samples]
    return {
        "input_ids": ids, "attention_mask": mask, "mm_token_type_ids": kinds,
        "pixel_values": torch.cat([clip.patches for clip in images]),
        "image_grid_thw": torch.tensor([clip.grid for clip in images]),
        "pixel_values_videos": torch.cat([clip.patches for clip in videos]),
        "video_grid_thw": torch.tensor([clip.grid for clip in videos]),
        "second_per_grid_ts": torch.tensor([2 / rate for rate in rates]),
    }  # fmt: skip


@torch.inference_mode()
def test_rewards_equal_those_of_the_released_forward_pass(models, noise_sample):
    model, released = models
    samples = [
        noise_sample(0),
        noise_sample(1, references=((90, 200),), size=(480, 200), fps=24.0, source=49),
        noise_sample(2, references=((64, 64), (70, 300), (400, 400)), frames=6, source=121, fps=12.0),
    ]
    sequences = [Preprocessor(model.config, TOKENIZER)(sample) for sample in samples]
    reward_token = TOKENIZER.special(model.config.template.reward_tokens[0])
    expected = released.score(whole_conversations(sequences, samples), reward_token).numpy()
    rewards = np.array([model(sequence).item() for sequence in sequences])
    assert np.abs(rewards - expected).max() < 1e-5
    assert np.ptp(expected) > 1e-3


def test_no_vocabulary_head_is_built(models):
    model, _ = models
    assert not any("lm_head" in name for name in model.state_dict())
    assert model.head.weight.shape == (1, 64)
