import numpy as np

from examples.people_policy.checks.generated import agreement, summarize
from examples.people_policy.ground_truth import judge, true_code


def group(rewards, num_people=2):
    """A right, an exchanged and a replaced clip, in this order."""
    cast = np.stack([true_code(5, name) for name in ("anna", "ben")])[:num_people]
    right = np.repeat(cast[:, None], 4, 1)
    late, early = right.copy(), right.copy()
    late[0, 3], early[:, 1:] = true_code(5, "carl"), true_code(5, "dora")
    truth = judge(np.stack([right, late, early]), np.repeat(cast[None], 3, 0))
    seconds = {"sample": 0.1, "decode": 0.2, "score": 0.3}
    return {"truth": truth, "rewards": np.array(rewards), "seconds": seconds, "load": 1.0}


def test_agreement_is_that_of_the_order():
    for rewards, expected in (([3.0, 2.0, 1.0], 1.0), ([1.0, 2.0, 3.0], 0.0), ([3.0, 1.0, 2.0], 2 / 3)):
        assert agreement(group(rewards)["truth"], np.array(rewards)) == expected


def test_videos_without_a_reward_are_counted_and_take_no_part_in_means():
    summary = summarize([group([3.0, np.nan, 1.0]), group([5.0, 4.0, 0.0], num_people=1)])
    assert summary["without_reward"] == 1
    assert summary["mean_reward"]["right"] == 4.0
    assert summary["reward"] == 2.6
    assert summary["ground_truth"]["1 people"]["right_clips"] == round(1 / 3, 4)
    assert summary["pairs_in_which_reward_agrees_with_truth"] == 1.0
