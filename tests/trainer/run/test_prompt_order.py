import pytest

from trainer.prompts import Prompt
from trainer.run.prompt_order import prompts_of_rollout

PROMPTS = [Prompt(f"p{n}", "", ()) for n in range(5)]


def test_every_prompt_comes_once_in_a_pass():
    keys = [prompt.key for number in range(5) for _, prompt in prompts_of_rollout(PROMPTS, 3, number, 0)]
    passes = [keys[:5], keys[5:10], keys[10:]]
    assert all(sorted(part) == [prompt.key for prompt in PROMPTS] for part in passes)
    assert passes[0] != passes[1]


def test_the_order_is_a_function_of_seed_and_number():
    assert prompts_of_rollout(PROMPTS, 3, 7, 0) == prompts_of_rollout(PROMPTS, 3, 7, 0)
    assert any(prompts_of_rollout(PROMPTS, 3, 0, 0) != prompts_of_rollout(PROMPTS, 3, 0, seed) for seed in range(1, 5))


@pytest.mark.parametrize("count", [6, 20])
def test_keys_differ_where_a_rollout_repeats_a_prompt(count):
    groups = prompts_of_rollout(PROMPTS, count, 3, 0)
    assert len({key for key, _ in groups}) == count
    assert all(key.split(" #")[0] == prompt.key for key, prompt in groups)
