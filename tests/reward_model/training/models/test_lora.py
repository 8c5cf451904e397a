import pytest
import torch

from reward_model.qwen.model import RewardModel
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.configs.preferences import LoraConfig, PreferenceTrainingConfig
from reward_model.training.models.lora import add_lora, merged_state
from reward_model.training.models.packed import PackedRewards

CONFIG = PreferenceTrainingConfig(steps=1, lora=LoraConfig(r=4, alpha=8, dropout=0))


@pytest.fixture
def adapted():
    """A model with random LoRA matrices, and the id of its reward token."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(tiny_config(tokenizer))
    token = tokenizer.special("<|identity_reward|>")
    add_lora(model, CONFIG.lora, [token], seed=3)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_B" in name or "trainable_tokens_delta" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    return model, token


def test_the_merged_model_gives_the_same_rewards(adapted, noise_sample):
    model, _ = adapted
    tokenizer = tiny_tokenizer()
    preprocess = Preprocessor(tiny_config(tokenizer), tokenizer)
    sequences = [preprocess(noise_sample(seed, size=(84, 84), references=((84, 84),))) for seed in range(2)]
    merged = RewardModel(model.config)
    merged.load_state_dict(merged_state(model), assign=True)
    base = tiny_model(model.config)
    rewards = torch.stack([merged(sequence) for sequence in sequences])
    with torch.no_grad():
        torch.testing.assert_close(PackedRewards(model)(sequences), rewards, atol=2e-5, rtol=0)
    assert (rewards - torch.stack([base(sequence) for sequence in sequences])).abs().min() > 1e-3
