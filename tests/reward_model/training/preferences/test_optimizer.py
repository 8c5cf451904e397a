import torch

from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.configs.preferences import PreferenceTrainingConfig
from reward_model.training.models.lora import TARGETS, is_adapter
from reward_model.training.preferences.optimizer import build_optimizer, choose_trained, group_of
from tests.reward_model.training.helpers.lora import CONFIG


def test_lora_trains_adapters_and_the_embedding_of_the_reward_token(adapted):
    model, _ = adapted
    choose_trained(model, CONFIG)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    language = {name for name in trained if "language_model" in name}
    assert all(is_adapter(name) for name in language)
    assert len([name for name in language if ".lora_" in name]) == 2 * len(TARGETS) * 2
    delta = next(p for n, p in model.named_parameters() if "trainable_tokens_delta" in n)
    assert delta.shape == (1, 64)
    assert {group_of(name) for name in trained} == {"language", "vision", "merger", "head", "embedding"}


def test_frozen_weights_are_bfloat16_and_trained_ones_float32(adapted):
    model, _ = adapted
    choose_trained(model, CONFIG.model_copy(update={"precision": "bf16"}))
    for name, parameter in model.named_parameters():
        expected = torch.float32 if parameter.requires_grad or not name.startswith("body.") else torch.bfloat16
        assert parameter.dtype == expected, name


def test_learning_rates_and_weight_decay_by_group():
    config = PreferenceTrainingConfig.model_validate({
        "steps": 1, "learning_rates": {"language": 1, "vision": 2, "merger": 3, "head": 4, "embedding": 5},
        "optimizer": {"weight_decay": 0.1, "schedule": "cosine", "warmup": 0.1},
    })  # fmt: skip
    model = tiny_model(tiny_config(tiny_tokenizer()))
    choose_trained(model, config)
    groups = build_optimizer(model, config).param_groups
    assert {group["name"]: group["base_lr"] for group in groups} == dict(config.learning_rates)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        decays = {parameter.ndim > 1 for parameter in group["params"]}
        assert (group["weight_decay"] > 0) == (decays == {True} and group["name"] != "embedding")
