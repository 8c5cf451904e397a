from dataclasses import replace

import pytest

from reward_model.config import RewardModelConfig
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer


def test_fingerprint_changes_with_fields_that_affect_scores():
    config = tiny_model(tiny_config(tiny_tokenizer())).config
    assert replace(config, position_dialect="4.51").fingerprint != config.fingerprint
    assert replace(config, weights_sha256="0").fingerprint != config.fingerprint
    assert replace(config, template=replace(config.template, vision_ids=True)).fingerprint != config.fingerprint
    assert replace(config, description="else").fingerprint == config.fingerprint


def test_config_round_trips_through_json():
    config = tiny_config(tiny_tokenizer())
    assert RewardModelConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="format 99"):
        RewardModelConfig.from_json({**config.to_json(), "format": 99})
    with pytest.raises(ValueError, match="unknown fields: colour"):
        RewardModelConfig.from_json({**config.to_json(), "colour": 1})


def test_more_outputs_than_reward_tokens_are_refused():
    with pytest.raises(ValueError, match="a reward token each"):
        replace(tiny_config(tiny_tokenizer()), outputs=("a", "b"))
