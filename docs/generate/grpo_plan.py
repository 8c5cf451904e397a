"""Tables of memory and work of a GRPO run with models of full size, by the arithmetic of `--dry-run`."""

from __future__ import annotations

from functools import cache

from trainer.config import GrpoConfig, read_grpo_config
from trainer.policies.sizes import PolicySizes
from trainer.policies.wan.phantom import PhantomOptions
from trainer.policies.wan.sizes.checkpoint import wan_sizes
from trainer.policies.wan.sizes.transformer import VACE_1_3B, WAN_1_3B
from trainer.policies.wan.vace import VaceOptions
from trainer.run.planning.memory import GB, STRATEGIES, Strategy, largest_micro_batch, plan_memory
from trainer.run.planning.work import plan_work

from .markdown import table

GPUS, GPU_GB, REFERENCES = 8, 80, 2
# configurations that ship, by the policy's name in the tables
_CONFIGS = {"VACE-1.3B": "vace-1.3b", "Phantom-1.3B": "phantom-1.3b"}
_TRANSFORMERS = {"VACE-1.3B": VACE_1_3B, "Phantom-1.3B": WAN_1_3B}


def memory() -> str:
    """GB of a GPU by part, for both policies and three ways to share the weights."""
    plans = [plan_memory(_config(name), _sizes(name), GPUS, strategy) for name in _CONFIGS for strategy in STRATEGIES]
    rows = [(part, *(f"{plan.parts[part] / GB:.2f}" for plan in plans)) for part in plans[0].parts]
    rows.append(("at the peak", *(f"{plan.total / GB:.1f}" for plan in plans)))
    head = ("GB", *(f"{name}, {strategy}" for name in _CONFIGS for strategy in STRATEGIES))
    return table(head, rows)


def micro_batches() -> str:
    """GB of a GPU at the peak, by videos in a forward pass; bold where it fits."""
    rows = [
        _peaks(name, checkpointing, strategy)
        for name in _CONFIGS
        for checkpointing in (True, False)
        for strategy in STRATEGIES
    ]
    return table(("policy", "gradient checkpointing", "weights", "1", "2", "4", "8", f"largest of {GPU_GB} GB"), rows)


def work() -> str:
    """Forward passes of a step."""
    columns = []
    for name in _CONFIGS:
        sizes = _sizes(name)
        for checkpointing in (True, False):
            plan = plan_work(_config(name).model_copy(update={"gradient_checkpointing": checkpointing}), sizes)
            columns.append((sizes, plan))
    head = ("", *(f"{name}, {how}" for name in _CONFIGS for how in ("checkpointing", "without")))
    rows = [
        ("tokens of a forward pass", *(f"{sizes.tokens:,}" for sizes, _ in columns)),
        ("TFLOP of a forward pass", *(f"{sizes.flops / 1e12:.1f}" for sizes, _ in columns)),
        ("sampling: 25 steps x passes of guidance x 128", *(f"{plan.sampling:,}" for _, plan in columns)),
        ("forward and backward: 24 steps x passes of guidance x 128", *(f"{plan.trained:,}" for _, plan in columns)),
        ("forward again in the backward pass", *(f"{plan.recomputed:,}" for _, plan in columns)),
        ("**a step, in forward passes**", *(f"**{plan.forwards:,}**" for _, plan in columns)),
        ("of one GPU of eight", *(f"{plan.forwards // GPUS:,}" for _, plan in columns)),
        ("PFLOP of one GPU", *(f"{plan.forwards / GPUS * sizes.flops / 1e15:.0f}" for sizes, plan in columns)),
    ]
    return table(head, rows)


def _peaks(name: str, checkpointing: bool, strategy: Strategy) -> tuple[str, ...]:
    sizes = _sizes(name)
    config = _config(name).model_copy(update={"gradient_checkpointing": checkpointing})
    cells = []
    for batch in (1, 2, 4, 8):
        plan = plan_memory(config.model_copy(update={"micro_batch": batch}), sizes, GPUS, strategy)
        cells.append(f"**{plan.total / GB:.0f}**" if plan.fits(GPU_GB * GB) else f"{plan.total / GB:.0f}")
    largest = largest_micro_batch(config, sizes, GPUS, strategy, GPU_GB * GB)
    return name, "yes" if checkpointing else "no", strategy, *cells, str(largest or "none")


@cache
def _config(name: str) -> GrpoConfig:
    return read_grpo_config(_CONFIGS[name])


@cache
def _sizes(name: str) -> PolicySizes:
    config = _config(name)
    options = (VaceOptions if name.startswith("VACE") else PhantomOptions)(**config.policy.options)
    return wan_sizes(_TRANSFORMERS[name], options, REFERENCES, config.adapter.rank, autocast=config.precision == "bf16")
