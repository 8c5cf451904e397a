import torch

from reward_model.training.configs.face_tracks import TrackAugmentation
from reward_model.training.face_tracks.augment import augment
from tests.reward_model.training.helpers.face_tracks import SIMILARITY, synthetic_dataset


def test_augmentation_keeps_at_least_four_frames_and_shifts_both_clips_equally():
    data = synthetic_dataset(32, 5)
    a = data.a
    a2, b2 = augment(a, a, TrackAugmentation(similarity_noise=0, frame_dropout=1), torch.Generator().manual_seed(0))
    visible = ~a2.frames_NPTF.isnan().all(-1)
    assert (visible.any(1).sum(-1) >= 4).all()
    assert (visible.any(1).sum(-1) < 8).any()
    shifts = [(x.frames_NPTF - a.frames_NPTF)[..., SIMILARITY].nanmean((1, 2)) for x in (a2, b2)]
    torch.testing.assert_close(shifts[0], shifts[1])
    same, _ = augment(
        a, a,
        TrackAugmentation(frame_dropout=0, similarity_shift=0, similarity_noise=0, sharpness_shift=0, size_shift=0,
                          motion_scale=0, group_dropout=0),
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    torch.testing.assert_close(same.frames_NPTF, a.frames_NPTF, equal_nan=True)
