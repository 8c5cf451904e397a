import torch

from reward_model.qwen.loading import load_model
from reward_model.training.configs.base import ModelConfig
from reward_model.training.loop.result import write_result
from reward_model.training.models.initial import initial_model


def test_body_is_saved_in_the_chosen_dtype_and_reward_head_in_float32(tmp_path):
    model, tokenizer = initial_model(ModelConfig(), 0)
    write_result(tmp_path / "model", model.config, tokenizer, model.state_dict(), "bfloat16")
    saved = load_model(tmp_path / "model")[0].state_dict()
    for name, value in model.state_dict().items():
        expected = value.bfloat16().float() if name.startswith("body.") else value
        assert torch.equal(saved[name].float(), expected), name
