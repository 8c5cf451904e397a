"""What a tower's weights are before the first step."""

import numpy as np
import torch

from reward_model.training.configs.files import read_config
from reward_model.training.models.initial import initial_model
from reward_model.training.vision_pretraining.initialization import DEVIATION, attend_to_neighbours, whiten_patches

# rows and columns of patches
SIDE = 6
# patches in the order of the tower: squares of 2x2 after one another
SQUARES = [(row, column) for row in range(SIDE // 2) for column in range(SIDE // 2)]
PLACES = [(2 * row + y, 2 * column + x) for row, column in SQUARES for y in (0, 1) for x in (0, 1)]


def tower(backbone):
    model, _ = initial_model(read_config("compact-heads", [f"model.backbone={backbone}"]).model, 0)
    return model.body.visual


def attention(visual, number):
    """[heads, patches, patches] of a block on noise."""
    taken = []

    def keep(module, query, key, value, *rest, **options):
        taken.append((query[0].float() @ key[0].float().transpose(-1, -2) * module.scaling).softmax(-1))
        return value.transpose(1, 2), None

    from transformers import AttentionInterface

    AttentionInterface.register("kept", keep)
    visual.config._attn_implementation = "kept"
    patches = torch.from_numpy(np.random.default_rng(0).standard_normal((SIDE**2, 3 * 2 * 14 * 14), np.float32))
    with torch.no_grad():
        visual(patches, grid_thw=torch.tensor([[1, SIDE, SIDE]]))
    return taken[number]


def test_heads_look_at_each_neighbour():
    """With two heads left as they were: the small tower has four heads and takes turns."""
    centre = PLACES.index((2, 2))
    neighbours = [PLACES.index((2 + y, 2 + x)) for y, x in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    visual = tower("compact")
    before = attention(visual, 2)
    attend_to_neighbours(visual)
    after = attention(visual, 2)
    assert after[:4, centre].argmax(-1).tolist() == neighbours
    assert before[:4, centre].argmax(-1).tolist() != neighbours
    small = tower("small")
    attend_to_neighbours(small)
    seen = [attention(small, number)[:2, centre].argmax(-1).tolist() for number in (0, 1)]
    assert seen == [neighbours[:2], neighbours[2:]]


def test_whitened_patches_have_one_variance_and_no_covariance():
    """Of patches as smooth as pictures are, where a random embedding's numbers go together."""
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((4000, 1176), np.float32).cumsum(1) / 10
    patches = torch.from_numpy(smooth - smooth.mean())
    visual = tower("compact")
    whiten_patches(visual, [patches[:2000], patches[2000:]])
    with torch.no_grad():
        embedded = visual.patch_embed(patches)
    moment = (embedded.T @ embedded / len(patches))[:20, :20]
    torch.testing.assert_close(moment, torch.eye(20) * DEVIATION**2, atol=0.02, rtol=0)
