import pytest
import torch

from reward_model.folder import CheckpointError
from reward_model.importing.exporter import export_checkpoint
from reward_model.importing.importer import import_checkpoint
from reward_model.qwen.loading import load_model
from reward_model.qwen.model import RewardModel
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.training.config import LoraConfig, ModelConfig, TrainConfig
from reward_model.training.loop.optimizer import build_optimizer, choose_trained, factor, group_of
from reward_model.training.preferences.initial import initial_model
from reward_model.training.preferences.lora import TARGETS, add_lora, folded_state, is_adapter
from reward_model.training.preferences.packed import PackedRewards
from reward_model.training.preferences.run import train
from tests.reward_model.importing.conftest import Release

CONFIG = TrainConfig(steps=1, lora=LoraConfig(r=4, alpha=8, dropout=0))


@pytest.fixture
def adapted():
    """A model with LoRA whose matrices are all drawn anew, and the number of its reward token."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(tiny_config(tokenizer))
    token = tokenizer.special("<|identity_reward|>")
    add_lora(model, CONFIG.lora, [token], seed=3)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_B" in name or "trainable_tokens_delta" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    return model, token


def test_the_folded_model_gives_the_same_scores(adapted, noise_sample):
    model, _ = adapted
    tokenizer = tiny_tokenizer()
    preprocess = Preprocessor(tiny_config(tokenizer), tokenizer)
    sequences = [preprocess(noise_sample(seed, size=(84, 84), references=((84, 84),))) for seed in range(2)]
    folded = RewardModel(model.config)
    folded.load_state_dict(folded_state(model), assign=True)
    before = tiny_model(model.config)
    rewards = torch.stack([folded(sequence) for sequence in sequences])
    with torch.no_grad():
        torch.testing.assert_close(PackedRewards(model)(sequences), rewards, atol=2e-5, rtol=0)
    assert (rewards - torch.stack([before(sequence) for sequence in sequences])).abs().min() > 1e-3


def test_what_is_trained_with_lora(adapted):
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


def test_rates_by_group_and_over_time():
    config = TrainConfig.model_validate({
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
    path = [factor(step, 100, config.optimizer) for step in range(100)]
    assert path[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert path[10] == 1
    assert path[55] == pytest.approx(0.5)
    assert path[99] < 0.001
    constant = config.optimizer.model_copy(update={"schedule": "constant_with_warmup"})
    assert factor(99, 100, constant) == 1


def test_the_same_seed_gives_the_same_weights():
    first, second, other = (initial_model(ModelConfig(), seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_base_model_is_trained_exported_and_read_back(four_pairs, tmp_path):
    release = Release(tmp_path)
    _, upstream, base = release.write()
    config = TrainConfig.model_validate({
        "data": {"clean": str(four_pairs / "train.jsonl")},
        "model": {"init": str(base), "upstream": str(upstream), "template": "subject_alignment_special",
                  "saved_dtype": "float32"},
        "lora": {"r": 4, "alpha": 8}, "steps": 2, "batch": 2, "micro_batch": 1,
    })  # fmt: skip
    folder = train(config, tmp_path / "run")
    trained, tokenizer = load_model(folder)
    assert trained.config.frame_sampling.name == "identity-grpo"
    assert trained.config.template.reward_tokens == ("<|SA_reward|>",)
    assert trained.config.backbone["text_config"]["vocab_size"] == len(tokenizer) == release.rows
    name = "body.language_model.layers.0.input_layernorm.weight"
    assert torch.equal(trained.state_dict()[name], release.base[name])
    exported = export_checkpoint(folder, tmp_path / "exported")
    import_checkpoint(exported, upstream, tmp_path / "back", position_dialect=trained.config.position_dialect)
    back, _ = load_model(tmp_path / "back")
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in trained.state_dict().items())


def test_a_released_checkpoint_is_imported_first(tmp_path):
    root, *_ = Release(tmp_path).write()
    with pytest.raises(CheckpointError, match="run `identity-reward import-checkpoint` first"):
        initial_model(ModelConfig(init=str(root)), 0)
