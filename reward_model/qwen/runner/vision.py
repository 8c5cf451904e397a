"""The vision tower over all images and videos of a batch in one pass, equal windows in one attention call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .attention import SegmentAttention
from .layers import GatedMlp
from .rows import Rows, rms_norm, rotate
from .windows import Grid, TowerPlan, plan_tower


class VisionRunner:
    """Runs patches through the weights of `tower`, transformers' Qwen2.5-VL vision model, with a forward of its own."""

    def __init__(self, tower: Any, rows: Rows, deterministic: bool = False) -> None:
        self.tower, self.rows = tower, rows
        config, weight = tower.config, tower.patch_embed.proj.weight
        self.window = config.window_size // config.spatial_merge_size // config.patch_size
        self.full_blocks = frozenset(config.fullatt_block_indexes)
        self.mlps = [GatedMlp(block.mlp, rows, fuse=weight.is_cuda) for block in tower.blocks]
        self.dtype, self.deterministic = weight.dtype, deterministic

    @torch.inference_mode()
    def __call__(self, patches: torch.Tensor, grids: Sequence[Grid]) -> torch.Tensor:
        """Features [N / 4, out_hidden] of patches [N, 1176] on the tower's device, N = sum of the grids' patches."""
        tower, num_patches = self.tower, patches.shape[0]
        plan = plan_tower(grids, merge=tower.spatial_merge_size, window=self.window).to(patches.device)
        num_units = plan.order_U.shape[0]
        in_windows, in_slices = (
            SegmentAttention(segments, self.rows, patches.device, self.dtype, self.deterministic)
            for segments in (plan.windows, plan.slices)
        )
        cos, sin = self._rotary(plan, patches.device)
        units = self._embed(patches).view(num_units, -1)
        hidden = self.rows.pad(units[plan.order_U].view(num_patches, -1))
        for number, (block, mlp) in enumerate(zip(tower.blocks, self.mlps, strict=True)):
            normed = rms_norm(block.norm1, hidden)
            full = number in self.full_blocks
            attend = in_slices if full else in_windows
            hidden += self._attention(block.attn, normed, num_patches, plan, full, attend, cos, sin)
            hidden += mlp(rms_norm(block.norm2, hidden))
        merger = tower.merger
        merged = self.rows.pad(rms_norm(merger.ln_q, hidden)[:num_patches].reshape(num_units, -1))
        first, activation, second = merger.mlp
        merged = activation(self.rows.linear(merged, first.weight, first.bias))
        return self.rows.linear(merged, second.weight, second.bias)[plan.restore_U]

    def _embed(self, patches: torch.Tensor) -> torch.Tensor:
        embed = self.tower.patch_embed
        if patches.device.type == "cpu":
            return embed(patches)
        # a convolution whose stride is its size is a matrix product, which CUDA computes much faster
        weight = embed.proj.weight.flatten(1)
        padded = self.rows.pad(patches.to(weight.dtype))
        return self.rows.linear(padded, weight)[: patches.shape[0]]

    def _rotary(self, plan: TowerPlan, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, float32 [N, 1, 1, head_dim]: of the row and column angles, twice."""
        inv_freq = self.tower.rotary_pos_emb.inv_freq.to(device=device, dtype=torch.float32)
        angles = torch.arange(plan.largest + 1, device=device, dtype=torch.float32)[:, None] * inv_freq
        halves = (torch.cat([f[plan.rows_N], f[plan.columns_N]], -1) for f in (angles.cos(), angles.sin()))
        cos, sin = (torch.cat([half, half], -1)[:, None, None] for half in halves)
        return cos, sin

    def _attention(
        self,
        module: Any,
        normed: torch.Tensor,
        num_patches: int,
        plan: TowerPlan,
        full: bool,
        attend: SegmentAttention,
        cos: torch.Tensor,
        sin: torch.Tensor,
    ) -> torch.Tensor:
        qkv = self.rows.linear(normed, module.qkv.weight, module.qkv.bias)[:num_patches]
        qkv = qkv.view(num_patches, 3, module.num_heads, -1)
        query_key = rotate(qkv[:, :2].float(), cos, sin).to(qkv.dtype)
        query, key, value = query_key[:, 0], query_key[:, 1], qkv[:, 2]
        if full:
            query, key, value = query[plan.slices_N], key[plan.slices_N], value[plan.slices_N]
        out = attend(query, key, value, module.scaling)
        if full:
            out = self.rows.pad(out[plan.unslice_N])
        return self.rows.linear(out.flatten(1), module.proj.weight, module.proj.bias)
