"""Differentiable rewards of many sequences in one forward pass without padding.

This is the runner's layout with gradients: the common part of sequences before their videos (references, instruction)
is computed once, an image with a key passes the vision tower once, and every suffix attends to its own prefix and to
itself. A preference pair is two sequences with one prefix. The layers are transformers' own, called as modules, so that
LoRA, gradient checkpointing and the hooks of FSDP and DeepSpeed work; only attention is replaced.

Legend: N sequences, L rows of the packed forward, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLVisionAttention, apply_rotary_pos_emb_vision

from reward_model.qwen.model import RewardModel
from reward_model.qwen.runner.attention import packed_attention
from reward_model.qwen.runner.plan import BatchLayout, lay_out
from reward_model.qwen.runner.rows import send
from reward_model.qwen.runner.sequence import TokenSequence, VisionClip

from ..supervision.face_tokens import FaceTokens
from ..supervision.losses import FaceSupervision, first_layer_attention

ATTENTION = "packed_preferences"


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: Callable[..., torch.Tensor] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: [1, attention heads, L, d] -> [1, L, attention heads, d]. Without a packed
    batch it is sdpa."""
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    rows = (part[0].transpose(0, 1) for part in (query, key, value))
    return packed(*rows)[None], None


def _scaled_dot_product(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    if q.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)
    # the backward pass in bfloat16 takes a CPU five times as long as in float32
    with torch.autocast("cpu", enabled=False):
        return nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), scale=scale).to(q.dtype)


class SegmentedVisionAttention(Qwen2_5_VLVisionAttention):
    """Vision attention that computes adjacent segments of equal length in one call; transformers calls each alone."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        cu_seqlens: torch.Tensor,
        position_embeddings: Any = None,
        max_seqlen: int | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        qkv = self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = qkv.unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        out, start = [], 0
        for length, run in groupby(cu_seqlens.diff().tolist()):
            count = len(list(run))
            rows = slice(start, start + count * length)
            start = rows.stop
            q, k, v = (part[rows].unflatten(0, (count, length)).transpose(1, 2) for part in (query, key, value))
            attended = _scaled_dot_product(q, k, v, self.scaling)
            out.append(attended.transpose(1, 2).reshape(count * length, -1))
        return self.proj(torch.cat(out))


@dataclass(eq=False)
class HiddenStates:
    """Intermediate tensors of one forward pass.

    position_ids: [3, 1, L]. middle_LD: after half of the layers. reward_ND: input of the reward head, the mean over a
    sequence's reward tokens.
    """

    embedded_LD: Any = None
    position_ids: Any = None
    middle_LD: Any = None
    reward_ND: Any = None


def _store_middle(states: HiddenStates, layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
    states.middle_LD = (output[0] if isinstance(output, tuple) else output)[0]


class PackedRewards(nn.Module):
    """Packed forward pass of `model`, whose attention is replaced in place; the function that it computes stays.

    `patches` returns the patches of clips end to end on the model's device, for clips that do not hold patches.
    Attribute names are the keys of a run's saved state.
    """

    def __init__(
        self,
        model: RewardModel,
        patches: Callable[[list[VisionClip]], torch.Tensor] | None = None,
        supervision: FaceSupervision | None = None,
    ):
        super().__init__()
        self.model = model
        self.supervision = supervision
        self._patches = patches or self._joined
        AttentionInterface.register(ATTENTION, _attend)
        body: Any = model.body
        body.language_model.config._attn_implementation = ATTENTION
        for block in body.visual.blocks:
            block.attn.__class__ = SegmentedVisionAttention

    def forward(
        self, sequences: Sequence[TokenSequence], faces: Sequence[FaceTokens] | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """float32 [N, outputs] in the order of `sequences`. Sequences of one `prefix_key` share its computation.

        With `faces`, those of each sequence, also the losses of `supervision`: float32 [3].
        """
        layout = lay_out(sequences, set())
        if faces is None:
            return self._rewards(sequences, layout)
        assert self.supervision is not None
        states = HiddenStates()
        language: Any = self.model.body.language_model
        layers = language.layers
        hook = layers[len(layers) // 2 - 1].register_forward_hook(partial(_store_middle, states))
        try:
            rewards = self._rewards(sequences, layout, states)
        finally:
            hook.remove()
        query, key = first_layer_attention(language, states.embedded_LD, states.position_ids)
        return rewards, self.supervision(query, key, states.middle_LD, states.reward_ND, layout, sequences, faces)

    def _rewards(
        self, sequences: Sequence[TokenSequence], layout: BatchLayout, states: HiddenStates | None = None
    ) -> torch.Tensor:
        body: Any = self.model.body
        language, device = body.language_model, self.model.device
        token_ids = np.concatenate([s.token_ids[start:end] for s, start, end in layout.sources])
        positions = np.concatenate([s.positions[:, start:end] for s, start, end in layout.sources], axis=1)
        embedded_LD = self._with_features(language.embed_tokens(send(token_ids, device)), layout)
        position_ids = send(positions, device)[:, None]
        if states is not None:
            states.embedded_LD, states.position_ids = embedded_LD, position_ids
        hidden_LD = language(
            inputs_embeds=embedded_LD[None],
            position_ids=position_ids,
            attention_mask=dict.fromkeys(set(language.config.layer_types)),
            packed=packed_attention(layout.classes, device, embedded_LD.dtype, deterministic=False),
            use_cache=False,
        ).last_hidden_state[0]
        offset, rows = 0, {}
        for number in layout.order:
            count = len(sequences[number].reward_indices)
            rows[number] = layout.reward_rows[offset : offset + count]
            offset += count
        reward_rows = send(np.stack([rows[number] for number in range(len(sequences))]), device)
        if states is not None:
            states.reward_ND = hidden_LD[reward_rows].mean(1)
        return self.model.rewards(hidden_LD[reward_rows])

    def _with_features(self, embedded_LD: torch.Tensor, layout: BatchLayout) -> torch.Tensor:
        """Rows of image and video tokens replaced by vision features; each distinct clip is computed once."""
        distinct: dict[object, tuple[VisionClip, list[int]]] = {}
        row = 0
        for sequence, start, end in layout.sources:
            for clip in sequence.clips_between(start, end):
                key = clip.key if clip.key is not None else id(clip.patches)
                distinct.setdefault(key, (clip, []))[1].append(row + clip.start - start)
            row += end - start
        # cached features of a frozen tower have one row a token, patches have four
        encoded = [clip for clip, _ in distinct.values() if len(clip.patches) == clip.num_tokens]
        pending = [clip for clip, _ in distinct.values() if len(clip.patches) != clip.num_tokens]
        parts = [clip.patches.to(embedded_LD.device, embedded_LD.dtype) for clip in encoded]
        if pending:
            grids = torch.tensor([clip.grid for clip in pending], device=embedded_LD.device)
            tower: Any = self.model.body.visual
            parts.append(tower(self._patches(pending), grid_thw=grids).pooler_output.to(embedded_LD.dtype))
        features = torch.cat(parts)
        first_rows = dict(
            zip(map(id, encoded + pending), np.cumsum([0, *(c.num_tokens for c in encoded + pending)]), strict=False)
        )
        source, target = [], []
        for clip, starts in distinct.values():
            first = first_rows[id(clip)]
            for start in starts:
                source.append(np.arange(first, first + clip.num_tokens))
                target.append(np.arange(start, start + clip.num_tokens))
        source_index, target_index = (send(np.concatenate(part), embedded_LD.device) for part in (source, target))
        return embedded_LD.index_copy(0, target_index, features[source_index])

    def _joined(self, clips: list[VisionClip]) -> torch.Tensor:
        return torch.cat([clip.patches.to(self.model.device, self.model.dtype, non_blocking=True) for clip in clips])
