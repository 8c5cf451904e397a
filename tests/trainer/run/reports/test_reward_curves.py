import json

import numpy as np
from PIL import Image

from trainer.run.reports.reward_curves import PLOT, RewardCurves, draw_rewards


def lines(number):
    return [
        {"step": -1, "dev": {"reward": 0.1}},
        *(
            {"step": n, "reward": 0.1 * n, "reward_arcface": 0.2, "reward_std": 0.3, "motion": 0.1}
            for n in range(number)
        ),
        {"step": number - 1, "dev": {"reward": 0.5, "ema_reward": 0.6}},
    ]


def picture(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"), np.int16)


def test_rewards_guards_and_evaluations_are_drawn(tmp_path):
    empty = picture(draw_rewards(tmp_path, []))
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(8)))
    drawn = picture(draw_rewards(tmp_path))
    half = drawn.shape[1] // 2
    for panel in (slice(None, half), slice(half, None)):
        assert (drawn[:, panel] != empty[:, panel]).any(-1).mean() > 0.002


def test_the_plot_is_drawn_every_few_steps_with_the_values_of_the_step(tmp_path):
    curves = RewardCurves(tmp_path, every=3)
    for number in range(2):
        assert curves.check(number, {"reward": 0.1}) is None
    assert not (tmp_path / PLOT).exists()
    curves.check(2, {"reward": 0.1})
    assert (tmp_path / PLOT).exists()
    RewardCurves(tmp_path / "none", every=0).check(0, {})
