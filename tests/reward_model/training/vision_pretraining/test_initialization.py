"""Initial weights of a vision tower."""

import numpy as np
import torch

from reward_model.training.configs.files import read_config
from reward_model.training.models.initial import initial_model
from reward_model.training.vision_pretraining.initialization import DEVIATION, attend_to_neighbours, whiten_patches

# rows and columns of the grid of patches
SIDE = 6
# (row, column) of patches in the order of the tower: one square of 2x2 patches after another
SQUARES = [(row, column) for row in range(SIDE // 2) for column in range(SIDE // 2)]
POSITIONS = [(2 * row + y, 2 * column + x) for row, column in SQUARES for y in (0, 1) for x in (0, 1)]


def tower(backbone):
    model, _ = initial_model(read_config("compact-vision", [f"model.backbone={backbone}"]).model, 0)
    return model.body.visual


def attention(visual, index):
    """[attention heads, patches, patches] attention weights of a block for noise."""
    weights = []

    def record(module, query, key, value, *rest, **options):
        weights.append((query[0].float() @ key[0].float().transpose(-1, -2) * module.scaling).softmax(-1))
        return value.transpose(1, 2), None

    from transformers import AttentionInterface

    AttentionInterface.register("recording", record)
    visual.config._attn_implementation = "recording"
    patches = torch.from_numpy(np.random.default_rng(0).standard_normal((SIDE**2, 3 * 2 * 14 * 14), np.float32))
    with torch.no_grad():
        visual(patches, grid_thw=torch.tensor([[1, SIDE, SIDE]]))
    return weights[index]


def test_attention_heads_attend_to_adjacent_patches():
    """Two attention heads stay unchanged, so the two that change in a small tower alternate between its blocks."""
    centre = POSITIONS.index((2, 2))
    neighbours = [POSITIONS.index((2 + y, 2 + x)) for y, x in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    visual = tower("compact")
    before = attention(visual, 2)
    attend_to_neighbours(visual)
    after = attention(visual, 2)
    assert after[:4, centre].argmax(-1).tolist() == neighbours
    assert before[:4, centre].argmax(-1).tolist() != neighbours
    small = tower("small")
    attend_to_neighbours(small)
    attended = [attention(small, number)[:2, centre].argmax(-1).tolist() for number in (0, 1)]
    assert attended == [neighbours[:2], neighbours[2:]]


def test_whitened_embedding_has_equal_variances_and_no_covariance():
    """Smooth patches, as of images, have correlated values under a random embedding."""
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((4000, 1176), np.float32).cumsum(1) / 10
    patches = torch.from_numpy(smooth - smooth.mean())
    visual = tower("compact")
    whiten_patches(visual, [patches[:2000], patches[2000:]])
    with torch.no_grad():
        embedded = visual.patch_embed(patches)
    moment = (embedded.T @ embedded / len(patches))[:20, :20]
    torch.testing.assert_close(moment, torch.eye(20) * DEVIATION**2, atol=0.02, rtol=0)
