from contextlib import closing
from dataclasses import replace

import pytest
import torch

from reward_model.faces.tracks.head_config import TrackHeadConfig
from reward_model.faces.tracks.reward_head import Member
from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.dataset import TrackDataset, split_by_people
from reward_model.training.face_tracks.ensemble import EnsembleTraining, measure, train_ensemble
from reward_model.training.preferences.samplers import PairSampler
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


def test_initial_scale_is_that_of_a_new_network_by_default():
    assert Member(TrackHeadConfig()).log_scale.exp().item() == pytest.approx(SMALL.initial_scale)


def test_training_begins_at_the_initial_scale():
    data = synthetic_dataset(10, 5)
    training = EnsembleTraining(SMALL.model_copy(update={"initial_scale": 3.0}), [(data, data)])
    with closing(training.members()) as members:
        _, member = next(members)
        assert member.head.members[0].log_scale.exp().item() == pytest.approx(3.0)


def wrong(data: TrackDataset) -> TrackDataset:
    return replace(data, label_N=-data.label_N)


def trained_with(schedule: str, clean: TrackDataset, auto: TrackDataset, num_steps: int = 120) -> float:
    """Accuracy of one network on other pairs."""
    options = {"members": 1, "epochs": 3, "initial_scale": 1e-4, "residual_bound": 10.0}
    config = SMALL.model_copy(update=options)
    sampler = PairSampler(len(clean), len(auto), config.batch, num_steps, schedule, 0)
    dev = synthetic_dataset(100, 6)
    for _, member in EnsembleTraining(config, [(clean.with_more(auto), dev)], sampler).members():
        member.run_epoch()
    assert len(member.epochs) == 3
    return measure(member.head, dev, config.theta)["accuracy_without_ties"]


def test_sampler_decides_which_pairs_the_last_steps_take():
    right, reversed_ = synthetic_dataset(150, 7), wrong(synthetic_dataset(150, 8))
    assert trained_with("staged", clean=right, auto=reversed_) > 0.8
    assert trained_with("staged", clean=reversed_, auto=right) < 0.2
