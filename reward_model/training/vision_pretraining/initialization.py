"""How a tower from scratch begins where a CPU is to train it: as a convolutional net on whitened patches would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

# of a whitened patch's numbers, and what directions of less variance than this are held down by
DEVIATION = 0.5
FLOOR = 1e-2
# rows and columns to the patch that each of the first heads of a layer looks at
NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))
# of a query's and a key's bias in the fastest rotations of each axis, and what is left of such a head's weights
BIAS = 4.5
FAST = 2
CONTENT = 0.2


@torch.no_grad()
def whiten_patches(tower: Any, patches: Iterable[torch.Tensor]) -> None:
    """Makes the patch embedding the first principal components of `patches` ([N, values] each), all about as strong.

    Neighbouring pixels are so alike that a random embedding sees colours in almost all of its numbers; blur is in the
    rest. LeCun et al. 1998, "Efficient BackProp", 4.3.
    """
    weight = tower.patch_embed.proj.weight
    moment: Any = 0.0
    count = 0
    for part in patches:
        moment = moment + part.double().T @ part.double()
        count += len(part)
    # ascending
    variance, directions = torch.linalg.eigh(moment / count)
    variance, directions = variance.flip(0)[: len(weight)], directions.flip(1)[:, : len(weight)]
    whitening = directions.T * (DEVIATION / (variance.clamp_min(0) + FLOOR).sqrt())[:, None]
    weight[: len(whitening)] = whitening.view(-1, *weight.shape[1:]).to(weight)


@torch.no_grad()
def look_at_neighbours(tower: Any) -> None:
    """Gives heads of each layer, all but two, queries and keys that are nearly constant, and differ by the rotation of
    one patch down, up, right or left: such a head attends there, whatever is there. The idea is d'Ascoli et al. 2021's,
    "ConViT", section 3; here by biases under rotary positions.
    """
    frequencies = tower.rotary_pos_emb.inv_freq
    per_axis = len(frequencies)
    for number, block in enumerate(tower.blocks):
        linear, heads = block.attn.qkv, block.attn.num_heads
        weight, bias = (part.data.unflatten(0, (3, heads, -1)) for part in (linear.weight, linear.bias))
        turn = 2 * number * (heads < len(NEIGHBOURS) + 2)
        for head in range(min(heads - 2, len(NEIGHBOURS))):
            weight[:2, head] *= CONTENT
            for axis, offset in enumerate(NEIGHBOURS[(head + turn) % len(NEIGHBOURS)]):
                real = slice(axis * per_axis, axis * per_axis + FAST)
                imaginary = slice(real.start + 2 * per_axis, real.stop + 2 * per_axis)
                angle = offset * frequencies[:FAST]
                bias[0, head, real] = BIAS
                bias[1, head, real] = BIAS * angle.cos()
                bias[1, head, imaginary] = -BIAS * angle.sin()
