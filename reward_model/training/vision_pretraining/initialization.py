"""Initialization of a vision tower from scratch: whitened patches, and attention to neighbouring patches.

With both, the first layers begin as those of a convolutional network, and a CPU can train the tower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

# standard deviation of a whitened patch's values, and the variance that is added to every direction's
DEVIATION = 0.5
FLOOR = 1e-2
# (rows, columns) to the patch that each of the first attention heads of a layer attends to
NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))
# bias of a query and a key in the FAST fastest rotations of each axis, and the factor on the weights of such a head
BIAS = 4.5
FAST = 2
CONTENT = 0.2


@torch.no_grad()
def whiten_patches(tower: Any, patches: Iterable[torch.Tensor]) -> None:
    """Sets the patch embedding to the first principal components of `patches`, scaled to about equal variance.

    `patches` are float [N, values] each. A random embedding of natural images sees their mean colours in almost all
    directions, as adjacent pixels are strongly correlated; detail, such as blur, is in the others. LeCun et al. 1998,
    "Efficient BackProp", section 4.3.
    """
    weight = tower.patch_embed.proj.weight
    moment: Any = 0.0
    count = 0
    for part in patches:
        moment = moment + part.double().T @ part.double()
        count += len(part)
    # in ascending order
    variance, directions = torch.linalg.eigh(moment / count)
    variance, directions = variance.flip(0)[: len(weight)], directions.flip(1)[:, : len(weight)]
    whitening = directions.T * (DEVIATION / (variance.clamp_min(0) + FLOOR).sqrt())[:, None]
    weight[: len(whitening)] = whitening.view(-1, *weight.shape[1:]).to(weight)


@torch.no_grad()
def attend_to_neighbours(tower: Any) -> None:
    """Makes all but two attention heads of each layer, at most four, attend to an adjacent patch.

    Their queries and keys become nearly constant and differ by the rotation of one patch down, up, right or left. The
    idea is that of d'Ascoli et al. 2021, "ConViT", section 3, here by biases under rotary positions.
    """
    frequencies = tower.rotary_pos_emb.inv_freq
    per_axis = len(frequencies)
    for number, block in enumerate(tower.blocks):
        linear, num_heads = block.attn.qkv, block.attn.num_heads
        weight, bias = (part.data.unflatten(0, (3, num_heads, -1)) for part in (linear.weight, linear.bias))
        turn = 2 * number * (num_heads < len(NEIGHBOURS) + 2)
        for head in range(min(num_heads - 2, len(NEIGHBOURS))):
            weight[:2, head] *= CONTENT
            for axis, offset in enumerate(NEIGHBOURS[(head + turn) % len(NEIGHBOURS)]):
                real = slice(axis * per_axis, axis * per_axis + FAST)
                imaginary = slice(real.start + 2 * per_axis, real.stop + 2 * per_axis)
                angle = offset * frequencies[:FAST]
                bias[0, head, real] = BIAS
                bias[1, head, real] = BIAS * angle.cos()
                bias[1, head, imaginary] = -BIAS * angle.sin()
