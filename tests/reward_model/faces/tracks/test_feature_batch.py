import torch

from reward_model.faces.tracks.feature_batch import FeatureBatch
from tests.reward_model.faces.heads import random_clip


def test_samples_of_other_sizes_are_padded_with_nan():
    clips = [random_clip(1, 5, 0), random_clip(3, 16, 1)]
    batch = FeatureBatch.of(clips)
    assert batch.frames_NPTF.shape[:3] == (2, 3, 16)
    assert batch.people_NP.tolist() == [[True, False, False], [True, True, True]]
    assert batch.frames_NPTF[0, 1:].isnan().all()
    assert batch.frames_NPTF[0, :, 5:].isnan().all()
    assert torch.equal(
        batch.frames_NPTF[0, 0, :5].nan_to_num(9), torch.from_numpy(clips[0].frames_PTF[0]).nan_to_num(9)
    )
    assert batch.terms_N3[:, 0].tolist() == [torch.tensor(clip.terms.worst).item() for clip in clips]


def test_two_batches_make_the_batch_of_all_samples():
    clips = [random_clip(1, 5, 0), random_clip(3, 16, 1), random_clip(2, 8, 2)]
    together, parts = FeatureBatch.of(clips), FeatureBatch.of(clips[:1]).with_more(FeatureBatch.of(clips[1:]))
    for name in ("frames_NPTF", "person_NPC", "people_NP", "terms_N3"):
        a, b = getattr(together, name), getattr(parts, name)
        assert torch.equal(a.nan_to_num(9), b.nan_to_num(9)), name
    last = together[torch.tensor([2])]
    assert len(last) == 1
    assert torch.equal(last.terms_N3[0], together.terms_N3[2])
