"""Sizes of a policy for the plan of a run, known without its weights.

Activations are what autograd keeps from a forward pass for its backward pass, of one pass: guidance has several, and
the memory of all of them is held together. "Sample" is one video of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Activations:
    """Bytes = `fixed` + `per_sample` x samples."""

    per_sample: float
    # copies of weights in the data type of the computation
    fixed: float = 0.0

    def of(self, samples: int) -> float:
        """Bytes of a pass with this many samples."""
        return self.fixed + self.per_sample * samples


@dataclass(frozen=True)
class PolicySizes:
    """One policy at one size of videos and one number of references."""

    # of the network under training, without LoRA
    parameters: int
    # bytes of one of them
    bytes_per_parameter: int
    # layers that LoRA adapts: numbers of inputs and outputs, by name
    adapted_layers: Mapping[str, tuple[int, int]]
    # of the largest part of the network that is gathered at once where its weights are sharded
    largest_block_parameters: int
    # tokens of a sample in a forward pass, those of references included
    tokens: int
    # floating point operations of one forward pass of one sample
    flops: float
    # numbers of one sample's latents
    latent_numbers: int
    # bytes of one prompt's conditioning
    conditioning_bytes: int
    # forward passes of a velocity with guidance
    guidance_passes: int
    # of a whole pass without gradient checkpointing
    activations: Activations
    # of a whole pass with gradient checkpointing: the inputs of its blocks
    checkpoints: Activations
    # of the block that keeps most, which gradient checkpointing computes again
    block: Activations
    # gradients and temporary tensors of a backward pass at its peak
    working: Activations
    # beside the network: VAE, ...
    other_weights_bytes: int
    # of decoding one clip, beside the weights
    decoding_bytes: int
    # of what computes the embeddings of prompts, before the run and not during it
    text_encoder_bytes: int

    def lora_parameters(self, rank: int) -> int:
        """Trained parameters of a rank."""
        return sum(rank * (inputs + outputs) for inputs, outputs in self.adapted_layers.values())


@runtime_checkable
class StatesSizes(Protocol):
    """A module of policies, or the package that it is in, that states the sizes of what its factories load."""

    def policy_sizes(
        self, factory: str, options: Mapping[str, Any], num_references: int, rank: int, autocast: bool
    ) -> PolicySizes:
        """Sizes of the policy that `factory`, "module:function", loads with `options`; `autocast`: in bfloat16.

        Raises PolicyError for options that are wrong, and lists every file that is missing or of another model.
        """
