"""Arithmetic of diffusers' transformers for Wan 2.1 and VACE, from their `config.json`.

Shapes: d width, f width of the feed-forward part, N tokens of a video with its references, L tokens of a prompt,
r rank of LoRA. Counted are the tensors that autograd saves from a forward pass, as the code of diffusers 0.42 and PEFT
0.21 makes them; `tests` compare with what is saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from trainer.policies.sizes import Activations

_FP32, _BF16 = 4, 2
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class TransformerSizes:
    """A transformer by the fields of its configuration."""

    width: int
    heads: int
    ffn: int
    blocks: int
    # blocks of the control; 0: there is no control
    vace_blocks: int
    in_channels: int
    out_channels: int
    control_channels: int
    text_width: int
    frequencies: int
    # latent pixels of a token, over time, height and width
    patch: tuple[int, int, int]
    cross_attention_norm: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TransformerSizes:
        """From the content of `transformer/config.json`. KeyError for a field that is missing."""
        vace = config.get("vace_layers")
        return cls(
            width=config["num_attention_heads"] * config["attention_head_dim"],
            heads=config["num_attention_heads"],
            ffn=config["ffn_dim"],
            blocks=config["num_layers"],
            vace_blocks=len(vace) if vace else 0,
            in_channels=config["in_channels"],
            out_channels=config["out_channels"],
            control_channels=config["vace_in_channels"] if vace else 0,
            text_width=config["text_dim"],
            frequencies=config["freq_dim"],
            patch=tuple(config.get("patch_size", (1, 2, 2))),
            cross_attention_norm=config.get("cross_attn_norm", True),
        )

    @property
    def block_parameters(self) -> int:
        """Of a block of the video: two attentions, the feed-forward part, norms and modulation."""
        d = self.width
        attention = 4 * (d * d + d) + 2 * d
        return 2 * attention + 2 * d * self.ffn + self.ffn + d + 6 * d + (2 * d if self.cross_attention_norm else 0)

    @cached_property
    def parameters(self) -> int:
        """Of the whole transformer."""
        d, patch = self.width, self.patch[0] * self.patch[1] * self.patch[2]
        time = self.frequencies * d + d + d * d + d + 6 * d * d + 6 * d
        text = self.text_width * d + d + d * d + d
        ends = self.in_channels * patch * d + d + 2 * d + (d + 1) * self.out_channels * patch
        main = time + text + ends + self.blocks * self.block_parameters
        if not self.vace_blocks:
            return main
        projection = d * d + d
        control = self.control_channels * patch * d + d
        return main + control + self.vace_blocks * (self.block_parameters + projection) + projection

    def adapted_layers(self, control_blocks: bool) -> dict[str, tuple[int, int]]:
        """The linear layers of attention by name, with their inputs and outputs."""
        return {
            f"{part}.{number}.{attention}.{layer}": (self.width, self.width)
            for part, count in self._parts(control_blocks)
            for number in range(count)
            for attention in ("attn1", "attn2")
            for layer in _ATTENTION
        }

    def _parts(self, control_blocks: bool) -> Iterator[tuple[str, int]]:
        yield "blocks", self.blocks
        if control_blocks:
            yield "vace_blocks", self.vace_blocks

    def tokens(self, frames: int, height: int, width: int) -> int:
        """Of a sample with so many latent frames and latent pixels."""
        return (frames // self.patch[0]) * (height // self.patch[1]) * (width // self.patch[2])

    def flops(self, tokens: int, text_tokens: int) -> float:
        """Of one forward pass of one sample; a product of a weight with a token counts as two operations."""
        n, length, d = tokens, text_tokens, self.width
        # self-attention: 4 layers; cross-attention: 2 of the video and 2 of the text
        linear = 2 * (n * (4 * d * d + 2 * d * d + 2 * d * self.ffn) + length * 2 * d * d)
        attention = 4 * d * (n * n + n * length)
        projections = 2 * n * d * d * (self.vace_blocks + bool(self.vace_blocks))
        return float((self.blocks + self.vace_blocks) * (linear + attention) + projections)

    def block_activations(self, tokens: int, text_tokens: int, rank: int, autocast: bool, copies: bool) -> Activations:
        """Saved by one block. `copies`: float32 weights, which autocast copies to bfloat16 and keeps."""
        n, length, d = tokens, text_tokens, self.width
        # of a number in the type of the computation
        x = _BF16 if autocast else _FP32
        # inputs of LoRA: float32 layers share them, and keep the outputs of attention already; under autocast each
        # layer has a copy of its own
        adapted = 6 if autocast else 2
        # float32: inputs of three norms of the block and of the norms of queries and keys. Both attentions: query, key,
        # value and output. The input of GELU. The output of LoRA's first matrices. Statistics of norms and attentions
        video = d * (6 * _FP32 + (adapted + 6) * x) + self.ffn * x + 6 * rank * x + (9 + 2 * self.heads) * _FP32
        # key and value of cross-attention, the norm of the key and, under autocast, inputs of LoRA
        text = d * (_FP32 + (4 if autocast else 2) * x) + 2 * rank * x + _FP32
        # modulation of the block
        per_sample = n * video + length * text + 12 * d * _FP32
        # not of keys and values of cross-attention: the text has no gradient
        weights = (6 * d * d + 2 * d * self.ffn) * _BF16 if copies else 0
        lora = 16 * rank * d * _BF16 if autocast else 0
        return Activations(per_sample, weights + lora)

    def pass_activations(self, tokens: int, text_tokens: int, rank: int, autocast: bool, copies: bool) -> Activations:
        """Saved by all blocks, without gradient checkpointing."""
        block = self.block_activations(tokens, text_tokens, rank, autocast, copies)
        count = self.blocks + self.vace_blocks
        projections = self.vace_blocks * self.width**2 * _BF16 if copies else 0
        # rotary positions are shared by all blocks, the input of the last norm is in float32
        last = tokens * self.width * _FP32
        return Activations(count * block.per_sample + last, count * block.fixed + projections)

    def checkpoint_activations(self, tokens: int, autocast: bool) -> Activations:
        """The input of every block. A block of the control also makes a hint for a block of the video."""
        x = _BF16 if autocast else _FP32
        return Activations((self.blocks + 2 * self.vace_blocks) * tokens * self.width * x)

    def working_activations(self, tokens: int, autocast: bool) -> Activations:
        """The gradients on both sides of GELU, and three of the block's width in float32."""
        x = _BF16 if autocast else _FP32
        return Activations(tokens * (2 * self.ffn * x + 3 * self.width * _FP32))


WAN_1_3B = TransformerSizes(
    width=1536, heads=12, ffn=8960, blocks=30, vace_blocks=0, in_channels=16, out_channels=16, control_channels=0,
    text_width=4096, frequencies=256, patch=(1, 2, 2), cross_attention_norm=True,
)  # fmt: skip
VACE_1_3B = replace(WAN_1_3B, vace_blocks=15, control_channels=96)
