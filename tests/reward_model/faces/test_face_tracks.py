"""The face-tracks scorer, mostly with a reward head of random weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from identity_reward_client.errors import NonFiniteReward, ReferenceWithoutFace
from identity_reward_client.preference import tie_band
from reward_model.faces.face_tracks import SAMPLING, FaceTracksScorer, TrackReward, load_folder
from reward_model.faces.tracks.head_config import TrackHeadConfig
from reward_model.faces.tracks.reward_head import TrackHead
from reward_model.folder import CONFIG, WEIGHTS, CheckpointError
from reward_model.registry import load_scorer
from reward_model.training.face_tracks.task import write_ensemble
from reward_model.types import ReferenceSet, Sample


@pytest.fixture(scope="module")
def reward_head(scorer):
    reader = scorer.reader
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = TrackHeadConfig(
            num_members=2,
            detector_sha256=reader.detector.model.sha256,
            embedder_sha256=reader.embedder.model.sha256,
        )
        return TrackHead(config).eval()


@pytest.fixture(scope="module")
def tracks(scorer, reward_head):
    tracks = FaceTracksScorer(scorer.reader, reward_head.inference())
    tracks.warm_up()
    return tracks


@pytest.fixture(scope="module")
def folder(reward_head, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    write_ensemble(path, reward_head)
    return path


@pytest.mark.parametrize("order", [(5, 1, 9), (9, 5, 1), (1, 9, 5)])
def test_reward_does_not_depend_on_the_order_of_references(sample, score, tracks, order):
    frames = (1, 5, 8), (5, None, 9), (1, 5, 9)
    base, other = score(sample((1, 5, 9), *frames), tracks), score(sample(order, *frames), tracks)
    assert base.reward == other.reward
    people = dict(zip(order, other.details["people"], strict=True))
    for index, person in enumerate((1, 5, 9)):
        assert people[person] == {**base.details["people"][index], "reference_index": order.index(person)}


def test_score_does_not_depend_on_other_samples_of_the_batch(tracks, sample):
    clips = [sample((1, 5), (1, 5)), sample((9,), (1, 5), (9, None)), sample((5, 8, 1), (None, 1), (8, 5))]
    alone = [tracks.postprocess(tracks.forward([tracks.preprocess(clip)])[0]) for clip in clips]
    together = tracks.forward([tracks.preprocess(clip) for clip in reversed(clips)])
    assert [tracks.postprocess(raw) for raw in reversed(together)] == alone


def test_spread_is_the_disagreement_of_the_members_in_tie_bands(tracks, sample):
    prepared = tracks.preprocess(sample((1, 5), (1, 5), (1, None)))
    members = tracks.head.per_member(prepared.features)
    scored = tracks.postprocess(tracks.forward([prepared])[0])
    assert scored.spread == pytest.approx(abs(float(members[0] - members[1])) / 2 / tie_band(5), rel=1e-5)
    assert scored.reward == pytest.approx(members.mean(), rel=1e-5)


def test_a_head_of_one_member_has_no_spread(scorer, reward_head, sample, score):
    alone = TrackHead(replace(reward_head.config, num_members=1)).eval().requires_grad_(False)
    assert score(sample((1,), (1,)), FaceTracksScorer(scorer.reader, alone.inference())).spread is None


def test_details_are_plain_json_with_people_and_tracks(tracks, sample, score):
    details = score(sample((1, 5), (1, 5), (1, None), (None, None)), tracks).details
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    first, second = details["people"]
    assert [s is None for s in first["frame_similarities"]] == [False, False, True]
    assert second["frame_tracks"][1:] == [None, None]
    assert (first["coverage"], second["coverage"]) == pytest.approx((2 / 3, 1 / 3))
    assert details["num_frame_faces"] == [2, 1, 0]
    assert details["frame_indices"] == [0, 1, 2]
    assert len(details["tracks"]) == 2
    longest = max(details["tracks"], key=lambda track: track["num_frames"])
    assert longest["num_frames"] == 2
    assert longest["similarities"][0] > 0.6 > longest["similarities"][1]


def test_clip_without_any_face_has_a_reward_and_no_coverage(tracks, sample, score):
    scored = score(sample((1,), (None,), (None,)), tracks)
    assert np.isfinite(scored.reward)
    assert scored.details["people"][0]["coverage"] == 0
    assert scored.details["people"][0]["drift"] is None
    assert scored.details["tracks"] == []


def test_reference_without_a_face_is_an_error(tracks, sample):
    good = sample((1,), (1,))
    blank = np.full((300, 400, 3), 200, np.uint8)
    with pytest.raises(ReferenceWithoutFace, match="reference 1"):
        tracks.preprocess(Sample(ReferenceSet((good.references.images[0], blank)), good.video))


def test_reward_that_is_not_finite_is_an_error(tracks, sample):
    raw = tracks.forward([tracks.preprocess(sample((1,), (1,)))])[0]
    with pytest.raises(NonFiniteReward):
        tracks.postprocess(TrackReward(float("nan"), raw.clip, raw.features))


def test_saved_reward_head_is_small_and_gives_the_same_scores_when_loaded(folder, reward_head, tracks, sample, score):
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20
    loaded = load_scorer(str(folder))
    assert loaded.info.fingerprint == load_folder(folder).info.fingerprint
    clip = sample((1, 5), (1, 5), (1, None))
    assert score(clip, loaded) == score(clip, tracks)
    assert loaded.info.frame_sampling is SAMPLING
    assert SAMPLING.count(80, 16.0) == 16


def test_fingerprint_depends_on_the_weights(folder, reward_head, tmp_path):
    other = TrackHead(reward_head.config)
    other.load_state_dict(reward_head.state_dict())
    with torch.no_grad():
        other.members[0].embed.weight[0, 0] += 1e-3
    write_ensemble(tmp_path / "other", other)
    assert load_folder(tmp_path / "other").info.fingerprint != load_folder(folder).info.fingerprint


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), r"lacks model\.safetensors"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\0" * 99), "damaged or was replaced"),
        (lambda folder: (folder / CONFIG).write_text("{"), "isn't a face-tracks head's"),
        (lambda folder: (folder / CONFIG).write_text('{"kind": "qwen"}'), "\"kind\" is not 'face-tracks'"),
        (lambda folder: edit(folder, hidden=8), "doesn't fit"),
        (lambda folder: edit(folder, widht=8), "unknown fields: widht"),
        (lambda folder: edit(folder, features_revision=0), "other features revision .* train it again"),
        (lambda folder: edit(folder, embedder_sha256="0" * 64), "trained with another face embedder"),
    ],
)
def test_broken_folder_is_refused_with_the_reason(folder, tmp_path, damage, message):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    damage(broken)
    with pytest.raises(CheckpointError, match=message):
        load_folder(broken)


def edit(folder, **changes) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
