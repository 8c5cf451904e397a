"""The ablation's statistics; its trainings are `make ablation`."""

import numpy as np
import pytest

from benchmarks.reward_ablation import SETTINGS, Accuracies
from reward_model.training.evaluation.statistics import Bootstrap

CASTS = [f"cast-{n // 4}" for n in range(400)]
LABELS = np.tile([1, -1, 0, 1], 100)
ACCURACIES = Accuracies(LABELS, CASTS)


def rights(*shares: float) -> np.ndarray:
    """A row of pairs for each seed, of which that share is right."""
    rng = np.random.default_rng(0)
    return np.stack([rng.random(400) < share for share in shares])


def test_one_seed_is_the_bootstrap_over_casts_and_ties_are_left_out():
    values = rights(0.8)
    values[:, LABELS == 0] = False
    ours, plain = ACCURACIES.interval(values), Bootstrap(CASTS).mean(values[0], LABELS != 0)
    assert (ours.mean, ours.count) == (plain.mean, plain.count) == (pytest.approx(0.8, abs=0.05), 300)
    assert [ours.low, ours.high] == pytest.approx([plain.low, plain.high])


def test_seeds_that_disagree_widen_the_interval():
    agree, disagree = ACCURACIES.interval(rights(0.7, 0.7, 0.7)), ACCURACIES.interval(rights(0.5, 0.7, 0.9))
    assert disagree.high - disagree.low > 1.5 * (agree.high - agree.low)


def test_rows_are_told_apart_only_where_the_difference_is_clear():
    low, high, noisy = rights(0.6, 0.6, 0.6), rights(0.8, 0.8, 0.8), rights(0.4, 0.6, 0.9)
    assert (ACCURACIES.compare(high, low), ACCURACIES.compare(low, high)) == (1, -1)
    assert ACCURACIES.compare(low, low) == ACCURACIES.compare(low, noisy) == 0


def test_the_order_is_compared_with_the_papers():
    found = {"best": rights(0.6, 0.6, 0.6), "middle": rights(0.8, 0.8, 0.8), "worst": rights(0.6, 0.6, 0.6)}
    said = ACCURACIES.order(found, {"best": 0.9, "middle": 0.8, "worst": 0.7})
    assert said.startswith("Of 3 pairs of rows 1 come in the paper's order, 1 aren't told apart, 1 come the other way")
    assert said.endswith(": middle over best.")


def test_the_rows_are_the_papers_table_2():
    assert sorted(setting.paper for setting in SETTINGS) == [0.664, 0.785, 0.812, 0.824, 0.853, 0.877, 0.890]
    assert {setting.sampler for setting in SETTINGS} == {"random", "staged", "smooth"}
