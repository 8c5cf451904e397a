"""The statistics of the ablation; `make ablation` runs its trainings."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.reward.ablation import TABLE, Accuracies, sweeps
from reward_model.training.evaluation.statistics import Bootstrap

CASTS = [f"cast-{n // 4}" for n in range(400)]
LABELS = np.tile([1, -1, 0, 1], 100)
ACCURACIES = Accuracies(LABELS, CASTS)


def correct_with(*shares: float) -> np.ndarray:
    """bool [S, 400]: for each seed, random pairs of which that share is correct."""
    rng = np.random.default_rng(0)
    return np.stack([rng.random(400) < share for share in shares])


def test_interval_of_one_seed_is_the_bootstrap_over_casts_without_ties():
    values = correct_with(0.8)
    values[:, LABELS == 0] = False
    interval, expected = ACCURACIES.interval(values), Bootstrap(CASTS).mean(values[0], LABELS != 0)
    assert (interval.mean, interval.count) == (expected.mean, expected.count) == (pytest.approx(0.8, abs=0.05), 300)
    assert [interval.low, interval.high] == pytest.approx([expected.low, expected.high])


def test_interval_is_wider_if_seeds_disagree():
    agree = ACCURACIES.interval(correct_with(0.7, 0.7, 0.7))
    disagree = ACCURACIES.interval(correct_with(0.5, 0.7, 0.9))
    assert disagree.high - disagree.low > 1.5 * (agree.high - agree.low)


def test_rows_differ_only_if_the_interval_of_the_difference_excludes_zero():
    low, high, noisy = correct_with(0.6, 0.6, 0.6), correct_with(0.8, 0.8, 0.8), correct_with(0.4, 0.6, 0.9)
    assert (ACCURACIES.compare(high, low), ACCURACIES.compare(low, high)) == (1, -1)
    assert ACCURACIES.compare(low, low) == ACCURACIES.compare(low, noisy) == 0


def test_order_of_rows_is_compared_with_the_paper():
    low, high = correct_with(0.6, 0.6, 0.6), correct_with(0.8, 0.8, 0.8)
    rows = {"best": low, "middle": high, "worst": low}
    text = ACCURACIES.describe_order(rows, {"best": 0.9, "middle": 0.8, "worst": 0.7})
    assert text == (
        "Of 3 pairs of rows, 1 are in the paper's order, 1 do not differ significantly, and 1 are in the opposite "
        "order: middle over best."
    )


def test_difference_is_paired_over_test_pairs():
    first = correct_with(0.7, 0.7, 0.7)
    second = first.copy()
    second[:, :20] = False
    paired = ACCURACIES.difference(first, second)
    assert 0 < paired.low < paired.high < 0.1
    assert paired.mean == pytest.approx(ACCURACIES.interval(first).mean - ACCURACIES.interval(second).mean)


def test_rows_are_those_of_table_2():
    assert sorted(setting.peer for setting in TABLE) == [0.664, 0.785, 0.812, 0.824, 0.853, 0.877, 0.890]
    assert {setting.training.sampler for setting in TABLE} == {"random", "staged", "smooth"}


def test_sweeps_change_one_thing_in_a_row_of_the_table():
    rows = {setting.name: asdict(setting.training) for setting in TABLE}
    for setting in sweeps():
        changed = asdict(setting.training).items() - rows[setting.peer].items()
        assert len(changed) == 1


def test_rows_of_the_table_have_all_seeds_and_the_others_half():
    assert {len(setting.seeds(10)) for setting in TABLE} == {10}
    assert {len(setting.seeds(10)) for setting in sweeps()} == {5}
