"""Groups with prompts in many languages, under both templates: what is shared is found, whatever the layout."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_model.qwen.prompt import IDENTITY_FIRST, VIDEO_FIRST
from reward_model.qwen.scorer import QwenScorer
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer

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
def test_a_group_with_a_prompt_is_transformers_and_alone_it_has_the_same_bits(scorer, noise_sample, prompt):
    first = noise_sample(0, references=((60, 80), (90, 60)), size=(64, 96))
    group = [replace(first, prompt=prompt), replace(first, prompt=prompt, video=noise_sample(1, size=(64, 96)).video)]
    scored = rewards(scorer, group)
    plain = torch.cat([scorer.model(scorer.preprocess(sample)) for sample in group])
    assert (scored - plain).abs().max() <= 1e-5
    scorer.runner.clear_caches()
    alone = torch.cat([rewards(scorer, [sample]) for sample in group])
    assert torch.equal(alone, scored)


def test_a_prompt_matters_where_the_template_has_it(scorer, noise_sample):
    sample = noise_sample(0)
    seen = rewards(scorer, [replace(sample, prompt=prompt) for prompt in PROMPTS[:3]]).unique()
    assert len(seen) == (3 if scorer.info.prompt_used else 1)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(st.text(max_size=40), min_size=1, max_size=3),
    references=st.lists(st.tuples(st.integers(30, 120), st.integers(30, 120)), min_size=1, max_size=3),
    size=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    frames=st.integers(1, 9),
)
def test_any_company_of_prompts_sizes_and_frames_changes_no_bit(
    scorer, noise_sample, prompts, references, size, frames
):
    samples = [
        noise_sample(n, references=tuple(references), size=size, frames=frames, prompt=prompt)
        for n, prompt in enumerate(prompts)
    ]
    together = rewards(scorer, samples)
    scorer.runner.clear_caches()
    assert torch.equal(torch.cat([rewards(scorer, [sample]) for sample in samples]), together)
