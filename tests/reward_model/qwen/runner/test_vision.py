import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.qwen.runner.rows import rows_for
from reward_model.qwen.runner.vision import VisionRunner

GRID = st.tuples(st.integers(1, 3), *[st.integers(1, 14).map(lambda n: 2 * n)] * 2)


@settings(max_examples=20, deadline=None)
@given(grids=st.lists(GRID, min_size=1, max_size=4))
def test_vision_tower_is_bit_equal_to_transformers(model, grids):
    patches = torch.randn(sum(t * h * w for t, h, w in grids), 1176)
    with torch.inference_mode():
        expected = model.body.visual(patches, torch.tensor(grids)).pooler_output
    features = VisionRunner(model.body.visual, rows_for(torch.device("cpu"), None))(patches, grids)
    if len(patches) >= 64:
        assert torch.equal(features, expected)
    else:  # transformers does not pad small matrix products, which round differently
        assert (features - expected).abs().max() <= 1e-5
