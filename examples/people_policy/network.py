"""The networks: a transformer over people and key frames, and an encoder of portraits. All in float32.

B samples, P people, K key frames, C = CODE_SIZE, D the width of a token, F = REFERENCE_SIZE.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from reward_model.data.people.appearance.person_code import CODE_SIZE

from .ground_truth import normalized
from .portrait_view import EMBEDDING_SIZE, FEATURES_SIZE
from .scene import MAX_PEOPLE, NUM_KEY_FRAMES

# of a reference: the encoder's estimate of the person's code, and the face embedding
REFERENCE_SIZE = CODE_SIZE + EMBEDDING_SIZE
WIDTH, DEPTH, HEADS = 128, 4, 4
TIME_FREQUENCIES = 64
# suffixes of the linear layers that LoRA adapts
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out", "ff_in", "ff_out")


class PeopleTransformer(nn.Module):
    """Velocity of the codes of all people and key frames; 1.3 M parameters.

    One token for each person and key frame and one for each reference attend to each other; AdaLN conditions on time
    (Peebles and Xie, arXiv 2212.09748).
    """

    def __init__(self) -> None:
        super().__init__()
        self.code_in = nn.Linear(CODE_SIZE, WIDTH)
        self.reference_in = nn.Linear(REFERENCE_SIZE, WIDTH)
        self.person = nn.Parameter(torch.randn(MAX_PEOPLE, WIDTH) * 0.2)
        self.key_frame = nn.Parameter(torch.randn(NUM_KEY_FRAMES, WIDTH) * 0.2)
        self.time = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm_out = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.modulation_out = nn.Linear(WIDTH, 2 * WIDTH)
        self.code_out = nn.Linear(WIDTH, CODE_SIZE)
        for layer in (self.modulation_out, self.code_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents_BPKC: torch.Tensor, time_B: torch.Tensor, references_BPF: torch.Tensor) -> torch.Tensor:
        """[B, P, K, C] velocity at times 0 (data) to 1 (noise). References of zeros: those that are not known."""
        num_people = latents_BPKC.shape[1]
        person_P1D = self.person[:num_people, None]
        code_BND = (self.code_in(latents_BPKC) + person_P1D + self.key_frame).flatten(1, 2)
        reference_BPD = self.reference_in(references_BPF) + person_P1D[:, 0]
        tokens_BND = torch.cat([code_BND, reference_BPD], 1)
        time_BD = functional.silu(self.time(time_features(time_B)))
        for block in self.blocks:
            tokens_BND = block(tokens_BND, time_BD)
        scale, shift = self.modulation_out(time_BD)[:, None].chunk(2, -1)
        codes_BND = self.norm_out(tokens_BND[:, : code_BND.shape[1]]) * (1 + scale) + shift
        return self.code_out(codes_BND).view_as(latents_BPKC)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.to_out = nn.Linear(WIDTH, WIDTH)
        self.norm_ff = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.ff_in, self.ff_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.modulation = nn.Linear(WIDTH, 6 * WIDTH)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_BND: torch.Tensor, time_BD: torch.Tensor) -> torch.Tensor:
        scale_a, shift_a, gate_a, scale_f, shift_f, gate_f = self.modulation(time_BD)[:, None].chunk(6, -1)
        h_BND = self.norm_attention(x_BND) * (1 + scale_a) + shift_a
        q, k, v = (self._heads(layer(h_BND)) for layer in (self.to_q, self.to_k, self.to_v))
        attended_BND = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x_BND = x_BND + gate_a * self.to_out(attended_BND)
        h_BND = self.norm_ff(x_BND) * (1 + scale_f) + shift_f
        return x_BND + gate_f * self.ff_out(functional.gelu(self.ff_in(h_BND), approximate="tanh"))

    def _heads(self, x_BND: torch.Tensor) -> torch.Tensor:
        return x_BND.unflatten(2, (HEADS, -1)).transpose(1, 2)


def time_features(time_B: torch.Tensor) -> torch.Tensor:
    """[B, 2 * TIME_FREQUENCIES] sines and cosines of times in 0..1."""
    rates = torch.exp(torch.arange(TIME_FREQUENCIES, device=time_B.device) * (-math.log(1e4) / TIME_FREQUENCIES))
    angles = 1000 * time_B[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


class PortraitEncoder(nn.Module):
    """Estimates a person's code from what is seen of a portrait: a linear map, fitted by `training.fit_encoder`.

    mean_V, weight_VC, bias_C: of V features, `portrait_view.FEATURES_SIZE`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_V", torch.zeros(FEATURES_SIZE))
        self.register_buffer("weight_VC", torch.zeros(FEATURES_SIZE, CODE_SIZE))
        self.register_buffer("bias_C", torch.zeros(CODE_SIZE))

    def forward(self, features_BV: torch.Tensor) -> torch.Tensor:
        """[B, F]: what the transformer gets of each portrait."""
        code_BC = (features_BV - self.mean_V) @ self.weight_VC + self.bias_C
        return reference(code_BC, features_BV)


def reference(code_BC: torch.Tensor, features_BV: torch.Tensor) -> torch.Tensor:
    """[B, F] from an estimate of the code, which is rounded to that of a person who can be rendered.

    The features begin with the face embedding.
    """
    rounded_BC = torch.from_numpy(normalized(code_BC.cpu().numpy())).to(code_BC.device)
    return torch.cat([rounded_BC, features_BV[:, :EMBEDDING_SIZE] * EMBEDDING_SIZE**0.5], -1)
