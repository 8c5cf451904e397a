"""Position ids against golden values of transformers 4.51.3 and against the installed transformers, and properties."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.qwen.backbone import build_body
from reward_model.qwen.positions import Span, position_ids, temporal_positions
from reward_model.qwen.tiny import tiny_backbone, tiny_tokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "positions_4_51.json").read_text())


@pytest.mark.parametrize(
    ("num_frames", "fps", "steps"),
    [(33, 10.0, [0, 3]), (81, 10.0, [0, 8]), (33, 16.0, [0, 2]), (81, 16.0, [0, 5])],
)
@pytest.mark.parametrize("dialect", ["4.51", "5"])
def test_temporal_positions_of_four_uniform_frames_follow_the_frame_rate(num_frames, fps, steps, dialect):
    second_per_grid = 2 / (4 / num_frames * fps)
    assert temporal_positions(2, second_per_grid, 2, dialect).tolist() == steps


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_dialect_4_51_equals_transformers_4_51_3(case):
    spans = [Span(n, tuple(grid) if grid else None, seconds) for n, grid, seconds in case["spans"]]
    positions = position_ids(spans, case["tokens_per_second"], "4.51")
    assert positions[0].tolist() == case["t"]
    assert positions[1].tolist() == case["h"]
    assert positions[2].tolist() == case["w"]


grids = st.tuples(st.integers(1, 1), st.integers(1, 12), st.integers(1, 12))
clips = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))


@pytest.fixture(scope="module")
def body():
    return build_body(tiny_backbone(tiny_tokenizer()))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(grids, min_size=1, max_size=8), clips, st.floats(1, 60), st.integers(1, 2000), st.integers(0, 40),
    st.booleans(),
)  # fmt: skip
def test_dialect_5_equals_the_installed_transformers(body, references, video, fps, num_frames, text, video_first):
    tokenizer = tiny_tokenizer()
    image, clip = tokenizer.special("<|image_pad|>"), tokenizer.special("<|video_pad|>")
    second_per_grid = 2 / (2 * video[0] / num_frames * fps)
    media = [(image, Span(h * w, (t, h, w)), 1) for t, h, w in references]
    media.insert(0 if video_first else len(media), (clip, Span(int(np.prod(video)), video, second_per_grid), 2))
    spans, ids, kinds = [Span(3)], [0] * 3, [0] * 3
    for token, span, kind in media:
        spans += [span, Span(text + 1)]
        ids += [token] * span.num_tokens + [0] * (text + 1)
        kinds += [kind] * span.num_tokens + [0] * (text + 1)
    patches = [[t, 2 * h, 2 * w] for t, h, w in references]
    expected, _ = body.get_rope_index(
        torch.tensor([ids]), torch.tensor([kinds]), torch.tensor(patches),
        torch.tensor([[video[0], 2 * video[1], 2 * video[2]]]), torch.tensor([second_per_grid]),
    )  # fmt: skip
    assert np.array_equal(position_ids(spans, 2.0, "5"), expected[:, 0].numpy())


@given(st.lists(grids, max_size=8), clips, st.floats(1, 60), st.integers(1, 2000), st.integers(0, 40))
def test_dialect_4_51_continues_from_the_largest_position(references, video, fps, num_frames, text):
    second_per_grid = 2 / (2 * video[0] / num_frames * fps)
    spans, expected, position = [Span(3)], [(i,) * 3 for i in range(3)], 3
    for grid, seconds in [*((grid, None) for grid in references), (video, second_per_grid)]:
        times = [0] if seconds is None else temporal_positions(grid[0], seconds, 2.0, "4.51").tolist()
        part = [
            (position + t, position + y, position + x) for t in times for y in range(grid[1]) for x in range(grid[2])
        ]
        position = max(map(max, part)) + 1
        expected += part + [(position + i,) * 3 for i in range(text + 1)]
        position += text + 1
        spans += [Span(len(part), grid, seconds), Span(text + 1)]
    assert position_ids(spans, 2.0, "4.51").T.tolist() == [list(row) for row in expected]


@given(st.integers(1, 12), st.floats(1, 120), st.integers(1, 2000), st.sampled_from(["4.51", "5"]))
def test_temporal_positions_are_two_a_second_truncated_to_integers(steps, fps, num_frames, dialect):
    second_per_grid = 2 / (2 * steps / num_frames * fps)
    exact = np.arange(steps) * second_per_grid * 2
    times = temporal_positions(steps, second_per_grid, 2.0, dialect)
    # a product that float32 rounds below a whole number may be truncated to the next lower one
    assert ((times == np.floor(exact)) | (abs(exact - np.rint(exact)) < 1e-6 * (1 + exact))).all()
    assert (times <= exact * (1 + 1e-6)).all()
    assert (times > exact * (1 - 1e-6) - 1 - 1e-6).all()


@given(st.lists(st.integers(1, 20), max_size=4), grids, st.sampled_from(["4.51", "5"]))
def test_positions_never_decrease(texts, grid, dialect):
    spans = [span for n in texts for span in (Span(n), Span(grid[1] * grid[2], grid))] + [Span(5)]
    ids = position_ids(spans, 2.0, dialect)
    assert ids.shape == (3, sum(span.num_tokens for span in spans))
    start = previous = 0
    for span in spans:
        part = ids[:, start : start + span.num_tokens]
        assert part.min() >= previous
        previous, start = int(part.min()), start + span.num_tokens
    assert (ids[:, -5:] == ids[0, -5:]).all()


def test_dialects_differ_where_time_exceeds_the_image_size():
    spans = [Span(2), Span(2 * 2 * 3, (2, 2, 3), 8.0), Span(1)]
    assert position_ids(spans, 2.0, "4.51")[:, -1].tolist() == [19] * 3
    assert position_ids(spans, 2.0, "5")[:, -1].tolist() == [5] * 3


def test_unknown_dialect_is_a_value_error():
    with pytest.raises(ValueError, match=r"4\.51 and 5"):
        position_ids([Span(1)], 2.0, "4.52")
