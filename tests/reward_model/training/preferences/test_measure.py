import numpy as np
import pytest

from reward_model.data.records import read_pairs, write_pairs
from reward_model.training.evaluation.statistics import Bootstrap
from reward_model.training.loop.journal import read_metrics
from reward_model.training.preferences.measure import RESAMPLES, summary
from tests.reward_model.training.helpers.evaluation import labelled_pairs
from tests.reward_model.training.helpers.pairs import make_data
from tests.reward_model.training.helpers.runs import run


def test_summary_equals_values_computed_by_hand():
    pairs = labelled_pairs(["A", "B", "A", "tie", "tie"], ["swap", "swap", "blur", "nuisance", "nuisance"], "xxyyz")
    values = summary(np.array([3.0, -2.0, -1.0, 0.5, 4.0]), pairs, 5.0)
    assert values["accuracy_without_ties"] == pytest.approx(2 / 3)
    assert values["accuracy_with_ties"] == pytest.approx(3 / 5)
    assert values["modes"] == {"blur": 0.0, "nuisance": 0.5, "swap": 1.0}
    whole = Bootstrap(list("xxyyz"), num_resamples=RESAMPLES).mean(np.array([1, 1, 0, 1, 0]))
    assert values["intervals"]["accuracy_with_ties"] == [whole.low, whole.high]
    low, high = values["intervals"]["accuracy_without_ties"]
    assert low == 0
    assert high == 1


def test_summary_of_ties_alone_has_no_accuracy_without_ties():
    values = summary(np.array([0.1, 0.2]), labelled_pairs(["tie", "tie"], ["nuisance"] * 2, "xy"), 5.0)
    assert values["accuracy_without_ties"] is None
    assert set(values["intervals"]) == {"accuracy_with_ties"}
    assert values["modes"] == {"nuisance": 1.0}


def test_dev_pair_may_compare_a_video_with_itself(tmp_path):
    data = tmp_path / "data"
    make_data(data, ["A", "B", "A", "B"])
    dev = make_data(data, ["A", "tie", "B"], "dev.jsonl", seed=1)
    pairs = read_pairs(dev)
    pairs[1] = pairs[1].model_copy(update={"video_b": pairs[1].video_a})
    write_pairs(dev, pairs)
    result = run(data, tmp_path / "run", steps=3)
    assert result.exit_code == 0, result.output
    assert any("dev" in line for line in read_metrics(tmp_path / "run"))
