"""Statistics of preference predictions against slow, direct implementations."""

import numpy as np
import pytest

from identity_reward_client.preference import probabilities, verdict
from reward_model.training.evaluation.statistics import (
    Bootstrap,
    accuracy,
    best_epsilon,
    calibration_error,
    negative_log_likelihood,
    without_ties,
)

LABEL = {"A": 1, "tie": 0, "B": -1}


@pytest.fixture
def sample():
    """40 differences, some equal and some zero, and labels that follow them noisily."""
    rng = np.random.default_rng(5)
    d = np.round(rng.normal(0, 2, 40), 1)
    d[:4] = 0
    label = np.sign(d + rng.normal(0, 1.5, 40)).astype(int)
    label[rng.random(40) < 0.3] = 0
    return d, label


def plain_accuracy(d, label, epsilon):
    num_right = 0
    for difference, expected in zip(d, label, strict=True):
        predicted = 0 if abs(difference) <= epsilon else (1 if difference > 0 else -1 if difference < 0 else None)
        num_right += predicted == expected
    return num_right / len(d)


@pytest.mark.parametrize("epsilon", [-1.0, 0.0, 0.35, 1.526, 9.0])
def test_accuracy_equals_the_direct_computation(sample, epsilon):
    assert accuracy(*sample, epsilon).mean() == plain_accuracy(*sample, epsilon)


def test_accuracy_with_the_tie_band_equals_that_of_verdicts(sample):
    from identity_reward_client.preference import tie_band

    d, label = sample
    expected = [LABEL[verdict(difference)] == value for difference, value in zip(d, label, strict=True)]
    assert accuracy(d, label, tie_band()).tolist() == expected


def test_equal_rewards_are_wrong_for_decided_pairs():
    assert without_ties(np.array([0.0, 1.0, -1.0, 5.0]), np.array([1, 1, 1, 0])).tolist() == [False, True, False]
    assert not accuracy(np.array([0.0, 0.0]), np.array([0, 1]), -1.0).any()


@pytest.mark.parametrize("seed", range(20))
def test_fitted_epsilon_has_the_highest_accuracy(seed):
    rng = np.random.default_rng(seed)
    d = np.round(rng.normal(0, 1, 25), 1)
    label = rng.integers(-1, 2, 25)
    fitted = best_epsilon(d, label)
    candidates = [-1.0, *np.abs(d)]
    assert plain_accuracy(d, label, fitted) == max(plain_accuracy(d, label, epsilon) for epsilon in candidates)


def test_fitted_epsilon_without_ties_with_ties_alone_and_with_both():
    assert best_epsilon(np.array([1.0, -2.0]), np.array([1, -1])) == -1
    assert best_epsilon(np.array([1.0, -2.0]), np.array([0, 0])) >= 2
    assert 0.1 < best_epsilon(np.array([0.1, 3.0]), np.array([0, 1])) < 3


def test_bootstrap_resamples_whole_clusters():
    rng = np.random.default_rng(0)
    clusters = [f"c{i}" for i in rng.integers(0, 12, 90)]
    values, mask = rng.random(90) < 0.7, rng.random(90) < 0.5
    bootstrap = Bootstrap(clusters, seed=1, num_resamples=500)
    names = sorted(set(clusters))
    means = []
    for counts in bootstrap.counts_RC:
        sampled = [name for name, count in zip(names, counts, strict=True) for _ in range(int(count))]
        picked = [v for name in sampled for v, m, c in zip(values, mask, clusters, strict=True) if m and c == name]
        means.append(np.mean(picked))
    interval = bootstrap.mean(values, mask)
    assert interval.mean == pytest.approx(values[mask].mean())
    assert interval.count == mask.sum()
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert bootstrap.mean(values, mask & False) is None
    again = Bootstrap(clusters, seed=1, num_resamples=500)
    assert again.mean(values, mask) == interval


def test_interval_of_clustered_pairs_is_wider_than_of_independent_pairs():
    values = np.repeat([0.0, 1.0] * 5, 50)
    clustered = Bootstrap([f"c{i // 50}" for i in range(500)]).mean(values)
    independent = Bootstrap([str(i) for i in range(500)]).mean(values)
    assert clustered.high - clustered.low > 5 * (independent.high - independent.low)


def test_likelihood_and_calibration_error_equal_direct_computations(sample):
    d, label = sample
    forecasts = np.stack(probabilities(d))
    expected = [-np.log(forecasts[1 - value, i]) for i, value in enumerate(label)]
    np.testing.assert_allclose(negative_log_likelihood(d, label), expected)
    bins = [[] for _ in range(10)]
    for row, outcome in enumerate((1, 0, -1)):
        for i, value in enumerate(label):
            bins[min(int(forecasts[row, i] * 10), 9)].append((forecasts[row, i], value == outcome))
    gaps = [len(b) / (3 * len(d)) * abs(np.mean([p for p, _ in b]) - np.mean([y for _, y in b])) for b in bins if b]
    assert calibration_error(d, label) == pytest.approx(sum(gaps))


def test_labels_sampled_from_the_probabilities_are_calibrated():
    rng = np.random.default_rng(2)
    d = rng.normal(0, 3, 50_000)
    p_a, p_tie, _ = probabilities(d)
    u = rng.random(50_000)
    label = np.where(u < p_a, 1, np.where(u < p_a + p_tie, 0, -1))
    assert calibration_error(d, label) < 0.01
    assert calibration_error(3 * d, label) > 0.03
    assert np.isfinite(negative_log_likelihood(np.array([1e4]), np.array([-1]))).all()
