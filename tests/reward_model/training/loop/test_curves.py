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
def test_curves_of_what_was_measured(tmp_path, measured, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    plot = Axes.plot

    def seen(axis, *values, **options):
        drawn.append(options.get("label"))
        return plot(axis, *values, **options)

    monkeypatch.setattr(Axes, "plot", seen)
    lines = [{"step": n, "loss": 1.0 / (n + 1)} for n in range(30)] + [{"step": 9, "dev": one} for one in measured]
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert draw_curves(tmp_path).read_bytes().startswith(b"\x89PNG")
    told = {key for one in measured for key, value in one.items() if value is not None and key != "not_finite"}
    assert set(drawn[2:]) == {f"dev {key.replace('_', ' ')}" for key in told}
