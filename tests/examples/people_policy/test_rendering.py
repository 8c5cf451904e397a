import numpy as np

from examples.people_policy.ground_truth import true_code
from examples.people_policy.rendering import RenderPool, render_portraits
from examples.people_policy.scene import NUM_KEY_FRAMES, render_clip
from reward_model.data.people.rendering.factory import open_renderer


def test_workers_render_what_this_process_renders_in_the_order_of_the_tasks():
    codes = np.stack([np.repeat(true_code(1, name)[None], NUM_KEY_FRAMES, 0)[None] for name in ("anna", "ben", "carl")])
    pool = RenderPool(2)
    try:
        clips = pool.clips([1, 2, 3], codes)
    finally:
        pool.close()
    renderer = open_renderer("gl")
    for seed, code, clip in zip([1, 2, 3], codes, clips, strict=True):
        assert np.array_equal(clip, render_clip(renderer, seed, code))
    portraits = render_portraits(renderer, 1, codes[0, :, 0])
    assert [portrait.shape for portrait in portraits] == [(256, 256, 3)]
    renderer.close()
