"""Whole runs on the toy policy: resumption, several processes, missing rewards, errors."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from identity_reward_client import FakeRewardClient
from identity_reward_client.errors import ConnectionFailed, InternalError
from reward_model.training.errors import TrainingError
from reward_model.training.loop.journal import read_metrics
from reward_model.training.loop.state import folders
from tests.trainer.helpers.runs import run, start, values_of
from tests.trainer.helpers.toy_policy import ToyPolicy, exact_reward, make_prompts


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    return make_prompts(tmp_path_factory.mktemp("references"), 4)


def adapter(out: Path, name: str = "trained") -> dict[str, torch.Tensor]:
    return load_file(out / "model" / name / "adapter_model.safetensors")


def assert_equal(first: Path, second: Path, **tolerance) -> None:
    """Both runs ended with the same trained and averaged weights: the very same without a tolerance."""
    for name in ("trained", "."):
        a, b = adapter(first, name), adapter(second, name)
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.allclose(value, b[key], **tolerance) if tolerance else torch.equal(value, b[key]), key


def assert_same_in_both(out: Path) -> None:
    """Both processes hold the very same weights."""
    first, second = (load_file(out / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


class StopAfter:
    """A guard that raises in a step, as a kill would end it."""

    def __init__(self, number: int):
        self.number = number

    def measure(self, group):
        return {}

    def check(self, number, values):
        if number == self.number:
            raise KeyboardInterrupt


def test_a_run_writes_the_averaged_and_the_trained_adapter(prompts, tmp_path):
    folder = run(tmp_path / "run", prompts)
    assert folder == tmp_path / "run/model"
    assert (folder / "adapter_config.json").is_file()
    trained, averaged = adapter(tmp_path / "run"), adapter(tmp_path / "run", ".")
    assert any(not torch.equal(trained[name], averaged[name]) for name in trained)
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(line["first_ratio_deviation"] == 0 for line in lines)
    assert all({"loss", "reward", "reward_std", "grad_norm", "waited_s", "rate"} <= line.keys() for line in lines)
    assert all("clipped" not in line for line in lines)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"loss__kind": "nft", "loss__kl_weight": 0.01},
        {"profile": "release", "advantages__kind": "global-std", "sampling__window": {"kind": "random", "size": 2}},
    ],
    ids=["paper", "nft", "release"],
)
def test_a_resumed_run_has_the_very_weights_of_an_undisturbed_one(prompts, tmp_path, fields):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(whole, prompts, steps=4, **fields)
    with pytest.raises(KeyboardInterrupt):
        run(cut, prompts, options={"guards": [StopAfter(2)]}, steps=4, **fields)
    assert [folder.name for folder in folders(cut)] == ["step-00000001", "step-00000002"]
    run(cut, prompts, options={"resume": True}, steps=4, **fields)
    assert_equal(whole, cut)
    assert values_of(cut, "loss") == values_of(whole, "loss")


def test_two_processes_learn_what_one_does(prompts, tmp_path):
    """Each saves the weights that it holds: they are bit-equal, and those of one process up to rounding."""
    one, two = tmp_path / "one", tmp_path / "two"
    references = prompts[0].references[0].parent
    fields = {"loss__kl_weight": 0.01, "updates_per_rollout": 2}
    run(one, prompts, **fields)
    process = start(2, two, references, **fields)
    assert process.returncode == 0, process.stderr
    # a rate of 3e-3 moves every weight by about that in a step
    assert_equal(one, two, atol=1e-4)
    assert_same_in_both(two)
    for name in ("loss", "reward", "reward_std", "kl", "clipped"):
        assert values_of(two, name) == pytest.approx(values_of(one, name), abs=1e-4)


def test_a_process_without_rewards_takes_part_in_updates_of_the_other(prompts, tmp_path):
    references = prompts[0].references[0].parent
    process = start(2, tmp_path / "two", references, failing_rank=1, loss__kl_weight=0.01, steps=2)
    assert process.returncode == 0, process.stderr
    assert_same_in_both(tmp_path / "two")
    assert values_of(tmp_path / "two", "missing") == values_of(tmp_path / "two", "used") == [4.0] * 2
    assert all(value.any() for name, value in adapter(tmp_path / "two").items() if "lora_B" in name)


def test_missing_rewards_are_left_out_and_never_a_number(prompts, tmp_path):
    """An item that fails in every group: the run equals one in which its reward is anything else."""
    client = FakeRewardClient(reward=exact_reward, fail={1: InternalError("the item failed")})
    run(tmp_path / "failed", prompts, client=client)
    assert values_of(tmp_path / "failed", "missing") == [2.0] * 3
    assert values_of(tmp_path / "failed", "used") == [6.0] * 3
    values = read_metrics(tmp_path / "failed")
    assert all(np.isfinite(line["reward"]) for line in values)


def test_equal_rewards_train_nothing(prompts, tmp_path):
    run(tmp_path / "flat", prompts, reward=lambda *_: 1.0, steps=1, loss__kl_weight=0.1)
    (line,) = read_metrics(tmp_path / "flat")
    assert "loss" not in line
    assert (line["flat_groups"], line["used"], line["reward"]) == (2.0, 0.0, 1.0)
    second = [value for name, value in adapter(tmp_path / "flat").items() if "lora_B" in name]
    assert all(not value.any() for value in second)


def test_a_step_without_any_reward_stops_with_its_state_saved(prompts, tmp_path):
    client = FakeRewardClient(reward=exact_reward, fail_calls={n: ConnectionFailed("away") for n in (4, 5)})
    with pytest.raises(
        TrainingError, match=r"step 3: no item of 2 groups has a reward: 8 x connection_failed.*step-00000002"
    ):
        run(tmp_path / "run", prompts, client=client, save_every=100)
    run(tmp_path / "run", prompts, options={"resume": True}, save_every=100)
    run(tmp_path / "whole", prompts, save_every=100)
    assert_equal(tmp_path / "run", tmp_path / "whole")


def test_a_loss_that_is_not_finite_stops_with_its_state_saved(prompts, tmp_path):
    class Policy(ToyPolicy):
        """Its passes with gradients give NaN in the second step: 2 groups of 5 trained steps a step."""

        trained = 0

        def velocity(self, network, *args):
            self.trained += torch.is_grad_enabled()
            velocity = super().velocity(network, *args)
            return velocity * torch.nan if torch.is_grad_enabled() and self.trained == 15 else velocity

    with pytest.raises(TrainingError, match=r"the loss of step 2 is nan, with groups prompt-.*state/step-00000001"):
        run(tmp_path / "run", prompts, policy=Policy, save_every=100)
    assert not (tmp_path / "run/model").exists()
    run(tmp_path / "run", prompts, options={"resume": True}, save_every=100)
    run(tmp_path / "whole", prompts, save_every=100)
    assert_equal(tmp_path / "run", tmp_path / "whole")


def test_weights_that_overflow_stop_the_run(prompts, tmp_path):
    with pytest.raises(
        TrainingError, match="the value of a sampled latent of step 2 is nan, as the weights have grown"
    ):
        run(tmp_path / "run", prompts, optimizer__learning_rate=1e30)


def test_a_guard_ends_the_run_after_its_step(prompts, tmp_path, caplog):
    class Guard:
        groups = 0

        def measure(self, group):
            self.groups += 1
            assert len(group.clips) == 4
            assert group.fps == 8.0
            assert group.components["reward"].tolist() == group.rewards_G.tolist()
            return {"motion": float(self.groups)}

        def check(self, number, values):
            return f"motion fell to {values['motion']:g}" if number == 1 else None

    run(tmp_path / "run", prompts, options={"guards": [Guard()]}, save_every=100)
    assert "the run ends after 2 steps: motion fell to 3.5" in caplog.text
    assert [folder.name for folder in folders(tmp_path / "run")] == ["step-00000002"]
    assert (tmp_path / "run/model").is_dir()
    assert values_of(tmp_path / "run", "motion") == [1.5, 3.5]


def test_evaluations_come_before_during_and_after_with_the_same_noise(prompts, tmp_path):
    calls = []

    class Evaluation:
        def measure(self, number, weights, sample):
            calls.append((number, weights, np.stack(sample(prompts[0], 2))))
            return {"mean": float(calls[-1][2].mean())}

    run(tmp_path / "run", prompts, options={"evaluation": Evaluation()}, evaluate_every=2)
    names = [(number, weights) for number, weights, _ in calls]
    assert names == [(0, "trained"), (2, "trained"), (2, "ema"), (3, "trained"), (3, "ema")]
    clips = [clips for *_, clips in calls]
    assert not np.array_equal(clips[0], clips[3])
    # from the same noise: close to each other, as the policy has hardly changed
    assert np.abs(clips[0].astype(int) - clips[3].astype(int)).mean() < 10
    measured = [(line["step"], sorted(line["dev"])) for line in read_metrics(tmp_path / "run") if "dev" in line]
    assert measured == [(-1, ["mean"]), (1, ["ema_mean", "mean"]), (2, ["ema_mean", "mean"])]


def test_groups_are_scored_while_the_next_are_sampled(prompts, tmp_path):
    """The second group is sampled only once the reward was asked for the first one."""
    asked = Event()
    waited = []

    class Client(FakeRewardClient):
        async def score_group(self, references, videos, **options):
            asked.set()
            return await super().score_group(references, videos, **options)

    class Policy(ToyPolicy):
        def encode(self, prompts):
            waited.append(len(waited) == 0 or asked.wait(60))
            return super().encode(prompts)

    run(tmp_path / "run", prompts, client=Client(reward=exact_reward), policy=Policy, steps=1)
    assert waited == [True, True]


def test_in_bfloat16_the_ratio_is_1_before_the_first_update_too(prompts, tmp_path):
    run(tmp_path / "run", prompts, precision="bf16", updates_per_rollout=2, sampling__storage_dtype="bfloat16")
    assert values_of(tmp_path / "run", "first_ratio_deviation") == [0.0] * 3
    assert all(0 <= share <= 1 for share in values_of(tmp_path / "run", "clipped"))
    assert {value.dtype for value in adapter(tmp_path / "run").values()} == {torch.float32}


def test_a_run_starts_from_an_adapter(prompts, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(first, prompts)
    run(second, prompts, steps=1, optimizer__learning_rate=1e-9, adapter__init=str(first / "model/trained"))
    for name, value in adapter(second).items():
        assert torch.allclose(value, adapter(first)[name], atol=1e-6)


def test_resumption_with_another_configuration_is_an_error(prompts, tmp_path):
    run(tmp_path / "run", prompts, steps=1)
    with pytest.raises(TrainingError, match="group_size was 4 and is 6"):
        run(tmp_path / "run", prompts, options={"resume": True}, steps=1, group_size=6)


def test_prompts_with_the_same_key_are_an_error(prompts, tmp_path):
    with pytest.raises(TrainingError, match="with keys that differ"):
        run(tmp_path / "run", [prompts[0], prompts[0]])
