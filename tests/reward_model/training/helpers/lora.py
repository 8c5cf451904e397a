import torch

from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.configs.preferences import LoraConfig, PreferenceTrainingConfig
from reward_model.training.models.lora import add_lora

CONFIG = PreferenceTrainingConfig(steps=1, lora=LoraConfig(r=4, alpha=8, dropout=0))


def adapted_model():
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
