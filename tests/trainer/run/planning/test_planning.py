"""Plans against counted passes, and the dry run against a real service."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from tests.support.paths import EXAMPLES
from tests.support.ports import free_port
from tests.trainer.helpers.runs import make_config, run
from tests.trainer.helpers.toy_policy import ToyPolicy, make_prompts
from tests.trainer.run.sample.conftest import write_adapter
from trainer.cli import grpo
from trainer.config import read_grpo_config
from trainer.policies.wan.sizes.checkpoint import wan_sizes
from trainer.policies.wan.sizes.transformer import VACE_1_3B, WAN_1_3B
from trainer.policies.wan.vace import VaceOptions
from trainer.run.planning.memory import STRATEGIES, largest_micro_batch, plan_memory
from trainer.run.planning.work import plan_work

VACE = read_grpo_config("vace-1.3b")
SIZES = wan_sizes(VACE_1_3B, VaceOptions(**VACE.policy.options), 2, 32, autocast=True)


class Counting(ToyPolicy):
    """Counts videos in passes, with and without gradients."""

    def __init__(self):
        super().__init__()
        self.counts = {True: 0, False: 0}

    def velocity(self, network, latents_BX, *arguments):
        self.counts[torch.is_grad_enabled()] += len(latents_BX)
        return super().velocity(network, latents_BX, *arguments)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"loss__kl_weight": 0.01},
        {"passes": 2, "micro_batch": 2},
        {"updates_per_rollout": 2, "scatter_members": True},
        {"sampling__window": {"kind": "fixed", "size": 2}, "precision": "bf16"},
        {"loss": {"kind": "nft", "kl_weight": 0.01, "nft": {"timesteps": 3}}},
    ],
    ids=str,
)
def test_the_planned_passes_are_those_of_a_run(fields, tmp_path):
    policies = []

    def policy():
        policies.append(Counting())
        return policies[-1]

    steps = 2
    run(tmp_path / "run", make_prompts(tmp_path, 4), policy=policy, steps=steps, **fields)
    work = plan_work(make_config(**fields), None)
    assert policies[0].counts[True] == steps * work.trained
    assert policies[0].counts[False] == steps * (work.sampling + work.references)


def test_a_step_of_the_paper():
    work = plan_work(VACE, SIZES)
    assert (work.videos, work.sampling, work.trained) == (128, 25 * 2 * 128, 24 * 2 * 128)
    assert work.forwards == work.sampling + 4 * work.trained
    phantom = wan_sizes(WAN_1_3B, VaceOptions(**VACE.policy.options), 2, 32, autocast=True)
    assert plan_work(VACE, phantom).sampling == 25 * 3 * 128
    assert plan_work(VACE.model_copy(update={"profile": "release", "updates_per_rollout": 2}), SIZES).references


def test_memory_of_the_paper():
    ddp, fsdp, zero = (plan_memory(VACE, SIZES, 8, strategy) for strategy in STRATEGIES)
    assert ddp.parts["policy"] == 4 * SIZES.parameters
    assert ddp.parts["AdamW"] == 2 * ddp.parts["LoRA"] == 8 * 35_389_440
    assert fsdp.parts["AdamW"] == pytest.approx(ddp.parts["AdamW"] / 8)
    assert zero.parts["policy"] == 2 * SIZES.parameters
    assert fsdp.total < zero.total < ddp.total
    # 16 videos a GPU, 25 latents and the last in float32; the conditioning of 2 groups
    assert ddp.parts["stored latents"] == 16 * 26 * 16 * 11 * 30 * 52 * 4 + 2 * SIZES.conditioning_bytes
    assert ddp.parts["activations"] > ddp.parts["decoding of a clip"]
    assert ddp.total == sum(ddp.parts.values()) - ddp.parts["decoding of a clip"]


def test_the_shipped_micro_batch_fits_into_80_gb():
    for strategy in STRATEGIES:
        assert plan_memory(VACE, SIZES, 8, strategy).fits(80e9)
        assert largest_micro_batch(VACE, SIZES, 8, strategy, 80e9) == 8
        whole = VACE.model_copy(update={"gradient_checkpointing": False})
        assert largest_micro_batch(whole, SIZES, 8, strategy, 80e9) == 1
        assert largest_micro_batch(whole, SIZES, 8, strategy, 40e9) is None
    assert largest_micro_batch(VACE, replace(SIZES, decoding_bytes=10**12), 8, "DDP", 80e9) is None


def dry_run(out, *more):
    return CliRunner().invoke(grpo, ["smoke", "--out", str(out), "--dry-run", *map(str, more)])


def test_a_dry_run_prints_the_plan_and_writes_nothing(url, tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLES.parent)
    result = dry_run(out := tmp_path / "run", "--set", f"rewards.url={url}", "--gpus", 3)
    assert result.exit_code == 0, result.output
    assert "12 videos: 3 groups of 4" in result.output
    assert "ok: the service has identity by tiny; it can use the references of 12 prompts" in result.output
    assert "it states no sizes" in result.output
    assert not out.exists()


def test_a_dry_run_plans_memory_where_the_policy_states_its_sizes(url, tmp_path, monkeypatch):
    stating = SimpleNamespace(load=print, policy_sizes=lambda *arguments: SIZES)
    monkeypatch.setitem(sys.modules, "stating", stating)
    monkeypatch.chdir(EXAMPLES.parent)
    more = ["--set", f"rewards.url={url}", "--set", "policy.factory=stating:load", "--gpus=3", "--gpu-gb=24"]
    result = dry_run(tmp_path / "run", *more)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["DDP", "FSDP2", "ZeRO-2"] in lines
    assert ["policy", "8.62", "3.28", "8.62"] in lines
    assert ["micro-batch,", "24", "GB", "none", "none", "none"] in lines
    assert "4,290 tokens a video in a forward pass, 22.3 TFLOP" in result.output


def test_a_dry_run_finds_all_problems_at_once(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "p.csv").write_text("ref_paths,prompt\na.png,A person.\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/file").touch()
    settings = {
        "rewards.url": f"http://127.0.0.1:{free_port()}",
        "data.prompts": tmp_path / "p.csv",
        "data.evaluation_prompts": tmp_path / "none.csv",
        "adapter.init": write_adapter(tmp_path / "adapter", rank=8),
        "policy.factory": "trainer.policies.wan.vace:load_policy",
        "policy.options": f"{{checkpoint: {tmp_path}/checkpoint}}",
    }
    result = dry_run(tmp_path / "run", *(f"--set={key}={value}" for key, value in settings.items()), "--gpus=2")
    assert result.exit_code == 2
    problems = [line for line in result.output.splitlines() if line.startswith("identity-reward grpo: ")]
    expected = [
        "run exists already", "which 2 processes can't share", "none.csv", "a.png can't be read",
        "checkpoint is no folder", "of rank 8, and adapter.rank is 4", "no reward service at",
    ]  # fmt: skip
    assert len(problems) == len(expected)
    assert all(text in problem for text, problem in zip(expected, problems, strict=True))
