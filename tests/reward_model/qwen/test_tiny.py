from dataclasses import replace

import numpy as np
import pytest
import torch

from identity_reward_client.errors import NonFiniteReward, OutOfMemory
from reward_model.config import RewardModelConfig
from reward_model.qwen.scorer import QwenScorer
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.registry import load_scorer


@pytest.fixture(scope="module")
def tiny():
    scorer = load_scorer("tiny")
    scorer.warm_up()
    return scorer


def reward(scorer, *samples):
    return [scorer.postprocess(raw).reward for raw in scorer.forward([scorer.preprocess(s) for s in samples])]


def test_it_says_that_its_numbers_mean_nothing(tiny):
    assert not tiny.info.meaningful
    assert "mean nothing" in tiny.info.description
    assert tiny.info.domain == "none"
    assert tiny.info.num_parameters < 1_000_000
    assert tiny.info.frame_sampling.indices(33, 10.0) == (0, 11, 21, 32)


def test_weights_and_fingerprint_are_the_same_on_every_machine(tiny):
    assert tiny.info.fingerprint == load_scorer("tiny").info.fingerprint
    assert tiny.model.config.weights_sha256 == WEIGHTS


WEIGHTS = "e5a84865c560e75662b0d72822bb75ecc463d3a248bace03c294fb941a550a14"


def test_the_fingerprint_follows_what_decides_a_score(tiny):
    config = tiny.model.config
    assert replace(config, position_dialect="4.51").fingerprint != config.fingerprint
    assert replace(config, weights_sha256="0").fingerprint != config.fingerprint
    assert replace(config, template=replace(config.template, vision_ids=True)).fingerprint != config.fingerprint
    assert replace(config, description="else").fingerprint == config.fingerprint


def test_the_runner_agrees_with_transformers_own_forward(tiny, noise_sample):
    samples = [noise_sample(seed, references=((200, 300),) * (1 + seed), frames=4) for seed in range(3)]
    for sample in samples:
        plain = tiny.model(tiny.preprocess(sample)).tolist()
        assert reward(tiny, sample) == pytest.approx(plain, abs=1e-5)


def test_the_same_bits_whatever_the_batch(tiny, noise_sample):
    samples = [
        noise_sample(seed, size=size) for seed, size in enumerate([(240, 416), (96, 60), (240, 416), (480, 832)])
    ]
    alone = [reward(tiny, sample)[0] for sample in samples]
    assert reward(tiny, *samples) == alone
    assert reward(tiny, *reversed(samples)) == alone[::-1]
    assert len(set(alone)) == 4


def test_references_video_and_frame_rate_all_matter(tiny, noise_sample):
    sample, other = noise_sample(0), noise_sample(1)
    seen = [
        sample,
        replace(sample, references=other.references),
        replace(sample, references=replace(sample.references, images=sample.references.images[::-1])),
        replace(sample, video=other.video),
        replace(sample, video=replace(sample.video, fps=4.0)),
    ]
    assert len(set(reward(tiny, *seen))) == 5


def test_a_reward_that_is_not_finite_is_an_error(tiny):
    for value in (float("nan"), float("inf")):
        with pytest.raises(NonFiniteReward):
            tiny.postprocess([value])


def test_an_item_that_memory_had_no_room_for_fails_alone(tiny, noise_sample, monkeypatch):
    sequences = [tiny.preprocess(noise_sample(seed)) for seed in range(3)]
    alone, runner = [reward(tiny, noise_sample(seed))[0] for seed in range(3)], tiny.runner

    def one_too_many(given):
        first, _, last = runner(given)
        return [first, OutOfMemory("no room"), last]

    monkeypatch.setattr(tiny, "runner", one_too_many)
    raw = tiny.forward(sequences)
    assert [tiny.postprocess(raw[i]).reward for i in (0, 2)] == [alone[0], alone[2]]
    with pytest.raises(OutOfMemory, match="no room"):
        tiny.postprocess(raw[1])


def test_several_outputs_are_named_normalised_and_summed():
    config = replace(
        tiny_config(tiny_tokenizer()),
        outputs=("VQ", "MQ"),
        normalization=((1.0, 2.0), (0.5, 4.0)),
        template=replace(
            tiny_config(tiny_tokenizer()).template,
            pieces=(
                *tiny_config(tiny_tokenizer()).template.pieces,
                *tiny_config(tiny_tokenizer()).template.pieces[-5:-4],
            ),
        ),
    )
    scorer = QwenScorer(tiny_model(config), tiny_tokenizer())
    score = scorer.postprocess([3.0, 2.5])
    assert score.details == {"VQ": 1.0, "MQ": 0.5}
    assert score.reward == 1.5
    assert scorer.model.head.weight.shape[0] == 2


def test_bfloat16_keeps_norm_and_head_in_float32_and_stays_near(tiny, noise_sample):
    model = tiny_model(tiny_config(tiny_tokenizer()))
    model.body.to(torch.bfloat16)
    scorer = QwenScorer(model, tiny_tokenizer())
    assert scorer.info.dtype == "bfloat16"
    assert model.head.weight.dtype == model.norm.weight.dtype == torch.float32
    sample = noise_sample(0)
    difference = abs(reward(scorer, sample)[0] - reward(tiny, sample)[0])
    assert 0 < difference < 0.1


def test_config_survives_json():
    config = tiny_config(tiny_tokenizer())
    assert RewardModelConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="format 99"):
        RewardModelConfig.from_json({**config.to_json(), "format": 99})
    with pytest.raises(ValueError, match="unknown fields: colour"):
        RewardModelConfig.from_json({**config.to_json(), "colour": 1})


def test_more_outputs_than_reward_tokens_are_refused():
    with pytest.raises(ValueError, match="a reward token each"):
        replace(tiny_config(tiny_tokenizer()), outputs=("a", "b"))


def test_a_sample_of_one_frame_scores(tiny, noise_sample):
    assert np.isfinite(reward(tiny, noise_sample(frames=1, source=1)))
