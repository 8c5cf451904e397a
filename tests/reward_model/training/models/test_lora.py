import torch

from reward_model.qwen.model import RewardModel
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.models.lora import merged_state
from reward_model.training.models.packed import PackedRewards


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
