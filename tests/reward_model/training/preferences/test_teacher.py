import numpy as np
import pytest

from reward_model.training.errors import TrainingError
from reward_model.training.preferences.teacher import agreements
from reward_model.training.preferences.teacher import filter_pairs as filtered
from tests.reward_model.training.helpers.evaluation import labelled_pairs, predictions_of


def test_agreements_by_sign_and_by_verdict():
    pairs = labelled_pairs(["A", "A", "B", "tie", "tie", "A"], ["m"] * 6, "cccccc")
    d = np.array([3.0, 0.5, 3.0, 1.0, -2.0, np.nan])
    assert agreements(pairs, d).tolist() == [True, True, False, True, False, False]
    assert agreements(pairs, d, "verdict").tolist() == [True, False, False, True, False, False]


def test_filter_reports_precision_and_recall_of_labels():
    pairs = labelled_pairs(["A", "A", "B", "tie"], ["m"] * 4, "cccc")
    truths = ["A", "B", "B", "tie"]
    pairs = [p.model_copy(update={"meta": {"truth": t}}) for p, t in zip(pairs, truths, strict=True)]
    remaining, report = filtered(pairs, predictions_of([2.0, -2.0, None, 0.0]))
    assert [pair.pair_id for pair in remaining] == ["0", "3"]
    assert (report.num_pairs, report.num_kept, report.num_unscored, report.kept_share) == (4, 2, 1, 0.5)
    assert (report.precision_before, report.precision_after) == (0.75, 1.0)
    assert report.recall == pytest.approx(2 / 3)
    assert report.by_label == {"A": (2, 1), "B": (1, 0), "tie": (1, 1)}
    with pytest.raises(TrainingError, match="agrees with none of 4 labels"):
        filtered(pairs, predictions_of([-2.0, -2.0, None, 4.0]))
