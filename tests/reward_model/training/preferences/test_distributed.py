import numpy as np
import pytest

from reward_model.training.loop.journal import read_metrics
from reward_model.training.preferences.distributed import deepspeed_values
from tests.reward_model.training.helpers.runs import losses, run, run_two_processes


def test_deepspeed_values():
    assert deepspeed_values(4, 8, 0.5) == {
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 8,
        "gradient_clipping": 0.5,
    }


def test_batch_that_is_no_multiple_of_micro_batch_is_refused(four_pairs, tmp_path):
    result = run(four_pairs, tmp_path / "run", batch=4, micro_batch=3)
    assert result.exit_code == 2
    assert "4 pairs of a batch for each process are no multiple of micro_batch 3" in result.output


@pytest.mark.slow
def test_two_processes_have_the_same_losses_as_one(four_pairs, tmp_path):
    fields = {"micro_batch": 2, "loss__kind": "bt"}
    assert run(four_pairs, tmp_path / "one", **fields).exit_code == 0
    completed = run_two_processes(four_pairs, tmp_path / "two", **fields)
    assert completed.returncode == 0, completed.stderr
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=1e-4)
    dev = [[line["dev"]["loss"] for line in read_metrics(tmp_path / n) if "dev" in line] for n in ("one", "two")]
    np.testing.assert_allclose(*dev, atol=1e-3)
