from collections import Counter

import numpy as np
import pytest

from trainer.config import AdvantageConfig
from trainer.run.rewards import advantages_of, gathered
from trainer.types import StepRewards


def step(rewards_PG, watched_PG):
    rewards_PG = np.array(rewards_PG)
    keys = tuple("abc"[: len(rewards_PG)])
    components = {"main": rewards_PG / 2, "watched": np.array(watched_PG)}
    valid_PG = ~np.isnan(rewards_PG)
    return StepRewards(keys, rewards_PG, valid_PG, components, (), {}, 0.0, 0.0, Counter())


def test_the_journal_has_means_of_what_is_there():
    local = step([[1.0, 3.0, np.nan], [4.0, 4.0, 4.0]], [[0.1, 0.2, 0.3], [np.nan] * 3])
    rewards = gathered(local, [{"motion": 1.0, "people": 2.0}, {"motion": 3.0}], 0, 1)
    assert rewards.journal() == pytest.approx(
        {
            "missing": 1.0,
            "reward": 16 / 5,
            "reward_std": 0.5,
            "reward_main": 8 / 5,
            "reward_watched": 0.2,
            "motion": 2.0,
            "people": 2.0,
        }
    )


def test_a_rollout_without_rewards_has_no_mean():
    rewards = gathered(step([[np.nan, np.nan]], [[np.nan, np.nan]]), [{}], 0, 1)
    assert rewards.journal() == {"missing": 2.0}


@pytest.mark.parametrize("kind", ["group", "global-std", "win-rate", "per-reward"])
def test_advantages_by_name_drop_missing_items_and_flat_groups(kind):
    rewards = gathered(step([[1.0, 3.0, np.nan], [4.0, 4.0, 4.0]], [[0.0] * 3] * 2), [{}, {}], 0, 1)
    result = advantages_of(rewards, {"main": 2.0, "watched": 0.0}, AdvantageConfig(kind=kind))
    assert result.used_PG.tolist() == [[True, True, False], [False] * 3]
    assert (result.flat, result.too_small) == (1, 0)
    assert result.advantages_PG[0, 0] == pytest.approx(-result.advantages_PG[0, 1])
    assert result.advantages_PG[0, 0] < 0
