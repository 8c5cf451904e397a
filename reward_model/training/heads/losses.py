"""What a tower must tell of a head: the numbers of its person, and which of the references shows it."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..packed import SegmentedVisionAttention
from .batches import HeadBatch

EMBEDDING_SIZE = 96


class HeadReader(nn.Module):
    """A tower and two linear readers of a head's mean token: one for the person's code, one for an embedding."""

    def __init__(self, tower: Any, width: int, code_size: int):
        super().__init__()
        for block in tower.blocks:
            block.attn.__class__ = SegmentedVisionAttention
        self.tower = tower
        self.code = nn.Linear(width, code_size)
        self.embedding = nn.Linear(width, EMBEDDING_SIZE)
        self.log_scale = nn.Parameter(torch.tensor(log(10.0)))

    def forward(self, batch: HeadBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [H, width] and [R, width]: the mean token of every head in slices and in references."""
        tokens = self.tower(batch.patches, grid_thw=batch.grids).pooler_output.float()
        count = batch.num_slices * batch.slice_shares.shape[1]
        slices = tokens[:count].unflatten(0, (batch.num_slices, batch.slice_shares.shape[1]))
        references = tokens[count:].unflatten(0, (len(batch.reference_codes), -1))
        with torch.autocast(tokens.device.type, enabled=False):
            return (
                torch.einsum("ht,htd->hd", batch.slice_shares, slices[batch.slice_of]),
                torch.einsum("rt,rtd->rd", batch.reference_shares, references),
            )

    def similarities(self, heads_HD: torch.Tensor, references_RD: torch.Tensor) -> torch.Tensor:
        """[H, R] cosines of embeddings."""
        heads, references = (functional.normalize(self.embedding(x), dim=-1) for x in (heads_HD, references_RD))
        return heads @ references.T

    def losses(self, batch: HeadBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """(squared error of the codes, cross-entropy of matching both ways)."""
        heads, references = self(batch)
        error = functional.mse_loss(self.code(references), batch.reference_codes)
        if len(heads):
            error = error + functional.mse_loss(self.code(heads), batch.slice_codes)
        logits = self.similarities(heads, references) * self.log_scale.exp()
        return error, matching_loss(logits, batch.match)


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
