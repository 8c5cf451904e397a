"""The vision tower over all pictures and clips of a batch at once: one pass, equal windows in one attention call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .rows import gated_mlp, pad_rows, rms_norm, rotate
from .windows import Grid, Segments, TowerPlan, plan_tower


class VisionRunner:
    """`tower`: transformers' Qwen2.5-VL vision model, whose weights are used and whose forward is not."""

    def __init__(self, tower: nn.Module, row_multiple: int):
        self.tower = tower
        self.row_multiple = row_multiple
        config = tower.config
        self.window = config.window_size // config.spatial_merge_size // config.patch_size
        self.full_blocks = frozenset(config.fullatt_block_indexes)

    @torch.inference_mode()
    def __call__(self, patches: torch.Tensor, grids: Sequence[Grid]) -> torch.Tensor:
        """patches: [sum of slices * height * width, 1176] on the tower's device -> features [sum / 4, out_hidden]."""
        tower, num_patches = self.tower, patches.shape[0]
        plan = plan_tower(grids, merge=tower.spatial_merge_size, window=self.window).to(patches.device)
        cos, sin = self._rotary(plan, patches.device)
        units = self._embed(patches).view(plan.order_U.shape[0], -1)
        hidden = pad_rows(units[plan.order_U].view(num_patches, -1), self.row_multiple)
        for number, block in enumerate(tower.blocks):
            full = number in self.full_blocks
            normed = rms_norm(block.norm1, hidden)
            hidden = hidden + self._attention(block.attn, normed, num_patches, plan, full, cos, sin)
            hidden = hidden + gated_mlp(block.mlp, rms_norm(block.norm2, hidden))
        merger = tower.merger
        units = rms_norm(merger.ln_q, hidden)[:num_patches].view(plan.order_U.shape[0], -1)
        return merger.mlp(pad_rows(units, self.row_multiple))[plan.restore_U]

    def _embed(self, patches: torch.Tensor) -> torch.Tensor:
        embed = self.tower.patch_embed
        if patches.device.type == "cpu":
            return embed(patches)
        # a convolution whose stride is its size is a matrix product, and on CUDA a far quicker one
        weight = embed.proj.weight.flatten(1)
        return nn.functional.linear(patches.to(weight.dtype), weight)

    def _rotary(self, plan: TowerPlan, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, 1, head_dim] float32: height angles, width angles, and both again."""
        inv_freq = self.tower.rotary_pos_emb.inv_freq.to(device=device, dtype=torch.float32)
        angles = torch.arange(int(plan.largest) + 1, device=device, dtype=torch.float32)[:, None] * inv_freq
        half = torch.cat([torch.cos(angles)[plan.rows_N], torch.cos(angles)[plan.columns_N]], dim=-1)
        sine = torch.cat([torch.sin(angles)[plan.rows_N], torch.sin(angles)[plan.columns_N]], dim=-1)
        return torch.cat([half, half], -1)[:, None], torch.cat([sine, sine], -1)[:, None]

    def _attention(self, module, normed, num_patches, plan: TowerPlan, full: bool, cos, sin):
        qkv = module.qkv(normed)[:num_patches].view(num_patches, 3, module.num_heads, -1)
        query_key = rotate(qkv[:, :2].float(), cos[:, None], sin[:, None]).to(qkv.dtype)
        qkv = (query_key[:, 0], query_key[:, 1], qkv[:, 2])
        if full:
            qkv = tuple(part[plan.slices_N] for part in qkv)
        out = _by_segment(*qkv, plan.slices if full else plan.windows, module.scaling)
        if full:
            out = out[plan.unslice_N]
        return module.proj(pad_rows(out.view(num_patches, -1), self.row_multiple))


def _by_segment(query, key, value, segments: Segments, scale: float) -> torch.Tensor:
    """[N, heads, d] each; one attention call for every class of equally long runs."""
    out, start = torch.empty_like(query), 0
    for count, length in segments.classes:
        rows = slice(start, start + count * length)
        start = rows.stop
        parts = (part[rows].view(count, length, *part.shape[1:]).transpose(1, 2) for part in (query, key, value))
        attended = nn.functional.scaled_dot_product_attention(*parts, scale=scale)
        out[rows].view(count, length, *query.shape[1:]).copy_(attended.transpose(1, 2))
    return out
