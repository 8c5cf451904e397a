from dataclasses import replace

import pytest
import torch

from reward_model.folder import CheckpointError
from reward_model.importing.exporter import export_checkpoint
from reward_model.importing.importer import import_checkpoint
from reward_model.qwen.loading import load_model
from reward_model.training.configs.base import ModelConfig
from reward_model.training.configs.preferences import PreferenceTrainingConfig
from reward_model.training.errors import TrainingError
from reward_model.training.models.backbones import TEMPLATES
from reward_model.training.models.initial import initial_model
from reward_model.training.preferences.task import train
from tests.reward_model.importing.conftest import Release
from tests.reward_model.training.helpers.runs import run
from tests.support.paths import ROOT


def test_unusable_initial_folder_is_refused_with_the_reason(four_pairs, tmp_path):
    for init, message in (
        ("nowhere", "neither scratch nor a folder"),
        (four_pairs, "lacks config.json, model.safetensors, tokenizer.json"),
    ):
        result = run(four_pairs, tmp_path / "run", model__init=init)
        assert result.exit_code == 2
        assert message in result.output


def test_initial_weights_are_a_function_of_the_seed():
    first, second, other = (initial_model(ModelConfig(), seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_shipped_model_is_a_start_under_the_current_and_the_earlier_name_of_its_template():
    folder = ROOT / "reward_model/presets/compact"
    model, _ = initial_model(ModelConfig(init=str(folder), template="images"), 0)
    stored = model.config.template
    assert replace(stored, name="images") == TEMPLATES["images"]
    with pytest.raises(TrainingError, match=r"model.template is video-first, and .* was trained with images"):
        initial_model(ModelConfig(init=str(folder), template="video-first"), 0)


def test_upstream_base_model_is_trained_exported_and_imported_again(four_pairs, tmp_path):
    release = Release(tmp_path)
    _, upstream, base = release.write()
    config = PreferenceTrainingConfig.model_validate({
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


def test_released_checkpoint_is_refused_with_the_import_command(tmp_path):
    root, *_ = Release(tmp_path).write()
    with pytest.raises(CheckpointError, match="run `identity-reward import-checkpoint` first"):
        initial_model(ModelConfig(init=str(root)), 0)
