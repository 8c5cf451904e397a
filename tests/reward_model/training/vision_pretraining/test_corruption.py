"""Random corruption of windows of rendered clips."""

import cv2
import numpy as np
import pytest

from reward_model.training.supervision.ground_truth import CORRUPTION, FACE_CODE_SIZE, RenderedFace, corruption_code
from reward_model.training.vision_pretraining.corruption import corrupt

SEEDS = range(60)


@pytest.fixture
def frames():
    """[2, 84, 84, 3] of fine texture."""
    return np.random.default_rng(0).integers(0, 256, (2, 84, 84, 3), np.uint8)


def face(x0, y0, x1, y1, code=0.0):
    codes = np.zeros(FACE_CODE_SIZE, np.float32)
    codes[CORRUPTION] = code
    return RenderedFace(np.array([x0, y0, x1, y1], np.float32), codes, 0)


def sharpness(frame, columns):
    return cv2.Laplacian(frame[20:60, columns], cv2.CV_64F).var()


def test_codes_describe_the_applied_corruption(frames):
    left, right = face(0.1, 0.2, 0.45, 0.8), face(0.55, 0.2, 0.9, 0.8)
    corruptions = set()
    for seed in SEEDS:
        changed, faces = corrupt(frames, (left, right), 240 / 140, np.random.default_rng(seed))
        assert [entry.box.tolist() for entry in faces] == [left.box.tolist(), right.box.tolist()]
        blur, warp, detail = np.stack([entry.code[CORRUPTION] for entry in faces]).T
        assert sum(bool(kind.any()) for kind in (blur, warp, detail)) == 1
        sharp = [
            sharpness(changed[0], part) / sharpness(frames[0], part) for part in (slice(15, 30), slice(54, 69))
        ]  # fmt: skip
        if detail.any():
            assert detail[0] == detail[1]
            assert max(sharp) < 0.2
            corruptions.add("detail")
            continue
        number = int((blur + warp).argmax())
        assert (blur + warp)[1 - number] == 0
        assert (changed[0] != frames[0])[20:60, [slice(15, 30), slice(54, 69)][number]].mean() > 0.9
        assert not (changed[0] != frames[0])[20:60, [slice(54, 80), slice(0, 30)][number]].any()
        if blur.any():
            assert sharp[number] < 0.2
        corruptions.add(("blur" if blur.any() else "warp", number))
    assert corruptions == {"detail", *((kind, number) for kind in ("blur", "warp") for number in (0, 1))}


def test_severities_are_in_the_range_of_corrupted_clips(frames):
    faces = (face(0.2, 0.2, 0.8, 0.8),)
    codes = np.stack(
        [corrupt(frames, faces, 1.0, np.random.default_rng(seed))[1][0].code[CORRUPTION] for seed in SEEDS]
    )
    lowest, highest = corruption_code(0.4, 0.4, 1 / 3.5), corruption_code(1, 1, 1 / 6)
    for kind in range(3):
        strengths = codes[codes[:, kind] > 0, kind]
        assert lowest[kind] - 1e-5 <= strengths.min() < strengths.max() <= highest[kind] + 1e-5


def test_window_with_a_corrupted_face_is_left_unchanged(frames):
    faces = (face(0.1, 0.2, 0.45, 0.8), face(0.55, 0.2, 0.9, 0.8, code=[1, 0, 0]))
    changed, returned = corrupt(frames, faces, 1.0, np.random.default_rng(0))
    assert changed is frames
    assert returned == faces
