from reward_model.training.errors import Interrupted
from tests.reward_model.training.helpers.runs import run


def test_several_processes_are_resumed_with_accelerate(four_pairs, tmp_path, monkeypatch):
    def stopped(*given):
        raise Interrupted("stopped", num_processes=2)

    monkeypatch.setattr("reward_model.training.preferences.task.train", stopped)
    result = run(four_pairs, out := tmp_path / "run")
    assert (
        f"to go on: accelerate launch -m reward_model.training {out}/config.yaml --out {out} --resume" in result.output
    )
