"""What a language model from scratch is taught of heads beside preferences, which tell too little to begin with.

A preference is one bit about two videos. Where clips are rendered, more is known: whose head every token shows, and how
the clip fails. Three losses use it: the first layer's attention goes from a head to the picture of the same person, or
to the very first token where no picture shows that person; in the middle of the layers the head's tokens tell which of
both it was; and what the reward is read from tells every failure and how severe it is.

Legend: N sequences, L rows of the packed forward, D hidden size, H heads of a sequence, K kv heads, d their size, M
failure modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.qwen.runner.plan import BatchLayout
from reward_model.qwen.runner.sequence import TokenSequence

from .face_tokens import KnownHeads

LOSSES = ("attention", "matching", "failures")
# a head that no picture shows counts less in the loss of attention: where else it looks matters little
UNMATCHED = 0.5
# logit of a failure to begin with: most clips have none
_RARE = -2.5


class HeadSupervision(nn.Module):
    """Reads what a language model computes; not part of what is saved of it."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size)
        self.matched = nn.Linear(hidden_size, 1)
        self.failure_norm = nn.RMSNorm(hidden_size)
        self.failures = nn.Linear(hidden_size, len(CORRUPTION_KINDS))
        nn.init.constant_(self.failures.bias, _RARE)

    def forward(
        self,
        query_KLd: torch.Tensor,
        key_KLd: torch.Tensor,
        middle_LD: torch.Tensor,
        reward_ND: torch.Tensor,
        layout: BatchLayout,
        sequences: Sequence[TokenSequence],
        heads: Sequence[KnownHeads],
    ) -> torch.Tensor:
        """float32 [3], in the order of `LOSSES`: each the sum over sequences of the mean over heads, or over modes.

        Queries and keys are those of `first_attention`; `reward_ND` is what the model's head reads.
        """
        rows = rows_of(layout)
        device = middle_LD.device
        # nothing, through these weights: where no sequence has a head, other processes still wait for their gradients
        losses = [self.matched(self.norm(middle_LD[:0].float())).sum().expand(2)]
        severity_NM = torch.from_numpy(np.stack([known.severity_M for known in heads])).to(device)
        logits_NM = self.failures(self.failure_norm(reward_ND.float()))
        failures = functional.binary_cross_entropy_with_logits(logits_NM, severity_NM, reduction="none").mean(1).sum()
        for number, (sequence, known) in enumerate(zip(sequences, heads, strict=True)):
            if not len(known.slice_H):
                continue
            own = torch.from_numpy(rows[number]).to(device)
            attention = attention_loss(query_KLd[:, own], key_KLd[:, own], sequence, known)
            video = sequence.clips[-1]
            seen = middle_LD[own[video.start : video.start + video.num_tokens]].float()
            slices, shares = (torch.from_numpy(part).to(device) for part in (known.slice_H, known.shares_HT))
            mean_HD = torch.einsum("ht,htd->hd", shares, seen.unflatten(0, (-1, shares.shape[1]))[slices])
            logits = self.matched(self.norm(mean_HD))[:, 0]
            matched = torch.from_numpy(known.reference_H >= 0).to(logits)
            losses.append(torch.stack([attention, functional.binary_cross_entropy_with_logits(logits, matched)]))
        return torch.cat([torch.stack(losses).sum(0), failures[None]])


def rows_of(layout: BatchLayout) -> dict[int, np.ndarray]:
    """Number of a sequence in the batch -> the rows of all its tokens, in their order."""
    row = 0
    rows: list[np.ndarray] = []
    for _, start, end in layout.sources:
        rows.append(np.arange(row, row + end - start))
        row += end - start
    count = len(layout.new_prefixes)
    prefixes = {key: own for (key, *_), own in zip(layout.new_prefixes, rows, strict=False)}
    found = {}
    for number, (sequence, start, _), own in zip(layout.order, layout.sources[count:], rows[count:], strict=True):
        found[number] = np.concatenate([prefixes[sequence.prefix_key], own]) if start else own
    return found


def first_attention(
    language: Any, embedded_LD: torch.Tensor, position_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 queries, of the first query head of every kv head, and keys of the first layer, turned by position.

    `position_ids`: [3, 1, L].
    """
    layer = language.layers[0]
    attention = layer.self_attn
    normed = layer.input_layernorm(embedded_LD[None])
    query, key = (
        projected(normed).float().unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projected in (attention.q_proj, attention.k_proj)
    )
    query = query[:, :: attention.num_key_value_groups]
    query, key = apply_rotary_pos_emb(query, key, *language.rotary_emb(query, position_ids))
    return query[0], key[0]


def attention_loss(
    query_KLd: torch.Tensor, key_KLd: torch.Tensor, sequence: TokenSequence, known: KnownHeads
) -> torch.Tensor:
    """The mean over heads and kv heads, from the token that a head fills most; L is the sequence's own."""
    device = query_KLd.device
    at_H = sequence.clips[-1].start + known.slice_H * known.shares_HT.shape[1] + known.shares_HT.argmax(1)
    tokens = torch.from_numpy(at_H).to(device)
    scores_KHL = query_KLd[:, tokens] @ key_KLd.transpose(1, 2) * query_KLd.shape[-1] ** -0.5
    places = np.arange(len(sequence))
    wanted_HL = np.zeros((len(at_H), len(sequence)), bool)
    for row, reference in zip(wanted_HL, known.reference_H, strict=True):
        clip = sequence.clips[reference]
        row[slice(clip.start, clip.start + clip.num_tokens) if reference >= 0 else 0] = True
    later, wanted = (torch.from_numpy(part).to(device) for part in (places > at_H[:, None], wanted_HL))
    all_KH = scores_KHL.masked_fill(later, -torch.inf).logsumexp(-1)
    wanted_KH = scores_KHL.masked_fill(~wanted, -torch.inf).logsumexp(-1)
    weight_H = torch.from_numpy(np.where(known.reference_H >= 0, 1.0, UNMATCHED)).to(scores_KHL)
    return ((all_KH - wanted_KH) * weight_H).mean()
