from reward_model.training.errors import Interrupted
from tests.reward_model.training.helpers.runs import run


def test_interrupted_run_of_several_processes_prints_the_accelerate_command(four_pairs, tmp_path, monkeypatch):
    def interrupt(*args):
        raise Interrupted("stopped", num_processes=2)

    monkeypatch.setattr("reward_model.training.preferences.task.train", interrupt)
    result = run(four_pairs, out := tmp_path / "run")
    assert (
        f"to go on: accelerate launch -m reward_model.training {out}/config.yaml --out {out} --resume" in result.output
    )
