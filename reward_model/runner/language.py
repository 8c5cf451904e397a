"""The language model over a packed batch: prefixes once, no padding, the last layer for reward rows only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from .attention import packed_attention
from .plan import BatchLayout
from .rows import gated_mlp, pad_rows, rms_norm, rotate

# [layers, 2 (keys, values), tokens, kv heads, head dim]
PrefixState = torch.Tensor


class LanguageRunner:
    """`body`: transformers' Qwen2.5-VL text model, whose weights are used and whose forward is not."""

    def __init__(self, body: nn.Module, row_multiple: int, deterministic: bool):
        self.body = body
        self.row_multiple = row_multiple
        self.deterministic = deterministic
        attention = body.layers[0].self_attn
        self.head_dim = attention.head_dim
        self.num_heads, self.num_kv_heads = attention.num_heads, attention.num_key_value_heads

    @torch.inference_mode()
    def __call__(
        self, embedded: torch.Tensor, positions: np.ndarray, layout: BatchLayout, prefixes: Mapping[str, PrefixState]
    ) -> tuple[torch.Tensor, dict[str, PrefixState]]:
        """embedded: [rows, hidden]; positions: [3, rows]; `prefixes` holds the layout's cached ones.

        -> (hidden states of the reward rows before the final norm, [R, hidden]; the new prefixes' keys and values).
        """
        device, dtype, rows = embedded.device, embedded.dtype, layout.num_rows
        cos, sin = self._rotary(positions, device, dtype)
        attention = packed_attention(layout.classes, device, dtype, self.deterministic)
        last_attention = packed_attention(layout.reward_classes, device, dtype, self.deterministic)
        wanted = torch.from_numpy(layout.reward_rows).to(device)
        shape = (len(self.body.layers), 2, 0, self.num_kv_heads, self.head_dim)
        new = {
            key: torch.empty(*shape[:2], length, *shape[3:], device=device, dtype=dtype)
            for key, _, length in layout.new_prefixes
        }
        hidden = pad_rows(embedded, self.row_multiple)
        for number, layer in enumerate(self.body.layers):
            last = number == len(self.body.layers) - 1
            module, normed = layer.self_attn, rms_norm(layer.input_layernorm, hidden)
            key = rotate(self._heads(module.k_proj(normed))[:rows], cos, sin)
            value = self._heads(module.v_proj(normed))[:rows]
            for name, start, length in layout.new_prefixes:
                new[name][number, 0] = key[start : start + length]
                new[name][number, 1] = value[start : start + length]
            if layout.cached_prefixes:
                cached = [prefixes[name][number] for name, _ in layout.cached_prefixes]
                key = torch.cat([key, *(pair[0] for pair in cached)])
                value = torch.cat([value, *(pair[1] for pair in cached)])
            if last:
                normed, hidden = (pad_rows(part[wanted], self.row_multiple) for part in (normed, hidden))
                cos, sin, rows, attention = cos[wanted], sin[wanted], len(wanted), last_attention
            query = rotate(self._heads(module.q_proj(normed))[:rows], cos, sin)
            attended = pad_rows(attention(query, key, value).reshape(rows, -1), self.row_multiple)
            hidden = hidden + module.o_proj(attended)
            hidden = hidden + gated_mlp(layer.mlp, rms_norm(layer.post_attention_layernorm, hidden))
        return hidden[:rows], new

    def _heads(self, projected: torch.Tensor) -> torch.Tensor:
        return projected.view(projected.shape[0], -1, self.head_dim)

    def _rotary(self, positions: np.ndarray, device, dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """[rows, 1, head_dim] each: sections of the angle take their position from time, height and width in turn.

        Angles come from a table by position, so that a row's rounding does not depend on where it stands.
        """
        rotary = self.body.rotary_emb
        table = torch.arange(int(positions.max()) + 1, device=device, dtype=torch.float32)[:, None]
        angles = table * rotary.inv_freq.to(device=device, dtype=torch.float32)
        index = torch.from_numpy(positions).to(device)
        parts = []
        for function in (torch.cos, torch.sin):
            sections = (function(angles) * rotary.attention_scaling).split(rotary.mrope_section, dim=-1)
            half = torch.cat([section[index[axis % 3]] for axis, section in enumerate(sections)], dim=-1)
            parts.append(torch.cat([half, half], dim=-1)[:, None].to(dtype))
        return parts[0], parts[1]
