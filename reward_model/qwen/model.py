"""RewardModel: a Qwen2.5-VL body with a linear reward head that reads the hidden states at the reward tokens.

The final norm and the reward head see those rows alone, in float32: in bfloat16 a reward near 4 has steps of 0.03.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from ..config import RewardModelConfig
from .backbone import build_body
from .runner.sequence import TokenSequence


class RowNorm(nn.Module):
    """RMS norm in float32: any float [rows, width] -> float32 [rows, width]."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """x * weight / sqrt(mean(x^2) + epsilon), row by row."""
        rows = rows.float()
        return self.weight * (rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + self.epsilon))


class RewardModel(nn.Module):
    """Parameters: `body.visual.*`, `body.language_model.*` (without its norm), `norm.weight`, `head.weight`.

    They are on the meta device until a state dict is loaded with `assign=True`.
    """

    def __init__(self, config: RewardModelConfig) -> None:
        super().__init__()
        self.config = config
        self.body = build_body(config.backbone)
        text = cast(Any, self.body.config.text_config)
        self.body.language_model.norm = nn.Identity()
        with torch.device("meta"):
            self.norm = RowNorm(text.hidden_size, text.rms_norm_eps)
            self.head = nn.Linear(text.hidden_size, len(config.outputs), bias=False)
        self.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the body; the final norm and the reward head are float32."""
        return self.body.language_model.embed_tokens.weight.dtype

    def rewards(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 [outputs] from the body's last hidden states at the reward tokens, [outputs, width]: i from row i."""
        return (self.norm(rows) * self.head.weight).sum(-1)

    @torch.inference_mode()
    def forward(self, sequence: TokenSequence) -> torch.Tensor:
        """float32 [outputs] of one sequence by transformers' own forward, the reference of the runner."""
        ids = torch.from_numpy(sequence.token_ids)
        vision_inputs = {}
        for kind, token in (("image", self.body.config.image_token_id), ("video", self.body.config.video_token_id)):
            clips = [clip for clip in sequence.clips if sequence.token_ids[clip.start] == token]
            if clips:
                pixels = torch.cat([clip.patches for clip in clips]).to(self.device, self.dtype)
                vision_inputs["pixel_values" if kind == "image" else "pixel_values_videos"] = pixels
                vision_inputs[f"{kind}_grid_thw"] = torch.tensor([clip.grid for clip in clips], device=self.device)
        hidden = self.body(
            input_ids=ids[None].to(self.device),
            position_ids=torch.from_numpy(sequence.positions)[:, None].to(self.device),
            use_cache=False,
            **vision_inputs,
        ).last_hidden_state[0]
        return self.rewards(hidden[list(sequence.reward_indices)])
