"""Memory of one GPU of a run, by arithmetic. Bytes.

Not counted: the CUDA context, buffers of NCCL, and memory that the allocator holds in pieces that are too small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainer.config import GrpoConfig
from trainer.policies.sizes import PolicySizes

Strategy = Literal["DDP", "FSDP2", "ZeRO-2"]
STRATEGIES: tuple[Strategy, ...] = ("DDP", "FSDP2", "ZeRO-2")
GB = 1e9
# of a GPU's memory that a plan leaves to what it does not count
RESERVE = 0.1
_FP32, _BF16 = 4, 2
# accelerate gathers the next part of the network while it computes with one
_GATHERED_PARTS = 2
_STORAGE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
DECODING = "decoding of a clip"
ACTIVATIONS = "activations"


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of one GPU by what they are for."""

    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """At the peak: clips are decoded in sampling, when there are no activations of training."""
        smaller = min(self.parts[DECODING], self.parts[ACTIVATIONS])
        return sum(self.parts.values()) - smaller

    def fits(self, memory_bytes: float) -> bool:
        """Whether a GPU of this memory has a reserve left."""
        return self.total <= memory_bytes * (1 - RESERVE)


def plan_memory(config: GrpoConfig, sizes: PolicySizes, processes: int, strategy: Strategy) -> MemoryPlan:
    """Memory of each of `processes` GPUs."""
    lora = sizes.lora_parameters(config.adapter.rank)
    groups = -(-config.groups_per_rollout // processes)
    return MemoryPlan(
        {
            **_weights(config, sizes, lora, processes, strategy),
            "VAE": sizes.other_weights_bytes,
            "stored latents": groups * (config.group_size * _stored_bytes(config, sizes) + sizes.conditioning_bytes),
            ACTIVATIONS: activation_bytes(config, sizes),
            DECODING: sizes.decoding_bytes,
        }
    )


def activation_bytes(config: GrpoConfig, sizes: PolicySizes) -> float:
    """Of a forward pass of a micro-batch with guidance, and its backward pass."""
    batch, passes = config.micro_batch, guidance_passes(config.sampling.guidance, sizes)
    working = sizes.working.of(batch)
    if config.gradient_checkpointing:
        return passes * sizes.checkpoints.of(batch) + sizes.block.of(batch) + working
    return passes * sizes.activations.of(batch) + working


def largest_micro_batch(
    config: GrpoConfig, sizes: PolicySizes, processes: int, strategy: Strategy, memory_bytes: float
) -> int | None:
    """The largest divisor of the group size with which the run fits into each GPU; None where none does."""
    for batch in range(config.group_size, 0, -1):
        changed = config.model_copy(update={"micro_batch": batch})
        if config.group_size % batch == 0 and plan_memory(changed, sizes, processes, strategy).fits(memory_bytes):
            return batch
    return None


def guidance_passes(guidance: float, sizes: PolicySizes | None) -> int:
    """Forward passes of a velocity; two where guidance of a policy without sizes is on."""
    if guidance == 1:
        return 1
    return sizes.guidance_passes if sizes else 2


def trained_steps_of(config: GrpoConfig) -> int:
    """Steps, or noise levels, that each video is trained on."""
    if config.loss.kind == "nft":
        return min(config.loss.nft.timesteps, config.sampling.num_steps)
    window = config.sampling.window
    return config.sampling.num_steps - 1 if window.kind == "all" else window.size


def _weights(config: GrpoConfig, sizes: PolicySizes, lora: int, processes: int, strategy: Strategy) -> dict[str, float]:
    policy = sizes.parameters * sizes.bytes_per_parameter
    averages = 2 if config.loss.kind == "nft" else 1
    adapter, average, moments = lora * _FP32, averages * lora * _FP32, 2 * lora * _FP32
    if strategy == "DDP":
        # gradients, and the buckets in which they are exchanged
        return _named(policy, adapter, 2 * lora * _FP32, moments, average)
    if strategy == "FSDP2":
        gathered = _GATHERED_PARTS * sizes.largest_block_parameters * sizes.bytes_per_parameter
        shards = [part / processes for part in (adapter, lora * _FP32, moments, average)]
        return _named(policy / processes + gathered, *shards)
    if config.precision == "bf16":
        # DeepSpeed converts all weights to bfloat16, and keeps float32 ones of what is trained beside the moments
        policy, adapter, moments = sizes.parameters * _BF16, lora * _BF16, moments + lora * _FP32
    return _named(policy, adapter, adapter + lora * _FP32 / processes, moments / processes, average)


def _named(policy: float, adapter: float, gradients: float, optimizer: float, average: float) -> dict[str, float]:
    return {
        "policy": policy, "LoRA": adapter, "gradients": gradients, "AdamW": optimizer, "averaged weights": average,
    }  # fmt: skip


def _stored_bytes(config: GrpoConfig, sizes: PolicySizes) -> float:
    """Of one video: its latents before and after each trained step, and the last ones in float32."""
    steps = 0 if config.loss.kind == "nft" else trained_steps_of(config) + 1
    return sizes.latent_numbers * (steps * _STORAGE_BYTES[config.sampling.storage_dtype] + _FP32)
