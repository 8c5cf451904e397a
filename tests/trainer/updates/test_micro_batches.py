"""Which members an update holds. A rollout needs no policy here: its latents are numbers of its members."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests.trainer.helpers.runs import make_config
from trainer.noise import Noise
from trainer.prompts import Prompt
from trainer.rollout import GroupRollout
from trainer.updates.micro_batches import GroupAdvantages, divide, optimizer_batches


def group(key, used_G):
    used_G = np.array(used_G, bool)
    members = torch.arange(len(used_G), dtype=torch.float32)[:, None]
    rollout = GroupRollout(key, Prompt(key, "", ()), {}, torch.ones(1, dtype=torch.bool), Noise(0, 0), members, (0, 1))
    return GroupAdvantages(rollout, np.where(used_G, np.arange(len(used_G)) + 10.0, np.nan), used_G)


def held(parts):
    return [(part.rollout.key, part.members.tolist()) for part in parts]


def test_an_update_holds_whole_groups():
    groups = [group(key, [True] * 4) for key in "abcd"]
    updates = divide(groups, make_config(updates_per_rollout=2, micro_batch=3), 0)
    assert [held(parts) for parts in updates] == [
        [("a", [0, 1, 2]), ("a", [3]), ("b", [0, 1, 2]), ("b", [3])],
        [("c", [0, 1, 2]), ("c", [3]), ("d", [0, 1, 2]), ("d", [3])],
    ]


def test_members_without_an_advantage_stay_with_weight_0_beside_others():
    parts = divide([group("a", [True, False, False, False, True, True])], make_config(micro_batch=2), 0)[0]
    assert held(parts) == [("a", [0, 1]), ("a", [4, 5])]
    assert [part.used.tolist() for part in parts] == [[1, 0], [1, 1]]
    assert [part.advantages.tolist() for part in parts] == [[10, 0], [14, 15]]


def test_scattered_updates_divide_every_group():
    groups = [group(key, [True] * 4) for key in "ab"]
    config = make_config(updates_per_rollout=2, scatter_members=True)
    first, second = divide(groups, config, 0)
    assert [part.rollout.key for part in first] == [part.rollout.key for part in second] == ["a", "b"]
    for a, b in zip(first, second, strict=True):
        assert sorted([*a.members.tolist(), *b.members.tolist()]) == [0, 1, 2, 3]
    orders = {tuple(divide(groups, config, number)[0][0].members.tolist()) for number in range(10)}
    assert len(orders) > 1


def test_batches_count_samples_and_passes():
    groups = [group("a", [True] * 4), group("b", [False] * 4)]
    config = make_config(micro_batch=2, passes=2)
    batches = optimizer_batches(groups, (0, 1, 2), config, 0, Accelerator(cpu=True))
    assert len(batches) == 2
    assert batches[0] is batches[1]
    assert (batches[0].num_samples, batches[0].num_values, batches[0].num_passes) == (4, 12, 6)
    assert [step for _, step, counts in batches[0].passes() if counts] == [0, 1, 2] * 2


@pytest.mark.parametrize("scatter", [False, True])
def test_a_process_without_samples_keeps_a_part_without_weight(scatter):
    config = make_config(scatter_members=scatter)
    batch = optimizer_batches([group("a", [False] * 4)], (0, 1), config, 0, Accelerator(cpu=True))[0]
    assert (batch.num_samples, batch.num_passes) == (0, 0)
    assert [part.used.sum().item() for part, _ in batch.parts] == [0, 0]
