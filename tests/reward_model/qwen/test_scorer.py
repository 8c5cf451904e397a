"""The scorer with toy weights, and groups with prompts in several languages under both templates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity_reward_client.errors import NonFiniteReward, OutOfMemory
from reward_model.qwen.prompt import IDENTITY_FIRST, VIDEO_FIRST
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


def test_runner_agrees_with_the_forward_of_transformers(tiny, noise_sample):
    samples = [noise_sample(seed, references=((200, 300),) * (1 + seed), frames=4) for seed in range(3)]
    for sample in samples:
        plain = tiny.model(tiny.preprocess(sample)).tolist()
        assert reward(tiny, sample) == pytest.approx(plain, abs=1e-5)


def test_reward_is_bit_equal_in_every_batch(tiny, noise_sample):
    samples = [
        noise_sample(seed, size=size) for seed, size in enumerate([(240, 416), (96, 60), (240, 416), (480, 832)])
    ]
    alone = [reward(tiny, sample)[0] for sample in samples]
    assert reward(tiny, *samples) == alone
    assert reward(tiny, *reversed(samples)) == alone[::-1]
    assert len(set(alone)) == 4


def test_reward_depends_on_references_video_and_frame_rate(tiny, noise_sample):
    sample, other = noise_sample(0), noise_sample(1)
    samples = [
        sample,
        replace(sample, references=other.references),
        replace(sample, references=replace(sample.references, images=sample.references.images[::-1])),
        replace(sample, video=other.video),
        replace(sample, video=replace(sample.video, fps=4.0)),
    ]
    assert len(set(reward(tiny, *samples))) == 5


def test_reward_that_is_not_finite_is_an_error(tiny):
    for value in (float("nan"), float("inf")):
        with pytest.raises(NonFiniteReward):
            tiny.postprocess([value])


def test_sample_that_does_not_fit_in_memory_fails_alone(tiny, noise_sample, monkeypatch):
    sequences = [tiny.preprocess(noise_sample(seed)) for seed in range(3)]
    alone, runner = [reward(tiny, noise_sample(seed))[0] for seed in range(3)], tiny.runner

    def too_large(batch):
        first, _, last = runner(batch)
        return [first, OutOfMemory("too large"), last]

    monkeypatch.setattr(tiny, "runner", too_large)
    raw = tiny.forward(sequences)
    assert [tiny.postprocess(raw[i]).reward for i in (0, 2)] == [alone[0], alone[2]]
    with pytest.raises(OutOfMemory, match="too large"):
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


def test_bfloat16_body_keeps_norm_and_reward_head_in_float32(tiny, noise_sample):
    model = tiny_model(tiny_config(tiny_tokenizer()))
    model.body.to(torch.bfloat16)
    scorer = QwenScorer(model, tiny_tokenizer())
    assert scorer.info.dtype == "bfloat16"
    assert model.head.weight.dtype == model.norm.weight.dtype == torch.float32
    sample = noise_sample(0)
    difference = abs(reward(scorer, sample)[0] - reward(tiny, sample)[0])
    assert 0 < difference < 0.1


def test_clip_of_one_frame_is_scored(tiny, noise_sample):
    assert np.isfinite(reward(tiny, noise_sample(frames=1, source=1)))


PROMPTS = (
    "Two people dance in the rain.",
    "两个人在雨中跳舞。",
    "شخصان يرقصان تحت المطر",
    "Дві людини танцюють під дощем",
    "दो लोग बारिश में नाच रहे हैं",
    "二人が雨の中で踊る 🕺💃",
    "",
)


@pytest.fixture(scope="module", params=[IDENTITY_FIRST, VIDEO_FIRST], ids=["instruction first", "video first"])
def scorer(request):
    tokenizer = tiny_tokenizer()
    return QwenScorer(tiny_model(replace(tiny_config(tokenizer), template=request.param)), tokenizer)


def rewards(scorer, samples):
    return torch.tensor(scorer.forward([scorer.preprocess(sample) for sample in samples]))[:, 0]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_rewards_of_a_group_equal_transformers_and_single_samples(scorer, noise_sample, prompt):
    first = noise_sample(0, references=((60, 80), (90, 60)), size=(64, 96))
    group = [replace(first, prompt=prompt), replace(first, prompt=prompt, video=noise_sample(1, size=(64, 96)).video)]
    scored = rewards(scorer, group)
    plain = torch.cat([scorer.model(scorer.preprocess(sample)) for sample in group])
    assert (scored - plain).abs().max() <= 1e-5
    scorer.runner.clear_caches()
    alone = torch.cat([rewards(scorer, [sample]) for sample in group])
    assert torch.equal(alone, scored)


def test_prompt_matters_only_where_the_template_contains_it(scorer, noise_sample):
    sample = noise_sample(0)
    distinct = rewards(scorer, [replace(sample, prompt=prompt) for prompt in PROMPTS[:3]]).unique()
    assert len(distinct) == (3 if scorer.info.prompt_used else 1)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(st.text(max_size=40), min_size=1, max_size=3),
    references=st.lists(st.tuples(st.integers(30, 120), st.integers(30, 120)), min_size=1, max_size=3),
    size=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    frames=st.integers(1, 9),
)
def test_rewards_are_bit_equal_alone_and_in_a_group(scorer, noise_sample, prompts, references, size, frames):
    samples = [
        noise_sample(n, references=tuple(references), size=size, frames=frames, prompt=prompt)
        for n, prompt in enumerate(prompts)
    ]
    together = rewards(scorer, samples)
    scorer.runner.clear_caches()
    assert torch.equal(torch.cat([rewards(scorer, [sample]) for sample in samples]), together)
