"""What a tower must tell of a head: whose it is and how it looks, and which of the references shows it; the latter also
to the attention that will look for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from reward_model.qwen.model import RewardModel

from ..models.packed import SegmentedVisionAttention
from ..supervision.ground_truth import HARM, LOOK, SHAPE
from ..supervision.losses import attention_loss, first_attention
from .batches import HeadBatch

EMBEDDING_SIZE = 96


@dataclass(frozen=True, eq=False)
class SeenHeads:
    """float32 of one batch: heads [H, width] and references [R, width] as mean tokens, slices [S, T, width] and
    pictures [R, T, width] token by token."""

    heads: torch.Tensor
    references: torch.Tensor
    slices: torch.Tensor
    pictures: torch.Tensor


class HeadReader(nn.Module):
    """A model's tower and its first layer's queries and keys, which stay, and two linear readers of a head's mean
    token, which don't: one for its code, one for an embedding."""

    def __init__(self, model: RewardModel, code_size: int):
        super().__init__()
        body: Any = model.body
        for block in body.visual.blocks:
            block.attn.__class__ = SegmentedVisionAttention
        width = model.head.weight.shape[1]
        # in a tuple, so that the whole of it isn't learned from here
        self._language = (body.language_model,)
        self.tower = body.visual
        self.query, self.key = (getattr(body.language_model.layers[0].self_attn, f"{name}_proj") for name in "qk")
        self.code = nn.Linear(width, code_size)
        self.embedding = nn.Linear(width, EMBEDDING_SIZE)
        self.log_scale = nn.Parameter(torch.tensor(log(10.0)))

    def forward(self, batch: HeadBatch) -> SeenHeads:
        tokens = self.tower(batch.patches, grid_thw=batch.grids).pooler_output.float()
        count = batch.num_slices * batch.slice_shares.shape[1]
        slices = tokens[:count].unflatten(0, (batch.num_slices, batch.slice_shares.shape[1]))
        pictures = tokens[count:].unflatten(0, (len(batch.reference_codes), -1))
        with torch.autocast(tokens.device.type, enabled=False):
            return SeenHeads(
                torch.einsum("ht,htd->hd", batch.slice_shares, slices[batch.slice_of]),
                torch.einsum("rt,rtd->rd", batch.reference_shares, pictures),
                slices,
                pictures,
            )

    def similarities(self, heads_HD: torch.Tensor, references_RD: torch.Tensor) -> torch.Tensor:
        """[H, R] cosines of embeddings."""
        heads, references = (functional.normalize(self.embedding(x), dim=-1) for x in (heads_HD, references_RD))
        return heads @ references.T

    def losses(self, batch: HeadBatch) -> dict[str, torch.Tensor]:
        """`look`, `shape` and `harm`: mean squared errors of those parts of the codes, references' added to heads';
        `matching`: cross-entropy both ways; `attention`: that of the first layer."""
        seen = self(batch)
        parts = {"look": LOOK, "shape": SHAPE, "harm": HARM}
        errors = [(self.code(seen.references) - batch.reference_codes).square()]
        if len(seen.heads):
            errors.append((self.code(seen.heads) - batch.slice_codes).square())
        losses = {name: torch.stack([error[:, part].mean() for error in errors]).sum() for name, part in parts.items()}
        if not len(seen.heads):
            return losses | dict.fromkeys(("matching", "attention"), losses["look"] * 0)
        logits = self.similarities(seen.heads, seen.references) * self.log_scale.exp()
        return losses | {"matching": matching_loss(logits, batch.match), "attention": self.attention(seen, batch)}

    def attention(self, seen: SeenHeads, batch: HeadBatch) -> torch.Tensor:
        """The mean over slices of `supervision.attention_loss`."""
        (language,) = self._language
        device = seen.slices.device
        sequences = [view.sequence for view in batch.views]
        token_ids, positions = (
            torch.from_numpy(np.concatenate([getattr(one, name) for one in sequences], axis=-1)).to(device)
            for name in ("token_ids", "positions")
        )
        rows, target, start = [], [], 0
        starts = []
        for number, view in enumerate(batch.views):
            parts = [*(seen.pictures[n] for n in view.references), seen.slices[number]]
            for clip, part in zip(view.sequence.clips, parts, strict=True):
                rows.append(part)
                target.append(torch.arange(start + clip.start, start + clip.start + len(part), device=device))
            starts.append(start)
            start += len(view.sequence)
        embedded = language.embed_tokens(token_ids).float().index_copy(0, torch.cat(target), torch.cat(rows))
        query, key = first_attention(language, embedded, positions[:, None])
        losses = []
        for view, first in zip(batch.views, starts, strict=True):
            own = slice(first, first + len(view.sequence))
            losses.append(attention_loss(query[:, own], key[:, own], view.sequence, view.heads))
        return torch.stack(losses).mean()


def matching_loss(logits_HR: torch.Tensor, match_H: torch.Tensor) -> torch.Tensor:
    """The mean of: which reference is this head's (heads that have one), and which heads are this reference's
    (references that some head matches). Look-alikes without a reference count in the second only."""
    known = match_H >= 0
    if not known.any():
        return logits_HR.sum() * 0
    of_heads = functional.cross_entropy(logits_HR[known], match_H[known])
    mine = torch.zeros_like(logits_HR, dtype=torch.bool)
    mine[known, match_H[known]] = True
    shown = mine.any(0)
    total = logits_HR.logsumexp(0)[shown]
    matched = logits_HR.masked_fill(~mine, -torch.inf).logsumexp(0)[shown]
    return (of_heads + (total - matched).mean()) / 2
