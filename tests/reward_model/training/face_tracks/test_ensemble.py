import pytest
import torch

from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.dataset import TrackDataset, split_by_people
from reward_model.training.face_tracks.ensemble import train_ensemble
from tests.reward_model.training.helpers.face_tracks import SMALL, RecordingProgress, synthetic_dataset


def test_ensemble_learns_from_the_worst_frame_of_a_person():
    split = synthetic_dataset(300, 1), synthetic_dataset(100, 2)
    ensemble, lines = train_ensemble(SMALL, [split] * 2, RecordingProgress())
    for dev in ensemble.config.training["dev_of_members"]:
        assert dev["accuracy_without_ties"] > 0.9
        assert dev["accuracy_with_ties"] > 0.75
    assert {line.member for line in lines} == {0, 1}
    assert ensemble.config.num_members == 2


def test_weights_are_a_function_of_the_seed_and_the_global_generator_is_unchanged():
    split = split_by_people(synthetic_dataset(120, 3), 0.2, 0)
    config = SMALL.model_copy(update={"epochs": 2})
    state = torch.random.get_rng_state()
    ensembles = [
        train_ensemble(variant, [split] * 2, RecordingProgress())[0]
        for variant in (config, config, config.model_copy(update={"seed": 1}))
    ]
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [torch.cat([p.flatten() for p in ensemble.parameters()]) for ensemble in ensembles]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_loss_that_is_not_finite_is_an_error():
    data = synthetic_dataset(64, 4)
    broken = TrackDataset(data.pairs, data.a, data.b, data.label_N, torch.full((64,), torch.inf), 0)
    with pytest.raises(TrainingError, match="the loss is nan, in epoch 1 of network 1"):
        train_ensemble(SMALL, [(broken, data)] * 2, RecordingProgress())
