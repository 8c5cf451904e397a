import numpy as np
import pytest

from reward_model.registry import load_scorer
from reward_model.training.evaluation.evaluation import Evaluation
from reward_model.training.evaluation.statistics import Bootstrap
from tests.reward_model.training.helpers.evaluation import labelled_pairs, predictions_of


@pytest.fixture(scope="module")
def tiny():
    return load_scorer("tiny")


def test_metrics_of_five_pairs_equal_values_computed_by_hand(tiny):
    pairs = labelled_pairs(["A", "B", "A", "tie", "tie"], ["swap", "swap", "blur", "nuisance", "nuisance"], "xxyyz")
    evaluation = Evaluation(pairs, num_resamples=300)
    first = evaluation.add(tiny.info, predictions_of([3.0, -2.0, -1.0, 0.5, 4.0]))
    second = evaluation.add(tiny.info, predictions_of([3.0, 2.0, 1.0, None, 0.1]), (pairs, predictions_of([1.2] * 5)))
    assert first.overall["accuracy_without_ties"].mean == pytest.approx(2 / 3)
    assert first.overall["accuracy_with_ties"].mean == pytest.approx(3 / 5)
    assert first.modes["swap"]["accuracy_without_ties"].mean == 1
    assert first.modes["blur"]["accuracy_with_ties"].mean == 0
    assert first.modes["nuisance"]["accuracy_without_ties"] is None
    assert first.modes["nuisance"]["accuracy_with_ties"].mean == 0.5
    assert (first.epsilon, "accuracy_fitted_ties" in first.overall) == (None, False)
    assert (second.num_scored, second.unscored) == (4, {"invalid_media": 1})
    # on the development pairs, 1.2 as A and 1.2 as a tie are right twice each; the narrower band (no ties) is taken
    assert second.epsilon == -1
    comparison = evaluation.comparisons()[0]
    assert comparison.num_pairs == 4
    assert comparison.differences["accuracy_without_ties"].mean == pytest.approx(0)
    # the pair that only the first model scored is excluded: pairs 0, 1 are right against pairs 0, 4
    assert comparison.differences["accuracy_with_ties"].mean == pytest.approx(0)
    assert first.label == "tiny"
    assert second.label.startswith("tiny ")


def test_comparison_uses_the_same_resamples_for_both_models(tiny):
    rng = np.random.default_rng(0)
    labels = rng.choice(["A", "B"], 200)
    clusters = [str(i) for i in rng.integers(0, 20, 200)]
    pairs = labelled_pairs(labels, ["m"] * 200, clusters)
    sign = np.where(labels == "A", 1.0, -1.0)
    good, worse = sign * np.where(rng.random(200) < 0.9, 3, -3), sign * np.where(rng.random(200) < 0.6, 3, -3)
    evaluation = Evaluation(pairs, seed=4)
    evaluation.add(tiny.info, predictions_of(good.tolist()))
    evaluation.add(tiny.info, predictions_of(worse.tolist()))
    interval = evaluation.comparisons()[0].differences["accuracy_without_ties"]
    gain = (good * sign > 0).astype(float) - (worse * sign > 0)
    assert interval == Bootstrap(clusters, 4).mean(gain)
    assert interval.low > 0


def test_comparison_names_modes_with_significant_differences(tiny):
    modes = ["swap"] * 40 + ["blur"] * 40 + ["nuisance"] * 40
    labels = ["A"] * 80 + ["tie"] * 40
    clusters = [str(i % 10) for i in range(120)]
    evaluation = Evaluation(labelled_pairs(labels, modes, clusters))
    right, wrong, equal, half = [3.0] * 40, [-3.0] * 40, [0.0] * 40, [3.0, -3.0, 3.0, -3.0] * 10
    evaluation.add(tiny.info, predictions_of(right + half + wrong))
    evaluation.add(tiny.info, predictions_of(wrong + half + equal))
    comparison = evaluation.comparisons()[0]
    assert comparison.apart == {"ahead": ("swap",), "behind": ("nuisance",)}
    assert comparison.modes["blur"]["accuracy_without_ties"].mean == 0
