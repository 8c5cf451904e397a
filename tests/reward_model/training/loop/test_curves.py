import json

import pytest

from reward_model.training.loop.curves import draw_curves
from reward_model.training.loop.journal import METRICS


@pytest.mark.parametrize(
    "measured",
    [
        [{"not_finite": 3.0}, {"accuracy_without_ties": None, "accuracy_with_ties": 0.4}],
        [{"matched": 0.5, "same_or_other_auc": 0.7}],
        [],
    ],
)
def test_curves_show_every_measured_value_except_counts_of_not_finite(tmp_path, measured, monkeypatch):
    from matplotlib.axes import Axes

    labels = []
    plot = Axes.plot

    def record(axis, *data, **options):
        labels.append(options.get("label"))
        return plot(axis, *data, **options)

    monkeypatch.setattr(Axes, "plot", record)
    lines = [{"step": n, "loss": 1.0 / (n + 1)} for n in range(30)] + [
        {"step": 9, "dev": result} for result in measured
    ]
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert draw_curves(tmp_path).read_bytes().startswith(b"\x89PNG")
    keys = {key for result in measured for key, metric in result.items() if metric is not None and key != "not_finite"}
    assert set(labels[2:]) == {f"dev {key.replace('_', ' ')}" for key in keys}


def test_a_run_whose_steps_had_no_update_has_curves(tmp_path):
    (tmp_path / METRICS).write_text(json.dumps({"step": 0, "reward": 1.0}) + "\n")
    assert draw_curves(tmp_path).read_bytes().startswith(b"\x89PNG")
