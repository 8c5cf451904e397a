import numpy as np
import pytest

from reward_model.training.evaluation.spread_calibration import calibrate, plot_calibration


def simulated(true_scale: float, n: int = 20_000):
    """Rewards with normal errors of `true_scale` times the spread: (d_N, spreads_N2, label_N)."""
    rng = np.random.default_rng(0)
    spreads_N2 = rng.uniform(0.2, 2.0, (n, 2))
    truth_N = rng.uniform(-12, 12, n)
    errors_N2 = rng.normal(size=(n, 2)) * true_scale * spreads_N2
    return truth_N + errors_N2[:, 0] - errors_N2[:, 1], spreads_N2, np.sign(truth_N).astype(int)


@pytest.mark.parametrize("true_scale", [0.5, 2.0])
def test_the_scale_makes_predicted_shares_right(true_scale):
    calibration = calibrate(*simulated(true_scale))
    assert calibration.nll <= calibration.nll_unscaled
    assert sum(part.count for part in calibration.by_probability) == 20_000
    for part in calibration.by_probability:
        assert part.right == pytest.approx(part.mean, abs=0.04)
    assert calibration.by_spread[0].right > calibration.by_spread[-1].right
    # where true differences are spread widely, the scale is that of the errors
    assert calibration.scale == pytest.approx(true_scale, rel=0.1)


def test_ties_and_pairs_without_a_reward_or_spread_are_left_out():
    d_N, spreads_N2, label_N = simulated(1.0, 100)
    more = calibrate(
        np.append(d_N, [9.0, np.nan, 9.0]),
        np.vstack([spreads_N2, [[1, 1], [1, 1], [0, 0]]]),
        np.append(label_N, [0, 1, -1]),
    )
    assert more == calibrate(d_N, spreads_N2, label_N)
    assert calibrate(d_N[:1], spreads_N2[:1], np.array([0])) is None


def test_the_plot_is_a_png(tmp_path):
    plot_calibration(calibrate(*simulated(1.0, 500)), tmp_path / "spread.png")
    assert (tmp_path / "spread.png").read_bytes().startswith(b"\x89PNG")
