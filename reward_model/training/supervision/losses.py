"""Auxiliary losses on rendered clips for a language model that is trained from scratch.

A preference is one bit about two videos. The ground truth of a rendered clip says more, and three losses use it:
`attention`, the first layer attends from a face to the reference image of the same person, or to the first token where
no reference shows that person; `matching`, the hidden states of the face's tokens in the middle layer tell which of the
two it is; `corruptions`, the hidden state that the reward is read from predicts the severity of every corruption.

Legend: N sequences, L rows of the packed forward, D hidden size, F faces of a sequence, K key/value heads, d their
size, M corruptions.
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

from .face_tokens import FaceTokens

# names of the losses, as fields of SupervisionConfig and of metrics.jsonl
LOSSES = ("attention", "matching", "corruptions")
# weight of a face without a reference in the attention loss: its target matters less
UNMATCHED = 0.5
# initial logit of a corruption: most clips have none
_INITIAL_LOGIT = -2.5


class FaceSupervision(nn.Module):
    """Linear readouts of a language model's hidden states. They are trained with it and not saved in the result.

    Attribute names are the keys of a run's saved state.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size)
        self.matched = nn.Linear(hidden_size, 1)
        self.failure_norm = nn.RMSNorm(hidden_size)
        self.failures = nn.Linear(hidden_size, len(CORRUPTION_KINDS))
        nn.init.constant_(self.failures.bias, _INITIAL_LOGIT)

    def forward(
        self,
        query_KLd: torch.Tensor,
        key_KLd: torch.Tensor,
        middle_LD: torch.Tensor,
        reward_ND: torch.Tensor,
        layout: BatchLayout,
        sequences: Sequence[TokenSequence],
        faces: Sequence[FaceTokens],
    ) -> torch.Tensor:
        """float32 [3] in the order of `LOSSES`, each summed over sequences of a mean over faces, or over corruptions.

        query_KLd, key_KLd: from `first_layer_attention`. middle_LD: hidden states after half of the layers. reward_ND:
        the input of the reward head.
        """
        rows = token_rows(layout)
        device = middle_LD.device
        # zero, but a function of these weights: without a face in this process, gradients still have to be reduced
        losses = [self.matched(self.norm(middle_LD[:0].float())).sum().expand(2)]
        severity_NM = torch.from_numpy(np.stack([tokens.severity_M for tokens in faces])).to(device)
        logits_NM = self.failures(self.failure_norm(reward_ND.float()))
        losses_NM = functional.binary_cross_entropy_with_logits(logits_NM, severity_NM, reduction="none")
        for number, (sequence, tokens) in enumerate(zip(sequences, faces, strict=True)):
            if not len(tokens.slice_F):
                continue
            sequence_rows = torch.from_numpy(rows[number]).to(device)
            attention = attention_loss(query_KLd[:, sequence_rows], key_KLd[:, sequence_rows], sequence, tokens)
            video = sequence.clips[-1]
            hidden = middle_LD[sequence_rows[video.start : video.start + video.num_tokens]].float()
            slices, shares = (torch.from_numpy(part).to(device) for part in (tokens.slice_F, tokens.shares_FT))
            mean_FD = torch.einsum("ft,ftd->fd", shares, hidden.unflatten(0, (-1, shares.shape[1]))[slices])
            logits = self.matched(self.norm(mean_FD))[:, 0]
            matched = torch.from_numpy(tokens.reference_F >= 0).to(logits)
            losses.append(torch.stack([attention, functional.binary_cross_entropy_with_logits(logits, matched)]))
        return torch.cat([torch.stack(losses).sum(0), losses_NM.mean(1).sum()[None]])


def token_rows(layout: BatchLayout) -> dict[int, np.ndarray]:
    """Index of a sequence in the batch -> rows of the packed forward that hold its tokens, in their order."""
    row = 0
    rows: list[np.ndarray] = []
    for _, start, end in layout.sources:
        rows.append(np.arange(row, row + end - start))
        row += end - start
    count = len(layout.new_prefixes)
    prefixes = {key: part for (key, *_), part in zip(layout.new_prefixes, rows, strict=False)}
    by_sequence = {}
    for number, (sequence, start, _), part in zip(layout.order, layout.sources[count:], rows[count:], strict=True):
        by_sequence[number] = np.concatenate([prefixes[sequence.prefix_key], part]) if start else part
    return by_sequence


def first_layer_attention(
    language: Any, embedded_LD: torch.Tensor, position_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys of the first layer with rotary positions applied, float32 [K, L, d] each.

    Queries are those of the first query head of every key/value head. `position_ids`: [3, 1, L].
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
    query_KLd: torch.Tensor, key_KLd: torch.Tensor, sequence: TokenSequence, faces: FaceTokens
) -> torch.Tensor:
    """-log of the attention from a face's main token to its target, a mean over faces and key/value heads.

    The target is the reference image of the same person, or the first token; L is the sequence's own length. Scalar.
    """
    device = query_KLd.device
    main_F = sequence.clips[-1].start + faces.slice_F * faces.shares_FT.shape[1] + faces.shares_FT.argmax(1)
    tokens = torch.from_numpy(main_F).to(device)
    scores_KFL = query_KLd[:, tokens] @ key_KLd.transpose(1, 2) * query_KLd.shape[-1] ** -0.5
    positions = np.arange(len(sequence))
    target_FL = np.zeros((len(main_F), len(sequence)), bool)
    for row, reference in zip(target_FL, faces.reference_F, strict=True):
        clip = sequence.clips[reference]
        row[slice(clip.start, clip.start + clip.num_tokens) if reference >= 0 else 0] = True
    later, target = (torch.from_numpy(part).to(device) for part in (positions > main_F[:, None], target_FL))
    all_KF = scores_KFL.masked_fill(later, -torch.inf).logsumexp(-1)
    target_KF = scores_KFL.masked_fill(~target, -torch.inf).logsumexp(-1)
    weight_F = torch.from_numpy(np.where(faces.reference_F >= 0, 1.0, UNMATCHED)).to(scores_KFL)
    return ((all_KF - target_KF) * weight_F).mean()
