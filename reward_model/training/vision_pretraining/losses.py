"""Losses of vision pretraining: codes of faces, their matching to references, and attention of the language model.

Legend: S slices, R references, F faces in slices, T tokens of an image after merging, D hidden size.
"""

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
from ..supervision.ground_truth import CORRUPTION, LOOK, SHAPE
from ..supervision.losses import attention_loss, first_layer_attention
from .batches import FaceBatch

EMBEDDING_SIZE = 96


@dataclass(frozen=True, eq=False)
class FaceFeatures:
    """float32 outputs of the tower for one batch.

    faces_FD and references_RD: means of tokens over a face. slices_STD and images_RTD: all tokens.
    """

    faces_FD: torch.Tensor
    references_RD: torch.Tensor
    slices_STD: torch.Tensor
    images_RTD: torch.Tensor


class FaceReadout(nn.Module):
    """A model's vision tower and its first layer's query and key projections, with two linear readouts of a face.

    The readouts predict the face's code and an embedding of the person, and are not saved in the result. Attribute
    names are the keys of a run's saved state.
    """

    def __init__(self, model: RewardModel, code_size: int):
        super().__init__()
        body: Any = model.body
        for block in body.visual.blocks:
            block.attn.__class__ = SegmentedVisionAttention
        width = model.head.weight.shape[1]
        # in a tuple, so that its parameters are not those of this module
        self._language = (body.language_model,)
        self.tower = body.visual
        self.query, self.key = (getattr(body.language_model.layers[0].self_attn, f"{name}_proj") for name in "qk")
        self.code = nn.Linear(width, code_size)
        self.embedding = nn.Linear(width, EMBEDDING_SIZE)
        self.log_scale = nn.Parameter(torch.tensor(log(10.0)))

    def forward(self, batch: FaceBatch) -> FaceFeatures:
        tokens = self.tower(batch.patches, grid_thw=batch.grids).pooler_output.float()
        count = batch.num_slices * batch.slice_shares.shape[1]
        slices = tokens[:count].unflatten(0, (batch.num_slices, batch.slice_shares.shape[1]))
        images = tokens[count:].unflatten(0, (len(batch.reference_codes), -1))
        with torch.autocast(tokens.device.type, enabled=False):
            return FaceFeatures(
                torch.einsum("ft,ftd->fd", batch.slice_shares, slices[batch.slice_of]),
                torch.einsum("rt,rtd->rd", batch.reference_shares, images),
                slices,
                images,
            )

    def similarities(self, faces_FD: torch.Tensor, references_RD: torch.Tensor) -> torch.Tensor:
        """[F, R] cosine similarities of embeddings."""
        faces, references = (functional.normalize(self.embedding(x), dim=-1) for x in (faces_FD, references_RD))
        return faces @ references.T

    def losses(self, batch: FaceBatch) -> dict[str, torch.Tensor]:
        """Scalar losses by name, as fields of the configuration and of metrics.jsonl.

        `look`, `shape` and `corruption`: mean squared errors of those parts of the codes, of references plus of
        faces. `matching`: cross-entropy in both directions. `attention`: that of the language model's first layer.
        """
        features = self(batch)
        parts = {"look": LOOK, "shape": SHAPE, "corruption": CORRUPTION}
        errors = [(self.code(features.references_RD) - batch.reference_codes).square()]
        if len(features.faces_FD):
            errors.append((self.code(features.faces_FD) - batch.slice_codes).square())
        losses = {name: torch.stack([error[:, part].mean() for error in errors]).sum() for name, part in parts.items()}
        if not len(features.faces_FD):
            return losses | dict.fromkeys(("matching", "attention"), losses["look"] * 0)
        logits = self.similarities(features.faces_FD, features.references_RD) * self.log_scale.exp()
        return losses | {"matching": matching_loss(logits, batch.match), "attention": self.attention(features, batch)}

    def attention(self, features: FaceFeatures, batch: FaceBatch) -> torch.Tensor:
        """Mean over slices of `supervision.losses.attention_loss`."""
        (language,) = self._language
        device = features.slices_STD.device
        sequences = [view.sequence for view in batch.views]
        token_ids, positions = (
            torch.from_numpy(np.concatenate([getattr(sequence, name) for sequence in sequences], axis=-1)).to(device)
            for name in ("token_ids", "positions")
        )
        rows, target, start = [], [], 0
        starts = []
        for number, view in enumerate(batch.views):
            parts = [*(features.images_RTD[n] for n in view.references), features.slices_STD[number]]
            for clip, part in zip(view.sequence.clips, parts, strict=True):
                rows.append(part)
                target.append(torch.arange(start + clip.start, start + clip.start + len(part), device=device))
            starts.append(start)
            start += len(view.sequence)
        embedded = language.embed_tokens(token_ids).float().index_copy(0, torch.cat(target), torch.cat(rows))
        query, key = first_layer_attention(language, embedded, positions[:, None])
        losses = []
        for view, first in zip(batch.views, starts, strict=True):
            span = slice(first, first + len(view.sequence))
            losses.append(attention_loss(query[:, span], key[:, span], view.sequence, view.faces))
        return torch.stack(losses).mean()


def matching_loss(logits_FR: torch.Tensor, match_F: torch.Tensor) -> torch.Tensor:
    """Symmetric contrastive loss, scalar: the mean of two cross-entropies, as in CLIP (arXiv 2103.00020).

    One asks which reference a face shows, of faces that match one (`match_F` >= 0); the other which faces a reference
    shows, of references with a match. Faces without a reference are negatives of the second.
    """
    matched = match_F >= 0
    if not matched.any():
        return logits_FR.sum() * 0
    of_faces = functional.cross_entropy(logits_FR[matched], match_F[matched])
    positive_FR = torch.zeros_like(logits_FR, dtype=torch.bool)
    positive_FR[matched, match_F[matched]] = True
    shown_R = positive_FR.any(0)
    total = logits_FR.logsumexp(0)[shown_R]
    positive = logits_FR.masked_fill(~positive_FR, -torch.inf).logsumexp(0)[shown_R]
    return (of_faces + (total - positive).mean()) / 2
