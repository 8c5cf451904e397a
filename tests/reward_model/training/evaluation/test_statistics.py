"""Against the same things computed slowly and plainly."""

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
    draw = np.random.default_rng(5)
    d = np.round(draw.normal(0, 2, 40), 1)
    d[:4] = 0
    label = np.sign(d + draw.normal(0, 1.5, 40)).astype(int)
    label[draw.random(40) < 0.3] = 0
    return d, label


def plain_accuracy(d, label, epsilon):
    right = 0
    for one, said in zip(d, label, strict=True):
        guess = 0 if abs(one) <= epsilon else (1 if one > 0 else -1 if one < 0 else None)
        right += guess == said
    return right / len(d)


@pytest.mark.parametrize("epsilon", [-1.0, 0.0, 0.35, 1.526, 9.0])
def test_accuracy(sample, epsilon):
    assert accuracy(*sample, epsilon).mean() == plain_accuracy(*sample, epsilon)


def test_the_own_band_is_the_most_likely_outcome(sample):
    from identity_reward_client.preference import tie_band

    d, label = sample
    expected = [LABEL[verdict(one)] == said for one, said in zip(d, label, strict=True)]
    assert accuracy(d, label, tie_band()).tolist() == expected


def test_equal_rewards_are_wrong_where_one_video_is_better():
    assert without_ties(np.array([0.0, 1.0, -1.0, 5.0]), np.array([1, 1, 1, 0])).tolist() == [False, True, False]
    assert not accuracy(np.array([0.0, 0.0]), np.array([0, 1]), -1.0).any()


@pytest.mark.parametrize("seed", range(20))
def test_no_epsilon_is_better_than_the_fitted_one(seed):
    draw = np.random.default_rng(seed)
    d = np.round(draw.normal(0, 1, 25), 1)
    label = draw.integers(-1, 2, 25)
    fitted = best_epsilon(d, label)
    candidates = [-1.0, *np.abs(d)]
    assert plain_accuracy(d, label, fitted) == max(plain_accuracy(d, label, one) for one in candidates)


def test_epsilon_at_the_ends():
    assert best_epsilon(np.array([1.0, -2.0]), np.array([1, -1])) == -1
    assert best_epsilon(np.array([1.0, -2.0]), np.array([0, 0])) >= 2
    assert 0.1 < best_epsilon(np.array([0.1, 3.0]), np.array([0, 1])) < 3


def test_intervals_resample_whole_clusters():
    draw = np.random.default_rng(0)
    clusters = [f"c{i}" for i in draw.integers(0, 12, 90)]
    values, mask = draw.random(90) < 0.7, draw.random(90) < 0.5
    bootstrap = Bootstrap(clusters, seed=1, num_resamples=500)
    names = sorted(set(clusters))
    means = []
    for counts in bootstrap.counts_RC:
        drawn = [name for name, count in zip(names, counts, strict=True) for _ in range(int(count))]
        picked = [v for name in drawn for v, m, c in zip(values, mask, clusters, strict=True) if m and c == name]
        means.append(np.mean(picked))
    interval = bootstrap.mean(values, mask)
    assert interval.mean == pytest.approx(values[mask].mean())
    assert interval.count == mask.sum()
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert bootstrap.mean(values, mask & False) is None
    again = Bootstrap(clusters, seed=1, num_resamples=500)
    assert again.mean(values, mask) == interval


def test_one_value_a_cluster_is_far_less_sure_than_one_a_pair():
    values = np.repeat([0.0, 1.0] * 5, 50)
    clustered = Bootstrap([f"c{i // 50}" for i in range(500)]).mean(values)
    independent = Bootstrap([str(i) for i in range(500)]).mean(values)
    assert clustered.high - clustered.low > 5 * (independent.high - independent.low)


def test_likelihood_and_calibration(sample):
    d, label = sample
    forecasts = np.stack(probabilities(d))
    expected = [-np.log(forecasts[1 - said, i]) for i, said in enumerate(label)]
    np.testing.assert_allclose(negative_log_likelihood(d, label), expected)
    bins = [[] for _ in range(10)]
    for row, outcome in enumerate((1, 0, -1)):
        for i, said in enumerate(label):
            bins[min(int(forecasts[row, i] * 10), 9)].append((forecasts[row, i], said == outcome))
    gaps = [len(b) / (3 * len(d)) * abs(np.mean([p for p, _ in b]) - np.mean([y for _, y in b])) for b in bins if b]
    assert calibration_error(d, label) == pytest.approx(sum(gaps))


def test_labels_drawn_from_the_probabilities_are_calibrated():
    draw = np.random.default_rng(2)
    d = draw.normal(0, 3, 50_000)
    p_a, p_tie, _ = probabilities(d)
    u = draw.random(50_000)
    label = np.where(u < p_a, 1, np.where(u < p_a + p_tie, 0, -1))
    assert calibration_error(d, label) < 0.01
    assert calibration_error(3 * d, label) > 0.03
    assert np.isfinite(negative_log_likelihood(np.array([1e4]), np.array([-1]))).all()
