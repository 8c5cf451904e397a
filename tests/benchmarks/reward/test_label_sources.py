"""Votes, filter and stored predictions of the ablation, on random features."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.reward import label_sources
from benchmarks.reward.label_sources import (
    TEACHER,
    LabelSources,
    Training,
    label_accuracies,
    labelled,
    share_of_casts,
    train_all,
)
from reward_model.training.face_tracks.dataset import TrackDataset
from tests.reward_model.training.helpers.face_tracks import synthetic_dataset

WORSE = {"missing": 0.9}


def casts(num_pairs: int, seed: int, nuisances: dict[str, float]) -> TrackDataset:
    """Pairs whose worse clip lacks a person, and whose better clip has the nuisances; four pairs of each cast."""
    data = synthetic_dataset(num_pairs, seed)
    pairs = []
    for n, pair in enumerate(data.pairs):
        label = str(pair.label)
        sides = {"a": WORSE if label == "B" else {}, "b": WORSE if label == "A" else {}}
        filmed = {"a": nuisances if label == "A" else {}, "b": nuisances if label == "B" else {}}
        meta = {side: {"modes": modes, "nuisances": filmed[side]} for side, modes in sides.items()}
        meta |= {"truth": label, "cluster": f"{seed}-{n // 4:03d}"}
        pairs.append(pair.model_copy(update={"pair_id": f"{seed}-{n}", "meta": meta}))
    return replace(data, pairs=tuple(pairs))


@pytest.fixture
def sources(tmp_path, monkeypatch) -> LabelSources:
    monkeypatch.setattr(label_sources, "NUM_STEPS", 8)
    groups = {name: casts(number, seed, {}) for seed, (name, number) in enumerate(
        {"clean": 40, "auto": 80, "test": 40}.items()
    )}  # fmt: skip
    return LabelSources(tmp_path, groups)


def test_human_labels_are_right_and_automatic_ones_follow_the_nuisances():
    data = casts(200, 1, {"focus": 1.0, "resolution": 1.0})
    human, auto, unbiased = (labelled(data, kind, 0, bias) for kind, bias in (("human", 1), ("auto", 1), ("auto", 0)))
    assert label_accuracies(human)[1] == 1.0
    assert label_accuracies(unbiased)[1] == 1.0
    assert label_accuracies(auto)[1] < 0.1
    assert {pair.source for pair in auto.pairs} == {"vlm"}
    assert [int(label) for label in auto.label_N] == [{"A": 1, "tie": 0, "B": -1}[str(p.label)] for p in auto.pairs]


def test_other_seeds_are_other_votes():
    data = casts(100, 1, {"focus": 0.6})
    votes = [[pair.votes for pair in labelled(data, "auto", seed).pairs] for seed in (0, 0, 1)]
    assert votes[0] == votes[1] != votes[2]


def test_share_of_casts_takes_whole_casts():
    data = casts(40, 1, {})
    half = share_of_casts(data, 0.5)
    assert len(half) == 20
    assert {pair.cluster for pair in half.pairs} == {f"1-{n:03d}" for n in range(5)}


def test_filter_keeps_the_labels_that_the_teacher_agrees_with(sources):
    teacher, filtered = (sources.predictions(t, 0) for t in (TEACHER, Training(False, "filtered")))
    auto = labelled(sources.casts["auto"], "auto", 0)
    d_of = dict(zip((pair.pair_id for pair in sources.casts["auto"].pairs), teacher.auto_M, strict=True))
    decided = [(d_of[pair.pair_id], int(y)) for pair, y in zip(auto.pairs, auto.label_N, strict=True) if y]
    agree = sum(np.sign(d) == y for d, y in decided) / len(auto)
    assert agree <= filtered.kept_share < 1
    share = sources.predictions(Training(False, "filtered", kept_share=0.25), 0).kept_share
    assert share == pytest.approx(0.25, abs=0.02)
    assert np.isnan(teacher.kept_share)


def test_predictions_are_stored_and_do_not_depend_on_the_process(sources):
    runs = [(TEACHER, 0), (Training(True, "raw", "staged"), 0), (TEACHER, 1)]
    first = [sources.predictions(*run) for run in runs]
    assert first[0].test_N.shape == (40,)
    assert first[0].auto_M.shape == (80,)
    assert not np.array_equal(first[0].test_N, first[2].test_N)
    again = LabelSources(sources.folder.parent / "other", sources.casts)
    for run, before in zip(runs, first, strict=True):
        assert np.array_equal(again.predictions(*run).test_N, before.test_N)
        assert sources.is_complete(*run)


def test_worker_processes_compute_what_is_missing(tmp_path):
    groups = {name: casts(16, seed, {}) for seed, name in enumerate(("clean", "auto", "test"))}
    sources = LabelSources(tmp_path, groups)
    runs = [(Training(True, "filtered"), 0)]
    train_all(sources, runs, "networks")
    # the teacher's predictions are stored too
    assert sources.is_complete(*runs[0])
    assert sources.is_complete(TEACHER, 0)
