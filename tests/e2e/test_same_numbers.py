"""Served or in process, the numbers are the same."""

import numpy as np
import pytest

from identity_reward_client.base import SyncRewardClient
from identity_reward_client.errors import InvalidMedia
from identity_reward_client.http_client import HttpRewardClient
from service.local import LocalRewardClient


@pytest.fixture(scope="module")
def clients(server):
    with (
        SyncRewardClient(HttpRewardClient(server.url)) as served,
        SyncRewardClient(LocalRewardClient(["arcface", "tiny"])) as local,
    ):
        yield served, local


@pytest.mark.parametrize("model", ["arcface", "tiny"])
def test_score(clients, reference_jpeg, clip_mp4, model):
    served, local = [client.score([reference_jpeg], clip_mp4, model=model) for client in clients]
    assert served.reward == pytest.approx(local.reward, abs=1e-6)
    assert served.frame_indices == local.frame_indices
    assert served.model == local.model


@pytest.mark.parametrize("model", ["arcface", "tiny"])
def test_frames_and_groups(clients, reference_jpeg, other_jpeg, clip_frames, other_mp4, model):
    videos = [clip_frames, clip_frames[::-1].copy(), other_mp4]
    served, local = [
        client.score_group([reference_jpeg, other_jpeg], videos, fps=12, model=model, matrices=True, details=True)
        for client in clients
    ]
    assert [item.reward for item in served.items] == pytest.approx([item.reward for item in local.items], abs=1e-6)
    assert np.asarray(served.win) == pytest.approx(np.asarray(local.win), abs=1e-6)
    assert served.items[0].scored.details == local.items[0].scored.details


def test_compare_by_stored_references(clients, reference_jpeg, clip_mp4, other_mp4):
    served, local = [client.compare(client.put_references([reference_jpeg]), clip_mp4, other_mp4) for client in clients]
    assert served.p_a_wins == pytest.approx(local.p_a_wins, abs=1e-6)
    assert served.verdict == local.verdict == "A"


def test_models(clients):
    served, local = [client.models() for client in clients]
    assert served == local


def test_errors(clients, clip_mp4):
    said = []
    for client in clients:
        with pytest.raises(InvalidMedia) as caught:
            client.score([b"rubbish"], clip_mp4)
        said.append(caught.value.message)
    assert said[0] == said[1]
