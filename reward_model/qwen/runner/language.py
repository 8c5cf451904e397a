"""The language model over a packed batch: each prefix once, no padding, the last layer at reward rows only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .attention import packed_attention
from .layers import DecoderLayer
from .plan import BatchLayout
from .rows import Rows, rms_norm, rotate, send

# keys and values of a prefix: [layers, 2, tokens, kv heads, head dim]
PrefixState = torch.Tensor


class LanguageRunner:
    """Runs a batch through the weights of `body`, transformers' Qwen2.5-VL text model, with a forward of its own."""

    def __init__(self, body: Any, rows: Rows, deterministic: bool) -> None:
        self.body, self.rows, self.deterministic = body, rows, deterministic
        fuse = body.embed_tokens.weight.is_cuda
        self.layers = [DecoderLayer(layer, rows, fuse) for layer in body.layers]
        attention = body.layers[0].self_attn
        self.head_dim, self.num_kv_heads = attention.head_dim, attention.num_key_value_heads

    @torch.inference_mode()
    def __call__(
        self, embedded: torch.Tensor, positions: np.ndarray, layout: BatchLayout, prefixes: Mapping[str, PrefixState]
    ) -> tuple[torch.Tensor, dict[str, PrefixState]]:
        """(hidden states [R, hidden] of the reward rows before the final norm, states of the new prefixes by key).

        embedded: token embeddings [rows, hidden]; positions: int64 [3, rows]; prefixes: at least the layout's cached
        ones.
        """
        device, dtype, rows = embedded.device, embedded.dtype, layout.num_rows
        cos, sin = self._rotary(positions, device, dtype)
        attention = packed_attention(layout.classes, device, dtype, self.deterministic)
        last_attention = packed_attention(layout.reward_classes, device, dtype, self.deterministic)
        reward_rows = send(layout.reward_rows, device)
        new_prefixes = {
            key: torch.empty(len(self.layers), 2, length, self.num_kv_heads, self.head_dim, device=device, dtype=dtype)
            for key, _, length in layout.new_prefixes
        }
        hidden = self.rows.pad(embedded)
        for number, layer in enumerate(self.layers):
            last = number == len(self.layers) - 1
            normed = rms_norm(layer.input_norm, hidden)
            if last:
                query, (key, value) = None, (layer.linear(m, normed) for m in (layer.key, layer.value))
            else:
                query, key, value = layer.qkv(normed)
            key = rotate(self._heads(key)[:rows], cos, sin)
            value = self._heads(value)[:rows]
            for prefix, start, length in layout.new_prefixes:
                new_prefixes[prefix][number, 0] = key[start : start + length]
                new_prefixes[prefix][number, 1] = value[start : start + length]
            if layout.cached_prefixes:
                cached = [prefixes[prefix][number] for prefix, _ in layout.cached_prefixes]
                key = torch.cat([key, *(pair[0] for pair in cached)])
                value = torch.cat([value, *(pair[1] for pair in cached)])
            if query is None:
                rows, attention = len(layout.reward_rows), last_attention
                cos, sin, hidden = cos[reward_rows], sin[reward_rows], self.rows.pad(hidden[reward_rows])
                query = layer.linear(layer.query, self.rows.pad(normed[reward_rows]))
            query = rotate(self._heads(query)[:rows], cos, sin)
            attended = attention(query, key, value).reshape(rows, -1)
            hidden = hidden + layer.linear(layer.out, self.rows.pad(attended))
            hidden = hidden + layer.mlp(rms_norm(layer.mlp_norm, hidden))
        return hidden[:rows], new_prefixes

    def _heads(self, projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (-1, self.head_dim))

    def _rotary(
        self, positions: np.ndarray, device: torch.device, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, [rows, 1, head_dim] each: sections of the angles use the positions of time, height, width.

        Angles come from a table by position, so that a row's rounding does not depend on its place in the batch.
        """
        rotary = self.body.rotary_emb
        table = torch.arange(int(positions.max()) + 1, device=device, dtype=torch.float32)[:, None]
        angles = table * rotary.inv_freq.to(device=device, dtype=torch.float32)
        index = send(positions, device)
        parts = []
        for function in (torch.cos, torch.sin):
            sections = (function(angles) * rotary.attention_scaling).split(rotary.mrope_section, dim=-1)
            half = torch.cat([section[index[axis % 3]] for axis, section in enumerate(sections)], dim=-1)
            parts.append(torch.cat([half, half], dim=-1)[:, None].to(dtype))
        return parts[0], parts[1]
